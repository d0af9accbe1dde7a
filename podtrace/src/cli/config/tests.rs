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
fn pairs_become_options() {
    assert_eq!(
        words("[trace]\nbetween = [\"a\", \"10.0.0.1\"]\ncount = 1"),
        ["--between", "a", "10.0.0.1", "--count=1"]
    );
    assert_eq!(
        words("[trace]\nbetween = [[\"a\", \"b\"], [\"c\", \"d\"]]"),
        ["--between", "a", "b", "--between", "c", "d"]
    );
}

/// What another table or the line may complete is no contradiction.
#[test]
fn settings_that_go_together_are_taken() {
    for text in [
        "[trace]\nrotate-size = \"1MB\"\nouter = true\ndirection = \"in\"",
        "[trace]\nwrite = \"x\"\noutput = \"json\"",
        "[record]\nkeep-size = \"1GB\"\nzstd = true",
        "[all]\noutput = \"json\"\nformat = \"csv\"",
        "[all]\nquiet-hops = true\nwrite = \"x\"\nzstd = true\nforce = true",
        "[all]\nfirst = \"1s\"\nouter = true\nonly-matching = true",
        "[replay]\noutput = \"json\"\nquiet-hops = false",
        "[trace]\n[replay]\noutput = \"json\"\n[all]\nquiet-hops = true",
    ] {
        let taken = settings("f", text);
        assert!(taken.is_ok(), "{text}: {taken:?}");
    }
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
fn agent_of_the_packages_listens_at_a_socket() {
    let text = include_str!("../../../deploy/agent.toml");
    assert_eq!(words(text), ["--listen=/run/podtrace/agent.sock"]);
    // What else stands there can be had.
    let (_, more) = text.split_once("\n# listen = ").unwrap();
    let more = format!("[agent]\nlisten = {}", more.replace("\n# ", "\n"));
    let options = more.lines().filter(|line| {
        let key = line.split_once(" = ").map(|(key, _)| key);
        line.starts_with('[') && !line.contains("Service")
            || key.is_some_and(|key| !key.contains(' '))
    });
    let options: Vec<_> = options.collect();
    assert_eq!(
        words(&options.join("\n")),
        [
            "--listen=/run/podtrace/agent.sock",
            "--listen=tcp://0.0.0.0:9465",
            "--tls=/etc/podtrace/tls",
            "--consoles=/etc/podtrace/consoles.toml",
            "--probe",
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
            "f, line 1: [trace] outer and inner contradict each other: the argument '--outer' cannot be used with '--inner'",
        ),
        (
            "[trace]\nwrite = \"x\"\noutput = \"pcapng\"",
            "f, line 1: [trace] write and output contradict each other: -o pcapng records to",
        ),
        (
            "[replay]\nfirst = 5\noutput = \"json\"\nquiet-hops = true",
            "f, line 1: [replay] output and quiet-hops contradict each other: --quiet-hops is for",
        ),
        (
            "[export]\nzstd = true\nformat = \"csv\"",
            "f, line 1: [export] zstd and format contradict each other: --zstd is for pcapng",
        ),
        (
            "[diagnose]\nprotocol = \"icmp\"\nport = 80",
            "f, line 1: [diagnose] protocol and port contradict each other: --port is for",
        ),
        (
            "[all]\noutput = \"json\"\nhex = true",
            "f, line 1: [all] output and hex contradict each other: ",
        ),
        (
            "[trace]\nnot = true",
            "f, line 2: [trace] not: negates the option behind it, and the options of a file",
        ),
        (
            "[trace]\nbetween = \"a\"",
            "f, line 2: [trace] between: takes 2 values: between = [\"…\", \"…\"], or a list",
        ),
        (
            "[trace]\nbetween = [\"a\", \"b\", \"c\"]",
            "f, line 2: [trace] between: takes 2 values",
        ),
        (
            "[trace]\nbetween = [[\"a\", \"b\"], \"c\"]",
            "f, line 2: [trace] between: takes 2 values",
        ),
        (
            "[trace]\nbetween = [\"a\", \"/b/\"]",
            "f, line 2: [trace] between: /b/ is wrong: must be two pods",
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
        if let Ok((made, _)) = with_defaults([vec!["podtrace".into(), "--no-config".into()], line.clone()].concat()) {
            prop_assert_eq!(&made[2..], &line[..]);
        }
    }
}
