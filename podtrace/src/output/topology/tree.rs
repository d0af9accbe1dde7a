//! A tree of rows, drawn with box-drawing characters, columns aligned.
use std::fmt::Write as _;

use crate::node::topology::Severity;

/// ANSI styles.
pub(super) mod style {
    pub(in super::super) const PLAIN: &str = "";
    pub(in super::super) const BOLD: &str = "1";
    pub(in super::super) const DIM: &str = "2";
    pub(in super::super) const RED: &str = "31";
    pub(in super::super) const GREEN: &str = "32";
    pub(in super::super) const YELLOW: &str = "33";
    pub(in super::super) const CYAN: &str = "36";
}

/// One line of the tree and what hangs on it.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Rows of one kind that hang on the same line have aligned columns.
    kind: &'static str,
    cells: Vec<(&'static str, String)>,
    mark: Option<Severity>,
    children: Vec<Row>,
}

impl Row {
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// A row without columns.
    pub(super) fn line(style: &'static str, text: impl Into<String>) -> Self {
        Self::new("").cell(style, text)
    }

    pub(super) fn cell(mut self, style: &'static str, text: impl Into<String>) -> Self {
        self.cells.push((style, text.into()));
        self
    }

    pub(super) fn mark(mut self, mark: Option<Severity>) -> Self {
        self.mark = mark;
        self
    }

    pub(super) fn child(&mut self, row: Self) {
        self.children.push(row);
    }

    pub(super) fn children(mut self, rows: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(rows);
        self
    }

    /// Appends the tree below this row, and the row itself as its head.
    pub(super) fn draw(&self, out: &mut String, color: bool) {
        self.write(out, &[], color);
        self.draw_children(out, "", color);
    }

    fn draw_children(&self, out: &mut String, before: &str, color: bool) {
        let last = self.children.len().saturating_sub(1);
        for (number, row) in self.children.iter().enumerate() {
            let (branch, below) = if number == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            paint(out, style::DIM, &format!("{before}{branch}"), color);
            row.write(out, &self.widths(row.kind), color);
            row.draw_children(out, &format!("{before}{below}"), color);
        }
    }

    /// Widths of the columns of one kind of child.
    fn widths(&self, kind: &str) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in self.children.iter().filter(|row| row.kind == kind) {
            // The last cell may be as long as it likes.
            let padded = row.cells.len().saturating_sub(1);
            widths.resize(widths.len().max(padded), 0);
            for (width, (_, text)) in widths.iter_mut().zip(&row.cells).take(padded) {
                *width = (*width).max(text.chars().count());
            }
        }
        widths
    }

    fn write(&self, out: &mut String, widths: &[usize], color: bool) {
        let last = self.cells.iter().rposition(|(_, text)| !text.is_empty());
        for (number, (style, text)) in self.cells.iter().enumerate() {
            paint(out, style, text, color);
            if last.is_none_or(|last| number >= last) {
                break;
            }
            let length = text.chars().count();
            let width = widths.get(number).copied().unwrap_or(length);
            // An empty column takes no room.
            let gap = if width == 0 { 0 } else { 2 };
            let _ = write!(out, "{:1$}", "", width.saturating_sub(length) + gap);
        }
        if let Some(severity) = self.mark {
            out.push_str("  ");
            let (style, text) = sign(severity);
            paint(out, style, text, color);
        }
        out.push('\n');
    }
}

/// How a severity looks.
pub(super) fn sign(severity: Severity) -> (&'static str, &'static str) {
    match severity {
        Severity::Error => (style::RED, "✗ error"),
        Severity::Warning => (style::YELLOW, "! warning"),
    }
}

/// Appends text in a style.
pub(super) fn paint(out: &mut String, style: &str, text: &str, color: bool) {
    if color && !style.is_empty() && !text.is_empty() {
        let _ = write!(out, "\x1b[{style}m{text}\x1b[0m");
    } else {
        out.push_str(text);
    }
}
