//! Shows names with escapes for control characters and for bytes that are not UTF-8.
use std::{borrow::Cow, ffi::OsStr, fmt::Write as _, os::unix::ffi::OsStrExt as _};

use super::sanitize::is_safe;

/// How the further lines of an error begin.
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

/// Escapes an error, but keeps its hints on lines of their own.
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

/// Writes each byte that is not UTF-8 as an escape, `\xff`, and escapes what [`escape`] does.
/// Other characters stay as they are.
#[must_use]
pub fn escape_bytes(name: &[u8]) -> Cow<'_, str> {
    if let Ok(name) = std::str::from_utf8(name)
        && name.chars().all(is_safe)
    {
        return name.into();
    }
    let mut escaped = String::with_capacity(4 * name.len());
    for chunk in name.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut escaped, c));
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\x{byte:02x}");
        }
    }
    escaped.into()
}

/// A name or path, safe for a terminal, as errors and notices show it. Different names look
/// different.
#[must_use]
pub fn shown(name: impl AsRef<OsStr>) -> String {
    escape_bytes(name.as_ref().as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::sanitize::sanitize;

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

    #[test]
    fn bytes_that_are_no_text_are_escaped_and_stay_apart() {
        assert_eq!(escape_bytes(b"veth1"), "veth1");
        assert_eq!(escape_bytes("vethü".as_bytes()), "vethü");
        assert_eq!(escape_bytes(b"\xffveth\xc3"), "\\xffveth\\xc3");
        assert_eq!(escape_bytes(b"veth\x1b["), "veth\\x1b[");
        assert_ne!(escape_bytes(b"a\xfe"), escape_bytes(b"a\xff"));
        assert_eq!(shown(OsStr::from_bytes(b"a\x1b\xff")), "a\\x1b\\xff");
    }

    proptest! {
        #[test]
        fn any_name_is_shown(name in prop::collection::vec(any::<u8>(), 0..32)) {
            let shown = shown(OsStr::from_bytes(&name));
            prop_assert_eq!(&sanitize(&shown), &shown);
            prop_assert_eq!(&escape_error(&shown), &shown);
        }
    }
}
