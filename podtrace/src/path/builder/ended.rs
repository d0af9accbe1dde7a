//! Answers to packets whose paths have ended, and drops of such packets.
use std::collections::{BTreeMap, VecDeque};

use super::{Builder, answerer::Answer};
use crate::{
    model::drop::KernelDrop,
    packet::{Transport, asks_to_connect},
    path::{LateOf, Outcome, Path, dropped::Dropped, refusal::Refusal},
    world::World,
};

/// Upper bound of the paths that have left the node, and are still known when an answer comes.
const LEFT_MAX: usize = 432;
/// The same of those that have arrived: a receiver of this node answers at once.
const ARRIVED_MAX: usize = 128;
/// Upper bound of the hops of such a path.
const HOPS_MAX: usize = 16;
/// Upper bound of the bytes of all that is kept.
#[cfg(test)]
pub(super) const BYTES: usize = (LEFT_MAX + ARRIVED_MAX)
    * (size_of::<Path>() + HOPS_MAX * size_of::<crate::path::Hop>())
    + PENDING_MAX * (size_of::<(Pending, Heard)>() + HEARD_BYTES + 64);
/// The bytes of what is heard of one.
#[cfg(test)]
const HEARD_BYTES: usize = {
    let (refusal, drop) = (size_of::<(Refusal, Answer)>(), size_of::<KernelDrop>());
    if refusal > drop { refusal } else { drop }
};
/// Upper bound of what is known of packets whose paths have ended and were not shown yet: a kernel
/// tells of some hundred drops between two ticks.
const PENDING_MAX: usize = 192;
/// How long after its arrival a kernel may drop a packet, in nanoseconds: it handles it at once.
const HANDLED_NS: u64 = 100_000_000;

/// What is heard of a packet whose path has ended.
enum Heard {
    Refusal(Box<(Refusal, Answer)>),
    Drop(Box<KernelDrop>),
}

impl Heard {
    /// Whether it can be about this path.
    fn is_of(&self, path: &Path, world: &World) -> bool {
        match self {
            Self::Refusal(refusal) => refusal.1.comes_from(path, world),
            Self::Drop(drop) => is_dropped_there(path, drop, world),
        }
    }

    /// Adds it to a path. What was refused where it has arrived stays delivered: its receiver did
    /// not want it.
    fn add_to(self, path: &mut Path) {
        match self {
            Self::Refusal(refusal) => set(path, refusal.0),
            Self::Drop(by) => {
                path.outcome = match path.was_refused() {
                    true => Outcome::Refused,
                    false => Outcome::Dropped,
                };
                path.dropped = Some(Box::new(Dropped {
                    hops: path.hops.len(),
                    by: *by,
                    translated: None,
                }));
            }
        }
    }
}

/// The number of a packet, whether it is said to be dropped, and the number of the answer.
type Pending = (u64, bool, u64);

/// The ended paths of packets that may be refused.
#[derive(Default)]
pub(super) struct Ended {
    /// Those that have left and were shown.
    left: Kept<LEFT_MAX>,
    /// Those that have arrived and were shown, where no tap tells of sockets.
    arrived: Kept<ARRIVED_MAX>,
    /// What was heard of those that were not shown: a firewall that rejects a packet answers and
    /// drops it, and an answer that is forged does not keep another from being heard.
    pending: BTreeMap<Pending, Heard>,
}

/// The newest paths of a kind, `MAX` at most, the oldest first.
#[derive(Default)]
struct Kept<const MAX: usize>(VecDeque<(u64, Option<Box<Path>>)>);

impl<const MAX: usize> Kept<MAX> {
    /// Adds a path; returns the one that is forgotten for it.
    fn push(&mut self, path: Box<Path>) -> Option<Box<Path>> {
        let is_full = self.0.len() >= MAX;
        let oldest = is_full.then(|| self.0.pop_front()).flatten();
        self.0.push_back((path.id, Some(path)));
        oldest?.1
    }

    /// The path of this number; an empty place if it was taken.
    fn find(&mut self, id: u64) -> Option<&mut Option<Box<Path>>> {
        let mut newest_first = self.0.iter_mut().rev();
        let (_, path) = newest_first.find(|(other, _)| *other == id)?;
        Some(path)
    }
}

impl Builder {
    /// Corrects what was shown of a packet that had left or arrived, or sets it before it is
    /// shown.
    pub(super) fn refuse_ended(
        &mut self,
        id: u64,
        refusal: Refusal,
        answer: &Answer,
        world: &World,
    ) {
        if refusal.reason.is_refusal() {
            self.hear(id, Heard::Refusal(Box::new((refusal, *answer))), world);
        }
    }

    /// Corrects what was shown of a packet that had arrived, or sets it before it is shown: the
    /// kernel has dropped it there.
    pub(super) fn drop_ended(&mut self, id: u64, drop: KernelDrop, world: &World) {
        self.hear(id, Heard::Drop(Box::new(drop)), world);
    }

    fn hear(&mut self, id: u64, heard: Heard, world: &World) {
        let Ended {
            left,
            arrived,
            pending,
        } = &mut self.refusals.ended;
        let Some(known) = left.find(id).or_else(|| arrived.find(id)) else {
            let key = match &heard {
                Heard::Refusal(refusal) => (id, false, refusal.0.packet),
                Heard::Drop(_) => (id, true, 0),
            };
            pending.entry(key).or_insert(heard);
            if pending.len() > PENDING_MAX {
                pending.pop_first();
            }
            return;
        };
        if let Some(mut path) = known.take_if(|path| heard.is_of(path, world)) {
            path.late_of = Some(LateOf::of(&path));
            path.id = self.next_id;
            self.next_id += 1;
            heard.add_to(&mut path);
            self.finished.push(path);
        }
    }

    /// Adds to a path that is about to be shown what was heard of it since it ended, and of packets
    /// like it.
    #[inline]
    pub fn amend(&mut self, path: &mut Path, world: &World) {
        if !self.refusals.ended.pending.is_empty() {
            self.refusals.ended.amend(path, world);
        }
        if !self.floods.is_empty() && self.floods.may_have(path, world) {
            path.outcome = Outcome::Unknown;
            path.is_untold = true;
        }
    }

    /// Takes a path that was shown: more may still be heard of it.
    #[inline]
    pub fn keep(&mut self, path: Box<Path>) {
        let ended = &mut self.refusals.ended;
        let unneeded = match path.outcome {
            _ if path.hops.len() > HOPS_MAX => Some(path),
            Outcome::LeftNode | Outcome::LeftForVtep(_) => ended.left.push(path),
            Outcome::Delivered if is_undecided(&path) => ended.arrived.push(path),
            _ => Some(path),
        };
        if let Some(path) = unneeded {
            self.spare.put(path);
        }
    }
}

impl Ended {
    /// Takes the path of this number if it has left and was shown.
    pub(super) fn take_left(&mut self, id: u64) -> Option<Box<Path>> {
        self.left.find(id)?.take()
    }

    fn amend(&mut self, path: &mut Path, world: &World) {
        let all = (path.id, false, 0)..=(path.id, true, u64::MAX);
        let next = |pending: &BTreeMap<Pending, Heard>| {
            let mut its = pending.range(all.clone());
            its.next().map(|(key, _)| *key)
        };
        while let Some(key) = next(&self.pending)
            && let Some(heard) = self.pending.remove(&key)
        {
            if heard.is_of(path, world) {
                heard.add_to(path);
            }
        }
    }
}

/// Adds an answer to a path. What has arrived stays delivered: its receiver did not want it.
fn set(path: &mut Path, refusal: Refusal) {
    match path.outcome {
        Outcome::LeftNode | Outcome::LeftForVtep(_) => path.outcome = Outcome::Refused,
        // The firewall that has dropped it says so.
        Outcome::Dropped if path.refusal.is_none() => path.outcome = Outcome::Refused,
        Outcome::Delivered if path.refusal.is_none() => {}
        _ => return,
    }
    let hops = path.hops.len();
    path.refusal = Some(Box::new(Refusal { hops, ..refusal }));
}

/// Whether an ended path's packet can have been dropped where it had arrived, or on its way out
/// of the node: queues are behind the taps.
fn is_dropped_there(path: &Path, drop: &KernelDrop, world: &World) -> bool {
    let Some(last) = path.last_own_hop() else {
        return false;
    };
    let point = world.tap_points.get(last.interface);
    let after_ns = drop.ts_ns.checked_sub(last.ts_ns);
    let may_be = match path.outcome {
        // Of any protocol: the network drops what is for a kernel itself, too.
        Outcome::Delivered => path.is_refused_arrival(drop),
        outcome => outcome.has_left(),
    };
    let is_at_once = after_ns.is_some_and(|after_ns| after_ns <= HANDLED_NS);
    let is_here = point.is_some_and(|point| point.netns_id == drop.netns);
    may_be && is_at_once && is_here && !path.packet.is_for_many()
}

/// Whether a delivered packet may not have been wanted where it has arrived: no socket has taken
/// it. What is for a kernel itself, no socket takes.
fn is_undecided(path: &Path) -> bool {
    let is_asked_for = match path.packet.transport {
        Transport::Udp { .. } | Transport::Echo { .. } | Transport::Fragment | Transport::Other => {
            true
        }
        Transport::Tcp { flags, .. } => asks_to_connect(flags),
        _ => false,
    };
    is_asked_for && path.refusal.is_none() && !path.is_taken()
}
