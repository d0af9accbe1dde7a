//! The live view: a line per packet, a line per hop, a line for the end.
mod event;
mod hops;
mod outcome;
mod remarks;
mod times;

use std::{fmt::Write as _, sync::Arc};

pub(crate) use hops::micros;
#[cfg(feature = "tui")]
pub(crate) use hops::{copies_text, shown_hops};
#[cfg(feature = "tui")]
pub(crate) use outcome::outcome_style;
use remarks::{left_behind, message, quoted};
pub use times::TimeFormat;
use times::Times;

use super::paint::{BOLD, DIM, Painter, YELLOW};
use crate::{
    field::TimeNs,
    model::{event::Event, start::Start},
    output::render::Render,
    packet::Payload,
    path::{
        Outcome, Path,
        ends::{End, Who, ends},
        summary::{NotShown, Summary},
    },
    text::{count::counted, write},
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
    /// The owners of the hops' tap points; kept to reuse its memory.
    owners: Vec<Arc<str>>,
}

impl Text {
    /// Times are shown in `zone`.
    #[must_use]
    pub fn new(options: TextOptions, zone: jiff::tz::TimeZone) -> Self {
        Self {
            options,
            times: Times::new(options.time, zone),
            owners: Vec::new(),
        }
    }

    fn painter(&self) -> Painter {
        Painter {
            color: self.options.color,
        }
    }

    /// `default/mypod1[container1] (10.244.1.2)`, or as much of it as is known.
    fn end(&self, out: &mut String, end: &End, with_address: bool) {
        let Some(address) = end.address else {
            return;
        };
        match &end.who {
            _ if self.options.numeric => return write::address(out, address),
            Who::Unknown => return write::address(out, address),
            Who::On(node) => {
                write::address(out, address);
                out.push_str(" on ");
                return out.push_str(node);
            }
            Who::Pod(name) | Who::Node(name) => out.push_str(name),
        }
        if let Some(container) = &end.container {
            out.push('[');
            out.push_str(container);
            out.push(']');
        }
        if with_address {
            out.push_str(" (");
            write::address(out, address);
            out.push(')');
        }
    }

    /// The packet's line: when it was first seen, what it is, whose it is and for whom.
    pub(crate) fn header(&mut self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let painter = self.painter();
        self.time(out, first.ts_ns);
        out.push_str("  ");
        painter.on(out, BOLD);
        path.packet.describe(out);
        painter.off(out, BOLD);
        out.push_str("  ");
        write::number(out, path.packet.length);
        out.push_str(" B   ");
        self.ends(out, path, true, world);
        if let Some(of) = path.part_of {
            painter.on(out, YELLOW);
            left_behind(out, of);
            painter.off(out, YELLOW);
        }
        if let Some(of) = path.fragment_of {
            painter.paint(
                out,
                DIM,
                match of.in_tunnel {
                    true => "  (later fragment of a tunnel's packet)",
                    false => "  (later fragment of a packet)",
                },
            );
        }
        if path.copy_of.is_some() {
            painter.paint(out, DIM, "  (retransmission)");
        }
        match path.payload.as_deref() {
            Some(Payload::Quote(quote)) => quoted(out, quote),
            Some(Payload::Dns(dns)) => message(out, dns),
            None => {}
        }
        if path.ambiguous {
            painter.paint(out, YELLOW, "  (ambiguous: equal packets at once)");
        }
    }

    /// `default/mypod1 (10.244.1.2) -> default/mypod2 (10.244.1.3)`, or the stations of a frame.
    pub(crate) fn ends(&self, out: &mut String, path: &Path, with_addresses: bool, world: &World) {
        let (sender, receiver) = ends(path, world);
        // Over localhost both have the same address: showing it once is enough.
        let is_local = sender.address.is_some_and(|address| address.is_loopback());
        match (sender.address, receiver.address, path.packet.link) {
            (None, None, Some(link)) => {
                let _ = write!(out, "{} -> {}", link.source, link.destination);
            }
            (None, None, None) => {}
            _ => {
                self.end(out, &sender, with_addresses && !is_local);
                out.push_str(" -> ");
                self.end(out, &receiver, with_addresses);
            }
        }
    }

    /// Appends a time, in its colour.
    pub(crate) fn time(&mut self, out: &mut String, ts_ns: u64) {
        let utc_ns = TimeNs::new(self.options.epoch_ns, ts_ns).0.into();
        let painter = self.painter();
        painter.on(out, DIM);
        if !self.times.write(out, utc_ns) {
            let _ = write!(out, "{ts_ns} ns");
        }
        painter.off(out, DIM);
    }

    /// The whole path in one line.
    fn compact(&mut self, out: &mut String, path: &Path, world: &World) {
        self.header(out, path, world);
        out.push_str("  ");
        out.push_str(&counted(path.hops.len() as u64, "hop"));
        if path.outcome != Outcome::Unknown {
            out.push_str("  ");
            self.painted_outcome(out, path, world);
        }
        if let Some(round_trip) = path.measured_trip() {
            out.push_str("  RTT ");
            micros(out, round_trip.total_ns());
        }
        out.push('\n');
    }
}

/// Whether a packet arrived, or left.
fn has_gone_on(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Delivered | Outcome::LeftForVtep(_) | Outcome::LeftNode
    )
}

impl Render for Text {
    fn shows_paths(&self) -> bool {
        self.options.layout != Layout::Events
    }

    fn shows_events(&self) -> bool {
        self.options.layout == Layout::Events
    }

    fn event(&mut self, out: &mut String, event: &Event, packet: u64, world: &World) {
        if self.shows_events() {
            self.event_line(out, event, packet, world);
        }
    }

    fn start(&mut self, out: &mut String, info: &Start) {
        if let Some(source) = &info.source {
            let nodes = info.nodes.join(", ");
            let _ = writeln!(out, "podtrace replay of {nodes} · {source}");
            return;
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
    }

    fn path(&mut self, out: &mut String, path: &Path, world: &World) {
        match self.options.layout {
            Layout::Events => return,
            Layout::Compact => return self.compact(out, path, world),
            Layout::Paths | Layout::QuietHops => {}
        }
        self.header(out, path, world);
        out.push('\n');
        if self.options.layout == Layout::Paths || !has_gone_on(path.outcome) {
            self.hops(out, path, world);
        }
        self.outcome(out, path, world);
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        self.painter().paint(out, DIM, &format!("-- {text}"));
        out.push('\n');
    }

    fn summary(
        &mut self,
        out: &mut String,
        summary: &Summary,
        not_shown: &NotShown,
        world: &World,
    ) {
        let total = summary.total();
        let _ = write!(out, "\n{}", counted(summary.packets, "packet"));
        for (name, count) in Outcome::NAMES.iter().zip(summary.outcomes) {
            if count > 0 {
                let _ = write!(out, " · {count} {}", name.replace('_', " "));
            }
        }
        if summary.incomplete > 0 {
            let _ = write!(out, " · {} incomplete", summary.incomplete);
        }
        if summary.unreadable > 0 {
            let events = counted(summary.unreadable, "event");
            let _ = write!(out, " · {events} with unreadable headers");
        }
        let left_out = summary.left_out.total();
        if left_out > 0 {
            let _ = write!(
                out,
                " · {} of the files left out",
                counted(left_out, "packet")
            );
        }
        let NotShown {
            packets,
            events: _,
            notices,
        } = *not_shown;
        for (count, noun) in [(packets, "packet"), (notices, "notice")] {
            if count > 0 {
                let _ = write!(out, " · {} not shown", counted(count, noun));
            }
        }
        let _ = write!(out, "\nevents: {}", total.in_words());
        if summary.not_recorded > 0 {
            let _ = write!(out, " · {} not recorded", summary.not_recorded);
        }
        out.push('\n');
        for ((interface, direction), tap) in &summary.taps {
            if tap.missing() > 0 || !tap.is_conserved() {
                let name = world.tap_points.get(*interface).map_or_else(
                    || "all others".to_owned(),
                    |point| format!("{} {}", world.owner_of(point), point.name),
                );
                let _ = write!(
                    out,
                    "  {name} {}: {} seen, {} emitted",
                    direction.as_str(),
                    tap.seen,
                    tap.emitted
                );
                for (count, what) in [
                    (tap.filtered, "filtered"),
                    (tap.lost_ring, "lost (ring full)"),
                    (tap.undecodable, "undecodable"),
                    (tap.unrecorded, "not recorded"),
                ] {
                    if count > 0 {
                        let _ = write!(out, ", {count} {what}");
                    }
                }
                out.push('\n');
            }
        }
    }
}

#[cfg(test)]
mod tests;
