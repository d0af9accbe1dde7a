//! What lies over the lists: keys, and notices.
use std::collections::VecDeque;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Widget as _},
};

use super::{BOLD, DIM, put, put_all};
use crate::tui::{
    keys::HELP,
    paint::{width, wrapped},
};

/// The keys, in a box.
pub(super) fn keys(buffer: &mut Buffer, area: Rect) {
    let keys = HELP.iter().map(|(key, _)| width(key)).max().unwrap_or(0);
    let words = HELP
        .iter()
        .map(|(_, words)| width(words))
        .max()
        .unwrap_or(0);
    let wanted = u16::try_from(keys + words + 6).unwrap_or(u16::MAX);
    let lines = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX);
    let (wide, high) = (wanted.min(area.width), lines.min(area.height));
    let outer = Rect {
        x: area.x + (area.width - wide) / 2,
        y: area.y + (area.height - high) / 2,
        width: wide,
        height: high,
    };
    Clear.render(outer, buffer);
    let block = Block::bordered().title(" keys ");
    let inner = block.inner(outer);
    block.render(outer, buffer);
    // Where not all fit, the last ones, to leave, come first.
    let missing = HELP.len().saturating_sub(inner.height.into());
    let shown = HELP
        .iter()
        .take(HELP.len() - missing - usize::from(missing > 0));
    for (row, (key, words)) in (0..).zip(shown) {
        let gap = keys - width(key);
        let line = Line::from_iter([
            Span::styled(format!(" {key}{}", " ".repeat(gap)), BOLD),
            Span::raw(format!("  {words}")),
        ]);
        put(buffer, inner, row, &line);
    }
    if missing > 0 {
        let words = " a taller terminal shows all of them";
        put(buffer, inner, inner.height - 1, &Line::styled(words, DIM));
    }
}

/// The notices, the newest last.
pub(super) fn notices(buffer: &mut Buffer, area: Rect, notices: &VecDeque<String>) {
    if notices.is_empty() {
        return put(buffer, area, 0, &Line::styled("no notice", DIM));
    }
    let lines: Vec<_> = notices
        .iter()
        .flat_map(|notice| wrapped(&format!("-- {notice}"), area.width.into(), 3))
        .collect();
    let hidden = lines.len().saturating_sub(area.height.into());
    put_all(buffer, area, &lines[hidden..]);
}
