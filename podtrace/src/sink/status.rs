//! A replaceable line below all text, on standard error if that is a terminal.
use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
};

use terminal_size::{Width, terminal_size_of};
use unicode_width::UnicodeWidthChar as _;

use super::screen;

/// Moves to the begin of the line and clears it.
pub(super) const CLEAR: &str = "\r\x1b[K";
/// Marks a line that was cut.
const CUT: char = '…';

/// Whether standard error is a terminal on which a line can be replaced.
pub(crate) fn has_terminal() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// Whether the terminal understands no control sequences.
pub(crate) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// How many columns the terminal at standard error has, if it is one and tells.
pub(super) fn columns() -> Option<usize> {
    let size = terminal_size_of(io::stderr());
    let columns = size.map(|(Width(columns), _)| usize::from(columns));
    columns.filter(|columns| *columns > 0)
}

/// Shows a line where the cursor is.
pub(super) fn show(line: &str) {
    write(cut(line, columns().unwrap_or(usize::MAX)));
}

/// Replaces the line.
pub(crate) fn replace(line: &str) {
    clear();
    show(line);
}

/// Removes the line.
pub(crate) fn clear() {
    write(CLEAR);
}

fn write(text: impl AsRef<str>) {
    if screen::is_open() {
        return;
    }
    // A closed terminal needs no status.
    let _ = io::stderr().write_all(text.as_ref().as_bytes());
}

/// Cuts a line to a number of columns: a longer one would wrap.
fn cut(line: &str, columns: usize) -> String {
    // The byte offset and the column behind each character.
    let ends = line.char_indices().scan(0, |column, (at, c)| {
        *column += c.width().unwrap_or(0);
        Some((at + c.len_utf8(), *column))
    });
    let (mut kept, mut width) = (0, 0);
    for (end, column) in ends {
        width = column;
        // The last column is for the mark.
        if column < columns {
            kept = end;
        }
    }
    if width <= columns {
        line.to_owned()
    } else {
        format!("{}{CUT}", &line[..kept])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_the_width_of_their_characters() {
        for (line, columns, shown) in [
            ("", 4, ""),
            ("abcd", 4, "abcd"),
            ("abcde", 4, "abc…"),
            ("äöüß", 4, "äöüß"),
            ("äöüßx", 4, "äöü…"),
            // Two columns each.
            ("容器", 4, "容器"),
            ("容器名", 4, "容…"),
            ("容器名", 5, "容器…"),
            // No column of their own.
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("abc", 1, "…"),
        ] {
            assert_eq!(cut(line, columns), shown, "{line} in {columns}");
        }
    }
}
