//! The lines below a packet's header: its hops and how it ended.
use std::{fmt::Write as _, time::Duration};

use podtrace_ebpf::record::Direction;

use super::{BOLD, CYAN, DIM, GREEN, Text, YELLOW};
use crate::{
    identity::sockets::SocketOwner,
    path::{
        Hop, Outcome, Path, RoundTrip,
        builder::World,
        ends::{is_for_a_socket, node_at, sending, short_id},
    },
};

/// Where the text of a line without a time starts.
const INDENT: &str = "                ";

/// A hop's columns.
struct Row {
    kind: &'static str,
    owner: String,
    name: String,
    remark: Option<String>,
}

impl Text {
    pub(super) fn hops(&self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let rows: Vec<_> = path
            .hops
            .iter()
            .enumerate()
            .filter_map(|(number, hop)| Some((hop, row(path, number, hop, world)?)))
            .collect();
        let width = |f: fn(&Row) -> usize| rows.iter().map(|(_, row)| f(row)).max().unwrap_or(0);
        let (owner_width, name_width) = (width(|row| row.owner.len()), width(|row| row.name.len()));
        let mut ttl = first.ttl;
        for (hop, row) in &rows {
            let delta = format!("+{}", micros(hop.ts_ns.saturating_sub(first.ts_ns)));
            let _ = write!(out, "{delta:>14}  {:<4}  ", row.kind);
            self.paint(out, CYAN, &format!("{:<owner_width$}", row.owner));
            let direction = hop.direction.as_str();
            let _ = write!(out, "  {:<name_width$}  {direction:<7}", row.name);
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
            if let Some(remark) = &row.remark {
                let _ = write!(out, "  {remark}");
            }
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
        }
    }

    pub(super) fn outcome(&self, out: &mut String, path: &Path, world: &World) {
        let (style, text) = match path.outcome {
            Outcome::Delivered => (GREEN, delivered(path, world)),
            Outcome::LeftForVtep(vtep) => {
                let last_ns = path.hops.last().map_or(0, |hop| hop.ts_ns);
                let text = match node_at(vtep, last_ns, world) {
                    Some(node) => format!("left the node for {node} ({vtep})"),
                    None => format!("left the node for VTEP {vtep}"),
                };
                (GREEN, text)
            }
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
        out.push_str(INDENT);
        self.paint(out, style, &text);
        out.push('\n');
        if let Some(round_trip) = &path.round_trip {
            out.push_str(INDENT);
            self.paint(out, BOLD, &round_trip_text(round_trip, world));
            out.push('\n');
        }
    }
}

fn row(path: &Path, number: usize, hop: &Hop, world: &World) -> Option<Row> {
    let place = world.places.get(hop.interface)?;
    let owner = match hop.direction {
        Direction::Socket => Some(world.directory.socket_owner(hop.cgroup)),
        _ if number == 0 => sending(path, world),
        _ => None,
    };
    let name = place.owner(&world.directory);
    Some(Row {
        kind: if place.in_pod { "pod" } else { "node" },
        remark: owner.map(|owner| owner_text(&owner, &name)),
        owner: name.to_string(),
        name: place.name.to_string(),
    })
}

/// A socket's owner, told at a place of `pod`.
fn owner_text(owner: &SocketOwner, pod: &str) -> String {
    match owner {
        SocketOwner::None => "no socket".into(),
        SocketOwner::Kernel => "the kernel".into(),
        SocketOwner::Root => "no container: the root cgroup".into(),
        SocketOwner::Container(name) if name.pod.full.as_ref() == pod => name.name.to_string(),
        SocketOwner::Container(name) => format!("{}[{}]", name.pod.full, name.name),
        SocketOwner::UnnamedContainer(id) => format!("container {}", short_id(id)),
        SocketOwner::Process(cgroup) => format!("a process in {cgroup}"),
        SocketOwner::Gone(cgroup) => format!("unknown: cgroup {cgroup} is gone"),
        SocketOwner::Unknown(_) => "unknown".into(),
    }
}

fn delivered(path: &Path, world: &World) -> String {
    let receivers = receivers(path, world);
    let mut text = String::from("delivered");
    if receivers > 1 {
        let _ = write!(text, " to {receivers} pods");
    }
    if path.hops.len() > 1 {
        let _ = write!(text, " in {}", micros(path.duration_ns()));
    }
    if receivers == 1 && missed_every_socket(path, world) {
        text += "; no container's socket took it";
    }
    if path.incomplete {
        text += " (hops may be missing)";
    }
    text
}

/// Whether no socket took a packet that is for one, where all were watched.
fn missed_every_socket(path: &Path, world: &World) -> bool {
    let Some(last) = path.hops.last() else {
        return false;
    };
    let place = world.places.get(last.interface);
    let netns = place.and_then(|place| place.pod_netns());
    !path.incomplete
        && is_for_a_socket(&path.packet)
        && path.sockets().next().is_none()
        && netns.is_some_and(|netns| world.directory.was_watched(netns, last.ts_ns))
}

fn receivers(path: &Path, world: &World) -> usize {
    path.hops
        .iter()
        .filter(|hop| {
            hop.direction == Direction::Ingress
                && world
                    .places
                    .get(hop.interface)
                    .is_some_and(|place| place.in_pod)
        })
        .count()
}

fn last_place(path: &Path, world: &World) -> String {
    path.hops
        .last()
        .and_then(|hop| {
            let place = world.places.get(hop.interface)?;
            let direction = hop.direction.as_str();
            let owner = place.owner(&world.directory);
            Some(format!("{} {direction} of {owner}", place.name))
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
