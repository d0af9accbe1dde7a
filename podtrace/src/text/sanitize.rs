//! Strings from packets, runtimes and files, made safe for a terminal.

/// Replaces control characters and those that reorder text.
#[must_use]
pub fn sanitize(text: &str) -> String {
    // Nearly all names are.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if is_safe(c) { c } else { '\u{fffd}' })
        .collect()
}

/// Sanitizes a text of several lines, and keeps its line breaks.
#[must_use]
pub fn sanitize_lines(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\n' || is_safe(c) {
                c
            } else {
                '\u{fffd}'
            }
        })
        .collect()
}

/// Whether a terminal shows a character as it is, and nothing else.
pub(crate) fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_overrides_are_replaced() {
        assert_eq!(
            sanitize("a\x1b[31mb\u{202e}c\n"),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}"
        );
        assert_eq!(sanitize("pod-1/ü"), "pod-1/ü");
        assert_eq!(sanitize_lines("a\nb\x1b[m\r\n"), "a\nb\u{fffd}[m\u{fffd}\n");
    }
}
