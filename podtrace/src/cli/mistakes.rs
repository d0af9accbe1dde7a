//! What is said about a wrong command line.
use std::{env, ffi::OsString};

use clap::{
    Error, Parser as _,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;
use crate::text::escape::shown;

/// What other tools choose packets by. podtrace has options that are spelled alike and do
/// something else.
const SELECTORS: [&str; 9] = [
    "--container",
    "--filter",
    "--host",
    "--name",
    "--namespace",
    "--node",
    "--pod",
    "--port",
    "--proto",
];

/// Reads the command line; ends the process where it asks for help or is wrong.
#[must_use]
pub fn parse() -> Cli {
    read(env::args_os().collect()).unwrap_or_else(|error| error.exit())
}

/// Suggests only what was meant, and shows what was given escaped.
fn read(line: Vec<OsString>) -> Result<Cli, Error> {
    Cli::try_parse_from(&line).map_err(|mut error| {
        let escaped: Vec<OsString> = line.iter().map(|word| shown(word).into()).collect();
        if escaped != line
            // Escaped, the line is wrong in the same way, unless only its bytes were.
            && let Err(same) = Cli::try_parse_from(escaped)
        {
            error = same;
            // What it suggests is not what was given.
            error.remove(ContextKind::Suggested);
        }
        if error.kind() == ErrorKind::UnknownArgument {
            correct_suggestion(&mut error);
        }
        error
    })
}

/// Replaces the suggestion of an option that does something else.
fn correct_suggestion(error: &mut Error) {
    let text_of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(given) = text_of(ContextKind::InvalidArg) else {
        return;
    };
    let is_selector = SELECTORS.contains(&given.as_str());
    let similar = text_of(ContextKind::SuggestedArg);
    if !is_selector && similar.is_none_or(|similar| is_meant(&given, &similar)) {
        return;
    }
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::Usage);
    if is_selector {
        let tip = "all packets are taken, or those of one interface (-i NAME): \
                   podtrace export --vantage NAMESPACE/POD/eth0 takes a pod's out of a recording";
        let tips = vec![StyledStr::from(tip)];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

/// Whether an option is one of the other's forms, or a slip of the hand away from it.
fn is_meant(given: &str, similar: &str) -> bool {
    let slips = strsim::damerau_levenshtein(given, similar);
    // The dashes are never wrong.
    let is_slip = slips <= 2 && 3 * slips <= given.trim_start_matches('-').len();
    similar.starts_with(given) || given.starts_with(similar) || is_slip
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn said(words: &[&str]) -> String {
        let line = ["podtrace"].iter().chain(words);
        read(line.map(OsString::from).collect())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn only_what_is_meant_is_suggested() {
        for (given, similar) in [
            ("--wirte", "--write"),
            ("--kubeconf", "--kubeconfig"),
            ("--interfaces", "--interface"),
            ("--out", "--output"),
        ] {
            let text = said(&["trace", given, "x"]);
            assert!(text.contains(&format!("exists: '{similar}'")), "{text}");
        }
        for given in SELECTORS {
            for command in ["trace", "replay", "export", "topology"] {
                let text = said(&[command, given, "x"]);
                assert!(!text.contains("similar"), "{text}");
                assert!(text.contains("--vantage NAMESPACE/POD/eth0"), "{text}");
            }
        }
        let text = said(&["trace", "--dst", "x"]);
        assert!(!text.contains("zstd"), "{text}");
    }

    #[test]
    fn what_was_given_is_shown_escaped() {
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
            let text = said(words);
            assert!(text.contains(r"\x1b[31m"), "{text:?}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_escaped() {
        let file = OsString::from_vec(b"a\xff.pcapng".to_vec());
        let line = ["podtrace".into(), file];
        let text = read(line.to_vec()).unwrap_err().to_string();
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
            let text = said(words);
            for raw in ["digit", "is not in", "..", "target type", "integral"] {
                assert!(!text.contains(raw), "{text}");
            }
        }
    }
}
