//! The list of paths.
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{DIM, Model, fit, put};
use crate::{
    output::text::{micros, outcome_style},
    path::Outcome,
    tui::{
        entry::Entry,
        paint::{style_of, width},
        state::State,
    },
};

/// From this width on, the outcome is there in words.
const WORDS_FROM: usize = 100;
/// Columns of the outcome's words, and of the time that the path took.
const OUTCOME: usize = 20;
const DURATION: usize = 10;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, model: &Model<'_>, state: &mut State) {
    let page = usize::from(area.height);
    state.page = page;
    let top = state.top(page, model.store);
    let chosen = state.number(model.store);
    let shown = (top..top + page).map_while(|number| Some((number, model.store.shown(number)?)));
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() {
        let words = match (model.store.kept(), model.facts.has_ended) {
            (0, false) => "no packet yet",
            (0, true) => "no packet",
            _ => "no packet matches",
        };
        return put(buffer, area, 0, &Line::styled(words, DIM));
    }
    let columns = Columns::of(area, shown.iter().map(|(_, entry)| *entry));
    for (row, (number, entry)) in (0..area.height).zip(shown) {
        put(buffer, area, row, &columns.line(entry, model.facts.color));
        if number == chosen {
            let line = Rect {
                y: area.y + row,
                height: 1,
                ..area
            };
            let style = Style::new().add_modifier(Modifier::REVERSED);
            buffer.set_style(line, style);
        }
    }
}

/// How wide they are.
struct Columns {
    time: usize,
    what: usize,
    ends: usize,
    has_words: bool,
}

impl Columns {
    fn of<'a>(area: Rect, entries: impl Iterator<Item = &'a Entry>) -> Self {
        let total = usize::from(area.width);
        let (mut time, mut what, mut ends) = (0, 0, 0);
        for entry in entries {
            time = time.max(width(&entry.time));
            what = what.max(width(&entry.what));
            ends = ends.max(width(&entry.ends));
        }
        let has_words = total >= WORDS_FROM;
        let words = if has_words { 4 + OUTCOME + DURATION } else { 0 };
        // Two columns for the mark, and two between columns.
        let rest = total.saturating_sub(2 + time + 2 + 2 + words);
        // The ends get three fifths of it, if they need as much.
        let what = what.min(rest.saturating_sub(ends.min(rest * 3 / 5)));
        Self {
            time,
            what,
            ends: rest - what,
            has_words,
        }
    }

    fn line(&self, entry: &Entry, color: bool) -> Line<'static> {
        let style = style_of(outcome_style(entry.outcome), color);
        let mut spans = vec![
            Span::styled(format!("{} ", mark(entry.outcome)), style),
            Span::styled(
                fit(&entry.time, self.time),
                if color { DIM } else { Style::new() },
            ),
            Span::raw("  "),
            Span::raw(fit(&entry.what, self.what)),
            Span::raw("  "),
            Span::raw(fit(&entry.ends, self.ends)),
        ];
        if self.has_words {
            let mut duration = String::new();
            if entry.hops.len() > 1 || entry.duration_ns > 0 {
                micros(&mut duration, entry.duration_ns);
            }
            let gap = DURATION.saturating_sub(width(&duration));
            spans.push(Span::raw(format!("  {}{duration}  ", " ".repeat(gap))));
            let words = Outcome::NAMES[entry.outcome.index()].replace('_', " ");
            spans.push(Span::styled(fit(&words, OUTCOME), style));
        }
        Line::from_iter(spans)
    }
}

/// An outcome in one column.
pub(super) fn mark(outcome: Outcome) -> char {
    match outcome {
        Outcome::Delivered => '✓',
        Outcome::LeftForVtep(_) | Outcome::LeftNode => '→',
        Outcome::NotSeenFurther | Outcome::Dropped | Outcome::NoSocket => '✗',
        Outcome::Refused => '!',
        Outcome::Loop => '∞',
        Outcome::Unanswered => '?',
        Outcome::EventsLost | Outcome::GivenUp => '~',
        Outcome::InFlight => '…',
        Outcome::NoReceiver | Outcome::Unknown => '·',
    }
}
