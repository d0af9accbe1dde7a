//! The system's errors, in words.
/// Begin of the number at the end of the system's errors, as Rust shows them.
const NUMBER: &str = " (os error ";

/// Removes the numbers of the system's errors, which follow their text.
#[must_use]
pub(crate) fn without_numbers(mut text: &str) -> String {
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
    use super::*;

    #[test]
    fn only_whole_numbers_of_errors_are_left_out() {
        for (text, expected) in [
            ("a (os error 2): b (os error 13)", "a: b"),
            ("a (os error )", "a (os error )"),
            ("a (os error 2", "a (os error 2"),
            ("a (os error x)", "a (os error x)"),
        ] {
            assert_eq!(without_numbers(text), expected);
        }
    }
}
