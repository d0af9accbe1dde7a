//! The table of flows.
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::Line,
};

use super::{DIM, Model, put};
use crate::{
    output::{flows::rows, width::Width},
    text::count::counted,
    tui::{
        paint::{from_column, safe},
        state::State,
    },
};

/// Lines above the flows.
const HEAD: u16 = 2;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, model: &Model<'_>, state: &mut State) {
    let page = usize::from(area.height.saturating_sub(HEAD));
    state.page = page;
    state.flow = state.flow.min(model.flows.len().saturating_sub(1));
    // Full pages: the rows of a page are stable while it moves within it.
    let top = state.flow / page.max(1) * page;
    let shown = &model.flows[top..model.flows.len().min(top + page)];
    let mut head = counted(model.flows.len() as u64, "flow");
    if model.facts.flows_forgotten > 0 {
        head += &format!(", {} forgotten", model.facts.flows_forgotten);
    }
    head += &format!(
        ", by {}: s for others, f for packets",
        state.order.in_words()
    );
    put(buffer, area, 0, &Line::styled(head, DIM));
    let mut text = String::new();
    rows(
        &mut text,
        shown,
        model.facts.flows_now_ns,
        model.facts.color,
        Width::Any,
    );
    let text = safe(&text);
    let longest = text.lines().map(|line| line.chars().count()).max();
    state.left = state
        .left
        .min(longest.unwrap_or(0).saturating_sub(area.width.into()));
    for (row, line) in (1..area.height).zip(text.lines()) {
        put(buffer, area, row, &from_column(line, state.left));
        if usize::from(row - 1) == state.flow - top + 1 {
            let y = area.y + row;
            let line = Rect {
                y,
                height: 1,
                ..area
            };
            buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}
