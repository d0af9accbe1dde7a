//! Errors of a wrong command line.
mod example;
mod read;
mod tcpdump;
mod typed;

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    process,
    sync::OnceLock,
};

use clap::{
    CommandFactory as _, Error, Parser as _,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    Cli, Command,
    config::{Setting, origin, with_defaults},
    extcap::with_command,
};
use crate::{
    sink,
    text::{
        escape::{escape_error, shown},
        system_error::without_numbers,
    },
};

/// Options and words that select packets in other tools. podtrace has options that are spelled
/// alike and do something else.
const SELECTORS: [&str; 16] = [
    "container",
    "dst",
    "filter",
    "host",
    "icmp",
    "name",
    "namespace",
    "net",
    "node",
    "pod",
    "port",
    "proto",
    "src",
    "tcp",
    "udp",
    "vlan",
];

/// The exit status of a wrong configuration file.
const ERROR: i32 = 2;

const SELECT: &str = "packets are selected by an expression, as with tcpdump: podtrace trace icmp and host \
     10.0.0.1, podtrace replay FILE -- port 53; or by a selector of trace, record, flows, replay, \
     stats and export: --pod, --ip, --port, --protocol and others; those of one interface by \
     -i NAME";

/// The line that [`parse`] has read.
static LINE: OnceLock<Vec<OsString>> = OnceLock::new();
/// The defaults of configuration files in it.
static DEFAULTS: OnceLock<Vec<Setting>> = OnceLock::new();

/// Reads the command line; ends the process where it asks for help or is wrong.
#[must_use]
pub fn parse() -> Cli {
    let line = with_defaults(with_command(env::args_os().collect()));
    let (line, defaults) = line.unwrap_or_else(|words| {
        sink::tell(&escape_error(&words));
        process::exit(ERROR)
    });
    DEFAULTS.get_or_init(|| defaults);
    read(LINE.get_or_init(|| line)).unwrap_or_else(|error| leave(&error))
}

/// The command line with the defaults of configuration files.
#[must_use]
pub fn line() -> &'static [OsString] {
    LINE.get_or_init(|| env::args_os().collect())
}

/// The option of this long name as it stands on the command line.
#[must_use]
pub fn typed(long: &str) -> String {
    typed::name(line(), long).unwrap_or_else(|| format!("--{long}"))
}

/// An error, with the place of the default that it is about if a configuration file has that.
#[must_use]
pub fn with_origin(words: &str) -> String {
    let defaults = DEFAULTS.get().map_or(&[][..], Vec::as_slice);
    match origin(defaults, words) {
        Some(place) => format!("{place}: {words}"),
        None => words.to_owned(),
    }
}

/// Shows what clap has to say, which may be the help, and ends the process.
fn leave(error: &Error) -> ! {
    let defaults = DEFAULTS.get().map_or(&[][..], Vec::as_slice);
    if let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
        && let Some(place) = origin(defaults, option)
    {
        sink::tell(&escape_error(&format!("{place} is wrong")));
    }
    let shown = error.print().and_then(|()| io::stdout().flush());
    let code = match shown {
        Err(failed) if !error.use_stderr() && failed.kind() != io::ErrorKind::BrokenPipe => {
            let reason = without_numbers(&failed.to_string());
            sink::tell(&format!("failed to write to standard output: {reason}"));
            2
        }
        _ => error.exit_code(),
    };
    process::exit(code)
}

/// Reads a line; tells what is wrong with it.
pub(crate) fn read(line: &[OsString]) -> Result<Cli, Error> {
    let cli = Cli::try_parse_from(line).map_err(|error| match of_value(&error, line) {
        Some((error, line)) => corrected(error, &line),
        None => corrected(error, line),
    })?;
    let ends_open = line.last().is_some_and(|word| word == "--");
    if let (true, Some(begin)) = (ends_open, lacks_command(&cli.command)) {
        let words = format!("-- needs a command: podtrace {begin} -- ping -c 1 10.244.2.2");
        return Err(Cli::command().error(ErrorKind::WrongNumberOfValues, words));
    }
    Ok(cli)
}

/// How a line with a command to run begins, of a podtrace command that could run one and has none.
fn lacks_command(command: &Command) -> Option<&'static str> {
    let (capture, begin) = match command {
        Command::Trace(args) => (&args.capture, "trace"),
        Command::Record(args) => (&args.capture, "record -w session.pcapng"),
        Command::Flows(args) => (&args.capture, "flows"),
        Command::Diagnose(args) => (&args.capture, "diagnose default/client default/web"),
        _ => return None,
    };
    capture.command.is_empty().then_some(begin)
}

/// The mistake in a value below 0, which clap takes for an option, and the line that has it as a
/// value.
fn of_value(error: &Error, line: &[OsString]) -> Option<(Error, Vec<OsString>)> {
    let given = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(given)) if is_below_zero(given) => given,
        _ => return None,
    };
    let begins = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with(given));
    let at = line.iter().position(begins)?;
    let (before, value) = (line.get(at.checked_sub(1)?)?, line.get(at)?);
    let mut joined = line.to_vec();
    let mut word = before.clone();
    word.push("=");
    word.push(value);
    joined.splice(at - 1..=at, [word]);
    let error = Cli::try_parse_from(&joined).err()?;
    (error.kind() == ErrorKind::ValueValidation).then_some((error, joined))
}

fn is_below_zero(word: &str) -> bool {
    let number = word.strip_prefix('-');
    number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

/// Suggests only likely corrections, and shows the given words escaped.
fn corrected(mut error: Error, line: &[OsString]) -> Error {
    let escaped: Vec<OsString> = line.iter().map(|word| shown(word).into()).collect();
    if escaped != line
        // The escaped line has the same mistake, unless the mistake was in its bytes.
        && let Err(same) = Cli::try_parse_from(escaped)
    {
        error = same;
        // The suggestion would be about the escaped word.
        error.remove(ContextKind::Suggested);
    }
    if error.kind() == ErrorKind::UnknownArgument {
        correct_suggestion(&mut error, line);
    } else {
        let tip = read::without_dashes(&error).or_else(|| example::instead(&error));
        let renamed = typed::rename(&mut error, line);
        if let Some(tip) = tip {
            suggest(
                &mut error,
                match renamed {
                    Some((name, typed)) => tip.replacen(&name, &typed, 1),
                    None => tip,
                },
            );
        }
    }
    error
}

/// The command of a line; nothing if there is none.
fn command(line: &[OsString]) -> &str {
    let mut words = line.iter().skip(1).filter_map(|word| word.to_str());
    words
        .find(|word| !word.starts_with('-'))
        .unwrap_or_default()
}

/// Removes the suggestion of an option that does something else, or of a file whose name begins
/// with a dash; gives a hint that helps instead.
fn correct_suggestion(error: &mut Error, line: &[OsString]) {
    let command = command(line);
    let text_of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let given = text_of(ContextKind::InvalidArg).unwrap_or_default();
    let similar = text_of(ContextKind::SuggestedArg);
    let name = given.trim_start_matches('-');
    let tip = if SELECTORS.contains(&name) {
        Some(SELECT.to_owned())
    } else if is_below_zero(&given) {
        Some("no number and no time may be below 0".to_owned())
    } else if name.chars().count() == 1 && Cli::command().find_subcommand(command).is_none() {
        Some("a command comes first: podtrace trace -i cni0 icmp".to_owned())
    } else {
        let of_files = (given == "-r").then(|| read::instead(command, line));
        of_files
            .flatten()
            .or_else(|| tcpdump::instead(&given, command))
    };
    error.remove(ContextKind::Suggested);
    if tip.is_some() || similar.is_some_and(|similar| !is_meant(&given, &similar)) {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
    }
    if let Some(tip) = tip {
        suggest(error, tip);
    }
}

fn suggest(error: &mut Error, tip: String) {
    let tips = vec![StyledStr::from(tip)];
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
}

/// Whether an option is a form of the other, or a typing error away from it.
fn is_meant(given: &str, similar: &str) -> bool {
    let slips = strsim::damerau_levenshtein(given, similar);
    // Dashes are not counted, as they are never mistyped.
    let is_slip = slips <= 2 && 3 * slips <= given.trim_start_matches('-').len();
    similar.starts_with(given) || given.starts_with(similar) || is_slip
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    pub(super) fn error_text(words: &[&str]) -> String {
        let line = ["podtrace"].iter().chain(words);
        read(&line.map(OsString::from).collect::<Vec<_>>())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn only_similar_options_are_suggested() {
        for (given, similar) in [
            ("--wirte", "--write"),
            ("--kubeconf", "--kubeconfig"),
            ("--interfaces", "--interface"),
            ("--outp", "--output"),
        ] {
            let text = error_text(&["trace", given, "x"]);
            assert!(text.contains(&format!("exists: '{similar}'")), "{text}");
        }
        for given in SELECTORS {
            for command in ["trace", "replay", "export", "topology"] {
                let is_option = ["container", "namespace", "node", "pod", "port"].contains(&given);
                if is_option && command != "topology" {
                    continue;
                }
                let text = error_text(&[command, &format!("--{given}"), "x"]);
                assert!(!text.contains("similar"), "{text}");
                assert!(text.contains("--pod, --ip, --port"), "{text}");
            }
        }
        let text = error_text(&["trace", "--dest", "x"]);
        assert!(!text.contains("zstd"), "{text}");
        let text = error_text(&["replay", "-w", "x", "y"]);
        assert!(!text.contains("-- -w"), "{text}");
    }

    #[test]
    fn dashes_need_a_command() {
        for words in [
            "trace --",
            "trace icmp --",
            "record -w x --",
            "flows --",
            "flows icmp --",
            "diagnose a b --",
        ] {
            let words: Vec<_> = words.split(' ').collect();
            let text = error_text(&words);
            let begin = format!("error: -- needs a command: podtrace {} ", words[0]);
            assert!(text.starts_with(&begin), "{text}");
            // What is shown is right.
            let (_, example) = text
                .lines()
                .next()
                .unwrap()
                .split_once("podtrace ")
                .unwrap();
            let line = ["podtrace"].into_iter().chain(example.split(' '));
            read(&line.map(OsString::from).collect::<Vec<_>>()).unwrap();
        }
    }

    #[test]
    fn command_comes_first() {
        for words in [&["-i", "eth0", "icmp"][..], &["-nr", "x"], &["-x"]] {
            let text = error_text(words);
            assert!(text.contains("podtrace trace -i cni0 icmp"), "{text}");
        }
        assert!(error_text(&["--verison"]).contains("'--version'"));
    }

    #[test]
    fn negative_values_are_reported_as_such() {
        for (words, expected) in [
            (&["trace", "--count", "-1"][..], "'-1' for '--count <N>'"),
            (&["trace", "-c", "-1"], "'-1' for '--count <N>'"),
            (&["trace", "-d", "-5s"], "'-5s' for '--duration <TIME>'"),
            (&["record", "-w", "x", "-C", "-1"], "'-1' for '-C <MB>'"),
            (
                &["replay", "x", "--speed", "-0.5"],
                "'-0.5' for '--speed <FACTOR>'",
            ),
        ] {
            let text = error_text(words);
            let expected = format!("error: invalid value {expected}: must be ");
            assert!(text.starts_with(&expected), "{text}");
        }
        let text = error_text(&["trace", "-1"]);
        assert!(text.contains("may be below 0"), "{text}");
    }

    #[test]
    fn arguments_are_shown_escaped() {
        let name = "--\u{1b}[31m";
        for words in [
            &["trace", name][..],
            &["replay", name],
            &["\u{1b}[31m"],
            &["trace", "--count", "\u{1b}[31m"],
            &["trace", "-o", "\u{1b}[31m"],
            &["trace", "--duration", "\u{1b}[31m"],
            &["record", "-w", "x", "--keep-size", "1\u{1b}[31m"],
            &["replay", "--since", "\u{1b}[31m", "x"],
        ] {
            let text = error_text(words);
            assert!(text.contains(r"\x1b[31m"), "{text:?}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_escaped() {
        let file = OsString::from_vec(b"a\xff.pcapng".to_vec());
        let line = ["podtrace".into(), file];
        let text = read(&line).unwrap_err().to_string();
        assert!(text.contains(r"'a\xff.pcapng'"), "{text}");
    }

    #[test]
    fn no_error_is_the_parser_s_own() {
        for words in [
            &["trace", "--count", "x"][..],
            &["trace", "--count", "0"],
            &["trace", "--snaplen", "1"],
            &["record", "-w", "x", "-C", "0"],
            &["record", "-w", "x", "--keep-size", "99999999999999999999"],
            &["demo", "--pings", "-1"],
            &["replay", "--clock-offset", "a", "x"],
        ] {
            let text = error_text(words);
            for raw in ["digit", "is not in", "..", "target type", "integral"] {
                assert!(!text.contains(raw), "{text}");
            }
        }
    }
}
