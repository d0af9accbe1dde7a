//! The live view: a line per packet, a line per hop, a line for the end.
mod bytes;
mod dropped;
mod event;
mod findings;
mod header;
mod hops;
mod outcome;
mod places;
mod receivers;
mod remarks;
mod sequences;
mod summary;
mod times;
mod verdict;

use std::{fmt::Write as _, sync::Arc};

use anstyle::Style;

pub use bytes::Bytes;
pub(crate) use hops::micros;
pub(crate) use outcome::Tone;
#[cfg(feature = "tui")]
pub(crate) use outcome::outcome_style;
use sequences::Sequences;
pub use sequences::TcpNumbers;
pub use times::TimeFormat;
use times::Times;

use super::{
    paint::{DIM, LOSS, NUMBER, Painter},
    width::Width,
};
use crate::{
    findings::Found,
    model::{event::Event, loss::Loss, start::Start},
    output::render::Render,
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    text::{count::counted, wrap::wrap},
    world::World,
};

/// Options of the text view.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextOptions {
    /// ANSI colours.
    pub color: bool,
    /// Addresses only, no pod names in the header line.
    pub numeric: bool,
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub epoch_ns: i128,
    /// What is shown of a packet.
    pub layout: Layout,
    /// How times are shown.
    pub time: TimeFormat,
    /// What is shown of bytes and the link layer.
    pub bytes: Bytes,
    /// How TCP's numbers are shown.
    pub tcp: TcpNumbers,
    /// How wide lines may be.
    pub width: Width,
    /// Whether each copy that a bridge sends to its ports is shown.
    pub unfolds: bool,
    /// The clock of a live trace: CLOCK_MONOTONIC in nanoseconds. It tells how long ago a packet was
    /// sent that is shown behind later ones.
    pub now: Option<fn() -> u64>,
}

/// What is shown of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Its path: a line for it, one for each hop and one for the outcome.
    #[default]
    Paths,
    /// The same, without the hops of what arrived or left.
    QuietHops,
    /// One line for its path.
    Compact,
    /// One line for each hop, as it happens.
    Events,
}

/// The text view.
pub struct Text {
    options: TextOptions,
    times: Times,
    sequences: Sequences,
    /// The owners of the hops' tap points; kept to reuse its memory.
    owners: Vec<Arc<str>>,
    /// How many columns lines may have.
    columns: Option<usize>,
    /// When the newest packet shown was first seen.
    newest_ns: u64,
}

/// Where the text of a packet's first line goes on: behind its time.
const HEADER_INDENT: &str = "                 ";
/// Where that of a hop does.
const HOP_INDENT: &str = "                        ";
/// Where that of an outcome does.
const OUTCOME_INDENT: &str = "                  ";
/// Where that of other lines does.
const FURTHER: &str = "  ";

impl Text {
    /// Times are shown in `zone`.
    #[must_use]
    pub fn new(options: TextOptions, zone: jiff::tz::TimeZone) -> Self {
        Self {
            options,
            times: Times::new(options.time, zone),
            sequences: Sequences::default(),
            owners: Vec::new(),
            columns: options.width.columns(),
            newest_ns: 0,
        }
    }

    /// Begins to append to `out`. A terminal may have another width since the last text was
    /// handed on.
    fn begin(&mut self, out: &str) -> usize {
        if out.is_empty() {
            self.columns = self.options.width.columns();
        }
        out.len()
    }

    /// Breaks lines that are too wide, from a byte on.
    fn wrap(&self, out: &mut String, from: usize, indent: &str) {
        wrap(out, from, self.columns, indent);
    }

    fn painter(&self) -> Painter {
        Painter {
            color: self.options.color,
        }
    }

    /// Appends a line that is no packet's.
    fn remark(&mut self, out: &mut String, text: &str, style: Style) {
        let begin = self.begin(out);
        self.painter().paint(out, style, &format!("-- {text}"));
        out.push('\n');
        self.wrap(out, begin, "   ");
    }

    /// The whole path in one line.
    fn compact(&mut self, out: &mut String, path: &Path, world: &World) {
        self.header(out, path, world);
        out.push_str("  ");
        let (shown, all) = (path.shown_hops().count(), path.hops.len());
        if shown < all {
            let _ = write!(out, "{shown} of ");
        }
        out.push_str(&counted(all as u64, "hop"));
        if outcome::has_words(path) {
            out.push_str("  ");
            self.painted_outcome(out, path, world);
        }
        if let Some(round_trip) = path.measured_trip() {
            out.push_str("  RTT ");
            let painter = self.painter();
            painter.on(out, NUMBER);
            micros(out, round_trip.total_ns());
            painter.off(out, NUMBER);
        }
        out.push('\n');
        self.frame(out, path);
    }
}

impl Render for Text {
    fn shows_paths(&self) -> bool {
        self.options.layout != Layout::Events
    }

    fn shows_findings(&self) -> bool {
        true
    }

    fn findings(&mut self, out: &mut String, found: &Found) {
        self.finding_lines(out, found);
    }

    fn shows_events(&self) -> bool {
        self.options.layout == Layout::Events
    }

    fn shows_bytes(&self) -> bool {
        self.options.bytes.any()
    }

    fn event(&mut self, out: &mut String, event: &Event, packet: u64, world: &World) {
        if self.shows_events() {
            let begin = self.begin(out);
            self.event_line(out, event, packet, world);
            self.wrap(out, begin, HEADER_INDENT);
        }
    }

    fn start(&mut self, out: &mut String, info: &Start) {
        let begin = self.begin(out);
        if let Some(source) = &info.source {
            let nodes = info.nodes.join(", ");
            let _ = writeln!(out, "podtrace replay of {nodes} · {source}");
            return self.wrap(out, begin, FURTHER);
        }
        if let Some(agents) = info.agents {
            let nodes = info.nodes.join(", ");
            let agents = counted(agents as u64, "agent");
            let _ = writeln!(out, "podtrace on {nodes} · {agents} · Ctrl-C to stop");
            return self.wrap(out, begin, FURTHER);
        }
        let attach = info.attach.as_ref().map(|attach| format!(" · {attach}"));
        let interfaces = match info.attaching {
            Some(left) => format!(
                "{} of {} interfaces",
                info.interfaces,
                info.interfaces + left
            ),
            None => counted(info.interfaces as u64, "interface"),
        };
        let _ = writeln!(
            out,
            "podtrace on {} · {}, {}, {}{} · Ctrl-C to stop",
            info.nodes.join(", "),
            interfaces,
            counted(info.pods as u64, "pod"),
            counted(info.namespaces as u64, "network namespace"),
            attach.unwrap_or_default()
        );
        self.wrap(out, begin, FURTHER);
    }

    fn path(&mut self, out: &mut String, path: &Path, world: &World) {
        let begin = self.begin(out);
        match self.options.layout {
            Layout::Events => return,
            Layout::Compact => {
                self.compact(out, path, world);
                return self.wrap(out, begin, HEADER_INDENT);
            }
            Layout::Paths | Layout::QuietHops => {}
        }
        self.header(out, path, world);
        out.push('\n');
        self.wrap(out, begin, HEADER_INDENT);
        self.frame(out, path);
        if self.options.layout == Layout::Paths || !path.outcome.has_gone_on() {
            let begin = out.len();
            self.hops(out, path, world);
            self.wrap(out, begin, HOP_INDENT);
        }
        let begin = out.len();
        self.outcome(out, path, world);
        self.wrap(out, begin, OUTCOME_INDENT);
    }

    fn hidden(&mut self, path: &Path) {
        // An event is shown before its path has ended: what it was counted from stays.
        if !self.shows_events() {
            self.pass_over(path);
        }
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        self.remark(out, text, DIM);
    }

    fn loss(&mut self, out: &mut String, loss: &Loss, world: &World) {
        self.remark(out, &world.loss_in_words(loss), LOSS);
    }

    fn summary(
        &mut self,
        out: &mut String,
        summary: &Summary,
        not_shown: &NotShown,
        world: &World,
    ) {
        let begin = self.begin(out);
        self.summary_lines(out, summary, not_shown, world);
        self.wrap(out, begin, FURTHER);
    }
}

#[cfg(test)]
mod tests;
