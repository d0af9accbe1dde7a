//! The live view: a line per packet, a line per hop, a line for the end.
mod hops;
mod remarks;
mod time_of_day;

use std::{fmt::Write as _, sync::Arc};

pub(super) use hops::micros;
use time_of_day::TimeOfDay;

use super::paint::{BOLD, DIM, Painter, YELLOW};
use crate::{
    field::TimeNs,
    model::start::Start,
    output::render::Render,
    path::{
        Outcome, Path,
        ends::{End, Who, ends},
        summary::{NotShown, Summary},
    },
    text::write,
    world::World,
};

/// Options of the text view.
#[derive(Clone, Copy, Debug)]
pub struct TextOptions {
    /// ANSI colours.
    pub color: bool,
    /// Addresses only, no pod names in the header line.
    pub numeric: bool,
    /// UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub epoch_ns: i128,
}

/// The text view.
pub struct Text {
    options: TextOptions,
    time_of_day: TimeOfDay,
    /// The owners of the hops' tap points; kept to reuse its memory.
    owners: Vec<Arc<str>>,
}

impl Text {
    /// Times are shown in `zone`.
    #[must_use]
    pub fn new(options: TextOptions, zone: jiff::tz::TimeZone) -> Self {
        Self {
            options,
            time_of_day: TimeOfDay::new(zone),
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

    fn header(&mut self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let utc_ns = TimeNs::new(self.options.epoch_ns, first.ts_ns).0.into();
        let painter = self.painter();
        painter.on(out, DIM);
        if !self.time_of_day.write(out, utc_ns) {
            let _ = write!(out, "{} ns", first.ts_ns);
        }
        painter.off(out, DIM);
        out.push_str("  ");
        painter.on(out, BOLD);
        path.packet.describe(out);
        painter.off(out, BOLD);
        out.push_str("  ");
        write::number(out, path.packet.length);
        out.push_str(" B   ");
        let (sender, receiver) = ends(path, world);
        // Over localhost both have the same address: showing it once is enough.
        let is_local = sender.address.is_some_and(|address| address.is_loopback());
        match (sender.address, receiver.address, path.packet.link) {
            (None, None, Some(link)) => {
                let _ = write!(out, "{} -> {}", link.source, link.destination);
            }
            (None, None, None) => {}
            _ => {
                self.end(out, &sender, !is_local);
                out.push_str(" -> ");
                self.end(out, &receiver, true);
            }
        }
        if path.part_of.is_some() {
            painter.paint(out, YELLOW, "  (of a packet whose other segments went on)");
        }
        if path.copy_of.is_some() {
            painter.paint(out, DIM, "  (retransmission)");
        }
        if path.ambiguous {
            painter.paint(out, YELLOW, "  (ambiguous: equal packets at once)");
        }
        out.push('\n');
    }
}

/// `1 pod`, `2 pods`
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

impl Render for Text {
    fn shows_paths(&self) -> bool {
        true
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
        self.header(out, path, world);
        self.hops(out, path, world);
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
            let _ = write!(
                out,
                " · {} events with unreadable headers",
                summary.unreadable
            );
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
        let equal = if total.is_conserved() { "=" } else { "≠" };
        let _ = write!(
            out,
            "\nevents: {} seen {equal} {} emitted + {} filtered + {} lost",
            total.seen,
            total.emitted,
            total.filtered,
            total.lost()
        );
        if summary.not_recorded > 0 {
            let _ = write!(out, " · {} not recorded", summary.not_recorded);
        }
        out.push('\n');
        for ((interface, direction), tap) in &summary.taps {
            if tap.lost() > 0 || !tap.is_conserved() {
                let name = world.tap_points.get(*interface).map_or_else(
                    || "all others".to_owned(),
                    |point| format!("{} {}", world.owner_of(point), point.name),
                );
                let _ = writeln!(
                    out,
                    "  {name} {}: {} seen, {} emitted, {} lost (ring full), {} undecodable",
                    direction.as_str(),
                    tap.seen,
                    tap.emitted,
                    tap.lost_ring,
                    tap.undecodable
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
