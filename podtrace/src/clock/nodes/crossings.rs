//! The packets that were seen at two nodes, and when.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::equal::{Equals, Pairs, Side, Sighting};
use crate::packet::PacketKey;

/// Maximum number of packets to remember, which take at most 26 MiB.
const CAPACITY: usize = 1 << 18;

/// Upper bound of the messages from one session to another.
const MESSAGES_MAX: usize = 64;

/// The seeds are fixed, so that a recording yields the same clocks each time.
type Hashing = BuildHasherDefault<DefaultHasher>;

/// The packets by session left and session entered, as their times there in nanoseconds,
/// each by the clock of its session.
pub(super) type Journeys = BTreeMap<(usize, usize), Vec<[u64; 2]>>;

/// The packets that crossed uplinks, by key, over whole recordings: clocks may be hours
/// apart, so times cannot tell which packets are the same.
///
/// A key is stored as a 64-bit hash. When there are too many, half of them are dropped by
/// hash, which selects the same packets in all sessions.
#[derive(Debug)]
pub struct Crossings {
    sessions: usize,
    capacity: usize,
    /// Only keys whose hash ends in this many zero bits are kept.
    thinned: u32,
    pub(super) packets: HashMap<u64, Crossing, Hashing>,
    /// Packets with keys that were seen twice on one side.
    equal: HashMap<u64, Equals, Hashing>,
    /// The number of times in `equal`.
    equal_times: usize,
    /// Packets of sessions that do not show which way they went, and the first such session
    /// that saw each.
    elsewhere: HashMap<u64, u16, Hashing>,
    /// Sessions that do not show which way packets went, and saw one that another session
    /// saw, and those others.
    shared: BTreeSet<u16>,
    /// What else left one session's node before it reached another's.
    messages: Journeys,
}

/// The sessions whose nodes a packet left and entered, and its times there in nanoseconds, each by
/// the clock of its session.
pub type Journey = ((usize, usize), [u64; 2]);

/// Where and when one packet was seen on each [`Side`].
///
/// A key seen twice on one side may belong to two packets: see [`Equals`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crossing {
    sessions: [Option<u16>; 2],
    times_ns: [u64; 2],
}

impl Crossings {
    /// Starts with no packets of `sessions` sessions; those beyond 65,536 are ignored.
    #[must_use]
    pub fn new(sessions: usize) -> Self {
        Self::with_capacity(sessions, CAPACITY)
    }

    /// As [`Self::new`], which remembers so many packets at most.
    #[must_use]
    pub fn with_capacity(sessions: usize, capacity: usize) -> Self {
        Self {
            sessions,
            capacity,
            thinned: 0,
            packets: HashMap::default(),
            equal: HashMap::default(),
            equal_times: 0,
            elsewhere: HashMap::default(),
            shared: BTreeSet::new(),
            messages: Journeys::new(),
        }
    }

    /// Records that something left the node of `from` at one time and reached that of `to` at
    /// another, each by the clock of its session. The latest of each pair are remembered.
    pub fn record_message(&mut self, (from, to): (usize, usize), times_ns: [u64; 2]) {
        let all = self.messages.entry((from, to)).or_default();
        if all.len() == MESSAGES_MAX {
            all.remove(0);
        }
        all.push(times_ns);
    }

    /// Takes in another session.
    pub fn add_session(&mut self) {
        self.sessions += 1;
    }

    /// Number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Records that `session` saw a packet at `ts_ns` by its own clock. Calls may come in any
    /// order. Returns the packet's way if both ends of it are known by now: the sessions that it
    /// left and entered, and when.
    pub fn record(
        &mut self,
        session: usize,
        key: &PacketKey,
        side: Side,
        ts_ns: u64,
    ) -> Option<Journey> {
        let hash = hash_of(key);
        let session = u16::try_from(session).ok()?;
        if hash.trailing_zeros() < self.thinned {
            return None;
        }
        if let Some(other) = self.elsewhere.get(&hash).filter(|other| **other != session) {
            self.shared.extend([session, *other]);
        }
        if let Some(equals) = self.equal.get_mut(&hash) {
            self.equal_times += usize::from(equals.add(session, side, ts_ns));
        } else {
            self.record_new(hash, session, side, ts_ns);
        }
        let journey = self.packets.get(&hash).and_then(Crossing::journey);
        self.thin_out();
        journey
    }

    /// Records a packet whose key was not seen twice on one side before.
    fn record_new(&mut self, hash: u64, session: u16, side: Side, ts_ns: u64) {
        let crossing = self.packets.entry(hash).or_default();
        if crossing.on(side).is_none() {
            return crossing.add(session, side, ts_ns);
        }
        let mut equals = Equals::of(crossing.sightings());
        equals.add(session, side, ts_ns);
        self.packets.remove(&hash);
        self.equal_times += equals.len();
        self.equal.insert(hash, equals);
    }

    /// The packets with keys that were seen twice on one side, by the key's hash.
    pub(super) fn equals(&self) -> impl Iterator<Item = (u64, &Equals)> {
        self.equal.iter().map(|(hash, equals)| (*hash, equals))
    }

    /// The pairs of equal packets that are likely one packet each.
    pub(super) fn pairs(&self) -> Pairs {
        let mut all = Pairs::new();
        for (ends, pairs) in self.equals().filter_map(|(_, equals)| equals.pairs()) {
            all.entry(ends).or_default().push(pairs);
        }
        all
    }

    /// Records that `session` saw a packet, without the direction.
    pub fn record_anywhere(&mut self, session: usize, key: &PacketKey) {
        let hash = hash_of(key);
        let Ok(session) = u16::try_from(session) else {
            return;
        };
        if hash.trailing_zeros() < self.thinned {
            return;
        }
        let others = self.packets.get(&hash).into_iter();
        let others = others.flat_map(|crossing| crossing.sessions.into_iter().flatten());
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

    /// Number of the kept entries; a time of equal packets counts twice, as lists take more memory.
    fn size(&self) -> usize {
        self.packets.len() + self.elsewhere.len() + 2 * self.equal_times
    }

    fn thin_out(&mut self) {
        while self.size() > self.capacity && self.thinned < u64::BITS {
            self.thinned += 1;
            let thinned = self.thinned;
            let is_kept = |hash: &u64| hash.trailing_zeros() >= thinned;
            self.packets.retain(|hash, _| is_kept(hash));
            self.equal.retain(|hash, _| is_kept(hash));
            self.elsewhere.retain(|hash, _| is_kept(hash));
            self.equal_times = self.equal.values().map(Equals::len).sum();
        }
    }

    /// The packets that one session saw leave and another saw enter.
    pub(super) fn journeys(&self) -> Journeys {
        let mut journeys = self.messages.clone();
        for (ends, times_ns) in self.packets.values().filter_map(Crossing::journey) {
            journeys.entry(ends).or_default().push(times_ns);
        }
        journeys
    }
}

impl Crossing {
    /// The session that saw it on each [`Side`], and when.
    pub(super) fn sightings(&self) -> [Option<Sighting>; 2] {
        [Side::Left, Side::Entered].map(|side| self.on(side))
    }

    /// Its way from one session's node to another's, if it is known.
    fn journey(&self) -> Option<Journey> {
        match self.sessions {
            [Some(left), Some(entered)] if left != entered => {
                Some(((left.into(), entered.into()), self.times_ns))
            }
            _ => None,
        }
    }

    fn on(&self, side: Side) -> Option<Sighting> {
        let session = self.sessions[side as usize]?;
        Some((session, self.times_ns[side as usize]))
    }

    fn add(&mut self, session: u16, side: Side, ts_ns: u64) {
        self.sessions[side as usize] = Some(session);
        self.times_ns[side as usize] = ts_ns;
    }
}

pub(super) fn hash_of(key: &PacketKey) -> u64 {
    Hashing::default().hash_one(key)
}
