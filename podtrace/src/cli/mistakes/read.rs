//! `-r FILE`, by which tcpdump reads a recording: what podtrace has for the whole line.
use std::ffi::{OsStr, OsString};

use clap::{CommandFactory as _, Error, Parser as _, error::ErrorKind};

use crate::{cli::Cli, text::escape::shown};

/// The commands without it, whose expression stands as with tcpdump.
const COMMANDS: [&str; 2] = ["trace", "record"];
/// The option as a letter of its own.
const READ: char = 'r';
/// The words of an expression.
const EXPRESSION: &str = "expression";

/// The line to type instead of one with `-r`; none if it cannot be told what is meant.
pub(super) fn instead(command: &str, line: &[OsString]) -> Option<String> {
    let command = COMMANDS.into_iter().find(|name| *name == command)?;
    let at = line.iter().position(|word| word == command)?;
    let (file, rest) = without_file(line.get(at + 1..)?)?;
    let words = expression(command, &rest);
    let options = rest.strip_suffix(words.as_slice())?;
    // What only a live command has is left out, with all else.
    let lines = [
        ("replay", options),
        ("export --format pcapng", options),
        ("replay", &[]),
    ];
    let lines = lines.into_iter().map(|(reads, options)| {
        let mut line: Vec<OsString> = reads.split(' ').map(Into::into).collect();
        line.extend(options.iter().cloned());
        line.push(file.clone());
        if !words.is_empty() {
            line.push("--".into());
            line.extend(words.iter().cloned());
        }
        line
    });
    let is_right = |line: &Vec<OsString>| {
        let podtrace = [OsString::from("podtrace")];
        Cli::try_parse_from(podtrace.iter().chain(line)).is_ok()
    };
    let line = lines.into_iter().find(is_right)?;
    let words: Vec<_> = line.iter().map(|word| quoted(word)).collect();
    Some(format!(
        "recordings are read by a command of their own: podtrace {}",
        words.join(" ")
    ))
}

/// What to type instead of an expression behind `--`, where a recording is read by `-r`.
pub(super) fn without_dashes(error: &Error) -> Option<String> {
    let is_command = || {
        let text = error.to_string();
        text.contains("--read") && text.contains("[COMMAND]")
    };
    let is_it = error.kind() == ErrorKind::ArgumentConflict && is_command();
    is_it.then(|| "an expression stands without -- here: podtrace flows -r FILE icmp".to_owned())
}

/// The file behind `-r`, and the line without both.
fn without_file(words: &[OsString]) -> Option<(OsString, Vec<OsString>)> {
    for (at, word) in words.iter().enumerate() {
        let letters = word.to_str().and_then(|word| word.strip_prefix('-'));
        let Some((before, behind)) = letters.and_then(|letters| letters.split_once(READ)) else {
            continue;
        };
        if !before.chars().all(|letter| letter.is_ascii_alphabetic()) {
            continue;
        }
        let mut rest = words.to_vec();
        let file = match behind {
            "" if at + 1 < rest.len() => rest.remove(at + 1),
            "" => return None,
            file => file.trim_start_matches('=').into(),
        };
        rest.remove(at);
        if !before.is_empty() {
            rest.insert(at, format!("-{before}").into());
        }
        return Some((file, rest));
    }
    None
}

/// The words of the expression in the options of a command.
fn expression(command: &str, options: &[OsString]) -> Vec<OsString> {
    let of_command = ["podtrace", command].map(OsString::from);
    let podtrace = Cli::command().ignore_errors(true);
    let read = podtrace.try_get_matches_from(of_command.iter().chain(options));
    let read = read.ok().and_then(|mut read| read.remove_subcommand());
    let words = read.and_then(|(_, mut read)| read.remove_many::<String>(EXPRESSION));
    words.into_iter().flatten().map(Into::into).collect()
}

/// A word as a shell takes it.
fn quoted(word: &OsStr) -> String {
    let text = shown(word);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::mistakes::tests::error_text;

    #[test]
    fn line_with_a_file_is_named_for_replay() {
        for (given, line) in [
            ("trace -r x.pcap", "replay x.pcap"),
            ("trace -nnr x.pcap", "replay -nn x.pcap"),
            ("trace -rx.pcap -c 5", "replay -c 5 x.pcap"),
            ("trace -r - icmp", "replay - -- icmp"),
            (
                "trace -nr x.pcap tcp and host 10.0.0.1",
                "replay -n x.pcap -- tcp and host 10.0.0.1",
            ),
            (
                "trace -tttt -X -r x.pcap -c 5 tcp[13]&2!=0",
                "replay -tttt -X -c 5 x.pcap -- 'tcp[13]&2!=0'",
            ),
            (
                "trace --pod web -r x.pcap --no-control",
                "replay --pod web --no-control x.pcap",
            ),
            (
                "trace -r x.pcap -w y.pcap port 53",
                "export --format pcapng -w y.pcap x.pcap -- port 53",
            ),
            // replay has no --snaplen.
            ("record -r x.pcap -s 0 -w y icmp", "replay x.pcap -- icmp"),
        ] {
            let text = error_text(&given.split(' ').collect::<Vec<_>>());
            let expected = format!("of their own: podtrace {line}\n");
            assert!(text.contains(&expected), "{given}: {text}");
        }
        let text = error_text(&["trace", "-r", "\u{1b}[31m it's"]);
        assert!(
            text.contains(r"podtrace replay '\x1b[31m it'\''s'"),
            "{text}"
        );
        let text = error_text(&["flows", "-r", "x", "--", "icmp"]);
        assert!(text.contains("podtrace flows -r FILE icmp"), "{text}");
        // There is no file.
        let text = error_text(&["trace", "-r"]);
        assert!(text.contains("podtrace replay FILE -- icmp"), "{text}");
    }
}
