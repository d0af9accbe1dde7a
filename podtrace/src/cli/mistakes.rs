//! What is said about a wrong command line.
use clap::{
    Error, Parser as _,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;
use crate::text::escape::escape;

/// What other tools choose packets by, as an option or as a word. podtrace has options that
/// are spelled alike and do something else.
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

/// Reads the command line; ends the process where it asks for help or is wrong.
#[must_use]
pub fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| explained(error).exit())
}

/// Suggests only what was meant, and shows what was given escaped.
fn explained(mut error: Error) -> Error {
    if error.kind() == ErrorKind::UnknownArgument {
        correct_suggestion(&mut error);
    }
    let raw: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) if escape(text) != *text => Some((kind, escape(text))),
            _ => None,
        })
        .collect();
    for (kind, text) in raw {
        // They repeat it as it is.
        error.remove(ContextKind::Suggested);
        error.insert(kind, ContextValue::String(text));
    }
    error
}

/// Leaves out the suggestion of an option that does something else, and of a file whose name
/// begins with a dash; says what helps instead.
fn correct_suggestion(error: &mut Error) {
    let text_of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let given = text_of(ContextKind::InvalidArg).unwrap_or_default();
    let similar = text_of(ContextKind::SuggestedArg);
    let name = given.trim_start_matches('-');
    let tip = if SELECTORS.contains(&name) {
        Some(
            "all packets are taken, or those of one interface (-i NAME): \
             podtrace export --vantage NAMESPACE/POD/eth0 takes a pod's out of a recording",
        )
    } else if name.starts_with(|c: char| c.is_ascii_digit()) && name != given {
        Some("no number and no time may be below 0")
    } else {
        None
    };
    error.remove(ContextKind::Suggested);
    if tip.is_some() || similar.is_some_and(|similar| !is_meant(&given, &similar)) {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
    }
    if let Some(tip) = tip {
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
    use super::*;

    fn said(words: &[&str]) -> String {
        let line = ["podtrace"].iter().chain(words);
        explained(Cli::try_parse_from(line).unwrap_err()).to_string()
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
                let text = said(&[command, &format!("--{given}"), "x"]);
                assert!(!text.contains("similar"), "{text}");
                assert!(text.contains("--vantage NAMESPACE/POD/eth0"), "{text}");
            }
        }
        let text = said(&["trace", "--dest", "x"]);
        assert!(!text.contains("zstd"), "{text}");
        let text = said(&["trace", "tcp", "port", "80"]);
        assert!(text.contains("--vantage NAMESPACE/POD/eth0"), "{text}");
        let text = said(&["replay", "-w", "x", "y"]);
        assert!(!text.contains("-- -w"), "{text}");
    }

    #[test]
    fn negative_values_are_told_as_such() {
        for words in [
            &["trace", "--count", "-1"][..],
            &["trace", "--duration", "-5s"],
            &["record", "-w", "x", "-C", "-1"],
            &["replay", "x", "--first", "-1"],
            &["replay", "x", "--speed", "-0.5"],
        ] {
            let text = said(words);
            assert!(text.contains("may be below 0"), "{text}");
        }
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
