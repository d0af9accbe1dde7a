//! Answers to packets whose paths have ended.
use std::collections::VecDeque;

use super::{
    Builder,
    answerer::{Tap, comes_from},
};
use crate::{
    packet::{Transport, asks_to_connect},
    path::{LateOf, Outcome, Path, refusal::Refusal},
    world::World,
};

/// Upper bound of the paths that have left the node, and are still known when an answer comes.
const LEFT_MAX: usize = 512;
/// The same of those that have arrived: a receiver of this node answers at once.
const ARRIVED_MAX: usize = 128;
/// Upper bound of the hops of such a path.
const HOPS_MAX: usize = 16;
/// Upper bound of the bytes of all that is kept.
#[cfg(test)]
pub(super) const BYTES: usize =
    (LEFT_MAX + ARRIVED_MAX) * (size_of::<Path>() + HOPS_MAX * size_of::<crate::path::Hop>());
/// Upper bound of the answers to packets whose paths have ended and were not shown yet.
const PENDING_MAX: usize = 64;
/// How long such an answer is kept, in nanoseconds: longer than a path waits to be shown.
const PENDING_NS: u64 = 2_000_000_000;

/// The ended paths of packets that may be refused.
#[derive(Default)]
pub(super) struct Ended {
    /// Those that have left and were shown.
    left: Kept<LEFT_MAX>,
    /// Those that have arrived and were shown, where no tap tells of sockets.
    arrived: Kept<ARRIVED_MAX>,
    /// Answers to those that were not shown, by the number of the refused packet.
    pending: VecDeque<(u64, Refusal, Tap)>,
}

/// The newest paths of a kind, `MAX` at most, the oldest first.
#[derive(Default)]
struct Kept<const MAX: usize>(VecDeque<(u64, Option<Box<Path>>)>);

impl<const MAX: usize> Kept<MAX> {
    fn push(&mut self, path: Box<Path>) {
        if self.0.len() >= MAX {
            self.0.pop_front();
        }
        self.0.push_back((path.id, Some(path)));
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
    pub(super) fn refuse_ended(&mut self, id: u64, refusal: Refusal, tap: Tap, world: &World) {
        if !refusal.reason.is_refusal() {
            return;
        }
        let Ended {
            left,
            arrived,
            pending,
        } = &mut self.refusals.ended;
        let Some(known) = left.find(id).or_else(|| arrived.find(id)) else {
            if pending.len() >= PENDING_MAX {
                pending.pop_front();
            }
            pending.push_back((id, refusal, tap));
            return;
        };
        if let Some(mut path) = known.take_if(|path| comes_from(path, tap, world)) {
            path.late_of = Some(LateOf::of(&path));
            path.id = self.next_id;
            self.next_id += 1;
            set(&mut path, refusal);
            self.finished.push(path);
        }
    }

    /// Adds to a path that is about to be shown the answer that has refused it since it ended.
    #[inline]
    pub fn amend(&mut self, path: &mut Path, world: &World) {
        if !self.refusals.ended.pending.is_empty() {
            self.refusals.ended.amend(path, world);
        }
    }

    /// Takes a path that was shown: an answer may still come.
    #[inline]
    pub fn keep(&mut self, path: Box<Path>) {
        let ended = &mut self.refusals.ended;
        match path.outcome {
            _ if path.hops.len() > HOPS_MAX => {}
            Outcome::LeftNode | Outcome::LeftForVtep(_) => ended.left.push(path),
            Outcome::Delivered if may_be_refused(&path) => ended.arrived.push(path),
            _ => {}
        }
    }
}

impl Ended {
    /// Takes the path of this number if it has left and was shown.
    pub(super) fn take_left(&mut self, id: u64) -> Option<Box<Path>> {
        self.left.find(id)?.take()
    }

    fn amend(&mut self, path: &mut Path, world: &World) {
        let now_ns = path.last_ns();
        self.pending
            .retain(|(_, refusal, _)| now_ns.saturating_sub(refusal.ts_ns) <= PENDING_NS);
        let at = self.pending.iter().position(|(id, ..)| *id == path.id);
        if let Some((_, refusal, tap)) = at.and_then(|at| self.pending.remove(at))
            && comes_from(path, tap, world)
        {
            set(path, refusal);
        }
    }
}

/// Adds an answer to a path. What has arrived stays delivered: its receiver did not want it.
fn set(path: &mut Path, refusal: Refusal) {
    match path.outcome {
        Outcome::LeftNode | Outcome::LeftForVtep(_) => path.outcome = Outcome::Refused,
        Outcome::Delivered if path.refusal.is_none() => {}
        _ => return,
    }
    let hops = path.hops.len();
    path.refusal = Some(Box::new(Refusal { hops, ..refusal }));
}

/// Whether the receiver of a delivered packet may refuse it: no socket has taken it.
fn may_be_refused(path: &Path) -> bool {
    let is_asked_for = match path.packet.transport {
        Transport::Udp { .. } | Transport::Other => true,
        Transport::Tcp { flags, .. } => asks_to_connect(flags),
        _ => false,
    };
    is_asked_for && path.refusal.is_none() && path.sockets().next().is_none()
}
