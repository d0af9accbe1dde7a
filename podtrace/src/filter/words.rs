//! The words and signs of an expression, as libpcap's scanner takes them apart.
use std::ops::Range;

/// Signs of two characters.
const PAIRS: [&str; 8] = ["&&", "||", "<<", ">>", "<=", ">=", "==", "!="];

/// Where the words and signs are, in bytes.
pub(super) fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut brackets = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(first) = rest.chars().next() else {
            break;
        };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let len = word_len(rest, brackets > 0)
            .or_else(|| {
                PAIRS
                    .iter()
                    .find(|pair| rest.starts_with(**pair))
                    .map(|_| 2)
            })
            .unwrap_or(first.len_utf8());
        match first {
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        words.push(at..at + len);
        at += len;
    }
    words
}

/// The length of the word that the text begins with. Between brackets a colon divides an offset
/// from a size, elsewhere it is in addresses.
fn word_len(text: &str, in_brackets: bool) -> Option<usize> {
    let is_part = |c: char| {
        c.is_alphanumeric() || matches!(c, '.' | '_' | '\\' | '-') || c == ':' && !in_brackets
    };
    let len = text.find(|c| !is_part(c)).unwrap_or(text.len());
    // A minus is a sign, unless it is in a name.
    (len > 0 && !text.starts_with('-')).then_some(len)
}

/// What closes all brackets and parentheses that are open, the innermost first.
pub(super) fn closers(text: &str) -> String {
    let mut open = Vec::new();
    for c in text.chars() {
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            ')' | ']' => {
                open.pop();
            }
            _ => {}
        }
    }
    open.into_iter().rev().collect()
}
