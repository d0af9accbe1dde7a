//! Floods of drops, of which a kernel tells the first ones only.
use std::{collections::VecDeque, net::IpAddr};

use podtrace_ebpf::dropped::{DROP_BURST, DROP_FLOW_BURST, DROP_WINDOW_SHIFT};

use crate::{
    map::Map,
    model::drop::KernelDrop,
    packet::Packet,
    path::{Outcome, Path},
    world::World,
};

/// Upper bound of the windows that are known: some tenths of a second.
const WINDOWS_MAX: usize = 3;
/// Upper bound of the pairs of a window, as many as a CPU can tell of.
const PAIRS_MAX: usize = 64;

/// Upper bound of the bytes of all of them.
#[cfg(test)]
pub(super) const BYTES: usize = WINDOWS_MAX * PAIRS_MAX * 2 * size_of::<(Pair, u64)>();

/// A namespace, and the addresses of packets that were dropped there.
type Pair = (u64, IpAddr, IpAddr);

/// What kernels have told of drops, by windows of time.
#[derive(Default)]
pub(super) struct Floods(VecDeque<Window>);

struct Window {
    number: u64,
    told: u64,
    of_pairs: Map<Pair, u64>,
}

impl Floods {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over that a kernel tells of a drop.
    pub(super) fn note(&mut self, drop: &KernelDrop, packet: &Packet) {
        let (Some(source), Some(destination)) = (packet.source(), packet.destination()) else {
            return;
        };
        let number = drop.ts_ns >> DROP_WINDOW_SHIFT;
        let known = self.0.iter().position(|window| window.number == number);
        let at = known.unwrap_or_else(|| {
            if self.0.len() >= WINDOWS_MAX {
                self.0.pop_front();
            }
            self.0.push_back(Window {
                number,
                told: 0,
                of_pairs: Map::default(),
            });
            self.0.len() - 1
        });
        let Some(window) = self.0.get_mut(at) else {
            return;
        };
        window.told += 1;
        let pair = (drop.netns, source, destination);
        if window.of_pairs.len() < PAIRS_MAX || window.of_pairs.contains_key(&pair) {
            *window.of_pairs.entry(pair).or_default() += 1;
        }
    }

    /// Whether nothing shows that a packet has arrived, where as many like it were dropped as a
    /// kernel tells of.
    pub(super) fn may_have(&self, path: &Path, world: &World) -> bool {
        let Some(last) = path.last_own_hop() else {
            return false;
        };
        let number = last.ts_ns >> DROP_WINDOW_SHIFT;
        let Some(window) = self.0.iter().find(|window| window.number == number) else {
            return false;
        };
        let is_undecided =
            path.outcome == Outcome::Delivered && path.refusal.is_none() && !path.is_taken();
        let (true, Some(point), Some(ends)) = (
            is_undecided,
            world.tap_points.get(last.interface),
            path.ends(),
        ) else {
            return false;
        };
        let pair = (point.netns_id, ends.source, ends.destination);
        let told = window.of_pairs.get(&pair).copied().unwrap_or_default();
        told >= DROP_FLOW_BURST || told > 0 && window.told >= DROP_BURST
    }
}
