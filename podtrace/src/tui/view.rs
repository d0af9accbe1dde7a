//! The screen, drawn from what is there and what is chosen.
mod flows;
mod foot;
mod help;
mod list;
mod road;
mod spark;
#[cfg(test)]
pub(super) mod tests;

use std::{collections::VecDeque, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

use super::{
    paint::{width, wrapped},
    shared::Counts,
    state::{List, Mode, State},
    store::Store,
};
use crate::{filter::Mistake, stats::Flow};

/// The smallest terminal that all of it fits on.
const WIDTH_MIN: u16 = 60;
const HEIGHT_MIN: u16 = 15;
/// The list takes two of so many parts of what is between title and foot.
const ROAD_SHARE: u16 = 5;

pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// What is known beside the paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// `trace` or `replay`, until more is known.
    pub(super) of: String,
    pub(super) progress: String,
    pub(super) has_ended: bool,
    /// Paths that wait while it is paused.
    pub(super) waiting: usize,
    pub(super) color: bool,
    pub(super) counts: Counts,
    pub(super) rates: Rates,
    /// When the first packet of all was seen, in nanoseconds since 1970 (UTC).
    pub(super) begin_ns: Option<u64>,
    pub(super) flows_forgotten: u64,
    /// The time of the newest packet of a flow, by the clock of the flows.
    pub(super) flows_now_ns: u64,
}

/// Packets and events in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) packets: f64,
    pub(super) events: f64,
}

impl Rates {
    pub(super) fn between(before: Counts, now: Counts, elapsed: Duration) -> Self {
        let rate = |before: u64, now: u64| {
            now.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(1e-3)
        };
        Self {
            packets: rate(before.packets, now.packets),
            events: rate(before.events, now.events),
        }
    }
}

/// What is drawn.
pub(super) struct Model<'a> {
    pub(super) store: &'a Store,
    pub(super) facts: &'a Facts,
    pub(super) mistake: Option<&'a Mistake>,
    pub(super) notices: &'a VecDeque<String>,
    pub(super) flows: &'a [Flow],
}

/// Draws all of it; records in `state` how much has found room.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model<'_>, state: &mut State) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        return too_small(frame.buffer_mut(), area);
    }
    let foot_lines = foot::lines(state, model, area.width);
    let [title, body, foot] = split(area, 1, foot_lines);
    foot::title(frame.buffer_mut(), title, model, state);
    match (&state.mode, state.list) {
        (Mode::Notices, _) => help::notices(frame.buffer_mut(), body, model.notices),
        (_, List::Flows) => flows::draw(frame.buffer_mut(), body, model, state),
        (_, List::Paths) => paths(frame.buffer_mut(), body, model, state),
    }
    if let Some(cursor) = foot::draw(frame.buffer_mut(), foot, model, state) {
        frame.set_cursor_position(cursor);
    }
    if matches!(state.mode, Mode::Help) {
        help::keys(frame.buffer_mut(), body);
    }
}

/// The first lines, the rest, and the last lines.
fn split(area: Rect, first: u16, last: u16) -> [Rect; 3] {
    let rest = area.height.saturating_sub(first + last);
    let part = |y, height| Rect { y, height, ..area };
    [
        part(area.y, first),
        part(area.y + first, rest),
        part(area.y + first + rest, last),
    ]
}

/// The list above the road.
fn paths(buffer: &mut Buffer, area: Rect, model: &Model<'_>, state: &mut State) {
    let list = match state.is_road_only {
        true => 0,
        false => area.height * 2 / ROAD_SHARE,
    };
    let [list, rule, road] = {
        let [list, rest, _] = split(area, list, 0);
        let [rule, road, _] = split(rest, 1, 0);
        [list, rule, road]
    };
    if list.height > 0 {
        list::draw(buffer, list, model, state);
    }
    road::draw(buffer, rule, road, model, state);
}

fn too_small(buffer: &mut Buffer, area: Rect) {
    let words = format!(
        "podtrace: the terminal is too small: it has {} columns and {} lines, and the screen takes \
         {WIDTH_MIN} and {HEIGHT_MIN}. q quits",
        area.width, area.height
    );
    let lines = wrapped(&words, area.width.into(), 0);
    put_all(buffer, area, &lines);
}

/// Writes a line at a row of an area; what does not fit is cut, and marked.
fn put(buffer: &mut Buffer, area: Rect, row: u16, line: &Line<'_>) {
    if row >= area.height {
        return;
    }
    let y = area.y + row;
    buffer.set_line(area.x, y, line, area.width);
    if line.width() > usize::from(area.width)
        && let Some(cell) = buffer.cell_mut(Position::new(area.right().saturating_sub(1), y))
    {
        cell.set_symbol("…");
    }
}

fn put_all(buffer: &mut Buffer, area: Rect, lines: &[Line<'_>]) {
    for (row, line) in (0..area.height).zip(lines) {
        put(buffer, area, row, line);
    }
}

/// A text in so many columns: cut, or filled up.
fn fit(text: &str, columns: usize) -> String {
    let wide = width(text);
    if wide <= columns {
        return format!("{text}{}", " ".repeat(columns - wide));
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
        used += 1;
    }
    out.push_str(&" ".repeat(columns.saturating_sub(used)));
    out
}

/// A line with a title in it.
fn ruled(buffer: &mut Buffer, area: Rect, title: &str) {
    let rest = usize::from(area.width).saturating_sub(width(title) + 4);
    let line = Line::from_iter([
        Span::styled("── ", DIM),
        Span::styled(title.to_owned(), BOLD),
        Span::styled(format!(" {}", "─".repeat(rest)), DIM),
    ]);
    put(buffer, area, 0, &line);
}

/// A colour, if there are any.
fn coloured(color: bool, of: Color) -> Style {
    if color {
        Style::new().fg(of)
    } else {
        Style::new()
    }
}

/// A time in nanoseconds since 1970 (UTC) as local time.
pub(super) fn local(utc_ns: u64) -> String {
    let time = Timestamp::from_nanosecond(utc_ns.into()).unwrap_or(Timestamp::MAX);
    let time = time.to_zoned(TimeZone::system());
    time.strftime("%F %T%.6f").to_string()
}
