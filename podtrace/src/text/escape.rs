//! Names in errors: what a terminal would act on is shown escaped.
use std::fmt::Write as _;

use super::sanitize::is_safe;

/// How the lines of an error begin that stand below its first.
const FURTHER_LINES: [&str; 2] = ["hint: ", "verifier: "];

/// Writes control characters, and those that reorder text, as escapes: `\x1b`, `\n`,
/// `\u{202e}`.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// The same of an error, whose hints stay on lines of their own.
#[must_use]
pub fn escape_error(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        if c == '\n' && FURTHER_LINES.iter().any(|begin| rest.starts_with(begin)) {
            out.push(c);
        } else {
            push(&mut out, c);
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = match c {
        _ if is_safe(c) => write!(out, "{c}"),
        '\n' | '\r' | '\t' => write!(out, "{}", c.escape_default()),
        '\0'..='\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
        _ => write!(out, "{}", c.escape_unicode()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        for (text, shown) in [
            ("pod-1/ü", "pod-1/ü"),
            ("a\x1b[31mb", "a\\x1b[31mb"),
            ("a\nb\r\tc\x7f\0", "a\\nb\\r\\tc\\x7f\\x00"),
            ("\u{202e}\u{9b}31m", "\\u{202e}\\u{9b}31m"),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(escape_error(text), shown);
        }
    }

    #[test]
    fn hints_stay_on_their_lines() {
        let error = "no file a\nb\nhint: there is \x07\nverifier: x";
        let shown = "no file a\\nb\nhint: there is \\x07\nverifier: x";
        assert_eq!(escape_error(error), shown);
    }
}
