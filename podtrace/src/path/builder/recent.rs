//! The packets that began lately, as far as an answer shows them that refuses one.
use super::join::index::Slot;
use crate::packet::PacketKey;

/// Upper bound of the packets that one answer is compared with.
const SEARCH_MAX: usize = 64;

/// A packet, at its first hop.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    pub(super) key: PacketKey,
    pub(super) id: u64,
    pub(super) slot: Slot,
    /// When that was, in microseconds, modulo 2^32: that takes no more room.
    pub(super) ts_us: u32,
}

impl Begun {
    pub(super) fn new(key: PacketKey, id: u64, slot: Slot, ts_ns: u64) -> Self {
        let ts_us = micros(ts_ns);
        Self {
            key,
            id,
            slot,
            ts_us,
        }
    }

    /// Whether that was at this time or before it.
    pub(super) fn is_by(&self, ts_ns: u64) -> bool {
        micros(ts_ns).wrapping_sub(self.ts_us) < 1 << 31
    }
}

fn micros(ts_ns: u64) -> u32 {
    u32::try_from(ts_ns / 1000 % (1 << 32)).unwrap_or_default()
}

/// The newest packets, `MAX` at most; the oldest is forgotten first. To add one takes the same
/// time always; to find one takes a look at each one's tag, and only when an answer comes.
pub(super) struct Recent<T, const MAX: usize> {
    /// The tag of each, apart from the rest so that a search is quick.
    tags: Vec<u32>,
    packets: Vec<T>,
    next: usize,
}

impl<T, const MAX: usize> Default for Recent<T, MAX> {
    fn default() -> Self {
        Self {
            tags: Vec::new(),
            packets: Vec::new(),
            next: 0,
        }
    }
}

impl<T, const MAX: usize> Recent<T, MAX> {
    /// Upper bound of its bytes.
    #[cfg(test)]
    pub(super) const BYTES: usize = MAX * (size_of::<u32>() + size_of::<T>());

    #[inline]
    pub(super) fn push(&mut self, tag: u32, packet: T) {
        let at = self.next % MAX;
        self.next = at + 1;
        match (self.tags.get_mut(at), self.packets.get_mut(at)) {
            (Some(old_tag), Some(old)) => (*old_tag, *old) = (tag, packet),
            _ => {
                // Once: to grow would copy all of them several times.
                self.tags.reserve_exact(MAX - self.tags.len());
                self.packets.reserve_exact(MAX - self.packets.len());
                self.tags.push(tag);
                self.packets.push(packet);
            }
        }
    }

    /// The packets with a tag, the newest first.
    pub(super) fn find(&self, tag: u32) -> impl Iterator<Item = &T> {
        self.find_by(move |other| other == tag)
    }

    /// The packets whose tags fit, the newest first.
    pub(super) fn find_by(&self, fits: impl Fn(u32) -> bool) -> impl Iterator<Item = &T> {
        let (newer, older) = self.tags.split_at(self.next);
        let newer = newer.iter().enumerate();
        let older = older.iter().enumerate();
        let newer = newer.rev();
        let older = older.rev().map(|(at, tag)| (self.next + at, tag));
        let found = newer.chain(older).filter(move |(_, tag)| fits(**tag));
        let found = found.take(SEARCH_MAX);
        found.filter_map(|(at, _)| self.packets.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{packet::Transport, path::builder::tests::path};

    const MAX: usize = 8192;

    #[test]
    fn newest_are_known_and_found_newest_first() {
        let mut packet = path(1).packet;
        let mut recent = Recent::<Begun, MAX>::default();
        for id in 0..MAX as u64 + 10 {
            // Four of each length.
            packet.length = (id / 4) as u32;
            packet.transport = Transport::Other;
            let key = packet.key();
            recent.push(key.tag(), Begun::new(key, id, 0, 0));
        }
        assert_eq!(recent.packets.len(), MAX);
        let find = |length: u32| {
            let mut packet = packet.clone();
            packet.length = length;
            let found = recent.find(packet.key().tag()).map(|begun| begun.id);
            found.collect::<Vec<_>>()
        };
        assert!(find(0).is_empty() && find(1).is_empty());
        assert_eq!(find(2), [11, 10]);
        assert_eq!(find(3), [15, 14, 13, 12]);
        let newest = MAX as u32 / 4 + 2;
        assert_eq!(find(newest), [8201, 8200]);
    }
}
