//! Colours.
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();

/// Writes text in styles, or plainly without colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Painter {
    pub(super) color: bool,
}

impl Painter {
    /// Appends a text in a style.
    pub(super) fn paint(self, out: &mut String, style: Style, text: &str) {
        if text.is_empty() {
            return;
        }
        self.on(out, style);
        out.push_str(text);
        self.off(out, style);
    }

    /// Begins a style for the text appended from now on.
    pub(super) fn on(self, out: &mut String, style: Style) {
        if self.color {
            // Writing to a String cannot fail.
            let _ = write!(out, "{style}");
        }
    }

    /// Ends the style.
    pub(super) fn off(self, out: &mut String, style: Style) {
        if self.color {
            let _ = write!(out, "{style:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_begin_and_end_where_there_are_colours() {
        let painted = |color| {
            let mut out = String::new();
            for style in [PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN] {
                Painter { color }.paint(&mut out, style, "x");
                Painter { color }.paint(&mut out, style, "");
            }
            out
        };
        assert_eq!(painted(false), "xxxxxxx");
        let expected = "x\x1b[1mx\x1b[0m\x1b[2mx\x1b[0m\x1b[31mx\x1b[0m\x1b[32mx\x1b[0m\
                        \x1b[33mx\x1b[0m\x1b[36mx\x1b[0m";
        assert_eq!(painted(true), expected);
    }
}
