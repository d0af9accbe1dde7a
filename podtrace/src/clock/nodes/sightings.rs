//! Which packets were seen at two nodes, and when.
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::packet::PacketKey;

/// Maximum number of packets to remember, which take at most 26 MiB.
const CAPACITY: usize = 1 << 18;

/// The seeds are fixed, so that a recording yields the same clocks each time.
type Hashing = BuildHasherDefault<DefaultHasher>;

/// The packets by session left and session entered, as their times there in nanoseconds,
/// each by the clock of its session.
pub(super) type Journeys = BTreeMap<(usize, usize), Vec<[u64; 2]>>;

/// How a packet crossed the uplink of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It left the node (egress).
    Left,
    /// It entered the node (ingress).
    Entered,
}

/// The packets that crossed uplinks, by key, over whole recordings: clocks may be hours
/// apart, so times cannot tell which packets are the same.
///
/// A key is stored as a 64-bit hash. When there are too many, half of them are dropped by
/// hash, which selects the same packets in all sessions.
#[derive(Debug)]
pub struct Sightings {
    sessions: usize,
    capacity: usize,
    /// Only keys whose hash ends in this many zero bits are kept.
    thinned: u32,
    pub(super) packets: HashMap<u64, Sighting, Hashing>,
    /// Packets of sessions that do not show which way they went, and the first such session
    /// that saw each.
    elsewhere: HashMap<u64, u16, Hashing>,
    /// Sessions that do not show which way packets went, and saw one that another session
    /// saw, and those others.
    shared: BTreeSet<u16>,
}

/// Where and when one packet was seen on each [`Side`].
///
/// A key seen twice on one side may belong to two packets; it then counts as never seen, for
/// good.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sighting {
    sessions: [Option<u16>; 2],
    times_ns: [u64; 2],
}

impl Sightings {
    /// Starts with no packets of `sessions` sessions; those beyond 65,536 are ignored.
    #[must_use]
    pub fn new(sessions: usize) -> Self {
        Self::with_capacity(sessions, CAPACITY)
    }

    pub(super) fn with_capacity(sessions: usize, capacity: usize) -> Self {
        Self {
            sessions,
            capacity,
            thinned: 0,
            packets: HashMap::default(),
            elsewhere: HashMap::default(),
            shared: BTreeSet::new(),
        }
    }

    /// Number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Notes that `session` saw a packet at `ts_ns` by its own clock. Calls may come in any
    /// order.
    pub fn note(&mut self, session: usize, key: &PacketKey, side: Side, ts_ns: u64) {
        let hash = Hashing::default().hash_one(key);
        let Ok(session) = u16::try_from(session) else {
            return;
        };
        if hash.trailing_zeros() < self.thinned {
            return;
        }
        if let Some(other) = self.elsewhere.get(&hash).filter(|other| **other != session) {
            self.shared.extend([session, *other]);
        }
        match self.packets.entry(hash) {
            Entry::Occupied(mut entry) => entry.get_mut().add(session, side, ts_ns),
            Entry::Vacant(entry) => {
                let sighting = entry.insert(Sighting::default());
                sighting.add_first(session, side, ts_ns);
                self.thin_out();
            }
        }
    }

    /// Takes down that `session` saw a packet, where it does not show which way it went.
    pub fn note_anywhere(&mut self, session: usize, key: &PacketKey) {
        let hash = Hashing::default().hash_one(key);
        let Ok(session) = u16::try_from(session) else {
            return;
        };
        if hash.trailing_zeros() < self.thinned {
            return;
        }
        let others = self.packets.get(&hash).into_iter();
        let others = others.flat_map(|sighting| sighting.sessions.into_iter().flatten());
        let others: Vec<_> = others
            .chain(self.elsewhere.get(&hash).copied())
            .filter(|other| *other != session)
            .collect();
        if !others.is_empty() {
            self.shared.insert(session);
            self.shared.extend(others);
        }
        self.elsewhere.entry(hash).or_insert(session);
        self.thin_out();
    }

    /// Whether a packet of this session was seen in another one, though not which way it
    /// went.
    pub(super) fn shares(&self, session: usize) -> bool {
        u16::try_from(session).is_ok_and(|session| self.shared.contains(&session))
    }

    fn thin_out(&mut self) {
        while self.packets.len() + self.elsewhere.len() > self.capacity && self.thinned < u64::BITS
        {
            self.thinned += 1;
            let thinned = self.thinned;
            self.packets
                .retain(|hash, _| hash.trailing_zeros() >= thinned);
            self.elsewhere
                .retain(|hash, _| hash.trailing_zeros() >= thinned);
        }
    }

    /// The packets that one session saw leave and another saw enter.
    pub(super) fn journeys(&self) -> Journeys {
        let mut journeys = Journeys::new();
        for Sighting { sessions, times_ns } in self.packets.values() {
            if let [Some(left), Some(entered)] = *sessions
                && left != entered
            {
                let times = journeys.entry((left.into(), entered.into())).or_default();
                times.push(*times_ns);
            }
        }
        journeys
    }
}

impl Sighting {
    fn add_first(&mut self, session: u16, side: Side, ts_ns: u64) {
        self.sessions[side as usize] = Some(session);
        self.times_ns[side as usize] = ts_ns;
    }

    fn add(&mut self, session: u16, side: Side, ts_ns: u64) {
        match self.sessions {
            [None, None] => {}
            [Some(_), Some(_)] => self.sessions = [None, None],
            sessions if sessions[side as usize].is_some() => self.sessions = [None, None],
            _ => self.add_first(session, side, ts_ns),
        }
    }
}
