//! What the packets of a conversation tell together, and a single one does not: which direction
//! died, who does not answer, what large packets do not pass.
//!
//! Pure: ended paths in, findings out. A path costs a look-up of its conversation; what a finding
//! rests on is put into words only for packets that were lost, and at the end.
//!
//! A finding states what packets show. That an answer is missing is shown by its absence alone, so
//! such a finding is made only if podtrace would have seen the answer: all interfaces were watched,
//! nothing was lost, filtered or sampled meanwhile, and the time in which it comes is over.
//!
//! Memory is bounded: [`CONVERSATIONS_MAX`] conversations of 5 KiB at most, and [`ASKED_MAX`]
//! neighbours. Those that were silent for longest are judged, forgotten, and counted.
mod collected;
mod conclude;
mod conversation;
mod direction;
mod dns;
mod handshake;
mod judge;
mod lost;
mod mtu;
mod neighbours;
mod opening;
mod overflows;
mod party;
mod queries;
mod receive_buffer;
mod roads;
mod run;
mod side;
mod table;
mod told;
mod unread;

use std::net::IpAddr;

use crate::{
    model::loss::LostSpan,
    packet::is_group_address,
    path::{Path, losses::Losses},
    rules::candidate::RuleCandidate,
    update::Update,
    verdict::Confidence,
    world::World,
};
use collected::Collected;
use judge::Judge;
use neighbours::Neighbours;
use overflows::Overflows;
pub use party::Party;
use table::Table;

/// Upper bound of the conversations that are known.
pub const CONVERSATIONS_MAX: usize = 1024;
/// Upper bound of the neighbours that are asked for.
pub const ASKED_MAX: usize = 128;

/// What a finding is about, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Requests arrive, replies die on their way.
    ReplyLost,
    /// Requests die on their way.
    RequestLost,
    /// Replies come from another address than the one that was asked.
    OneWayNat,
    /// Large packets die, small ones pass, and the sender is not told.
    PmtuBlackHole,
    /// A full queue of connections leaves those that ask without an answer.
    AcceptQueueFull,
    /// Datagrams find no room at the socket that they are for.
    ReceiveBufferFull,
    /// Nobody answers who asks for a connection.
    SynUnanswered,
    /// One of two queries of a socket is lost where connection tracking takes up both at once.
    ConntrackRace,
    /// A query of DNS has no answer.
    DnsUnanswered,
    /// Somebody refuses.
    Refused,
    /// Nobody has the address that a neighbour asks for.
    NeighbourUnanswered,
    /// Two have the same address.
    DuplicateAddress,
    /// Requests arrive or leave, and nothing comes back.
    OneWay,
    /// Some packets are lost.
    Lossy,
    /// Packets come back another way than they went.
    AsymmetricRoute,
}

impl Kind {
    /// Its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplyLost => "reply_lost",
            Self::RequestLost => "request_lost",
            Self::OneWayNat => "one_way_nat",
            Self::PmtuBlackHole => "pmtu_black_hole",
            Self::AcceptQueueFull => "accept_queue_full",
            Self::ReceiveBufferFull => "receive_buffer_full",
            Self::SynUnanswered => "syn_unanswered",
            Self::ConntrackRace => "conntrack_race",
            Self::DnsUnanswered => "dns_unanswered",
            Self::Refused => "refused",
            Self::NeighbourUnanswered => "neighbour_unanswered",
            Self::DuplicateAddress => "duplicate_address",
            Self::OneWay => "one_way",
            Self::Lossy => "lossy",
            Self::AsymmetricRoute => "asymmetric_route",
        }
    }
}

/// What the packets of one or more conversations tell together. All texts are safe for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// Who asks.
    pub client: Party,
    /// Who is asked.
    pub server: Party,
    /// Their protocol.
    pub protocol: String,
    /// What is found, in one sentence.
    pub sentence: String,
    /// What it is based on, one statement each: counts, times, hops, causes.
    pub evidence: Vec<String>,
    /// How sure it is.
    pub confidence: Confidence,
    /// The rules of firewalls that could be the cause.
    pub rules: Vec<RuleCandidate>,
    /// A command or words to check or mend it.
    pub advice: Option<String>,
    /// How many conversations show it.
    pub conversations: u64,
    /// How many packets show it.
    pub packets: u64,
    /// When the first of them was sent, in nanoseconds.
    pub first_ns: u64,
    /// When the last of them was.
    pub last_ns: u64,
    /// Whether it is shown by what was not seen.
    pub(crate) rests_on_absence: bool,
    /// The neighbour whose silence may be behind it.
    pub(crate) waits_for: Option<IpAddr>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
    /// How many more there were than are kept.
    pub left_out: u64,
    /// How many conversations were forgotten before the end.
    pub forgotten: u64,
}

/// Collects what conversations show.
#[derive(Default)]
pub struct Findings {
    table: Table,
    neighbours: Neighbours,
    collected: Collected,
    losses: Losses,
    overflows: Overflows,
    /// Since when some interfaces are unwatched.
    partial_ns: Option<u64>,
    /// The newest time known.
    now_ns: u64,
}

impl Findings {
    /// Takes a path that has ended.
    pub fn add(&mut self, path: &Path, world: &World) {
        self.now_ns = self.now_ns.max(path.last_ns());
        if self.neighbours.add(path, world) {
            return;
        }
        let Some(ends) = path.packet.ends() else {
            return;
        };
        let is_for_group = path.packet.is_for_group() || is_group_address(ends.destination);
        if is_for_group || path.packet.is_control() {
            return;
        }
        self.table.add(path, ends, world);
        if self.table.is_full() {
            let judge = Judge::new(self.now_ns, &self.losses, self.partial_ns, &self.overflows);
            self.table
                .forget(|conversation| self.collected.extend(judge.judge(conversation)));
        }
    }

    /// Events were lost: they may have been answers.
    pub fn note_loss(&mut self, lost: LostSpan) {
        self.losses.record(lost.from_ns, lost.to_ns);
    }

    /// Takes what an update tells of interfaces that are not watched, and of full queues.
    pub fn note(&mut self, update: &Update) {
        if let Update::Topology(topology) = update {
            self.overflows.add(topology);
        }
        let Update::Attaching {
            left,
            refused,
            partial,
            since_ns,
            begun_ns,
            ts_ns,
            ..
        } = update
        else {
            return;
        };
        let is_partial = *left > 0 || *refused > 0 || *partial > 0;
        match self.partial_ns {
            None if is_partial => self.partial_ns = since_ns.or(*begun_ns).or(Some(0)),
            Some(since_ns) if !is_partial => {
                self.losses.record(since_ns, *ts_ns);
                self.partial_ns = None;
            }
            _ => {}
        }
    }

    /// The time has come to `now_ns`.
    pub fn tick(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
    }

    /// What is found by now. `unseen`: why packets may not have been seen, if there is a reason
    /// for the whole of the trace.
    #[must_use]
    pub fn found(&self, unseen: Option<&str>, world: &World) -> Found {
        let mut collected = self.collected.clone();
        let conversations = self.table.conversations();
        let judge = Judge::new(self.now_ns, &self.losses, self.partial_ns, &self.overflows)
            .with_servers(&conversations);
        for conversation in &conversations {
            collected.extend(judge.judge(conversation));
            collected.extend(roads::asymmetric(conversation, world));
        }
        self.neighbours.conclude(&judge, world, &mut collected);
        collected.found(unseen.is_none(), self.table.forgotten())
    }

    /// Bytes that it takes at most.
    #[cfg(test)]
    pub(crate) fn bytes_max() -> usize {
        CONVERSATIONS_MAX * conversation::BYTES_MAX
            + ASKED_MAX * neighbours::BYTES_MAX
            + overflows::BYTES_MAX
    }
}

#[cfg(test)]
pub(crate) mod tests;
