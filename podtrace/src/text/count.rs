//! Counts for people.

/// `1 pod`, `2 pods`, `2 entries`
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let shown = [
            (0, "event"),
            (1, "event"),
            (2, "event"),
            (1, "entry"),
            (3, "entry"),
        ];
        let shown = shown.map(|(count, noun)| counted(count, noun));
        assert_eq!(
            shown,
            ["0 events", "1 event", "2 events", "1 entry", "3 entries"]
        );
    }
}
