//! Colours.
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
/// Names of pods.
pub(super) const POD: Style = AnsiColor::Cyan.on_default();
/// Names of nodes, and of what belongs to them.
pub(super) const NODE: Style = AnsiColor::Blue.on_default();
/// What was lost.
pub(super) const LOSS: Style = RED;
/// Times and counts.
pub(super) const NUMBER: Style = AnsiColor::Magenta.on_default();

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

    /// [`Self::paint`] amid a text of another style.
    pub(super) fn within(self, out: &mut String, outer: Style, style: Style, text: &str) {
        self.off(out, outer);
        self.paint(out, style, text);
        self.on(out, outer);
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

/// A text without its styles.
#[cfg(test)]
pub(super) fn stripped(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let begin = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text));
    begin + &rest.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_begin_and_end_where_there_are_colours() {
        let painted = |color| {
            let mut out = String::new();
            for style in [PLAIN, BOLD, DIM, RED, GREEN, YELLOW, POD, NODE] {
                Painter { color }.paint(&mut out, style, "x");
                Painter { color }.paint(&mut out, style, "");
            }
            out
        };
        assert_eq!(painted(false), "xxxxxxxx");
        let expected = "x\x1b[1mx\x1b[0m\x1b[2mx\x1b[0m\x1b[31mx\x1b[0m\x1b[32mx\x1b[0m\
                        \x1b[33mx\x1b[0m\x1b[36mx\x1b[0m\x1b[34mx\x1b[0m";
        assert_eq!(painted(true), expected);
    }
}
