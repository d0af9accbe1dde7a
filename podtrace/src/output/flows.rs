//! The table of flows: on a terminal, live, painted anew each second; otherwise once, at the
//! end.
use std::{collections::VecDeque, fmt::Write as _, io, time::Duration};

use terminal_size::{Height, terminal_size_of};

use super::{
    grid::{Cell, Grid},
    notices::with_losses,
    paint::{LOSS, Painter, YELLOW},
    render::Render as _,
    text::{Text, micros},
    width::Width,
};
use crate::{
    model::origin::Origin,
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    pipeline::consumer::{Consumer, Failure, Tick},
    sink::TextSink,
    stats::{
        Flow, FlowEnd,
        flows::{Flows, Order},
    },
    text::{count::counted, size::bytes, wrap::wrap},
    update::Update,
    world::World,
};

/// How often a terminal shows new numbers, in nanoseconds.
const PAINT_NS: u64 = 1_000_000_000;
/// Lines of a terminal that are no flows: the head, the titles and the prompt.
const OTHER_LINES: usize = 4;
/// The columns that are left out first on a narrow terminal.
const LEAST: [&str; 7] = [
    "p99",
    "unknown",
    "refused",
    "last seen",
    "retransmitted",
    "bytes",
    "RTT p50",
];
/// How many flows are shown at the end, unless a number is given.
const TOP: usize = 20;
/// Notices that stay below the table.
const NOTICES: usize = 3;
/// Moves to the top; each line clears its own rest, and the last what is below it. Lines do
/// not wrap meanwhile.
const BEGIN: &str = "\x1b[?7l\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const END: &str = "\x1b[J\x1b[?7h";

/// Options of the table.
#[derive(Clone, Copy, Debug)]
pub struct FlowOptions {
    /// The order.
    pub order: Order,
    /// How many flows are shown; by default, a terminal shows as many as fit, the end 20, and
    /// JSON all.
    pub top: Option<usize>,
    /// A JSON object for each flow, at the end.
    pub json: bool,
    /// ANSI colours.
    pub color: bool,
    /// How wide lines may be.
    pub width: Width,
    /// Whether a terminal is painted anew each second.
    pub is_live: bool,
    /// UTC nanoseconds at zero of the events' clock.
    pub epoch_ns: i128,
}

/// Collects flows and shows them.
pub struct FlowTable {
    options: FlowOptions,
    flows: Flows,
    sink: Box<dyn TextSink>,
    /// The words for what is no flow.
    text: Text,
    notices: VecDeque<String>,
    painted_ns: u64,
    failure: Failure,
}

impl FlowTable {
    /// Shows flows in `sink`.
    #[must_use]
    pub fn new(options: FlowOptions, text: Text, sink: Box<dyn TextSink>) -> Self {
        Self {
            options,
            flows: Flows::default(),
            sink,
            text,
            notices: VecDeque::new(),
            painted_ns: 0,
            failure: Failure::default(),
        }
    }

    fn write(&mut self, text: &str) {
        let written = self.sink.take(text);
        self.failure.record(written);
    }

    /// Paints the terminal. `now_ns`: by the events' clock.
    fn paint(&mut self, now_ns: u64) {
        let lines = terminal_size_of(io::stdout()).map(|(_, Height(lines))| usize::from(lines));
        let lines = lines.unwrap_or(24);
        let mut notices = String::new();
        for notice in &self.notices {
            self.text.notice(&mut notices, notice);
        }
        let others = OTHER_LINES + notices.lines().count();
        let mut room = lines.saturating_sub(others).max(1);
        let mut table = String::new();
        // A line below the table says what has no room: it takes that of flows.
        for _ in 0..2 {
            table.clear();
            let top = self.options.top.map_or(room, |top| top.min(room));
            self.table(&mut table, top, now_ns);
            let beyond =
                (table.lines().count() + notices.lines().count() + 1).saturating_sub(lines);
            if beyond == 0 {
                break;
            }
            room = room.saturating_sub(beyond).max(1);
        }
        table.push_str(&notices);
        let mut out = String::from(BEGIN);
        for line in table.lines() {
            out.push_str(line);
            out.push_str(CLEAR_LINE);
        }
        out.push_str(END);
        self.write(&out);
    }

    fn table(&self, out: &mut String, top: usize, now_ns: u64) {
        let begin = out.len();
        let (count, forgotten) = self.flows.count();
        let flows = self.flows.top(self.options.order, top, 0);
        out.push_str(&counted(count as u64, "flow"));
        if flows.len() < count {
            let _ = write!(out, ", {} shown", flows.len());
            if !self.options.is_live {
                out.push_str(": --top N shows more");
            }
        }
        if forgotten > 0 {
            let _ = write!(
                out,
                ", {forgotten} forgotten, which were silent for longest"
            );
        }
        out.push_str("\n\n");
        wrap(out, begin, self.options.width.columns(), "  ");
        rows(out, &flows, now_ns, self.options.color, self.options.width);
    }

    fn json(&self) -> serde_json::Result<String> {
        let top = self.options.top.unwrap_or(usize::MAX);
        let flows = self
            .flows
            .top(self.options.order, top, self.options.epoch_ns);
        let mut out = String::new();
        for flow in &flows {
            out += &serde_json::to_string(flow)?;
            out.push('\n');
        }
        Ok(out)
    }
}

/// A table of flows, with a line of titles. `now_ns`: by the clock of their times.
pub(crate) fn rows(out: &mut String, flows: &[Flow], now_ns: u64, color: bool, width: Width) {
    let mut grid = Grid::new(
        &["", "client", "server", "service"],
        &[
            "packets",
            "bytes",
            "RTT p50",
            "p99",
            "retransmitted",
            "lost",
            "refused",
            "unknown",
            "last seen",
        ],
    )
    .least(&LEAST);
    for flow in flows {
        grid.row(row(flow, now_ns));
    }
    grid.render(out, Painter { color }, width);
}

/// The cells of a flow. Its times are by the clock of `now_ns`.
fn row(flow: &Flow, now_ns: u64) -> [Cell; 13] {
    let time = |ns: Option<u64>| {
        let mut text = String::new();
        match ns {
            Some(ns) => micros(&mut text, ns),
            None => text.push('-'),
        }
        Cell::plain(text)
    };
    let silent = Duration::from_nanos(now_ns.saturating_sub(flow.last_ns));
    [
        Cell::plain(&flow.protocol),
        Cell::name(&end(&flow.client)),
        Cell::name(&end(&flow.server)),
        Cell::name(flow.service.as_deref().unwrap_or_default()),
        Cell::plain(flow.sent.packets + flow.answered.packets),
        Cell::plain(bytes(flow.sent.bytes + flow.answered.bytes)),
        time(flow.rtt.map(|rtt| rtt.p50_ns)),
        time(flow.rtt.and_then(|rtt| rtt.p99_ns)),
        Cell::count(flow.retransmitted, YELLOW),
        Cell::count(flow.lost, LOSS),
        Cell::count(flow.refused, YELLOW),
        Cell::count(flow.unknown, YELLOW),
        Cell::plain(format!("{:.1} s ago", silent.as_secs_f64())),
    ]
}

/// `default/web:80`, or the address where no name is known.
fn end(end: &FlowEnd) -> String {
    match end.port {
        Some(port) if !end.name.is_named() && end.address.is_ipv6() => {
            format!("[{}]:{port}", end.name)
        }
        Some(port) => format!("{}:{port}", end.name),
        None => end.name.to_string(),
    }
}

impl Consumer for FlowTable {
    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        if let Some(words) = with_losses(origin, update, world) {
            self.on_notice(&words);
        }
    }

    fn on_notice(&mut self, words: &str) {
        if self.options.is_live {
            self.notices.push_back(words.to_owned());
            if self.notices.len() > NOTICES {
                self.notices.pop_front();
            }
        } else {
            crate::sink::tell(words);
        }
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        self.flows.add(path, world);
    }

    fn is_waiting(&self) -> bool {
        self.options.is_live
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        let is_due = tick.now_ns.saturating_sub(self.painted_ns) >= PAINT_NS;
        if self.options.is_live && is_due {
            if self.painted_ns == 0 {
                self.write("\x1b[2J");
            }
            self.painted_ns = tick.now_ns;
            self.paint(tick.now_ns);
        }
        Vec::new()
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        let mut out = String::new();
        if self.options.json {
            match self.json() {
                Ok(lines) => out = lines,
                Err(error) => self.failure.record(Err(error.into())),
            }
        } else {
            if self.options.is_live && self.painted_ns > 0 {
                out.push_str("\x1b[H\x1b[J");
            }
            let top = self.options.top.unwrap_or(TOP);
            let now_ns = self.flows.newest_ns().max(self.painted_ns);
            self.table(&mut out, top, now_ns);
            self.text
                .summary(&mut out, summary, &NotShown::default(), world);
        }
        self.write(&out);
        Vec::new()
    }

    fn has_failed(&self) -> bool {
        self.failure.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.after(self.sink.flush())
    }

    fn close(&mut self) -> io::Result<()> {
        self.failure.after(self.sink.close())
    }
}

#[cfg(test)]
mod tests;
