//! Tables with columns as wide as they need to be.
use std::fmt::Display;

use anstyle::Style;

use crate::{
    output::paint::{DIM, PLAIN, Painter},
    text::sanitize::sanitize,
};

/// Names are shortened to this many characters.
const NAME_WIDTH: usize = 40;

/// Some columns of text, to the left, then some of numbers, to the right.
pub(in crate::output) struct Grid {
    titles: Vec<String>,
    texts: usize,
    rows: Vec<Vec<Cell>>,
}

/// One field.
pub(in crate::output) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(in crate::output) fn plain(text: impl Display) -> Self {
        Self {
            text: text.to_string(),
            style: PLAIN,
        }
    }

    pub(in crate::output) fn painted(text: String, style: Style) -> Self {
        Self {
            text: sanitize(&text),
            style,
        }
    }

    /// A name from outside, of any length.
    pub(in crate::output) fn name(name: &str) -> Self {
        Self::plain(sanitize(&shorten(name)))
    }

    /// A number in colour unless it is 0.
    pub(in crate::output) fn count(count: u64, style: Style) -> Self {
        Self {
            text: count.to_string(),
            style: if count > 0 { style } else { PLAIN },
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Leaves out the middle: names that begin alike differ at their end.
pub(in crate::output) fn shorten(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME_WIDTH {
        return name.to_string();
    }
    let head = NAME_WIDTH / 2;
    let tail = NAME_WIDTH - head - 1;
    let begin = name.chars().take(head);
    let end = name.chars().skip(length - tail);
    begin.chain(['…']).chain(end).collect()
}

impl Grid {
    pub(in crate::output) fn new(texts: &[&str], numbers: &[&str]) -> Self {
        let titles = texts.iter().chain(numbers);
        Self {
            titles: titles.map(|title| (*title).to_string()).collect(),
            texts: texts.len(),
            rows: Vec::new(),
        }
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

    /// Leaves out columns of numbers that are all 0, and columns without any text.
    pub(in crate::output) fn render(&self, out: &mut String, painter: Painter) {
        let shown: Vec<_> = (0..self.titles.len())
            .filter(|n| match *n < self.texts {
                true => self.cells(*n).any(|cell| !cell.text.is_empty()),
                false => self.has_numbers(*n),
            })
            .map(|n| {
                let widths = self.cells(n).map(Cell::width);
                (n, widths.chain([self.titles[n].chars().count()]).max())
            })
            .map(|(n, width)| (n, width.unwrap_or(0)))
            .collect();
        let titles: Vec<_> = self
            .titles
            .iter()
            .map(|title| Cell {
                text: title.clone(),
                style: DIM,
            })
            .collect();
        for row in [&titles].into_iter().chain(&self.rows) {
            for (n, width) in &shown {
                if let Some(cell) = row.get(*n) {
                    out.push_str("  ");
                    self.cell(out, cell, *n, *width, painter);
                }
            }
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
        }
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().filter_map(move |row| row.get(column))
    }

    fn cell(&self, out: &mut String, cell: &Cell, column: usize, width: usize, painter: Painter) {
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        let is_text = column < self.texts;
        if !is_text {
            out.push_str(&padding);
        }
        painter.paint(out, cell.style, &cell.text);
        if is_text {
            out.push_str(&padding);
        }
    }
}
