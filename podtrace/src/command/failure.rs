//! How an error is told.
use crate::{sink, text::escape::escape_error};

/// How the system's errors end when Rust shows them.
const NUMBER: &str = " (os error ";

/// Tells an error and its causes on standard error.
pub(super) fn tell(error: &anyhow::Error) {
    sink::tell(&in_words(error));
}

fn in_words(error: &anyhow::Error) -> String {
    escape_error(&without_numbers(&format!("{error:#}")))
}

/// Leaves the numbers of the system's errors out: they stand behind their text.
fn without_numbers(mut text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    while let Some((before, behind)) = text.split_once(NUMBER) {
        out.push_str(before);
        let rest = behind.trim_start_matches(|c: char| c.is_ascii_digit());
        text = match rest.strip_prefix(')') {
            Some(rest) if rest.len() + 1 < behind.len() => rest,
            _ => {
                out.push_str(NUMBER);
                behind
            }
        };
    }
    out + text
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn errors_are_told_without_numbers_and_escapes() {
        let cause = io::Error::from_raw_os_error(libc::ENOENT);
        let error = anyhow!(cause).context("failed to open a\x1b[31m\nb\nhint: c");
        assert_eq!(
            in_words(&error),
            "failed to open a\\x1b[31m\\nb\nhint: c: No such file or directory"
        );
    }

    #[test]
    fn only_whole_numbers_of_errors_are_left_out() {
        for (text, told) in [
            ("a (os error 2): b (os error 13)", "a: b"),
            ("a (os error )", "a (os error )"),
            ("a (os error 2", "a (os error 2"),
            ("a (os error x)", "a (os error x)"),
        ] {
            assert_eq!(without_numbers(text), told);
        }
    }
}
