use std::ffi::OsString;

use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Vec<String> {
    let settings = settings("f", text).unwrap();
    settings.into_iter().flat_map(|one| one.words).collect()
}

#[test]
fn values_become_options() {
    let file = "# defaults\n[trace]\ninterface = [\"cni0\", \"a b\"]\ncount = 5\nverbose = 2\n
                strict = true\nquiet-hops = false\ncpu-limit = 50\ntime = \"utc\"\n
                [replay]\nspeed = 0.5\nsince = \"+10s\"\nhex = true\n";
    assert_eq!(
        words(file),
        [
            "--interface=cni0",
            "--interface=a b",
            "--count=5",
            "--verbose",
            "--verbose",
            "--strict",
            "--cpu-limit=50",
            "--time=utc",
            "--speed=0.5",
            "--since=+10s",
            "--hex",
        ]
    );
    assert!(words("").is_empty());
}

#[test]
fn recorder_of_the_packages_has_limits_and_a_directory() {
    assert_eq!(
        words(include_str!("../../../deploy/recorder.toml")),
        [
            "--write=/var/log/podtrace/",
            "--rotate-size=100MB",
            "--keep-size=2GB",
            "--zstd"
        ]
    );
}

#[test]
fn mistakes_name_file_line_and_key() {
    for (text, expected) in [
        (
            "[trace]\ncuont = 5",
            "f, line 2: [trace] has no option cuont\nhint: there is count, ",
        ),
        (
            "\n[trcae]\ncount = 5",
            "f, line 2: no command trcae\nhint: there is trace, ",
        ),
        (
            "count = 5",
            "f, line 1: count stands in no table\nhint: options stand behind [all]",
        ),
        (
            "[all]\n\nnosuch = 1",
            "f, line 3: [all] has no option nosuch\nhint: ",
        ),
        (
            "[trace]\ncount = 0",
            "f, line 2: [trace] count: 0 is wrong: must be a whole number above 0",
        ),
        (
            "[trace]\ncount = true",
            "f, line 2: [trace] count: must be a text in quotes or a number",
        ),
        (
            "[trace]\ncount = [1, 2]",
            "f, line 2: [trace] count: takes one value, not several",
        ),
        (
            "[trace]\nstrict = \"yes\"",
            "f, line 2: [trace] strict: must be true or false",
        ),
        (
            "[trace]\nverbose = 99",
            "f, line 2: [trace] verbose: must be true, false or a number",
        ),
        (
            "[all]\noutput = \"xml\"",
            "f, line 2: [all] output: xml is wrong: must be one of text, compact, events, json",
        ),
        (
            "[replay]\nsince = 2026-11-24T12:00:00Z",
            "f, line 2: [replay] since: must be a text in quotes",
        ),
        (
            "[trace]\nouter = true\ninner = true",
            "f, line 1: [trace] contradicts itself: the argument '--outer' cannot be used with '--inner'",
        ),
        (
            "[trace]\nhelp = true",
            "f, line 2: [trace] has no option help",
        ),
        (
            "[trace]\nno-config = true",
            "f, line 2: [trace] has no option no-config",
        ),
        ("[trace]\ncount = 1\ncount = 2", "f, line 3: "),
        ("[trace\n", "f, line 1: "),
    ] {
        let error = settings("f", text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

/// Each option of each command can be a default, by its long name.
#[test]
fn each_long_option_is_a_key() {
    let podtrace = Cli::command();
    for command in podtrace.get_subcommands() {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long().filter(|long| !NEVER.contains(long)) else {
                continue;
            };
            assert!(option(command, long).is_some(), "{long}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]a-z=\"0-9\\n .-]{0,60}") {
        if let Err(words) = settings("f", &text) {
            prop_assert!(words.starts_with("f, line "));
        }
    }

    #[test]
    fn lines_stay_as_they_are_without_files(words in proptest::collection::vec("[a-z-]{0,8}", 0..5)) {
        let line: Vec<OsString> = words.into_iter().map(Into::into).collect();
        if let Ok(made) = with_defaults([vec!["podtrace".into(), "--no-config".into()], line.clone()].concat()) {
            prop_assert_eq!(&made[2..], &line[..]);
        }
    }
}
