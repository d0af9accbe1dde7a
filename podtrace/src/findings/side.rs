//! One direction of a conversation.
use std::sync::Arc;

use podtrace_ebpf::record::Direction;

use super::{
    lost::{Lost, Refused, length},
    run::Runs,
    unread::Unread,
};
use crate::{
    model::tap_point::Role,
    packet::IPPROTO_UDP,
    path::{LateOf, Outcome, Path, refusal::Reason},
    world::World,
};

/// What became of a packet, as far as a conversation is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It reached its receiver.
    Arrived,
    /// It left the traced nodes.
    Left,
    /// The network has lost it.
    Lost,
    /// A queue was full, and TCP is to be slower: no fault of the network.
    Congested,
    /// Somebody refused it.
    Refused,
    /// Nothing is known, or nothing is to be expected.
    Undecided,
}

/// The packets of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    counts: [u64; 6],
    /// Which of them were lost one after the other.
    pub(super) runs: Runs,
    /// When the first was seen, and the last.
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    /// When the last was sent that arrived or left.
    pub(super) through_ns: u64,
    /// One that was lost.
    pub(super) lost: Option<Arc<Lost>>,
    /// One that was too long for an interface, or longer than all that passed.
    pub(super) long: Option<Arc<Lost>>,
    /// How many of those were lost, and the shortest of them.
    pub(super) long_lost: u64,
    pub(super) shortest_lost: Option<u32>,
    /// The longest that arrived or left.
    pub(super) longest_through: u32,
    /// How many are copies of what was sent before, and how many of them stand for one that was
    /// lost and have arrived or left.
    pub(super) copies: u64,
    pub(super) repaired: u64,
    /// Those that their socket had no room for.
    pub(super) unread: Unread,
    /// The numbers of the newest paths that were lost.
    newest_lost: [u64; 4],
    /// One that somebody refused; of its end nothing is kept where one was lost.
    pub(super) refused: Option<Box<Refused>>,
    /// The first uplinks that packets passed, of two nodes at most.
    pub(super) uplinks: [Option<u32>; 2],
    /// Where one left, in words.
    pub(super) exit: Option<Box<str>>,
    /// Whether the first hop of its packets is at their sender.
    pub(super) is_from_sender: bool,
}

/// The role of a side: who asks, or who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Client,
    Server,
}

impl Fate {
    pub(super) fn of(path: &Path, of: Of) -> Self {
        let is_doubtful = path.ambiguous || path.incomplete;
        match Self::of_outcome(path.outcome, is_doubtful, path.packet.ip_protocol(), of) {
            Self::Lost if is_congestion(path) => Self::Congested,
            // A shaper splits a super-packet, and its segments may be seen as packets of their own;
            // who traces a route lets the TTL run out.
            Self::Lost if is_rest(path) || is_at_end_of_ttl(path) => Self::Undecided,
            Self::Refused | Self::Arrived | Self::Left if is_expired(path) => Self::Undecided,
            // Nobody sends an answer again that has no way.
            Self::Refused if of == Of::Server && is_unreachable(path) => Self::Lost,
            Self::Arrived | Self::Left if path.was_refused() => Self::Refused,
            fate => fate,
        }
    }

    fn of_outcome(outcome: Outcome, is_doubtful: bool, protocol: Option<u8>, of: Of) -> Self {
        match outcome {
            Outcome::Delivered => Self::Arrived,
            // It has reached its socket.
            Outcome::Unanswered => Self::Arrived,
            Outcome::LeftNode | Outcome::LeftForVtep(_) => Self::Left,
            Outcome::Refused => Self::Refused,
            // Who has asked may be gone, and who closes a connection may not read the rest.
            Outcome::NoSocket if of == Of::Server || protocol != Some(IPPROTO_UDP) => {
                Self::Undecided
            }
            Outcome::NotSeenFurther | Outcome::Dropped | Outcome::Loop | Outcome::NoSocket => {
                match is_doubtful {
                    true => Self::Undecided,
                    false => Self::Lost,
                }
            }
            Outcome::EventsLost
            | Outcome::GivenUp
            | Outcome::InFlight
            | Outcome::Unknown
            | Outcome::NoReceiver => Self::Undecided,
        }
    }
}

/// Whether it is what is left of a super-packet, and no kernel says that it dropped it.
fn is_rest(path: &Path) -> bool {
    path.part_of.is_some() && path.dropped.is_none()
}

/// Whether it was seen last with a TTL that ends at the next router.
fn is_at_end_of_ttl(path: &Path) -> bool {
    let last = path.last_own_hop();
    last.is_some_and(|hop| hop.ttl.is_some_and(|ttl| ttl <= 1))
}

/// Whether a queue was full.
fn is_congestion(path: &Path) -> bool {
    const QUEUES: [&str; 5] = [
        "QDISC_DROP",
        "QDISC_OVERLIMIT",
        "QDISC_CONGESTED",
        "CPU_BACKLOG",
        "FULL_RING",
    ];
    let dropped = path.dropped.as_deref();
    let reason = dropped.and_then(|dropped| dropped.by.reason.as_deref());
    reason.is_some_and(|reason| QUEUES.contains(&reason))
}

/// Whether an error of ICMP says that there is no way.
fn is_unreachable(path: &Path) -> bool {
    let reason = path.refusal.as_deref().map(|refusal| refusal.reason);
    matches!(reason, Some(Reason::Icmp(error)) if match error.is_v4 {
        true => error.kind == 3 && !matches!(error.code, 2..=4),
        false => error.kind == 1 && error.code != 4,
    })
}

/// Whether its TTL has expired, as that of a traceroute is to.
fn is_expired(path: &Path) -> bool {
    let reason = path.refusal.as_deref().map(|refusal| refusal.reason);
    matches!(reason, Some(Reason::Icmp(error)) if match error.is_v4 {
        true => error.kind == 11,
        false => error.kind == 3,
    })
}

impl Side {
    pub(super) fn count(&self, fate: Fate) -> u64 {
        self.counts[fate as usize]
    }

    /// How many packets there were.
    pub(super) fn packets(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many went as far as they can be seen.
    pub(super) fn through(&self) -> u64 {
        self.count(Fate::Arrived) + self.count(Fate::Left)
    }

    /// Adds a path.
    pub(super) fn add(&mut self, path: &Path, of: Of, world: &World) {
        let ts_ns = path.first_ns();
        if let Some(before) = path.late_of {
            self.take_back(before, path, ts_ns, of);
        } else {
            if self.packets() == 0 {
                self.first_ns = ts_ns;
                self.is_from_sender = is_from_sender(path, world);
            }
            self.copies += u64::from(path.copy_of.is_some());
        }
        self.last_ns = self.last_ns.max(ts_ns);
        let fate = Fate::of(path, of);
        self.counts[fate as usize] += 1;
        self.unread.add(path);
        match fate {
            Fate::Arrived | Fate::Left => self.add_through(path, ts_ns, fate, world),
            Fate::Lost => self.add_lost(path, ts_ns, world),
            Fate::Refused => self.add_refused(path, ts_ns, world),
            Fate::Congested | Fate::Undecided => {}
        }
    }

    fn take_back(&mut self, before: LateOf, path: &Path, ts_ns: u64, of: Of) {
        let is_doubtful = before.ambiguous || before.incomplete;
        let protocol = path.packet.ip_protocol();
        let fate = Fate::of_outcome(before.outcome, is_doubtful, protocol, of);
        let count = &mut self.counts[fate as usize];
        *count = count.saturating_sub(1);
        if fate == Fate::Lost {
            self.runs.take_back(ts_ns);
            let is_it = |lost: &mut Arc<Lost>| lost.path == before.id;
            self.lost.take_if(is_it);
            if self.long.take_if(is_it).is_some() {
                self.long_lost = self.long_lost.saturating_sub(1);
                self.shortest_lost = None;
            }
        }
    }

    fn add_through(&mut self, path: &Path, ts_ns: u64, fate: Fate, world: &World) {
        self.runs.add(ts_ns, false);
        self.through_ns = self.through_ns.max(ts_ns);
        let repairs = path
            .copy_of
            .is_some_and(|of| self.newest_lost.contains(&of));
        self.repaired += u64::from(repairs);
        self.longest_through = self.longest_through.max(length(path));
        if fate == Fate::Left && self.exit.is_none() {
            self.exit = exit(path, world);
        }
        if self.through() == 1 {
            let is_uplink = |number: &u32| {
                let point = world.tap_points.get(*number);
                point.is_some_and(|point| point.role == Role::Uplink)
            };
            let mut uplinks = path.hops.iter().map(|hop| hop.interface).filter(is_uplink);
            self.uplinks = [uplinks.next(), uplinks.next()];
        }
    }

    fn add_lost(&mut self, path: &Path, ts_ns: u64, world: &World) {
        self.runs.add(ts_ns, true);
        self.newest_lost.rotate_right(1);
        self.newest_lost[0] = path.id;
        let length = length(path);
        let is_long = length > self.longest_through.max(MINIMUM_MTU);
        let is_new = self.lost.is_none() || self.runs.last() == 1 || is_long && self.long.is_none();
        if is_new && let Some(lost) = Lost::of(path, world) {
            if is_long && self.long.is_none() {
                self.long = Some(Arc::clone(&lost));
            }
            self.lost = Some(lost);
            if let Some(refused) = &mut self.refused {
                refused.end = None;
            }
        }
        if is_long {
            self.long_lost += 1;
            let shortest = self.shortest_lost.unwrap_or(length);
            self.shortest_lost = Some(shortest.min(length));
        }
    }

    fn add_refused(&mut self, path: &Path, ts_ns: u64, world: &World) {
        self.runs.add(ts_ns, false);
        if self.refused.is_none() {
            let mut refused = Refused::of(path, world).map(Box::new);
            if let Some(refused) = refused.as_mut().filter(|_| self.lost.is_none()) {
                refused.end = Lost::of(path, world);
            }
            self.refused = refused;
        }
    }
}

/// Each host takes packets of that length (RFC 791).
const MINIMUM_MTU: u32 = 576;

/// Whether the first hop of a packet is at its sender.
fn is_from_sender(path: &Path, world: &World) -> bool {
    let first = path.hops.first();
    let point = first.and_then(|first| world.tap_points.get(first.interface));
    first
        .zip(point)
        .is_some_and(|(first, point)| match point.role {
            Role::Capture => false,
            Role::Veth => first.direction == Direction::Ingress && point.leads_to.is_some(),
            _ => first.direction == Direction::Egress,
        })
}

/// `eth0 of worker1 in the tunnel to 192.168.77.12`
fn exit(path: &Path, world: &World) -> Option<Box<str>> {
    let point = path.last_point(world)?;
    let tunnel = match path.outcome {
        Outcome::LeftForVtep(vtep) => format!(" in the tunnel to {vtep}"),
        _ => String::new(),
    };
    let owner = world.owner_of(point);
    Some(format!("{} of {owner}{tunnel}", point.name).into())
}
