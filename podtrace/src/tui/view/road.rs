//! The road of the chosen packet: its hops one below the other, with the time that each leg
//! between them took, and how long the same leg took packets before.
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Color,
    text::{Line, Span},
};

use super::{DIM, Model, coloured, fit, put_all, ruled, spark::Sparks};
use crate::{
    output::text::micros,
    tui::{
        entry::{Entry, HopEntry},
        paint::{width, wrapped},
        state::State,
    },
};

/// Columns of the time since the first hop, and of the time of a leg.
const DELTA: usize = 10;
const LEG: usize = 9;
/// Bars of a leg, where it has a line of its own and where not.
const BARS: usize = 24;
const BARS_TIGHT: usize = 6;
/// On fewer columns, there are no bars beside a hop.
const BARS_FROM: usize = 72;
/// Columns of names at most.
const OWNER_MAX: usize = 40;
const NAME_MAX: usize = 15;
/// Columns of a direction.
const DIRECTION: usize = 7;

pub(super) fn draw(
    buffer: &mut Buffer,
    rule: Rect,
    area: Rect,
    model: &Model<'_>,
    state: &mut State,
) {
    let chosen = state
        .chosen
        .and_then(|place| Some((place, model.store.get(place)?)));
    let Some((place, entry)) = chosen else {
        return ruled(buffer, rule, "road");
    };
    let sparks = Sparks::of(entry, place, model.store, BARS);
    let road = |is_wide| Road::new(entry, &sparks, area, model.facts.color, is_wide).lines();
    let height = usize::from(area.height);
    let mut lines = road(true);
    if lines.len() > height {
        lines = road(false);
    }
    let most = lines.len().saturating_sub(height);
    state.road_top = state.road_top.min(most);
    let mut title = format!("packet #{}", entry.id);
    if most > 0 {
        let (from, to) = (state.road_top + 1, state.road_top + height);
        title += &format!(", lines {from} to {to} of {}: J K scroll", lines.len());
    }
    ruled(buffer, rule, &title);
    put_all(buffer, area, &lines[state.road_top..]);
}

struct Road<'a> {
    entry: &'a Entry,
    sparks: &'a Sparks,
    width: usize,
    color: bool,
    /// Whether legs have lines of their own.
    is_wide: bool,
    /// Bars of a leg beside a hop.
    bars: usize,
    owner: usize,
    name: usize,
}

impl<'a> Road<'a> {
    fn new(entry: &'a Entry, sparks: &'a Sparks, area: Rect, color: bool, is_wide: bool) -> Self {
        let widest = |text: fn(&HopEntry) -> &str, most: usize| {
            let widths = entry.hops.iter().map(|hop| width(text(hop)));
            widths.max().unwrap_or(0).min(most)
        };
        let total = usize::from(area.width);
        Self {
            entry,
            sparks,
            width: total,
            color,
            is_wide,
            bars: if total < BARS_FROM { 0 } else { BARS_TIGHT },
            owner: widest(|hop| &hop.owner, OWNER_MAX.min(total / 4)),
            name: widest(|hop| &hop.name, NAME_MAX),
        }
    }

    fn lines(&self) -> Vec<Line<'static>> {
        let mut lines = wrapped(&self.entry.head, self.width, 4);
        let mut before: Option<&HopEntry> = None;
        for hop in &self.entry.hops {
            if let (true, Some(before)) = (self.is_wide, before) {
                lines.push(self.leg_line(before, hop));
            }
            self.hop_lines(&mut lines, before, hop);
            before = Some(hop);
        }
        lines.extend(wrapped(&self.entry.tail, self.width, 4));
        lines
    }

    /// `+3.1 µs  ○ worker1  veth0101  ingress`, and what is remarkable.
    fn hop_lines(&self, lines: &mut Vec<Line<'static>>, before: Option<&HopEntry>, hop: &HopEntry) {
        let mut spans = vec![Span::raw(time(
            "+",
            hop.ts_ns.saturating_sub(self.entry.first_ns),
            DELTA,
        ))];
        if !self.is_wide {
            spans.extend(self.leg(before, hop, self.bars));
        }
        let is_same = before.is_some_and(|before| before.owner == hop.owner);
        let owner = if is_same { "" } else { &hop.owner };
        let (mark, style) = match hop.in_pod {
            true => ("●", coloured(self.color, Color::Green)),
            false => ("○", coloured(self.color, Color::Cyan)),
        };
        spans.extend([
            Span::raw("  "),
            Span::styled(mark, style),
            Span::raw(" "),
            Span::styled(fit(owner, self.owner), coloured(self.color, Color::Cyan)),
            Span::raw("  "),
            Span::raw(fit(&hop.name, self.name)),
            Span::raw("  "),
            Span::raw(fit(hop.tap.1.as_str(), DIRECTION)),
        ]);
        let line = Line::from_iter(spans);
        let used = line.width() + 2;
        if used + width(&hop.words) <= self.width {
            lines.push(with(line, &format!("  {}", hop.words)));
            return;
        }
        lines.push(line);
        // On lines of their own, beside the rail.
        let column = self.rail() + 4;
        for more in wrapped(&hop.words, self.width.saturating_sub(column), 0) {
            let mut spans = vec![
                Span::raw(" ".repeat(self.rail())),
                Span::styled("│   ", DIM),
            ];
            spans.extend(more.spans);
            lines.push(Line::from_iter(spans));
        }
    }

    /// The column of the rail.
    fn rail(&self) -> usize {
        let leg = if self.is_wide {
            0
        } else {
            2 + LEG + 1 + self.bars
        };
        DELTA + leg + 2
    }

    fn leg_line(&self, before: &HopEntry, hop: &HopEntry) -> Line<'static> {
        let mut spans = vec![Span::raw(" ".repeat(self.rail())), Span::styled("│", DIM)];
        spans.extend(self.leg(Some(before), hop, BARS));
        Line::from_iter(spans)
    }

    /// The time from a hop to the next, with its bars.
    fn leg(&self, before: Option<&HopEntry>, hop: &HopEntry, bars: usize) -> [Span<'static>; 3] {
        let Some(before) = before else {
            let empty = " ".repeat(2 + LEG + 1 + bars);
            return [Span::raw(empty), Span::raw(""), Span::raw("")];
        };
        let ns = hop.ts_ns.saturating_sub(before.ts_ns);
        let bars = self.sparks.bars((before.tap, hop.tap), bars);
        [
            Span::raw(format!("  {} ", time("", ns, LEG))),
            Span::styled(bars, coloured(self.color, Color::Yellow)),
            Span::raw(""),
        ]
    }
}

fn with(mut line: Line<'static>, words: &str) -> Line<'static> {
    if !words.trim().is_empty() {
        line.push_span(Span::raw(words.to_owned()));
    }
    line
}

/// A time to the right in so many columns.
fn time(sign: &str, ns: u64, columns: usize) -> String {
    let mut text = sign.to_owned();
    micros(&mut text, ns);
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(&text))))
}
