//! Whether one end reaches another, and where its packets or the answers to them die.
//!
//! Pure: paths in, a [`Report`] out. Of the packets of the two, few are kept: one that arrived,
//! and one for each way to die.
mod conclude;
mod half;
mod plan;
mod report;
mod road;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    model::{
        drop::KernelDrop,
        probes::{Ask, Probed, Probes},
    },
    packet::{Ends, Packet, Protocol, Transport, asks_to_connect},
    path::{Outcome, Path},
    select::{Peer, leads, sends},
    verdict::verdict,
    world::{
        World,
        locate::{Kind, Located},
    },
};
use half::{Class, Half};
pub use plan::Plan;
pub use report::{Conclusion, HalfReport, Report, ReportedEnd, Rung, Stop};

/// Upper bound of the flows whose answers are told by their ends alone.
const FLOWS_MAX: usize = 4096;
/// Upper bound of the unanswered questions for neighbours that are kept.
const QUESTIONS_MAX: usize = 16;
/// An answer that was not seen this time after its request was not sent, in nanoseconds: a second,
/// and what it takes until the end of its path is known.
const ANSWER_NS: u64 = 1_500_000_000;
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
    /// The ends of packets that answer.
    answers: BTreeSet<(IpAddr, Option<u16>, IpAddr, Option<u16>)>,
    /// Those of flows that the destination has begun.
    foreign: BTreeSet<(IpAddr, Option<u16>, IpAddr, Option<u16>)>,
    /// Addresses of neighbours that the source has asked for in vain.
    questions: BTreeMap<IpAddr, Path>,
    /// Whether the destination is a Service; none while that was not looked up.
    is_service: Option<bool>,
    /// Drops of packets that no tap may have seen, in each direction.
    dropped: [Option<Box<KernelDrop>>; 2],
    /// Where the two are, if that was looked up since the time has advanced.
    located: Option<[Option<Located>; 2]>,
    probes: Option<Probes>,
    probed: Vec<Probed>,
    notes: Vec<String>,
    /// When the first of its packets had ended.
    begun_ns: Option<u64>,
    now_ns: u64,
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
            answers: BTreeSet::new(),
            foreign: BTreeSet::new(),
            questions: BTreeMap::new(),
            is_service: None,
            dropped: <[Option<Box<KernelDrop>>; 2]>::default(),
            located: None,
            probes: None,
            probed: Vec::new(),
            notes: Vec::new(),
            begun_ns: None,
            now_ns: 0,
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
    }

    /// Records what came of it.
    pub fn probed(&mut self, probed: Vec<Probed>) {
        self.probed = probed;
    }

    /// Records that this time has come.
    pub fn advance(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        self.located = None;
    }

    /// Takes a drop of a packet that may have no path, if it is of the two.
    pub fn add_drop(&mut self, drop: &KernelDrop, packet: &Packet, world: &World) {
        if drop.is_by_transport() {
            return;
        }
        let now_ns = self.now_ns;
        let pair = &self.pair;
        let located = self.located.get_or_insert_with(|| {
            [&pair.source, &pair.destination].map(|end| locate(end, now_ns, world))
        });
        let [Some(source), Some(destination)] = located else {
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
        let sent = self.probes.as_ref().map(|probes| match probes.ask {
            Ask::Echo => Protocol::Icmp,
            Ask::Connect(_) => Protocol::Tcp,
            Ask::Datagram(_) => Protocol::Udp,
        });
        let wanted = self.pair.protocol.or(sent).unwrap_or(Protocol::Icmp);
        if is_asked && packet.protocol() == wanted {
            self.dropped[way as usize] = Some(Box::new(drop.without_bytes()));
        }
    }

    /// Takes a path that has ended, if it is of the two; returns whether it is.
    pub fn add(&mut self, path: &Path, world: &World) -> bool {
        self.now_ns = self.now_ns.max(path.last_ns());
        if path.outcome == Outcome::Unanswered && path.packet.question().is_some() {
            self.add_question(path, world);
            return false;
        }
        let Some(way) = self.way(path, world) else {
            return false;
        };
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
        true
    }

    fn add_question(&mut self, path: &Path, world: &World) {
        let Some(question) = path.packet.question() else {
            return;
        };
        let is_asked = sends(path, &self.pair.source.peer, world);
        if is_asked && self.questions.len() < QUESTIONS_MAX {
            self.questions.insert(question.about, path.clone());
        }
    }

    /// The direction of a path, if it is of the two and of what is asked about.
    fn way(&mut self, path: &Path, world: &World) -> Option<Way> {
        let ends = path.packet.ends()?;
        let (source, destination) = (&self.pair.source.peer, &self.pair.destination.peer);
        let way = if leads(path, source, destination, world) {
            Way::Request
        } else if self.answers.contains(&key(ends)) || leads(path, destination, source, world) {
            Way::Reply
        } else {
            return None;
        };
        let is_wanted = self.is_of_ladder(path) || self.is_wanted(path, way, world);
        is_wanted.then_some(way)
    }

    fn is_wanted(&mut self, path: &Path, way: Way, world: &World) -> bool {
        let protocol = path.packet.protocol();
        let is_wanted = match self.pair.protocol {
            Some(wanted) => protocol == wanted,
            None if protocol == Protocol::Icmp => true,
            None => self.is_service(world),
        };
        if !is_wanted {
            return false;
        }
        match path.packet.transport {
            Transport::Echo { reply, .. } => reply == (way == Way::Reply),
            Transport::Icmp { .. } | Transport::Neighbor { .. } => false,
            Transport::Tcp { flags, .. } => self.is_ours(path, way, flags),
            _ => self.has_port(path, way),
        }
    }

    /// Whether a TCP packet is of a connection that the source has begun, as far as that was seen.
    fn is_ours(&mut self, path: &Path, way: Way, flags: u8) -> bool {
        if !self.has_port(path, way) {
            return false;
        }
        let Some(ends) = path.packet.ends() else {
            return false;
        };
        if way == Way::Reply && asks_to_connect(flags) {
            if self.foreign.len() < FLOWS_MAX {
                self.foreign.extend([key(ends), key(ends.reversed())]);
            }
            return false;
        }
        !self.foreign.contains(&key(ends))
    }

    fn has_port(&self, path: &Path, way: Way) -> bool {
        let Some(wanted) = self.pair.port else {
            return true;
        };
        let translated = path.translations.iter().map(|one| one.after);
        let mut all = path.packet.ends().into_iter().chain(translated);
        all.any(|ends| {
            let (_, port) = match way {
                Way::Request => ends.to(),
                Way::Reply => ends.from(),
            };
            port == Some(wanted)
        })
    }

    fn is_of_ladder(&self, path: &Path) -> bool {
        let ladder = self.probes.as_ref().map(Probes::ladder_id);
        matches!(path.packet.transport, Transport::Echo { id, .. } if Some(id) == ladder)
    }

    fn is_service(&mut self, world: &World) -> bool {
        let destination = &self.pair.destination;
        *self.is_service.get_or_insert_with(|| {
            let found = locate(destination, 0, world);
            found.is_some_and(|found| found.kind == Kind::Service)
        })
    }

    /// Whether what is known does not change by more of the same.
    #[must_use]
    pub fn is_certain(&self, world: &World) -> bool {
        let is_old = self
            .begun_ns
            .is_some_and(|begun_ns| self.now_ns.saturating_sub(begun_ns) >= CERTAIN_NS);
        is_old
            && self.request.decided() + self.reply.decided() >= CERTAIN_PACKETS
            && self.conclude(0, world).conclusion != Conclusion::Unknown
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
