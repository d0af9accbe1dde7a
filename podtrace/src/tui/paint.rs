//! The text view's words on the screen: its colours as styles, wrapped at words.
use std::borrow::Cow;

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthChar as _;

use crate::text::sanitize::{is_safe, sanitize_lines};

/// Makes a text safe for a terminal, except for the escapes of colours.
pub(super) fn safe(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\x1b') {
        out.push_str(&sanitize_lines(before));
        rest = match colour(behind) {
            Some((code, after)) => {
                out.push_str("\x1b[");
                out.push_str(code);
                out.push('m');
                after
            }
            None => {
                out.push('\u{fffd}');
                behind
            }
        };
    }
    out.push_str(&sanitize_lines(rest));
    out.into()
}

/// Whether a text is of safe characters, lines and colours alone, as nearly all are.
fn is_plain(text: &str) -> bool {
    let is_plain = |text: &str| text.chars().all(|c| c == '\n' || is_safe(c));
    let mut parts = text.split('\x1b');
    let begins_plain = parts.next().is_none_or(is_plain);
    begins_plain && parts.all(|part| colour(part).is_some_and(|(_, after)| is_plain(after)))
}

/// The code of a colour behind an escape character, and what follows it.
fn colour(text: &str) -> Option<(&str, &str)> {
    let (code, after) = text.strip_prefix('[')?.split_once('m')?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then_some((code, after))
}

/// A character and its style.
type Painted = (char, Style);

/// The characters of a painted line.
fn characters(text: &str) -> Vec<Painted> {
    let mut style = Style::new();
    let mut all = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\x1b') {
        all.extend(before.chars().map(|c| (c, style)));
        rest = match colour(behind) {
            Some((code, after)) => {
                style = styled(style, code);
                after
            }
            None => behind,
        };
    }
    all.extend(rest.chars().map(|c| (c, style)));
    all
}

/// The styles that `output::paint` has.
fn styled(style: Style, code: &str) -> Style {
    match code {
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        "31" => style.fg(Color::Red),
        "32" => style.fg(Color::Green),
        "33" => style.fg(Color::Yellow),
        "36" => style.fg(Color::Cyan),
        _ => Style::new(),
    }
}

/// A style of the text view's as one of the screen's.
pub(super) fn style_of(style: anstyle::Style, color: bool) -> Style {
    if !color {
        return Style::new();
    }
    let codes = style.render().to_string();
    let codes = codes.split('\x1b').filter_map(colour);
    codes.fold(Style::new(), |style, (code, _)| styled(style, code))
}

fn line(characters: &[Painted]) -> Line<'static> {
    let runs = characters.chunk_by(|(_, one), (_, next)| one == next);
    let spans = runs.map(|run| {
        let text: String = run.iter().map(|(c, _)| c).collect();
        let style = run.first().map_or(Style::new(), |(_, style)| *style);
        Span::styled(text, style)
    });
    Line::from_iter(spans)
}

/// A painted line from a column on.
pub(super) fn from_column(text: &str, column: usize) -> Line<'static> {
    let all = characters(text);
    line(all.get(column..).unwrap_or_default())
}

/// A painted text on lines of a width, wrapped at words; later lines of each are indented.
pub(super) fn wrapped(text: &str, width: usize, indent: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for one in text.lines() {
        let all = characters(one);
        let mut rest = &all[..];
        let mut before = 0;
        loop {
            let end = fitting(rest, width.saturating_sub(before));
            let (now, later) = rest.split_at(end);
            let mut shown = vec![(' ', Style::new()); before];
            shown.extend_from_slice(now);
            lines.push(line(&shown));
            let spaces = later.iter().take_while(|(c, _)| *c == ' ').count();
            rest = &later[spaces..];
            if rest.is_empty() {
                break;
            }
            before = indent.min(width / 2);
        }
    }
    lines
}

/// How many characters fit on a line of a width: up to a space where one is in its last half.
fn fitting(all: &[Painted], width: usize) -> usize {
    let mut column = 0;
    let mut space = None;
    for (number, (c, _)) in all.iter().enumerate() {
        column += c.width().unwrap_or(0);
        if column > width {
            return space.unwrap_or(number).max(1);
        }
        if *c == ' ' && column > width / 2 {
            space = Some(number);
        }
    }
    all.len()
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[Line<'_>]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn colours_stay_and_other_escapes_go() {
        let text = "\x1b[36mpod\x1b[0m a\x1b]0;x\x07b \x1b[2Jc";
        let safe = safe(text);
        assert_eq!(
            safe,
            "\x1b[36mpod\x1b[0m a\u{fffd}]0;x\u{fffd}b \u{fffd}[2Jc"
        );
        let lines = wrapped("\x1b[36mpod\x1b[0m a", 80, 0);
        assert_eq!(lines[0].spans[0].style.fg, Some(Color::Cyan));
        assert_eq!(lines[0].spans[1].style, Style::new());
    }

    #[test]
    fn lines_wrap_at_words() {
        let lines = wrapped("one two three\nfour", 9, 2);
        assert_eq!(shown(&lines), ["one two", "  three", "four"]);
        let lines = wrapped("onetwothree", 4, 2);
        assert_eq!(shown(&lines), ["onet", "  wo", "  th", "  re", "  e"]);
        assert_eq!(shown(&wrapped("容器名", 4, 0)), ["容器", "名"]);
    }
}
