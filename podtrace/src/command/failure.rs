//! Prints the error that ends a command.
use crate::{
    cli::with_origin,
    filter::Mistake,
    sink,
    text::{escape::escape_error, system_error::without_numbers},
};

/// Prints an error and its causes on standard error.
pub(super) fn tell(error: &anyhow::Error) {
    let words = in_words(error);
    sink::tell(&match error.is::<Mistake>() {
        true => words,
        false => with_origin(&words),
    });
}

/// An error and its causes, safe for a terminal.
pub(super) fn in_words(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Mistake>() {
        // It has lines of its own, and is escaped.
        Some(mistake) => mistake.to_string(),
        None => escape_error(&without_numbers(&format!("{error:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn errors_are_shown_without_numbers_and_escapes() {
        let cause = io::Error::from_raw_os_error(libc::ENOENT);
        let error = anyhow!(cause).context("failed to open a\x1b[31m\nb\nhint: c");
        assert_eq!(
            in_words(&error),
            "failed to open a\\x1b[31m\\nb\nhint: c: No such file or directory"
        );
    }
}
