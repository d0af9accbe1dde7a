//! The live view: a line per packet, a line per hop, a line for the end.
mod hops;

use std::fmt::Write as _;

use super::{Output, Start, Summary};
use crate::{
    event::Event,
    path::{
        Outcome, Path,
        builder::World,
        ends::{End, Who, ends},
    },
};

/// What the text view may do.
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
    zone: jiff::tz::TimeZone,
}

const BOLD: &str = "1";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const DIM: &str = "2";

impl Text {
    /// Times are shown in `zone`.
    #[must_use]
    pub fn new(options: TextOptions, zone: jiff::tz::TimeZone) -> Self {
        Self { options, zone }
    }

    fn paint(&self, out: &mut String, style: &str, text: &str) {
        if self.options.color {
            let _ = write!(out, "\x1b[{style}m{text}\x1b[0m");
        } else {
            out.push_str(text);
        }
    }

    fn time(&self, ts_ns: u64) -> String {
        let utc = self.options.epoch_ns + i128::from(ts_ns);
        jiff::Timestamp::from_nanosecond(utc).map_or_else(
            |_| format!("{ts_ns} ns"),
            |time| {
                time.to_zoned(self.zone.clone())
                    .strftime("%H:%M:%S%.6f")
                    .to_string()
            },
        )
    }

    /// `default/mypod1[container1] (10.244.1.2)`, or as much of it as is known.
    fn end(&self, end: &End, with_address: bool) -> String {
        let Some(address) = end.address else {
            return String::new();
        };
        let mut name = match &end.who {
            _ if self.options.numeric => return address.to_string(),
            Who::Unknown => return address.to_string(),
            Who::On(node) => return format!("{address} on {node}"),
            Who::Pod(name) | Who::Node(name) => name.to_string(),
        };
        if let Some(container) = &end.container {
            let _ = write!(name, "[{container}]");
        }
        if with_address {
            let _ = write!(name, " ({address})");
        }
        name
    }

    fn header(&self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let mut what = String::new();
        path.packet.describe(&mut what);
        self.paint(out, DIM, &self.time(first.ts_ns));
        out.push_str("  ");
        self.paint(out, BOLD, &what);
        let _ = write!(out, "  {} B   ", first.wire_len);
        let (sender, receiver) = ends(path, world);
        // Over localhost both have the same address: once is enough.
        let is_local = sender.address.is_some_and(|address| address.is_loopback());
        let (from, to) = (self.end(&sender, !is_local), self.end(&receiver, true));
        match (from.is_empty(), to.is_empty()) {
            (true, true) => {
                if let Some(link) = path.packet.link {
                    let _ = write!(out, "{} -> {}", link.source, link.destination);
                }
            }
            _ => {
                let _ = write!(out, "{from} -> {to}");
            }
        }
        if path.ambiguous {
            self.paint(out, YELLOW, "  (ambiguous: equal packets at once)");
        }
        out.push('\n');
    }
}

/// `1 pod`, `2 pods`
fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

impl Output for Text {
    fn start(&mut self, out: &mut String, info: &Start) {
        let _ = writeln!(
            out,
            "podtrace on {} · {}, {}, {} · tcx · Ctrl-C to stop",
            info.nodes.join(", "),
            counted(info.interfaces as u64, "interface"),
            counted(info.pods as u64, "pod"),
            counted(info.namespaces as u64, "network namespace")
        );
    }

    fn event(&mut self, _: &mut String, _: &Event, _: u64, _: &World) {}

    fn path(&mut self, out: &mut String, path: &Path, world: &World) {
        self.header(out, path, world);
        self.hops(out, path, world);
        self.outcome(out, path, world);
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        self.paint(out, DIM, &format!("-- {text}"));
        out.push('\n');
    }

    fn summary(&mut self, out: &mut String, summary: &Summary, world: &World) {
        let total = summary.total();
        let _ = write!(out, "\n{}", counted(summary.packets, "packet"));
        for (name, count) in Outcome::NAMES.iter().zip(summary.outcomes) {
            if count > 0 {
                let _ = write!(out, " · {count} {}", name.replace('_', " "));
            }
        }
        if summary.unreadable > 0 {
            let _ = write!(
                out,
                " · {} events with unreadable headers",
                summary.unreadable
            );
        }
        let equal = if total.is_conserved() { "=" } else { "≠" };
        let _ = writeln!(
            out,
            "\nevents: {} seen {equal} {} emitted + {} filtered + {} lost",
            total.seen,
            total.emitted,
            total.filtered,
            total.lost()
        );
        for (interface, direction, tap) in &summary.taps {
            if tap.lost() > 0 || !tap.is_conserved() {
                let name = world
                    .places
                    .get(*interface)
                    .map_or_else(String::new, |place| {
                        format!("{} {}", place.owner(&world.directory), place.name)
                    });
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
