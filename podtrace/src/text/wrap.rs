//! Breaks lines that are wider than the output.
use unicode_width::UnicodeWidthChar as _;

/// What begins the control sequence of a style, and what ends it.
const STYLE: char = '\x1b';
const STYLE_END: char = 'm';
/// Lines below a wrapped line of a tree are further to the right by this.
const FURTHER: &str = "  ";

/// Breaks the lines of `out` from byte `from` on at spaces, so that each fits into the columns
/// unless a word alone does not. The lines that follow a break begin with `indent`.
pub(crate) fn wrap(out: &mut String, from: usize, columns: Option<usize>, indent: &str) {
    wrap_by(out, from, columns, |_| indent.to_owned());
}

/// [`wrap`] for a tree that is drawn with lines: these go on beside what follows a break.
pub(crate) fn wrap_tree(out: &mut String, from: usize, columns: Option<usize>) {
    wrap_by(out, from, columns, |line| {
        let guides = cells(line).map_while(|cell| match cell.char {
            ' ' | '─' | '└' => Some(' '),
            '│' | '├' => Some('│'),
            _ => None,
        });
        guides.chain(FURTHER.chars()).collect()
    });
}

fn wrap_by(out: &mut String, from: usize, columns: Option<usize>, indent: impl Fn(&str) -> String) {
    let Some(columns) = columns else {
        return;
    };
    let Some(text) = out.get(from..) else {
        return;
    };
    // A character has no more columns than bytes.
    if text.lines().all(|line| line.len() <= columns) {
        return;
    }
    let mut wrapped = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let mut indent = indent(line);
        // Half of the line is for words.
        if width_of(&indent) > columns / 2 {
            FURTHER.clone_into(&mut indent);
        }
        let (mut rest, mut room) = (line, columns);
        while let Some(gap) = last_gap(rest, room) {
            wrapped.push_str(&rest[..gap.start]);
            styles(&mut wrapped, &rest[gap.start..gap.end]);
            wrapped.push('\n');
            wrapped.push_str(&indent);
            rest = &rest[gap.end..];
            room = columns.saturating_sub(width_of(&indent));
        }
        wrapped.push_str(rest);
    }
    out.truncate(from);
    out.push_str(&wrapped);
}

/// A character that is seen, and where it is.
struct Cell {
    char: char,
    /// Its begin, in bytes.
    start: usize,
    /// Its columns.
    width: usize,
}

/// The characters of a line, without its styles and its end.
fn cells(line: &str) -> impl Iterator<Item = Cell> {
    let mut is_style = false;
    line.char_indices().filter_map(move |(start, char)| {
        let was_style = is_style;
        is_style = match char {
            STYLE => true,
            STYLE_END => false,
            _ => is_style,
        };
        let is_seen = !was_style && !is_style && char != '\n';
        is_seen.then(|| Cell {
            char,
            start,
            width: char.width().unwrap_or(0),
        })
    })
}

/// The columns of a text, styles not counted.
pub(crate) fn width_of(text: &str) -> usize {
    cells(text).map(|cell| cell.width).sum()
}

/// Spaces between two words.
#[derive(Clone, Copy)]
struct Gap {
    /// The end of the word before, in bytes, and the begin of the next.
    start: usize,
    end: usize,
    /// The columns before it.
    column: usize,
}

/// Where to break a line that does not fit; none if it does, or has no gap. A gap between fields
/// is better than one between words, if that leaves no more than a third of the line empty.
fn last_gap(line: &str, room: usize) -> Option<Gap> {
    let mut column = 0;
    let (mut words, mut fields): (Option<Gap>, Option<Gap>) = (None, None);
    // The gap that has begun, and how many spaces it has so far.
    let mut open: Option<(usize, usize, usize)> = None;
    let mut has_begun = false;
    for cell in cells(line) {
        if cell.char == ' ' {
            if has_begun {
                let (start, before, spaces) = open.unwrap_or((cell.start, column, 0));
                open = Some((start, before, spaces + 1));
            }
        } else {
            has_begun = true;
            if let Some((start, before, spaces)) = open.take() {
                words = Some(Gap {
                    start,
                    end: cell.start,
                    column: before,
                });
                if spaces > 1 {
                    fields = words;
                }
            }
            let is_beyond = column + cell.width > room;
            if is_beyond && words.is_some() {
                let fields = fields.filter(|gap| gap.column * 3 >= room * 2);
                return fields.or(words);
            }
        }
        column += cell.width;
    }
    None
}

/// Appends the styles in a gap.
fn styles(out: &mut String, gap: &str) {
    out.extend(gap.chars().filter(|char| *char != ' '));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrapped(line: &str, columns: usize) -> String {
        let mut out = line.to_owned();
        wrap(&mut out, 0, Some(columns), "    ");
        out
    }

    #[test]
    fn lines_break_between_words_and_better_between_fields() {
        for (line, shown) in [
            ("short", "short"),
            (
                "  one two three four five",
                "  one two three four\n    five",
            ),
            (
                "  one two  three four five",
                "  one two  three\n    four five",
            ),
            ("aaaa bbbb cccc  dd ee ff", "aaaa bbbb cccc\n    dd ee ff"),
            ("onelongwordthatdoesnotfit", "onelongwordthatdoesnotfit"),
            (
                "  onelongwordthatdoesnotfit and more",
                "  onelongwordthatdoesnotfit\n    and more",
            ),
            // Two columns each.
            ("容器容器容器 容器容器", "容器容器容器\n    容器容器"),
        ] {
            assert_eq!(wrapped(line, 20), shown, "{line}");
        }
        assert_eq!(wrapped("a b\nc d e f\n", 5), "a b\nc d e\n  f\n");
    }

    #[test]
    fn styles_take_no_room_and_stay() {
        let line = "\x1b[1mone\x1b[0m \x1b[2mtwo three\x1b[0m \x1b[1mfour\x1b[0m";
        assert_eq!(wrapped(line, 18), line);
        assert_eq!(
            wrapped(line, 14),
            "\x1b[1mone\x1b[0m \x1b[2mtwo three\x1b[0m\x1b[1m\n    four\x1b[0m"
        );
    }

    #[test]
    fn lines_of_a_tree_go_on() {
        let mut tree =
            String::from("node aa bb cc dd ee ff\n│  ├─ gg hh ii jj kk\n│  └─ ll mm nn oo\n");
        wrap_tree(&mut tree, 0, Some(18));
        let shown = "node aa bb cc dd\n  ee ff\n│  ├─ gg hh ii jj\n│  │    kk\n│  └─ ll mm nn oo\n";
        assert_eq!(tree, shown);
    }

    proptest! {
        #[test]
        fn words_stay_and_lines_fit(
            line in "( {0,9})(([a-zé容]{1,12}|\x1b\\[[0-9]{1,2}m)( {1,3})){0,40}[a-z]",
            columns in 20_usize..200,
            indent in 0_usize..40,
        ) {
            let indent = " ".repeat(indent);
            let mut out = line.clone();
            wrap(&mut out, 0, Some(columns), &indent);
            let plain = |text: &str| -> String { cells(text).map(|cell| cell.char).collect() };
            let words = |text: &str| -> Vec<String> {
                let lines = text.lines().map(plain);
                let words = lines.flat_map(|line| {
                    line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
                });
                words.collect()
            };
            prop_assert_eq!(words(&out), words(&line));
            for line in out.lines() {
                let is_one_word = plain(line).split_whitespace().count() < 2;
                prop_assert!(width_of(line.trim_end()) <= columns || is_one_word, "{:?}", line);
            }
            let styles = |text: &str| text.matches('\x1b').count();
            prop_assert_eq!(styles(&out), styles(&line));
        }
    }
}
