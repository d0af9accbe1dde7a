//! A tree of rows, drawn with box-drawing characters, columns aligned.
use std::fmt::Write as _;

use anstyle::Style;

use crate::{
    node::topology::Severity,
    output::paint::{DIM, Painter, RED, YELLOW},
    text::write::width_of,
};

/// One line of the tree and its children.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Children of the same line with the same kind have aligned columns.
    kind: &'static str,
    cells: Vec<(Style, String)>,
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
    pub(super) fn line(style: Style, text: impl Into<String>) -> Self {
        Self::new("").cell(style, text)
    }

    pub(super) fn cell(mut self, style: Style, text: impl Into<String>) -> Self {
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
    pub(super) fn draw(&self, out: &mut String, painter: Painter) {
        self.write(out, &[], painter);
        self.draw_children(out, "", painter);
    }

    fn draw_children(&self, out: &mut String, before: &str, painter: Painter) {
        let last = self.children.len().saturating_sub(1);
        for (number, row) in self.children.iter().enumerate() {
            let (branch, below) = if number == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            painter.paint(out, DIM, &format!("{before}{branch}"));
            row.write(out, &self.widths(row.kind), painter);
            row.draw_children(out, &format!("{before}{below}"), painter);
        }
    }

    /// Widths of the columns of one kind of child.
    fn widths(&self, kind: &str) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in self.children.iter().filter(|row| row.kind == kind) {
            // The last cell may have any length.
            let padded = row.cells.len().saturating_sub(1);
            widths.resize(widths.len().max(padded), 0);
            for (width, (_, text)) in widths.iter_mut().zip(&row.cells).take(padded) {
                *width = (*width).max(width_of(text));
            }
        }
        widths
    }

    fn write(&self, out: &mut String, widths: &[usize], painter: Painter) {
        let last = self.cells.iter().rposition(|(_, text)| !text.is_empty());
        for (number, (style, text)) in self.cells.iter().enumerate() {
            painter.paint(out, *style, text);
            if last.is_none_or(|last| number >= last) {
                break;
            }
            let length = width_of(text);
            let width = widths.get(number).copied().unwrap_or(length);
            // An empty column takes no room.
            let gap = if width == 0 { 0 } else { 2 };
            let _ = write!(out, "{:1$}", "", width.saturating_sub(length) + gap);
        }
        if let Some(severity) = self.mark {
            out.push_str("  ");
            let (style, text) = sign(severity);
            painter.paint(out, style, text);
        }
        out.push('\n');
    }
}

/// The style and the sign of a severity.
pub(super) fn sign(severity: Severity) -> (Style, &'static str) {
    match severity {
        Severity::Error => (RED, "✗ error"),
        Severity::Warning => (YELLOW, "! warning"),
    }
}
