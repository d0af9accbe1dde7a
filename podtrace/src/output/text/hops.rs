//! The lines below a packet's header: its hops and how it ended.
use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use podtrace_ebpf::record::Direction;

use super::{
    Text,
    remarks::{changes, remarks},
};
use crate::{
    clock::nodes::{duration, signed_duration},
    identity::sockets::{HostProcess, SocketOwner},
    model::tap_point::TapPoint,
    output::paint::{BOLD, CYAN, DIM, GREEN, YELLOW},
    path::{
        Hop, Outcome, Path, RoundTrip,
        clocks::clocks,
        ends::{node_at, sending, short_id},
    },
    text::write,
    world::World,
};

/// Where the text of a line without a time starts.
const INDENT: &str = "                ";
/// Characters of the columns of times and of directions.
const DELTA_WIDTH: usize = 14;
const DIRECTION_WIDTH: usize = 7;
/// Times from this on are shown in milliseconds.
const MILLIS_NS: u64 = 10_000_000;

impl Text {
    pub(super) fn hops(&mut self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let mut owners = std::mem::take(&mut self.owners);
        let (mut owner_width, mut name_width) = (0, 0);
        for (_, _, point) in tap_points(path, world) {
            let owner = world.owner_of(point);
            owner_width = owner_width.max(owner.len());
            name_width = name_width.max(point.name.len());
            owners.push(owner);
        }
        let painter = self.painter();
        let mut ttl = first.ttl;
        for ((number, hop, point), owner) in tap_points(path, world).zip(&owners) {
            delta(out, hop.ts_ns.saturating_sub(first.ts_ns));
            out.push_str(if point.in_pod { "  pod   " } else { "  node  " });
            painter.on(out, CYAN);
            write::padded(out, owner, owner_width);
            painter.off(out, CYAN);
            out.push_str("  ");
            write::padded(out, &point.name, name_width);
            out.push_str("  ");
            write::padded(out, hop.direction.as_str(), DIRECTION_WIDTH);
            remarks(out, ttl, hop);
            changes(out, path, number);
            ttl = hop.ttl;
            let socket = match hop.direction {
                Direction::Socket => Some(world.identities.socket_owner(hop.cgroup)),
                _ if number == 0 => sending(path, world),
                _ => None,
            };
            if let Some(socket) = socket {
                out.push_str("  ");
                owner_text(out, &socket, owner);
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        owners.clear();
        self.owners = owners;
    }

    pub(super) fn outcome(&self, out: &mut String, path: &Path, world: &World) {
        let style = match path.outcome {
            Outcome::Unknown => return,
            Outcome::Delivered | Outcome::LeftForVtep(_) | Outcome::LeftNode => GREEN,
            Outcome::NoSocket
            | Outcome::NotSeenFurther
            | Outcome::EventsLost
            | Outcome::GivenUp => YELLOW,
            Outcome::InFlight | Outcome::NoReceiver => DIM,
        };
        let painter = self.painter();
        out.push_str(INDENT);
        painter.on(out, style);
        outcome_text(out, path, world);
        painter.off(out, style);
        out.push('\n');
        if let Some(round_trip) = &path.round_trip {
            out.push_str(INDENT);
            painter.on(out, BOLD);
            round_trip_text(out, round_trip, world);
            painter.off(out, BOLD);
            out.push('\n');
        }
    }
}

fn outcome_text(out: &mut String, path: &Path, world: &World) {
    let _ = match path.outcome {
        Outcome::Delivered => {
            delivered(out, path, world);
            Ok(())
        }
        Outcome::NoSocket => {
            out.push_str("reached ");
            reached(out, path, world);
            out.push_str(", no container's socket took it");
            clock_remarks(out, path, world);
            Ok(())
        }
        Outcome::LeftForVtep(vtep) => {
            let last_ns = path.hops.last().map_or(0, |hop| hop.ts_ns);
            match node_at(vtep, last_ns, world) {
                Some(node) => write!(out, "left the node for {node} ({vtep})"),
                None => write!(out, "left the node for VTEP {vtep}"),
            }
        }
        Outcome::LeftNode => out.write_str("left the node"),
        Outcome::NotSeenFurther => {
            write!(out, "not seen further after {}", last_place(path, world))
        }
        Outcome::NoReceiver => {
            write!(
                out,
                "no receiver expected after {}",
                last_place(path, world)
            )
        }
        Outcome::EventsLost => out.write_str("incomplete: events were lost, it may have gone on"),
        Outcome::GivenUp => {
            out.write_str("given up, it may have gone on: too many packets under way at once")
        }
        Outcome::InFlight => out.write_str("still under way when the trace ended"),
        Outcome::Unknown => Ok(()),
    };
    let tells_so = matches!(
        path.outcome,
        Outcome::EventsLost | Outcome::GivenUp | Outcome::InFlight
    );
    if let Some(ns) = path.lateness_ns() {
        out.push_str(" (seen again after ");
        micros(out, ns);
        out.push_str(": was slow, not lost)");
    }
    if path.incomplete && !tells_so {
        out.push_str(" (hops may be missing)");
    }
}

/// The hops whose tap points are known, with their numbers from 0.
fn tap_points<'a>(
    path: &'a Path,
    world: &'a World,
) -> impl Iterator<Item = (usize, &'a Hop, &'a TapPoint)> {
    let hops = path.hops.iter().enumerate();
    hops.filter_map(|(number, hop)| Some((number, hop, world.tap_points.get(hop.interface)?)))
}

/// The time since the first hop, in its column.
fn delta(out: &mut String, ns: u64) {
    // A sign, the digits, a point, a digit and the unit.
    let width = 1 + write::digits(ns / 1000) + 5;
    if ns < MILLIS_NS {
        write::spaces(out, DELTA_WIDTH.saturating_sub(width));
        out.push('+');
        return micros(out, ns);
    }
    let mut text = String::from("+");
    micros(&mut text, ns);
    write::spaces(out, DELTA_WIDTH.saturating_sub(text.chars().count()));
    out.push_str(&text);
}

/// A socket's owner, as shown at a tap point of `pod`.
pub(super) fn owner_text(out: &mut String, owner: &SocketOwner, pod: &str) {
    let _ = match owner {
        SocketOwner::None => out.write_str("no socket"),
        SocketOwner::Kernel => out.write_str("the kernel"),
        SocketOwner::Root => out.write_str("no container: the root cgroup"),
        SocketOwner::Container(name) if name.pod.full.as_ref() == pod => out.write_str(&name.name),
        SocketOwner::Container(name) => write!(out, "{name}"),
        SocketOwner::UnnamedContainer(id) => write!(out, "container {}", short_id(id)),
        SocketOwner::Process(process) => {
            process_text(out, process);
            Ok(())
        }
        SocketOwner::Gone(cgroup) => write!(out, "unknown: cgroup {cgroup} is gone"),
        SocketOwner::Unknown(_) => out.write_str("unknown"),
    };
}

/// `sshd[812], alone in ssh.service`, `one of 3 in session-3.scope of user 1000: bash, curl`
/// or `a process in ssh.service`
fn process_text(out: &mut String, process: &HostProcess) {
    let place = |out: &mut String| {
        out.push_str(process.unit.as_deref().unwrap_or(&process.cgroup));
        if let Some(user) = process.user {
            let _ = write!(out, " of user {user}");
        }
    };
    if let Some((pid, command)) = process.only() {
        let _ = write!(out, "{command}[{pid}], alone in ");
        return place(out);
    }
    let Some(many @ 2..) = process.processes else {
        out.push_str("a process in ");
        return place(out);
    };
    let _ = write!(out, "one of {many} processes in ");
    place(out);
    let commands: BTreeSet<_> = process
        .named
        .iter()
        .map(|(_, command)| &**command)
        .collect();
    for (number, command) in commands.into_iter().enumerate() {
        out.push_str(if number == 0 { ": " } else { ", " });
        out.push_str(command);
    }
    if many > process.named.len() as u64 {
        out.push_str(", …");
    }
}

fn delivered(out: &mut String, path: &Path, world: &World) {
    let receivers = receivers(path, world);
    out.push_str("delivered");
    if receivers > 1 {
        let _ = write!(out, " to {receivers} pods");
    }
    if path.hops.len() > 1 {
        out.push_str(" in ");
        micros(out, path.duration_ns());
    }
    clock_remarks(out, path, world);
}

/// The corrections of the nodes' clocks for the path.
fn clock_remarks(out: &mut String, path: &Path, world: &World) {
    for note in clocks(path, world) {
        let _ = match note.uncertainty_ns {
            Some(uncertainty_ns) => write!(
                out,
                " (clock of {} {} ± {})",
                note.node,
                signed_duration(note.offset_ns),
                duration(uncertainty_ns.into())
            ),
            None => write!(out, " (clock of {} unknown)", note.node),
        };
    }
}

/// The pod that the packet has reached.
fn reached(out: &mut String, path: &Path, world: &World) {
    let last = path.hops.last();
    let point = last.and_then(|last| world.tap_points.get(last.interface));
    out.push_str(&point.map_or_else(|| "the pod".into(), |point| world.owner_of(point)));
}

fn receivers(path: &Path, world: &World) -> usize {
    path.hops
        .iter()
        .filter(|hop| {
            hop.direction == Direction::Ingress
                && world
                    .tap_points
                    .get(hop.interface)
                    .is_some_and(|point| point.in_pod)
        })
        .count()
}

fn last_place(path: &Path, world: &World) -> String {
    path.hops
        .last()
        .and_then(|hop| {
            let point = world.tap_points.get(hop.interface)?;
            let direction = hop.direction.as_str();
            let owner = world.owner_of(point);
            Some(format!("{} {direction} of {owner}", point.name))
        })
        .unwrap_or_default()
}

/// `RTT 64.2 µs: eth0~veth1 3.1 µs, veth1~cni0 2.0 µs, beyond cni0 59.1 µs`
fn round_trip_text(out: &mut String, round_trip: &RoundTrip, world: &World) {
    let name = |interface: u32| {
        world
            .tap_points
            .get(interface)
            .map_or("?", |point| point.name.as_ref())
    };
    out.push_str("RTT ");
    micros(out, round_trip.total_ns());
    for (n, pair) in round_trip.at.windows(2).enumerate() {
        if let [(here, here_ns), (next, next_ns)] = pair {
            out.push_str(if n == 0 { ": " } else { ", " });
            out.push_str(name(*here));
            out.push('~');
            out.push_str(name(*next));
            out.push(' ');
            micros(out, here_ns.saturating_sub(*next_ns));
        }
    }
    if let (true, Some((last, rest))) = (round_trip.at.len() > 1, round_trip.at.last()) {
        out.push_str(", beyond ");
        out.push_str(name(*last));
        out.push(' ');
        micros(out, *rest);
    }
}

/// `12.3 µs`, from 10 ms on `12.3 ms`.
pub(crate) fn micros(out: &mut String, ns: u64) {
    if ns < MILLIS_NS {
        write::number(out, ns / 1000);
        out.push('.');
        write::number(out, ns % 1000 / 100);
        out.push_str(" µs");
    } else {
        let ms = Duration::from_nanos(ns).as_secs_f64() * 1e3;
        let _ = write!(out, "{ms:.1} ms");
    }
}
