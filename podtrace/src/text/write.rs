//! Writes numbers and addresses without the formatting machinery: a line has a dozen of them,
//! and it would take longer than all the rest.
use std::{fmt::Write as _, net::IpAddr};

use unicode_width::UnicodeWidthStr as _;

/// Appends a number.
pub(crate) fn number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// How many digits a number has.
pub(crate) fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Appends an address as its `Display` shows it.
pub(crate) fn address(out: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (n, octet) in v4.octets().into_iter().enumerate() {
                if n > 0 {
                    out.push('.');
                }
                number(out, octet);
            }
        }
        // Writing to a String cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Appends spaces.
pub(crate) fn spaces(out: &mut String, count: usize) {
    const SPACES: &str = "                                                                ";
    let mut rest = count;
    while rest > 0 {
        let some = rest.min(SPACES.len());
        out.push_str(&SPACES[..some]);
        rest -= some;
    }
}

/// Appends a text and spaces up to a width in columns.
pub(crate) fn padded(out: &mut String, text: &str, width: usize) {
    out.push_str(text);
    spaces(out, width.saturating_sub(width_of(text)));
}

/// The columns that a text takes on a terminal. Most texts are short and ASCII, and to check that
/// is quicker than to count.
pub(crate) fn width_of(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.width()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_widths_are_as_formatted() {
        for text in ["0.0.0.0", "10.244.1.255", "::", "fd00::1", "::ffff:1.2.3.4"] {
            let mut out = String::new();
            address(&mut out, text.parse().unwrap());
            assert_eq!(out, text);
        }
        assert_eq!(width_of("容器"), 4);
        for (text, width) in [("pod-ü", 9), ("pod", 2), ("", 100)] {
            let mut out = String::new();
            padded(&mut out, text, width);
            assert_eq!(out, format!("{text:<width$}"));
        }
    }
}
