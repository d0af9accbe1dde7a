//! A gate that holds events and paths until their names are known.
//!
//! A pod sends its first packets before its runtime reports the pod. What shows
//! such a pod waits a little; everything else passes.
use std::collections::VecDeque;

use bytes::Bytes;
use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use crate::{
    identity::identities::NAME_WAIT_NS,
    model::{event::Event, tap_point::TapPoint},
    path::{
        Hop, Path,
        ends::{End, Who, ends},
    },
    world::World,
};

/// Upper bound of the bytes that wait; beyond it the oldest passes without its name.
pub(super) const GATE_BYTES: usize = 2 << 20;

/// An item that can wait.
pub(super) enum Gated {
    /// An event, with the number of its packet.
    Event(Box<Event>, u64),
    /// A path that has ended.
    Path(Box<Path>),
}

impl Gated {
    /// An event to show. Its captured bytes are left out, or copied: they would keep their whole
    /// batch in memory.
    pub(super) fn event(event: &Event, packet: u64, with_bytes: bool) -> Self {
        let captured = match with_bytes {
            true => Bytes::copy_from_slice(&event.captured),
            false => Bytes::new(),
        };
        let event = Event {
            captured,
            ..event.clone()
        };
        Self::Event(Box::new(event), packet)
    }

    fn bytes(&self) -> usize {
        // A deque may be twice as long as needed.
        2 * size_of::<Self>()
            + match self {
                Self::Event(event, _) => size_of_val(&**event) + event.captured.len(),
                Self::Path(path) => path.bytes(),
            }
    }

    fn waits(&self, world: &World, now_ns: u64) -> bool {
        match self {
            Self::Event(event, _) => event_waits(event, world, now_ns),
            Self::Path(path) => path_waits(path, world, now_ns),
        }
    }
}

/// Everything that waits, in order.
#[derive(Default)]
pub(super) struct NameGate {
    items: VecDeque<Gated>,
    bytes: usize,
}

impl NameGate {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an item; returns those that no longer have room.
    pub(super) fn push(&mut self, item: Gated) -> Vec<Gated> {
        self.bytes += item.bytes();
        self.items.push_back(item);
        let mut oldest = Vec::new();
        while self.bytes > GATE_BYTES {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            self.bytes -= item.bytes();
            oldest.push(item);
        }
        oldest
    }

    /// Takes the items that need not wait any longer, in order.
    pub(super) fn release(&mut self, world: &World, now_ns: u64) -> Vec<Gated> {
        if self.items.is_empty() {
            return Vec::new();
        }
        let (waiting, free): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.items)
            .into_iter()
            .partition(|item| item.waits(world, now_ns));
        self.items = waiting;
        self.bytes -= free.iter().map(Gated::bytes).sum::<usize>();
        free.into()
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> VecDeque<Gated> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}

/// Whether a name in the event may still come.
pub(super) fn event_waits(event: &Event, world: &World, now_ns: u64) -> bool {
    let tap = (event.interface, event.direction, event.cgroup);
    world.identities.is_waiting(now_ns) && tap_waits(tap, world, now_ns)
}

/// Whether a name in the path may still come.
pub(super) fn path_waits(path: &Path, world: &World, now_ns: u64) -> bool {
    if !world.identities.is_waiting(now_ns) {
        return false;
    }
    let mut hops = path.hops.iter();
    let tap = |hop: &Hop| (hop.interface, hop.direction, hop.cgroup);
    hops.any(|hop| tap_waits(tap(hop), world, now_ns)) || ends_wait(path, world, now_ns)
}

/// Whether the name of a tap point, or of the socket whose cgroup shows there, may still
/// come.
fn tap_waits(
    (interface, direction, cgroup): (u32, Direction, u64),
    world: &World,
    now_ns: u64,
) -> bool {
    let Some(point) = world.tap_points.get(interface) else {
        return false;
    };
    let shows_socket = cgroup != CGROUP_NONE && (point.in_pod || direction == Direction::Socket);
    point
        .pod_netns()
        .is_some_and(|netns| world.identities.awaits_pod(netns, now_ns))
        || shows_socket && world.identities.awaits_socket(cgroup, now_ns)
}

/// Whether an end of the path is a new pod with unknown addresses, or an address that may
/// just have changed hands.
fn ends_wait(path: &Path, world: &World, now_ns: u64) -> bool {
    let (from, to) = ends(path, world);
    [(from, path.hops.first()), (to, path.hops.last())]
        .iter()
        .filter_map(|(end, hop)| Some((end, (*hop)?)))
        .any(|(end, hop)| end_waits(end, hop, world, now_ns))
}

/// `hop`: the one nearest to the end.
fn end_waits(end: &End, hop: &Hop, world: &World, now_ns: u64) -> bool {
    let (Who::Unknown, Some(address)) = (&end.who, end.address) else {
        return false;
    };
    if world.identities.is_in_doubt(address, hop.ts_ns) {
        return now_ns.saturating_sub(hop.ts_ns) < NAME_WAIT_NS;
    }
    let point = world.tap_points.get(hop.interface);
    let netns = point.and_then(TapPoint::nearest_pod);
    !address.is_multicast() && netns.is_some_and(|netns| world.identities.is_new(netns, now_ns))
}
