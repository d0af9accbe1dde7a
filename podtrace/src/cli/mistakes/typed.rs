//! Options as the user has typed them: some have several names.
use std::ffi::OsString;

use clap::{
    CommandFactory as _, Error,
    error::{ContextKind, ContextValue},
};

use super::{Cli, command};

/// How an option, given by its long name, stands on a line; none if it does not.
pub(super) fn name(line: &[OsString], long: &str) -> Option<String> {
    find(line, long).map(|(name, _)| name)
}

/// The same, and whether that is its usual name, long or short.
fn find(line: &[OsString], long: &str) -> Option<(String, bool)> {
    let podtrace = Cli::command();
    let command = podtrace.find_subcommand(command(line))?;
    let mut options = command.get_opts();
    let option = options.find(|option| option.get_long() == Some(long))?;
    let longs = option.get_long_and_visible_aliases().unwrap_or_default();
    let shorts = option.get_short_and_visible_aliases().unwrap_or_default();
    let read = |word: &OsString| {
        let word = word.to_str().unwrap_or_default();
        if let Some(word) = word.strip_prefix("--") {
            let given = word.split('=').next().unwrap_or_default();
            let is_it = longs.contains(&given);
            return is_it.then(|| (format!("--{given}"), given == long));
        }
        let letter = word.strip_prefix('-')?.chars().next()?;
        let is_usual = option.get_short() == Some(letter);
        shorts
            .contains(&letter)
            .then(|| (format!("-{letter}"), is_usual))
    };
    let words = line.iter().skip(1).take_while(|word| *word != "--");
    words.filter_map(read).last()
}

/// Names an option in an error by the other name that the user has typed; returns both names.
pub(super) fn rename(error: &mut Error, line: &[OsString]) -> Option<(String, String)> {
    let given = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(given) => given,
        _ => return None,
    };
    let (name, value) = given.split_once(' ').unwrap_or((given, ""));
    let (name, value) = (name.to_owned(), value.to_owned());
    let (typed, is_usual) = find(line, name.strip_prefix("--")?)?;
    if is_usual {
        return None;
    }
    let renamed = format!("{typed} {value}").trim_end().to_owned();
    error.insert(ContextKind::InvalidArg, ContextValue::String(renamed));
    Some((name, typed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mistakes::tests::error_text;

    fn line(words: &str) -> Vec<OsString> {
        ["podtrace"]
            .into_iter()
            .chain(words.split(' '))
            .map(OsString::from)
            .collect()
    }

    #[test]
    fn name_is_the_one_that_was_typed() {
        for (words, name) in [
            ("report x -o y", Some("-o")),
            ("report x -oy", Some("-o")),
            ("report x --output=y", Some("--output")),
            ("report --write y x", Some("--write")),
            ("export -w y x", Some("-w")),
            ("export x -- -w", None),
            ("export -o y x", None),
            ("nothing -w y", None),
        ] {
            assert_eq!(
                super::name(&line(words), "write").as_deref(),
                name,
                "{words}"
            );
        }
    }

    #[test]
    fn error_names_the_option_that_was_typed() {
        for (words, expected) in [
            (&["report", "x", "-o"][..], "'-o <PAGE>'"),
            (&["report", "x", "--output"], "'--output <PAGE>'"),
            (&["report", "x", "-w"], "'--write <PAGE>'"),
            (&["report", "x"], "--write <PAGE>"),
            (&["trace", "-c", "x"], "'--count <N>'"),
        ] {
            let text = error_text(words);
            assert!(text.contains(expected), "{text}");
        }
        let text = error_text(&["report", "x", "-o"]);
        assert!(
            !text.contains("--write") && text.contains("-o report.html"),
            "{text}"
        );
    }

    #[test]
    fn export_to_a_file_is_told_the_option_for_it() {
        for option in ["-o", "--output"] {
            let text = error_text(&["export", "--format", "csv", option, "x.csv", "y"]);
            assert!(text.contains("-w, --write"), "{text}");
        }
    }
}
