//! The lines below a packet's header: its hops.
use std::{collections::BTreeSet, fmt::Write as _, sync::Arc, time::Duration};

use anstyle::Style;
use podtrace_ebpf::record::Direction;

use super::{
    Text,
    remarks::{changes, remarks},
};
use crate::{
    identity::sockets::{HostProcess, SocketOwner},
    model::tap_point::TapPoint,
    output::paint::{DIM, NODE, NUMBER, POD},
    path::{
        Hop, Path,
        ends::{sending, short_id},
        flood::Copies,
    },
    text::{count::counted, write},
    world::World,
};

/// Where the text of a line without a time starts.
pub(super) const INDENT: &str = "                ";
/// Characters of the columns of times and of directions.
const DELTA_WIDTH: usize = 14;
const DIRECTION_WIDTH: usize = 7;
/// Where the names of pods and nodes begin.
const OWNER_COLUMN: usize = DELTA_WIDTH + 8;
/// Of more ports that got a copy, so many are named.
const PORTS_NAMED: usize = 2;
/// Times from this on are shown in milliseconds.
const MILLIS_NS: u64 = 10_000_000;

impl Text {
    pub(super) fn hops(&mut self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let mut owners = std::mem::take(&mut self.owners);
        let (mut owner_width, mut name_width) = (0, 0);
        let copies = if self.options.unfolds {
            Copies::default()
        } else {
            Copies::of(path, world)
        };
        let shown = || shown_hops(path, &copies, world);
        for (_, _, point) in shown() {
            let owner = world.owner_of(point);
            owner_width = owner_width.max(write::width_of(&owner));
            name_width = name_width.max(write::width_of(&point.name));
            owners.push(owner);
        }
        if let Some(columns) = self.columns {
            // Only long names have to go beyond their column then.
            let others = OWNER_COLUMN + 2 + name_width + 2 + DIRECTION_WIDTH;
            owner_width = owner_width.min(columns.saturating_sub(others));
        }
        let painter = self.painter();
        let mut ttl = first.ttl;
        for ((number, hop, point), owner) in shown().zip(&owners) {
            painter.on(out, NUMBER);
            delta(out, hop.ts_ns.saturating_sub(first.ts_ns));
            painter.off(out, NUMBER);
            out.push_str(if point.in_pod { "  pod   " } else { "  node  " });
            let style = style_of(point);
            painter.on(out, style);
            write::padded(out, owner, owner_width);
            painter.off(out, style);
            out.push_str("  ");
            write::padded(out, &point.name, name_width);
            out.push_str("  ");
            write::padded(out, hop.direction.as_str(), DIRECTION_WIDTH);
            self.hop_words(out, path, (number, hop), ttl, owner, world);
            ttl = hop.ttl;
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        if copies.count() > 0 {
            out.push_str(INDENT);
            painter.paint(out, DIM, &copies_text(&copies, path, world));
            out.push('\n');
        }
        owners.clear();
        self.owners = owners;
    }

    /// What `make` makes of each hop that is shown one by one: by its tap point, whose that is, and
    /// what is remarkable of it. `scratch`: for these words.
    pub(crate) fn each_hop<'a, T>(
        &self,
        scratch: &mut String,
        path: &'a Path,
        copies: &'a Copies,
        world: &'a World,
        mut make: impl FnMut(&'a Hop, &'a TapPoint, Arc<str>, &str) -> T,
    ) -> Box<[T]> {
        let mut ttl = path.hops.first().and_then(|first| first.ttl);
        let hops = shown_hops(path, copies, world).map(|(number, hop, point)| {
            let owner = world.owner_of(point);
            scratch.clear();
            self.hop_words(scratch, path, (number, hop), ttl, &owner, world);
            ttl = hop.ttl;
            make(hop, point, owner, scratch)
        });
        hops.collect()
    }

    /// What stands below the hops.
    pub(crate) fn tail(&self, out: &mut String, path: &Path, copies: &Copies, world: &World) {
        if copies.count() > 0 {
            out.push_str(&copies_text(copies, path, world));
            out.push('\n');
        }
        self.outcome_lines(out, "", path, world);
    }

    /// What is remarkable of a hop: each part begins with two spaces. `ttl`: that of the hop
    /// before; `owner`: whose the tap point is.
    fn hop_words(
        &self,
        out: &mut String,
        path: &Path,
        (number, hop): (usize, &Hop),
        ttl: Option<u8>,
        owner: &str,
        world: &World,
    ) {
        remarks(out, ttl, hop);
        changes(out, path, number, world);
        let socket = match hop.direction {
            Direction::Socket => Some(world.identities.socket_owner(hop.cgroup)),
            _ if number == 0 => sending(path, world),
            _ => None,
        };
        if let Some(socket) = socket {
            out.push_str("  ");
            owner_text(out, &socket, owner);
        }
    }
}

/// The style of names at a tap point.
pub(super) fn style_of(point: &TapPoint) -> Style {
    if point.in_pod { POD } else { NODE }
}

/// The hops that are shown one by one and whose tap points are known, with their numbers from 0.
fn shown_hops<'a>(
    path: &'a Path,
    copies: &'a Copies,
    world: &'a World,
) -> impl Iterator<Item = (usize, &'a Hop, &'a TapPoint)> {
    let shown = path.shown_hops().filter(|(number, _)| !copies.has(*number));
    shown.filter_map(|(number, hop)| Some((number, hop, world.tap_points.get(hop.interface)?)))
}

/// `also seen at 8 ports of cni0 (default/a, default/b, 6 more)`
fn copies_text(copies: &Copies, path: &Path, world: &World) -> String {
    let count = copies.count();
    let mut out = format!("also seen at {}", counted(count as u64, "port"));
    if let Some(bridge) = Copies::bridge(path, world) {
        let _ = write!(out, " of {bridge}");
    }
    let named = if count > PORTS_NAMED + 1 {
        PORTS_NAMED
    } else {
        count
    };
    for (number, name) in copies.behind(world).take(named).enumerate() {
        out.push_str(if number == 0 { " (" } else { ", " });
        out.push_str(&name);
    }
    if count > named {
        let _ = write!(out, ", {} more", count - named);
    }
    out.push(')');
    out
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
    write::spaces(out, DELTA_WIDTH.saturating_sub(write::width_of(&text)));
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
        SocketOwner::Removed(cgroup) => write!(out, "unknown: cgroup {cgroup} is gone"),
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
