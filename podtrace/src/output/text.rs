//! The live view: a line per packet, a line per hop, a line for the end.
use std::{fmt::Write as _, net::IpAddr, time::Duration};

use podtrace_ebpf::record::Direction;

use super::{Output, Start, Summary};
use crate::{
    event::Event,
    path::{
        Hop, Outcome, Path, RoundTrip,
        builder::{World, destination, source},
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

    fn end(&self, address: Option<IpAddr>, world: &World) -> String {
        let Some(address) = address else {
            return String::new();
        };
        let owner = world.addresses.get(&address);
        match owner.and_then(|(_, pod)| pod.as_ref()) {
            Some(pod) if !self.options.numeric => format!("{pod} ({address})"),
            _ => address.to_string(),
        }
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
        let ends = (source(&path.packet), destination(&path.packet));
        let (from, to) = if is_loopback(ends.0) {
            let pod = world
                .places
                .get(first.interface)
                .and_then(|p| p.pod.clone());
            let name = |address: Option<IpAddr>| match (&pod, address) {
                (Some(pod), Some(address)) if !self.options.numeric => {
                    format!("{pod} ({address})")
                }
                _ => self.end(address, world),
            };
            (name(ends.0), name(ends.1))
        } else {
            (self.end(ends.0, world), self.end(ends.1, world))
        };
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

    fn hops(&self, out: &mut String, hops: &[Hop], world: &World) {
        let Some(first) = hops.first() else {
            return;
        };
        let owner = |hop: &Hop| {
            world.places.get(hop.interface).map(|place| {
                let name = place.pod.as_ref().unwrap_or(&place.node_name);
                let kind = if place.pod.is_some() { "pod" } else { "node" };
                (kind, name.to_string(), place.name.to_string())
            })
        };
        let rows: Vec<_> = hops
            .iter()
            .filter_map(|hop| Some((hop, owner(hop)?)))
            .collect();
        let width = |f: fn(&(&str, String, String)) -> usize| {
            rows.iter().map(|(_, names)| f(names)).max().unwrap_or(0)
        };
        let (owner_width, name_width) = (width(|n| n.1.len()), width(|n| n.2.len()));
        let mut ttl = first.ttl;
        for (hop, (kind, owner, name)) in &rows {
            let delta = format!("+{}", micros(hop.ts_ns.saturating_sub(first.ts_ns)));
            let _ = write!(out, "{delta:>14}  {kind:<4}  ");
            self.paint(out, CYAN, &format!("{owner:<owner_width$}"));
            let direction = hop.direction.as_str();
            let _ = write!(out, "  {name:<name_width$}  {direction:<7}");
            if let Some(tunnel) = hop.tunnel {
                let _ = write!(
                    out,
                    "  VXLAN vni {} {} -> {}",
                    tunnel.vni, tunnel.source, tunnel.destination
                );
            }
            if let (Some(before), Some(now)) = (ttl, hop.ttl)
                && before != now
            {
                let _ = write!(out, "  ttl {before} -> {now}");
            }
            ttl = hop.ttl;
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
        }
    }

    fn outcome(&self, out: &mut String, path: &Path, world: &World) {
        let (style, text) = match path.outcome {
            Outcome::Delivered => {
                let receivers = receivers(path, world);
                let duration = micros(path.duration_ns());
                if path.hops.len() == 1 {
                    (GREEN, "delivered".into())
                } else if receivers > 1 {
                    (
                        GREEN,
                        format!("delivered to {receivers} pods in {duration}"),
                    )
                } else {
                    (GREEN, format!("delivered in {duration}"))
                }
            }
            Outcome::LeftForVtep(vtep) => (GREEN, format!("left the node for VTEP {vtep}")),
            Outcome::LeftNode => (GREEN, "left the node".into()),
            Outcome::NotSeenFurther => (
                YELLOW,
                format!("not seen further after {}", last_place(path, world)),
            ),
            Outcome::EventsLost => (
                YELLOW,
                "incomplete: events were lost, it may have gone on".into(),
            ),
            Outcome::GivenUp => (
                YELLOW,
                "given up: too many packets under way at once".into(),
            ),
            Outcome::InFlight => (DIM, "still under way when the trace ended".into()),
        };
        out.push_str("                ");
        self.paint(out, style, &text);
        out.push('\n');
        if let Some(round_trip) = &path.round_trip {
            out.push_str("                ");
            self.paint(out, BOLD, &round_trip_text(round_trip, world));
            out.push('\n');
        }
    }
}

fn is_loopback(address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| address.is_loopback())
}

fn receivers(path: &Path, world: &World) -> usize {
    path.hops
        .iter()
        .filter(|hop| {
            hop.direction == Direction::Ingress
                && world
                    .places
                    .get(hop.interface)
                    .is_some_and(|place| place.pod.is_some())
        })
        .count()
}

fn last_place(path: &Path, world: &World) -> String {
    path.hops
        .last()
        .and_then(|hop| {
            let place = world.places.get(hop.interface)?;
            let owner = place.pod.as_ref().unwrap_or(&place.node_name);
            Some(format!(
                "{} {} of {owner}",
                place.name,
                hop.direction.as_str()
            ))
        })
        .unwrap_or_default()
}

/// `RTT 64.2 µs: eth0~veth1 3.1 µs, veth1~cni0 2.0 µs, beyond cni0 59.1 µs`
fn round_trip_text(round_trip: &RoundTrip, world: &World) -> String {
    let name = |interface: u32| {
        world
            .places
            .get(interface)
            .map_or("?", |place| place.name.as_ref())
    };
    let mut text = format!("RTT {}", micros(round_trip.total_ns()));
    for (n, pair) in round_trip.at.windows(2).enumerate() {
        if let [(here, here_ns), (next, next_ns)] = pair {
            let between = micros(here_ns.saturating_sub(*next_ns));
            let separator = if n == 0 { ":" } else { "," };
            let _ = write!(
                text,
                "{separator} {}~{} {between}",
                name(*here),
                name(*next)
            );
        }
    }
    if let (true, Some((last, rest))) = (round_trip.at.len() > 1, round_trip.at.last()) {
        let _ = write!(text, ", beyond {} {}", name(*last), micros(*rest));
    }
    text
}

fn micros(ns: u64) -> String {
    if ns < 10_000_000 {
        format!("{}.{} µs", ns / 1000, ns % 1000 / 100)
    } else {
        format!("{:.1} ms", Duration::from_nanos(ns).as_secs_f64() * 1e3)
    }
}

impl Output for Text {
    fn start(&mut self, out: &mut String, info: &Start) {
        let _ = writeln!(
            out,
            "podtrace on {} · {} interfaces, {} pods, {} network namespaces · tcx · Ctrl-C to stop",
            info.nodes.join(", "),
            info.interfaces,
            info.pods,
            info.namespaces
        );
    }

    fn event(&mut self, _: &mut String, _: &Event, _: u64, _: &World) {}

    fn path(&mut self, out: &mut String, path: &Path, world: &World) {
        self.header(out, path, world);
        self.hops(out, &path.hops, world);
        self.outcome(out, path, world);
    }

    fn notice(&mut self, out: &mut String, text: &str) {
        self.paint(out, DIM, &format!("-- {text}"));
        out.push('\n');
    }

    fn summary(&mut self, out: &mut String, summary: &Summary, world: &World) {
        let total = summary.total();
        let _ = write!(out, "\n{} packets", summary.packets);
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
                        let owner = place.pod.as_ref().unwrap_or(&place.node_name);
                        format!("{owner} {}", place.name)
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
