use super::*;

/// However long the expression and its words are, each line of it fits, and the carets stand
/// below the place.
#[test]
fn picture_fits_the_terminal() {
    let long = "x".repeat(500);
    for (before, word, behind) in [
        (0, "hots", 0),
        (1, "hots", 1000),
        (1000, "hots", 0),
        (1000, "hots", 1000),
        (1000, &long, 1000),
        (3, "\u{4e2d}\u{6587}", 700),
        (700, "\u{1b}\u{4e2d}", 700),
    ] {
        let [left, right] = [before, behind].map(|n| "icmp or \u{e9}\u{4e2d} ".repeat(n / 10));
        let mistake = Mistake {
            text: format!("{left}{word}{right}"),
            place: Some(left.len()..left.len() + word.len()),
            what: "what".into(),
            expected: Vec::new(),
        };
        for columns in [10, 40, 80, 200] {
            let mut shown = String::new();
            mistake.write(&mut shown, columns).unwrap();
            let columns = columns.max(COLUMNS_MIN);
            let is_short = |line: &str| width_of(line) <= columns;
            assert!(shown.lines().all(is_short), "{columns}: {shown}");
            let [_, text, carets] = shown.lines().collect::<Vec<_>>()[..] else {
                panic!("{shown}");
            };
            let gap = width_of(carets.trim_end_matches('^'));
            let begin = escape(word.get(..1).unwrap_or(word));
            let at = text.char_indices().map(|(at, _)| at);
            let at = at.clone().find(|at| width_of(&text[..*at]) == gap).unwrap();
            assert!(text[at..].starts_with(&*begin), "{columns}: {shown}");
        }
    }
    let long = in_plain_words(&format!("no such '{}'", "y".repeat(5000)));
    assert!(long.len() < 300, "{long}");
}
