//! Tables with columns as wide as they need to be, and as there is room for.
use std::{borrow::Cow, fmt::Display};

use anstyle::Style;

use crate::{
    output::{
        paint::{DIM, NUMBER, PLAIN, Painter},
        width::Width,
    },
    text::{
        sanitize::sanitize,
        wrap::wrap,
        write::{self, width_of},
    },
};

/// Names are shortened to this many characters.
pub(in crate::output) const NAME_WIDTH: usize = 40;
/// No text that may be shortened is longer than this.
const NAMES_WIDTH: usize = 2 * NAME_WIDTH;
/// Names are shortened to this many characters before a column is left out for them.
const NAME_WIDTH_LEAST: usize = 22;
/// No name is made shorter than this.
const NAME_WIDTH_MIN: usize = 8;
/// What stands before each column.
const GAP: &str = "  ";

/// Some columns of text, to the left, then some of numbers, to the right.
pub(in crate::output) struct Grid {
    titles: Vec<&'static str>,
    texts: usize,
    /// Titles of the columns that are left out first.
    least: Vec<&'static str>,
    /// Whether columns without room follow below, instead of being left out.
    folds: bool,
    rows: Vec<Vec<Cell>>,
}

/// One field.
pub(in crate::output) struct Cell {
    text: String,
    style: Style,
    /// Whether it is a name, which may be shortened.
    shrinks: bool,
}

impl Cell {
    pub(in crate::output) fn plain(text: impl Display) -> Self {
        Self {
            text: text.to_string(),
            style: PLAIN,
            shrinks: false,
        }
    }

    /// Names in colour, of a bounded length.
    pub(in crate::output) fn painted(text: &str, style: Style) -> Self {
        Self {
            text: sanitize(text),
            style,
            shrinks: true,
        }
    }

    /// A name from outside, of any length.
    pub(in crate::output) fn name(name: &str) -> Self {
        Self::painted(&shorten(name, NAME_WIDTH), PLAIN)
    }

    /// A number in colour unless it is 0.
    pub(in crate::output) fn count(count: u64, style: Style) -> Self {
        Self {
            style: if count > 0 { style } else { PLAIN },
            ..Self::plain(count)
        }
    }

    /// Its text where names have so many characters at most.
    fn text(&self, names: usize) -> Cow<'_, str> {
        if self.shrinks {
            shorten(&self.text, names)
        } else {
            Cow::Borrowed(&self.text)
        }
    }
}

/// Leaves out the middle: names that begin alike differ at their end.
pub(in crate::output) fn shorten(name: &str, characters: usize) -> Cow<'_, str> {
    let length = name.chars().count();
    if length <= characters {
        return Cow::Borrowed(name);
    }
    let head = characters / 2;
    let tail = characters.saturating_sub(head + 1);
    let begin = name.chars().take(head);
    let end = name.chars().skip(length - tail);
    Cow::Owned(begin.chain(['…']).chain(end).collect())
}

/// What of a grid is shown.
struct Fit {
    /// The columns, and how wide they are.
    columns: Vec<(usize, usize)>,
    /// How many characters names have at most.
    names: usize,
}

impl Grid {
    pub(in crate::output) fn new(texts: &[&'static str], numbers: &[&'static str]) -> Self {
        Self {
            titles: [texts, numbers].concat(),
            texts: texts.len(),
            least: Vec::new(),
            folds: false,
            rows: Vec::new(),
        }
    }

    /// The columns of numbers that are left out first where there is no room; the others follow
    /// from the right.
    pub(in crate::output) fn least(mut self, titles: &[&'static str]) -> Self {
        self.least = titles.to_vec();
        self
    }

    /// Makes the columns of numbers that have no room follow below, beside the texts again: none of
    /// them may be missing.
    pub(in crate::output) fn folding(mut self) -> Self {
        self.folds = true;
        self
    }

    pub(in crate::output) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no number but 0.
    pub(in crate::output) fn is_empty(&self) -> bool {
        !(self.texts..self.titles.len()).any(|n| self.has_numbers(n))
    }

    fn has_numbers(&self, column: usize) -> bool {
        self.cells(column).any(|cell| cell.text != "0")
    }

    /// Leaves out columns of numbers that are all 0, and columns without any text. Where `width`
    /// is too small, shortens names, then leaves out more columns and says which, or folds them.
    pub(in crate::output) fn render(&self, out: &mut String, painter: Painter, width: Width) {
        let columns = width.columns();
        let titles = self.titles.iter().map(|title| Cell {
            style: DIM,
            ..Cell::plain(title)
        });
        let titles: Vec<_> = titles.collect();
        let mut shown = self.filled();
        let mut is_folded = false;
        loop {
            let (fit, hidden) = self.fit(&shown, columns);
            self.line(out, &titles, &fit, painter);
            // Below, only rows that say more.
            let rows = self.rows.iter();
            for row in rows.filter(|row| !is_folded || self.has_more(row, &fit)) {
                self.line(out, row, &fit, painter);
            }
            is_folded = true;
            if hidden.is_empty() {
                return;
            }
            if !self.folds {
                return self.say_hidden(out, &hidden, painter, columns);
            }
            shown.retain(|n| *n < self.texts || hidden.contains(n));
        }
    }

    /// The columns that hold anything.
    fn filled(&self) -> Vec<usize> {
        let is_filled = |n: &usize| match *n < self.texts {
            true => self.cells(*n).any(|cell| !cell.text.is_empty()),
            false => self.has_numbers(*n),
        };
        (0..self.titles.len()).filter(is_filled).collect()
    }

    /// Whether a row has a number but 0 in the columns that are shown.
    fn has_more(&self, row: &[Cell], fit: &Fit) -> bool {
        let numbers = fit.columns.iter().filter(|(n, _)| *n >= self.texts);
        let mut cells = numbers.filter_map(|(n, _)| row.get(*n));
        cells.any(|cell| cell.text != "0")
    }

    fn line(&self, out: &mut String, row: &[Cell], fit: &Fit, painter: Painter) {
        for (n, width) in &fit.columns {
            if let Some(cell) = row.get(*n) {
                out.push_str(GAP);
                self.cell(out, cell, *n, (*width, fit.names), painter);
            }
        }
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }

    fn say_hidden(
        &self,
        out: &mut String,
        hidden: &[usize],
        painter: Painter,
        columns: Option<usize>,
    ) {
        let begin = out.len();
        let titles: Vec<_> = hidden.iter().map(|n| self.titles[*n]).collect();
        let words = format!(
            "{GAP}(hidden, as the terminal is too narrow: {})",
            titles.join(", ")
        );
        painter.paint(out, DIM, &words);
        out.push('\n');
        wrap(out, begin, columns, GAP);
    }

    /// What of some columns is shown in so many of the terminal, and the columns that are not.
    fn fit(&self, shown: &[usize], columns: Option<usize>) -> (Fit, Vec<usize>) {
        let mut shown = shown.to_vec();
        let mut hidden = Vec::new();
        let Some(room) = columns else {
            return (self.measure(&shown, usize::MAX), Vec::new());
        };
        while self.measure(&shown, NAME_WIDTH_LEAST).width() > room
            && let Some(n) = self.least_of(&shown)
        {
            hidden.push(n);
            shown.retain(|other| *other != n);
        }
        hidden.sort_unstable();
        let names = (NAME_WIDTH_MIN..=NAMES_WIDTH)
            .rev()
            .find(|names| self.measure(&shown, *names).width() <= room);
        let fit = self.measure(&shown, names.unwrap_or(NAME_WIDTH_MIN));
        (fit, hidden)
    }

    /// The column to leave out next, unless it is the only one of numbers.
    fn least_of(&self, shown: &[usize]) -> Option<usize> {
        let numbers = || shown.iter().copied().filter(|n| *n >= self.texts);
        let last = numbers().next_back().filter(|_| numbers().count() > 1)?;
        let mut least = self.least.iter();
        let named = least.find_map(|title| numbers().find(|n| self.titles[*n] == *title));
        Some(named.unwrap_or(last))
    }

    fn measure(&self, shown: &[usize], names: usize) -> Fit {
        let width = |n: usize| {
            let widths = self.cells(n).map(|cell| width_of(&cell.text(names)));
            let widths = widths.chain([width_of(self.titles[n])]);
            (n, widths.max().unwrap_or(0))
        };
        Fit {
            columns: shown.iter().map(|n| width(*n)).collect(),
            names,
        }
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().filter_map(move |row| row.get(column))
    }

    /// Appends a cell as wide as its column, with so many characters of a name at most.
    fn cell(
        &self,
        out: &mut String,
        cell: &Cell,
        column: usize,
        (width, names): (usize, usize),
        painter: Painter,
    ) {
        let text = cell.text(names);
        let padding = width.saturating_sub(width_of(&text));
        let is_text = column < self.texts;
        if !is_text {
            write::spaces(out, padding);
        }
        let is_number = !is_text && cell.style == PLAIN && text != "0" && text != "-";
        painter.paint(out, if is_number { NUMBER } else { cell.style }, &text);
        if is_text {
            write::spaces(out, padding);
        }
    }
}

impl Fit {
    /// The columns of the terminal that it takes.
    fn width(&self) -> usize {
        let widths = self.columns.iter().map(|(_, width)| GAP.len() + width);
        widths.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(
            &["", "client", "server"],
            &["packets", "bytes", "RTT p50", "p99", "lost", "last seen"],
        )
        .least(&["p99", "last seen", "bytes"]);
        for (client, lost) in [
            ("default/web-5d9f7c8b6d-x2x7k:41234", 0),
            ("default/容器", 3),
        ] {
            grid.row([
                Cell::plain("tcp"),
                Cell::name(client),
                Cell::name("kube-system/coredns-5d78c9869d-8xk2p:53"),
                Cell::plain(1234),
                Cell::plain("1.2 MB"),
                Cell::plain("145.2 µs"),
                Cell::plain("-"),
                Cell::count(lost, DIM),
                Cell::plain("12.0 s ago"),
            ]);
        }
        grid
    }

    /// However narrow it is, each number stands somewhere, and no line is too long.
    #[test]
    fn folded_grid_lacks_nothing() {
        for columns in [45, 60, 80, 200] {
            let mut out = String::new();
            let grid = grid().folding();
            grid.render(&mut out, Painter { color: false }, Width::Columns(columns));
            assert!(!out.contains("hidden"), "{out}");
            // The column p99 is empty in all rows, and still a column.
            for title in ["packets", "bytes", "RTT p50", "p99", "lost", "last seen"] {
                assert_eq!(out.matches(title).count(), 1, "{title}: {out}");
            }
            assert!(out.lines().all(|line| width_of(line) <= columns), "{out}");
        }
    }

    #[test]
    fn names_are_shortened_before_columns_are_left_out() {
        let painter = Painter { color: false };
        for columns in [60, 80, 120, 200] {
            let mut out = String::new();
            grid().render(&mut out, painter, Width::Columns(columns));
            assert!(out.lines().all(|line| width_of(line) <= columns), "{out}");
            insta::assert_snapshot!(format!("grid_{columns}"), out);
        }
        let (mut any, mut wide) = (String::new(), String::new());
        grid().render(&mut any, painter, Width::Any);
        grid().render(&mut wide, painter, Width::Columns(200));
        assert_eq!(any, wide);
    }
}
