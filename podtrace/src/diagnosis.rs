//! Whether one end reaches another, and where its packets or the answers to them die.
//!
//! Pure: paths in, a [`Report`] out. Of the packets of the two, few are kept: one that arrived,
//! and one for each way to die.
mod conclude;
mod half;
mod plan;
mod report;
mod road;
mod unwatched;
mod way;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    findings::Finding,
    model::{
        drop::KernelDrop,
        probes::{Ask, LADDER, Listener, Outcomes, Probed, Probes},
    },
    packet::{Ends, Packet, Protocol, TCP_RST, Transport},
    path::Path,
    select::{Peer, sends},
    verdict::verdict,
    world::{World, locate::Located},
};
use half::{Class, Half};
pub use plan::{Plan, Unsent};
pub use report::{Conclusion, HalfReport, Report, ReportedEnd, Rung, Stop};
use unwatched::Unwatched;

/// Upper bound of the flows whose answers are told by their ends alone.
const FLOWS_MAX: usize = 4096;
/// Upper bound of the questions for neighbours that are kept, and of the answers.
const QUESTIONS_MAX: usize = 16;
/// An answer that was not seen this time after its request was not sent, in nanoseconds: a second,
/// and what it takes until the end of its path is known.
const ANSWER_NS: u64 = 1_500_000_000;
/// How long it takes to know that a neighbour does not answer, in nanoseconds: a kernel holds packets
/// for it for three questions, a second each (`mcast_solicit` and `retrans_time_ms` of
/// net.ipv4.neigh); then the path of what it says has to end.
const HELD_NS: u64 = 4_500_000_000;
/// What is certain by so many packets, for so long, is told before the time is over.
const CERTAIN_PACKETS: u64 = 3;
const CERTAIN_NS: u64 = 2_000_000_000;

/// One end that is asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedEnd {
    /// Who.
    pub peer: Peer,
    /// As it was given, safe for a terminal.
    pub text: String,
}

/// The question: does the source reach the destination?
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Who asks.
    pub source: AskedEnd,
    /// Who answers.
    pub destination: AskedEnd,
    /// ICMP echo, TCP or UDP; by default ICMP echo, or what a Service has ports of.
    pub protocol: Option<Protocol>,
    /// The port of the destination.
    pub port: Option<u16>,
}

/// Where the packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Others send them while podtrace watches.
    Watched,
    /// podtrace sends some itself.
    Probed,
    /// They were recorded.
    Recorded,
}

/// The direction of a packet of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

/// What is known of the two so far.
pub struct Diagnosis {
    pair: Pair,
    mode: Mode,
    request: Half,
    reply: Half,
    /// The ladder's.
    large: [Half; 2],
    /// The lengths of the ladder that were answered.
    answered: BTreeSet<u32>,
    /// Whether the source's own namespace has reset its packets in the name of another.
    is_reset_at_source: bool,
    /// The ends of packets that answer.
    answers: BTreeSet<(IpAddr, Option<u16>, IpAddr, Option<u16>)>,
    /// Those of flows that the destination has begun.
    foreign: BTreeSet<(IpAddr, Option<u16>, IpAddr, Option<u16>)>,
    /// Addresses of neighbours that the source has asked for, and those that have answered.
    questions: BTreeMap<IpAddr, Path>,
    neighbours: BTreeSet<IpAddr>,
    /// Whether the destination is a Service; none while that was not looked up.
    is_service: Option<bool>,
    /// Drops of packets that no tap may have seen, in each direction.
    dropped: [Option<Box<KernelDrop>>; 2],
    /// Where the two are, if that was looked up since the time has advanced.
    located: Option<[Option<Located>; 2]>,
    probes: Option<Probes>,
    probed: Vec<Probed>,
    notes: Vec<String>,
    /// What their packets tell together.
    found: Vec<Finding>,
    /// The socket that connections are asked of, if there is one.
    listener: Option<Listener>,
    /// When podtrace has sent some.
    sent_ns: Option<u64>,
    /// When the first of its packets had ended.
    begun_ns: Option<u64>,
    now_ns: u64,
    unwatched: Unwatched,
    /// Why packets of theirs may not have been seen, if there is a reason for all of the time.
    unseen: Option<&'static str>,
}

/// The ends of a flow, in one direction.
fn key(ends: Ends) -> (IpAddr, Option<u16>, IpAddr, Option<u16>) {
    let ((from, from_port), (to, to_port)) = (ends.from(), ends.to());
    (from, from_port, to, to_port)
}

impl Diagnosis {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(pair: Pair, mode: Mode) -> Self {
        Self {
            pair,
            mode,
            request: Half::default(),
            reply: Half::default(),
            large: <[Half; 2]>::default(),
            answered: BTreeSet::new(),
            is_reset_at_source: false,
            answers: BTreeSet::new(),
            foreign: BTreeSet::new(),
            questions: BTreeMap::new(),
            neighbours: BTreeSet::new(),
            is_service: None,
            dropped: <[Option<Box<KernelDrop>>; 2]>::default(),
            located: None,
            probes: None,
            probed: Vec::new(),
            notes: Vec::new(),
            found: Vec::new(),
            listener: None,
            sent_ns: None,
            begun_ns: None,
            now_ns: 0,
            unwatched: Unwatched::default(),
            unseen: None,
        }
    }

    /// Records that names have changed.
    pub fn rename(&mut self) {
        self.is_service = None;
    }

    /// Adds a sentence to the evidence.
    pub fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }

    /// Records what is sent.
    pub fn probe(&mut self, probes: Probes) {
        self.probes = Some(probes);
        self.sent_ns = Some(self.now_ns);
    }

    /// Records what came of it.
    pub fn probed(&mut self, outcome: Outcomes) {
        self.probed = outcome.probed;
        let ladders = self.probed.iter().filter(|probed| probed.what == LADDER);
        self.answered
            .extend(ladders.flat_map(|ladder| &ladder.lengths));
        self.listener = outcome.listener;
    }

    /// Records that this time has come.
    pub fn advance(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        self.located = None;
    }

    /// Records why packets may not have been seen, if there is a reason for all of the time.
    pub fn note_unseen(&mut self, unseen: Option<&'static str>) {
        self.unseen = unseen;
    }

    /// Takes a drop of a packet that may have no path, if it is of the two.
    pub fn add_drop(&mut self, drop: &KernelDrop, packet: &Packet, world: &World) {
        if drop.is_beyond(packet) {
            return;
        }
        let [Some(source), Some(destination)] = self.located(world) else {
            return;
        };
        let is_of = |end: &Located, address: Option<IpAddr>| {
            address.is_some_and(|address| end.addresses.contains(&address))
        };
        let leads = |from: &Located, to: &Located| {
            is_of(from, packet.source()) && is_of(to, packet.destination())
        };
        let way = match (leads(source, destination), leads(destination, source)) {
            (true, _) => Way::Request,
            (_, true) => Way::Reply,
            _ => return,
        };
        let is_asked = match packet.transport {
            Transport::Echo { reply, .. } => reply == (way == Way::Reply),
            _ => true,
        };
        if is_asked && packet.protocol() == self.asked_protocol() {
            self.dropped[way as usize] = Some(Box::new(drop.without_bytes()));
        }
    }

    /// The protocol of the packets that are asked about, or that are sent.
    fn asked_protocol(&self) -> Protocol {
        let sent = self.probes.as_ref().map(|probes| match probes.ask {
            Ask::Echo => Protocol::Icmp,
            Ask::Connect(_) => Protocol::Tcp,
            Ask::Datagram(_) => Protocol::Udp,
        });
        self.pair.protocol.or(sent).unwrap_or(Protocol::Icmp)
    }

    /// Takes a path that has ended, if it is of the two; returns whether it is, or of a question for
    /// a neighbour.
    pub fn add(&mut self, path: &Path, world: &World) -> bool {
        self.now_ns = self.now_ns.max(path.last_ns());
        let watched = self.as_watched(path, world);
        let path = &*watched;
        if let Some((about, _)) = path.packet.answers() {
            if self.neighbours.len() < QUESTIONS_MAX {
                self.neighbours.insert(about);
            }
            return true;
        }
        if let Some(question) = path.packet.question() {
            self.add_question(question.about, path, world);
            return true;
        }
        let Some(way) = self.way(path, world) else {
            return false;
        };
        self.add_of(way, path, world);
        true
    }

    /// Takes a path that has ended, of a packet that neither of the two sends or gets, if it answers
    /// one of theirs: it died before its ends were translated back. Returns whether it does.
    pub fn add_untranslated(&mut self, path: &Path, world: &World) -> bool {
        let ends = path.packet.ends().filter(|ends| ends.ports.is_some());
        let is_answer = ends.is_some_and(|ends| self.answers.contains(&key(ends)));
        let protocol = self.request.any().map(|path| path.packet.protocol());
        let is_one = is_answer && protocol == Some(path.packet.protocol());
        if is_one {
            self.add_of(Way::Reply, path, world);
        }
        is_one
    }

    fn add_of(&mut self, way: Way, path: &Path, world: &World) {
        if way == Way::Reply && self.is_of_source(path, world) {
            self.is_reset_at_source |= matches!(
                path.packet.transport,
                Transport::Tcp { flags, .. } if flags & TCP_RST != 0
            );
            return;
        }
        self.begun_ns.get_or_insert(self.now_ns);
        let verdict = verdict(path, world);
        let class = Class::of(path, way, verdict.as_ref());
        let is_large = self.is_of_ladder(path);
        if is_large && way == Way::Reply && class == Class::Delivered {
            self.answered.insert(path.packet.length);
        }
        let half = match (is_large, way) {
            (false, Way::Request) => &mut self.request,
            (false, Way::Reply) => &mut self.reply,
            (true, Way::Request) => &mut self.large[0],
            (true, Way::Reply) => &mut self.large[1],
        };
        half.add(path, class, verdict);
        if way == Way::Request && self.answers.len() < FLOWS_MAX {
            let ends = [path.packet.ends(), path.ends()].into_iter().flatten();
            self.answers.extend(ends.map(|ends| key(ends.reversed())));
        }
    }

    fn add_question(&mut self, about: IpAddr, path: &Path, world: &World) {
        let is_asked = sends(path, &self.pair.source.peer, world);
        if is_asked && self.questions.len() < QUESTIONS_MAX {
            self.questions.insert(about, path.clone());
        }
    }

    /// Whether what is known does not change by more of the same.
    #[must_use]
    pub fn is_certain(&self, world: &World) -> bool {
        let is_old = self
            .begun_ns
            .is_some_and(|begun_ns| self.now_ns.saturating_sub(begun_ns) >= CERTAIN_NS);
        is_old
            && self.request.decided() + self.reply.decided() >= CERTAIN_PACKETS
            && !self.awaits_more(world)
            && self.decide_now(0, world).conclusion != Conclusion::Unknown
    }

    /// Whether an answer may come still, or a kernel may hold packets of the two, and tell why it
    /// drops them.
    #[must_use]
    pub fn awaits_more(&self, world: &World) -> bool {
        let since_ns = self.sent_ns.or(self.begun_ns).unwrap_or(self.now_ns);
        if self.now_ns.saturating_sub(since_ns) >= HELD_NS {
            return false;
        }
        let is_young = self.now_ns.saturating_sub(self.request.last_ns) < ANSWER_NS;
        if is_young && self.request.delivered() > 0 && self.reply.all() == 0 {
            return true;
        }
        let is_seen = self.request.all() + self.reply.all() > 0;
        let now = self.decide_now(0, world);
        now.is_open() && (now.conclusion == Conclusion::Lost || !is_seen)
    }

    /// Whether the answer to each packet that podtrace has sent was seen.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let Some(probes) = &self.probes else {
            return false;
        };
        let asked: u32 = self.probed.iter().map(|probed| probed.tried).sum();
        let seen = self.reply.delivered() + self.answered.len() as u64;
        self.answered.len() == probes.ladder.len() && asked > 0 && seen >= asked.into()
    }

    /// Where the source and the destination are, by what is known now.
    #[must_use]
    pub fn ends(&self, world: &World) -> [Option<Located>; 2] {
        [&self.pair.source, &self.pair.destination].map(|end| locate(end, self.now_ns, world))
    }
}

/// Where an end is; the first of several that have its name.
fn locate(end: &AskedEnd, now_ns: u64, world: &World) -> Option<Located> {
    match &end.peer {
        Peer::Address(range) => Some(world.locate_address(range.single()?, now_ns)),
        peer => world
            .locate(&|name| peer.is_called(name))
            .into_iter()
            .next(),
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
