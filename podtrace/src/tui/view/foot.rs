//! The lines around the lists: the title, what is typed, and the counts.
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

use super::{DIM, Model, coloured, fit, put};
use crate::{
    filter::Mistake,
    text::escape::escape,
    tui::{
        paint::{width, wrapped},
        state::{List, Mode, State},
    },
};

/// Lines of what is wrong, at least and at most: below an expression that is typed, the list moves
/// as little as it can.
const MISTAKE_LINES: (usize, usize) = (2, 5);
/// Lines of what there is to say at most.
const SAID_MAX: usize = 4;

/// How many lines there are below the lists, on a screen of a width.
pub(super) fn lines(state: &State, model: &Model<'_>, width: u16) -> u16 {
    let above = match (&state.mode, model.mistake) {
        (Mode::Filter(_), Some(mistake)) => {
            let (least, most) = MISTAKE_LINES;
            2 + mistake_words(mistake, width).len().clamp(least, most)
        }
        (Mode::Browse | Mode::Help | Mode::Notices, _) => {
            said(model, state, width).len().clamp(1, SAID_MAX)
        }
        _ => 1,
    };
    u16::try_from(above + 1).unwrap_or(u16::MAX)
}

/// What is shown, and where in it.
pub(super) fn title(buffer: &mut Buffer, area: Rect, model: &Model<'_>, state: &State) {
    let of = &model.facts.of;
    let shown = model.store.len();
    let place = match state.list {
        List::Flows => String::new(),
        List::Paths if shown == 0 => String::new(),
        List::Paths => format!("{} of {shown}", state.number(model.store) + 1),
    };
    let how = match (state.is_paused, state.follows, model.facts.has_ended) {
        (true, ..) if model.facts.waiting > 0 => format!("paused, {} wait", model.facts.waiting),
        (true, ..) => "paused".to_owned(),
        (_, _, true) => "ended".to_owned(),
        (_, true, _) if state.list == List::Paths => "following".to_owned(),
        _ => String::new(),
    };
    let right = [place, how].join("  ");
    let right = format!(" {}  ? help ", right.trim());
    let left = usize::from(area.width).saturating_sub(width(&right));
    let line = fit(&format!(" podtrace {of}"), left) + &right;
    let style = Style::new().add_modifier(Modifier::REVERSED);
    put(buffer, area, 0, &Line::styled(line, style));
}

/// What is typed or to be said, and the counts; returns where the cursor is.
pub(super) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    model: &Model<'_>,
    state: &State,
) -> Option<Position> {
    let last = area.height.saturating_sub(1);
    put(buffer, area, last, &counts(model));
    match &state.mode {
        Mode::Filter(input) => {
            let from = typed(buffer, area, '/', &input.text(), input.column());
            mistake(buffer, area, model, from);
            Some(cursor(area, input.column() - from))
        }
        Mode::Time(input) => {
            let from = typed(buffer, area, '@', &input.text(), input.column());
            Some(cursor(area, input.column() - from))
        }
        Mode::Browse | Mode::Help | Mode::Notices => {
            for (row, line) in (0..last).zip(said(model, state, area.width)) {
                put(buffer, area, row, &line);
            }
            None
        }
    }
}

fn cursor(area: Rect, column: usize) -> Position {
    let column = u16::try_from(column).unwrap_or(u16::MAX);
    let last = area.right().saturating_sub(1);
    Position::new(area.x.saturating_add(1 + column).min(last), area.y)
}

/// The line that is typed; returns the first column that has room for it.
fn typed(buffer: &mut Buffer, area: Rect, sign: char, text: &str, cursor: usize) -> usize {
    let room = usize::from(area.width).saturating_sub(2);
    let from = cursor.saturating_sub(room);
    let shown: String = text.chars().skip(from).collect();
    put(buffer, area, 0, &Line::raw(format!("{sign}{shown}")));
    from
}

/// What is wrong with the expression, below the place where it is.
fn mistake(buffer: &mut Buffer, area: Rect, model: &Model<'_>, from: usize) {
    let Some(mistake) = model.mistake else {
        return;
    };
    let style = coloured(model.facts.color, Color::Red);
    if let Some(place) = mistake.place() {
        let columns =
            |range: std::ops::Range<usize>| width(mistake.text().get(range).unwrap_or_default());
        let before = (1 + columns(0..place.start)).saturating_sub(from);
        let carets = "^".repeat(columns(place).max(1));
        let line = format!("{}{carets}", " ".repeat(before));
        put(buffer, area, 1, &Line::styled(line, style));
    }
    let lines = mistake_words(mistake, area.width);
    for (row, line) in (2..area.height.saturating_sub(1)).zip(&lines) {
        put(buffer, area, row, line);
    }
}

/// What is wrong with the expression, and what could have stood there.
fn mistake_words(mistake: &Mistake, width: u16) -> Vec<Line<'static>> {
    let expected = mistake.expected();
    let mut words = escape(mistake.what());
    if !expected.is_empty() {
        words += &format!("; expected: {}", expected.join(", "));
    }
    wrapped(&words, width.into(), 2)
}

/// The most important of what there is to say. What is wrong is said whole, the rest in one line.
fn said(model: &Model<'_>, state: &State, width: u16) -> Vec<Line<'static>> {
    if let Some(message) = &state.message {
        return wrapped(message, width.into(), 2);
    }
    if let Some(mistake) = model.mistake {
        let words = escape(mistake.what());
        let words = format!("not applied: {words} (/ goes on, Esc shows all)");
        return wrapped(&words, width.into(), 2);
    }
    vec![state_of_list(model, width)]
}

fn state_of_list(model: &Model<'_>, columns: u16) -> Line<'static> {
    if let Some(filter) = model.store.filter() {
        let (shown, kept) = (model.store.len(), model.store.kept());
        let mut words = format!("  {shown} of {kept}");
        match model.store.unknown() {
            0 => {}
            unknown => words += &format!(", {unknown} of them without headers to look at"),
        }
        words += ", Esc shows all";
        let expression = format!("/{}", escape(filter.expression.text()));
        let room = usize::from(columns).saturating_sub(width(&words));
        let expression = fit(&expression, room.min(width(&expression)));
        return Line::raw(expression + &words);
    }
    if !model.facts.has_ended && !model.facts.progress.is_empty() {
        return Line::styled(format!("reading {}", model.facts.progress), DIM);
    }
    match model.notices.back() {
        Some(notice) if model.notices.len() > 1 => {
            let more = model.notices.len() - 1;
            Line::styled(format!("-- {notice} (n: {more} more)"), DIM)
        }
        Some(notice) => Line::styled(format!("-- {notice}"), DIM),
        None => Line::default(),
    }
}

/// The counts, those that matter most first.
fn counts(model: &Model<'_>) -> Line<'static> {
    let (counts, rates) = (model.facts.counts, model.facts.rates);
    let is_live = !model.facts.has_ended;
    let counted = |count: u64, rate: f64, noun: &str| match is_live {
        true => format!("{} {noun} {}/s", short(count as f64), short(rate)),
        false => format!("{count} {noun}"),
    };
    let mut spans = vec![Span::raw(format!(
        "{} · {} · {} filtered",
        counted(counts.packets, rates.packets, "packets"),
        counted(counts.events, rates.events, "events"),
        short(counts.filtered as f64)
    ))];
    let lost = match counts.lost {
        0 => Style::new(),
        _ => coloured(model.facts.color, Color::Red).add_modifier(Modifier::BOLD),
    };
    spans.push(Span::raw(" · "));
    spans.push(Span::styled(format!("{} lost", counts.lost), lost));
    for (count, what) in [
        (model.store.dropped(), "older dropped"),
        (counts.not_shown, "not shown"),
    ] {
        if count > 0 {
            spans.push(Span::raw(format!(" · {count} {what}")));
        }
    }
    Line::from_iter(spans)
}

/// A count in few columns: `950`, `12.3k`, `4.5M`.
fn short(count: f64) -> String {
    match count {
        0.0..10_000.0 => format!("{count:.0}"),
        10_000.0..1e6 => format!("{:.1}k", count / 1e3),
        _ => format!("{:.1}M", count / 1e6),
    }
}
