//! The lines below a packet's header: its hops.
use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use podtrace_ebpf::record::Direction;

use super::{
    Text,
    remarks::{changes, remarks},
};
use crate::{
    identity::sockets::{HostProcess, SocketOwner},
    model::tap_point::TapPoint,
    output::paint::{CYAN, DIM},
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
/// Times from this on are shown in milliseconds.
const MILLIS_NS: u64 = 10_000_000;

impl Text {
    pub(super) fn hops(&mut self, out: &mut String, path: &Path, world: &World) {
        let Some(first) = path.hops.first() else {
            return;
        };
        let mut owners = std::mem::take(&mut self.owners);
        let (mut owner_width, mut name_width) = (0, 0);
        let copies = Copies::of(path, world);
        let shown = || shown_hops(path, &copies, world);
        for (_, _, point) in shown() {
            let owner = world.owner_of(point);
            owner_width = owner_width.max(owner.len());
            name_width = name_width.max(point.name.len());
            owners.push(owner);
        }
        let painter = self.painter();
        let mut ttl = first.ttl;
        for ((number, hop, point), owner) in shown().zip(&owners) {
            delta(out, hop.ts_ns.saturating_sub(first.ts_ns));
            out.push_str(if point.in_pod { "  pod   " } else { "  node  " });
            painter.on(out, CYAN);
            write::padded(out, owner, owner_width);
            painter.off(out, CYAN);
            out.push_str("  ");
            write::padded(out, &point.name, name_width);
            out.push_str("  ");
            write::padded(out, hop.direction.as_str(), DIRECTION_WIDTH);
            self.hop_words(out, path, (number, hop), ttl, owner, world);
            ttl = hop.ttl;
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        if copies.ports > 0 {
            out.push_str(INDENT);
            painter.paint(out, DIM, &copies_text(&copies));
            out.push('\n');
        }
        owners.clear();
        self.owners = owners;
    }

    /// What is remarkable of a hop: each part begins with two spaces. `ttl`: that of the hop
    /// before; `owner`: whose the tap point is.
    pub(crate) fn hop_words(
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

/// The hops that are shown one by one and whose tap points are known, with their numbers from 0.
pub(crate) fn shown_hops<'a>(
    path: &'a Path,
    copies: &'a Copies,
    world: &'a World,
) -> impl Iterator<Item = (usize, &'a Hop, &'a TapPoint)> {
    let hops = path.hops.iter().enumerate();
    let shown = hops.filter(|(number, _)| !copies.has(*number));
    shown.filter_map(|(number, hop)| Some((number, hop, world.tap_points.get(hop.interface)?)))
}

/// What stands for the hops that are not shown one by one.
pub(crate) fn copies_text(copies: &Copies) -> String {
    format!("also seen by {}", counted(copies.ports as u64, "port"))
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
