//! Puts defaults into a command line.
use std::ffi::OsString;

use clap::{
    ArgMatches, Command, CommandFactory as _, Parser as _, error::ErrorKind, parser::ValueSource,
};

use super::{Setting, file::read_all, option, settings};
use crate::cli::Cli;

/// The command line with the defaults of the configuration files, and these, or what is wrong in
/// them.
pub(in crate::cli) fn with_defaults(
    line: Vec<OsString>,
) -> Result<(Vec<OsString>, Vec<Setting>), String> {
    let podtrace = Cli::command().ignore_errors(true);
    // Such a line fails by itself.
    let Ok(given) = podtrace.try_get_matches_from(&line) else {
        return Ok((line, Vec::new()));
    };
    if given.get_flag("no_config") || given.subcommand_name().is_none() {
        return Ok((line, Vec::new()));
    }
    let mut all = Vec::new();
    for (name, text) in read_all()? {
        all.extend(settings(&name, &text)?);
    }
    if all.is_empty() {
        return Ok((line, Vec::new()));
    }
    Ok(insert(line, &given, all))
}

/// Puts settings in front of the command's own options. These come first: what a setting
/// contradicts or lacks on this line leaves the setting out. Returns those that are in, too.
fn insert(
    line: Vec<OsString>,
    given: &ArgMatches,
    settings: Vec<Setting>,
) -> (Vec<OsString>, Vec<Setting>) {
    let podtrace = Cli::command();
    let Some((name, given)) = given.subcommand() else {
        return (line, Vec::new());
    };
    let at = line.iter().position(|word| word == name);
    let (Some(at), Some(command)) = (at, podtrace.find_subcommand(name)) else {
        return (line, Vec::new());
    };
    let (head, tail) = line.split_at(at + 1);
    let with = |settings: &[&Setting]| -> Vec<OsString> {
        let words = settings.iter().flat_map(|setting| &setting.words);
        let words = words.map(OsString::from);
        head.iter()
            .cloned()
            .chain(words)
            .chain(tail.iter().cloned())
            .collect()
    };
    let made = |settings: &[&Setting]| {
        let kept = settings.iter().map(|setting| (*setting).clone());
        (with(settings), kept.collect())
    };
    let mistake = |settings: &[&Setting]| match Cli::try_parse_from(with(settings)) {
        Ok(cli) if cli.command.contradiction().is_none() => None,
        Ok(_) => Some(ErrorKind::ArgumentConflict),
        Err(error) => Some(error.kind()),
    };
    let mut rest = effective(&settings, command);
    rest.retain(|setting| !is_given(command, &setting.key, given));
    if mistake(&rest).is_none() {
        return made(&rest);
    }
    let lacks_something = mistake(&[]) == Some(ErrorKind::MissingRequiredArgument);
    let mut kept = Vec::new();
    // One setting may need another.
    for _ in 0..rest.len() {
        rest.retain(|setting| {
            kept.push(*setting);
            let fits = match mistake(&kept) {
                Some(ErrorKind::ArgumentConflict) => false,
                Some(ErrorKind::MissingRequiredArgument) => lacks_something,
                _ => true,
            };
            if !fits {
                kept.pop();
            }
            !fits
        });
    }
    made(&kept)
}

/// The settings of a command: of several for an option, the last.
fn effective<'a>(settings: &'a [Setting], command: &Command) -> Vec<&'a Setting> {
    let mut found: Vec<&Setting> = Vec::new();
    for setting in settings.iter().filter(|setting| setting.is_for(command)) {
        found.retain(|earlier| earlier.key != setting.key);
        found.push(setting);
    }
    found
}

/// Whether the line has the option.
fn is_given(command: &Command, key: &str, given: &ArgMatches) -> bool {
    option(command, key).is_some_and(|option| {
        let id = option.get_id().as_str();
        given.value_source(id) == Some(ValueSource::CommandLine)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that a file and a line make, without the first word.
    fn line(file: &str, words: &str) -> String {
        let words = ["podtrace"].into_iter().chain(words.split(' '));
        let line: Vec<OsString> = words.map(Into::into).collect();
        let podtrace = Cli::command().ignore_errors(true);
        let given = podtrace.try_get_matches_from(&line).unwrap();
        let (made, _) = insert(line, &given, settings("f", file).unwrap());
        let made: Vec<_> = made
            .iter()
            .skip(1)
            .map(|word| word.to_str().unwrap())
            .collect();
        made.join(" ")
    }

    #[test]
    fn command_line_comes_first() {
        let file = "[all]\ninterface = [\"cni0\", \"eth0\"]\nnumeric = true\n
                    [trace]\noutput = \"compact\"\ncount = 5\ntime = \"utc\"\n
                    [stats]\ntop = 3\n";
        for (given, made) in [
            (
                "trace",
                "trace --interface=cni0 --interface=eth0 --numeric --output=compact --count=5 --time=utc",
            ),
            (
                "trace -i lo -c 1 -o json -n -t icmp",
                "trace -i lo -c 1 -o json -n -t icmp",
            ),
            (
                "stats x",
                "stats --interface=cni0 --interface=eth0 --top=3 x",
            ),
            ("cleanup", "cleanup"),
            (
                "--no-config replay x",
                "--no-config replay --interface=cni0 --interface=eth0 --numeric x",
            ),
        ] {
            assert_eq!(line(file, given), made);
        }
    }

    /// Whatever a file sets, a line that is right stays so.
    #[test]
    fn no_setting_makes_a_right_line_wrong() {
        const LINES: &str = "trace
trace icmp
trace --pod web
trace -i eth0
trace -o json
trace -o pcapng
trace -w x
trace -w x icmp
trace --tui
trace -D
trace -- true
record -w x
record -w x -C 1 icmp
replay x
replay -o json x
replay -o pcapng x -- icmp
replay --tui x
replay -
stats x -- icmp
report -o r x
export --format csv x -- icmp
export --format otlp x
export --format pcapng -w y x -- icmp
export --format pcapng x
flows
flows -r x icmp
diagnose a b
diagnose --port 80 a b
diagnose -r x a b
extcap --extcap-interfaces
extcap --extcap-interface podtrace --capture --fifo f
extcap --extcap-interface podtrace --capture --fifo f --extcap-capture-filter icmp
topology
doctor
cleanup";
        const SETTINGS: &str = "[all] outer = true
[all] inner = true
[all] only-matching = true
[all] direction = \"in\"
[all] wait = true
[all] zstd = true
[all] force = true
[all] write = \"x\"
[all] tui = true
[all] follow = true
[all] keep-size = \"1GB\"
[all] rotate-size = \"1MB\"
[all] last = \"10s\"
[all] first = \"10s\"
[all] time = \"utc\"
[all] hex = true
[all] quiet-hops = true
[trace] output = \"pcapng\"
[replay] output = \"json\"
[export] to = \"http://127.0.0.1:4317\"
[export] format = \"csv\"
[all] read = [\"x\"]
[all] protocol = \"icmp\"
[diagnose] port = 80
[all] probe = true
[all] duration = \"10s\"";
        let settings_of = |text: &str| settings("f", &text.replace("] ", "]\n")).unwrap();
        let each = SETTINGS.lines().map(settings_of);
        let all: Vec<_> = SETTINGS.lines().flat_map(settings_of).collect();
        let files: Vec<_> = each.chain([all]).collect();
        for words in LINES.lines() {
            let words = ["podtrace"].into_iter().chain(words.split(' '));
            let line: Vec<OsString> = words.map(Into::into).collect();
            let contradiction = |line: &[OsString]| {
                let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
                cli.command.contradiction()
            };
            assert_eq!(contradiction(&line), None, "{line:?}");
            let podtrace = Cli::command().ignore_errors(true);
            let given = podtrace.try_get_matches_from(&line).unwrap();
            for file in &files {
                let (made, _) = insert(line.clone(), &given, file.clone());
                assert_eq!(contradiction(&made), None, "{made:?}");
            }
        }
    }

    #[test]
    fn command_s_table_comes_before_the_one_for_all() {
        let file = "[all]\nstrict = true\nsnaplen = 200\n[trace]\nstrict = false\nsnaplen = 300\n";
        assert_eq!(line(file, "trace"), "trace --snaplen=300");
        assert_eq!(line(file, "flows"), "flows --strict --snaplen=200");
    }

    #[test]
    fn setting_that_does_not_go_with_the_line_is_left_out() {
        let file = "[record]\nrotate-size = \"1MB\"\nzstd = true\nwrite = \"x/\"\n
                    [trace]\nrotate-size = \"1MB\"\nouter = true\n
                    [replay]\nlast = \"10s\"\n";
        assert_eq!(
            line(file, "record"),
            "record --rotate-size=1MB --zstd --write=x/"
        );
        // Nothing is written, so nothing rotates.
        assert_eq!(line(file, "trace icmp"), "trace --outer icmp");
        assert_eq!(line(file, "trace --inner icmp"), "trace --inner icmp");
        assert_eq!(line(file, "trace -w y"), "trace --rotate-size=1MB -w y");
        assert_eq!(line(file, "replay -c 5 x"), "replay -c 5 x");
        // Some contradict others by their values.
        let file = "[replay]\nhex = true\nouter = true\nonly-matching = true\n
                    [stats]\ndirection = \"in\"\n
                    [export]\ndirection = \"in\"\ninterface = \"cni0\"\n
                    [record]\nkeep-size = \"1GB\"\n";
        for (given, made) in [
            ("replay -o json x", "replay -o json x"),
            ("replay x", "replay --hex x"),
            (
                "replay x -- icmp",
                "replay --hex --outer --only-matching x -- icmp",
            ),
            (
                "replay -o pcapng x -- icmp",
                "replay --outer -o pcapng x -- icmp",
            ),
            ("stats x", "stats x"),
            ("stats -i eth0 x", "stats --direction=in -i eth0 x"),
            (
                "export --format csv x",
                "export --direction=in --interface=cni0 --format csv x",
            ),
            ("record -w x", "record -w x"),
            ("record -w x -C 1", "record --keep-size=1GB -w x -C 1"),
        ] {
            assert_eq!(line(file, given), made);
        }
        let file =
            "[replay]\noutput = \"json\"\n[trace]\noutput = \"pcapng\"\n[all]\ntime = \"utc\"\n";
        assert_eq!(line(file, "replay -x x"), "replay --time=utc -x x");
        assert_eq!(line(file, "replay x"), "replay --output=json x");
        assert_eq!(line(file, "trace -w x"), "trace --time=utc -w x");
        let file = "[replay]\nlast = \"10s\"\n";
        assert_eq!(line(file, "replay --first 5 x"), "replay --first 5 x");
        // What is wrong by itself stays so.
        assert_eq!(line(file, "replay"), "replay --last=10s");
    }
}
