//! Floods of drops, of which a kernel tells the first ones only.
use std::{collections::VecDeque, net::IpAddr};

use podtrace_ebpf::dropped::{DROP_BURST, DROP_FLOW_BURST, DROP_WINDOW_SHIFT};

use crate::{
    map::Map,
    model::drop::KernelDrop,
    packet::{Packet, Transport},
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

/// Who drops.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    /// The network, before a socket could take the packet.
    Network,
    /// The socket that a datagram was for.
    Receiver,
}

/// Packets that a kernel may take for one flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    by: By,
    /// The namespace that dropped them; 0 if they had no device.
    netns: u64,
    source: IpAddr,
    destination: IpAddr,
}

/// What kernels have told of drops, by windows of time.
#[derive(Default)]
pub(super) struct Floods(VecDeque<Window>);

struct Window {
    number: u64,
    told: [u64; 2],
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
                told: [0; 2],
                of_pairs: Map::default(),
            });
            self.0.len() - 1
        });
        let Some(window) = self.0.get_mut(at) else {
            return;
        };
        let pair = Pair {
            by: match drop.is_by_receiver(packet) {
                true => By::Receiver,
                false => By::Network,
            },
            netns: drop.netns,
            source,
            destination,
        };
        window.told[pair.by as usize] += 1;
        if window.of_pairs.len() < PAIRS_MAX || window.of_pairs.contains_key(&pair) {
            *window.of_pairs.entry(pair).or_default() += 1;
        }
    }

    /// Whether nothing shows that a packet has arrived, where as many like it were dropped as a
    /// kernel tells of.
    pub(super) fn may_have(&self, path: &Path, world: &World) -> bool {
        if path.outcome != Outcome::Delivered || path.refusal.is_some() {
            return false;
        }
        let Some(last) = path.last_own_hop() else {
            return false;
        };
        let number = last.ts_ns >> DROP_WINDOW_SHIFT;
        let Some(window) = self.0.iter().find(|window| window.number == number) else {
            return false;
        };
        let (Some(point), Some(ends)) = (world.tap_points.get(last.interface), path.ends()) else {
            return false;
        };
        let is_datagram = matches!(path.packet.transport, Transport::Udp { .. });
        let may_be = [(By::Network, !path.is_taken()), (By::Receiver, is_datagram)];
        may_be.into_iter().any(|(by, may_be)| {
            let pair = Pair {
                by,
                netns: point.netns_id,
                source: ends.source,
                destination: ends.destination,
            };
            may_be && window.is_flood_of(pair)
        })
    }
}

impl Window {
    /// Whether more of these packets may have been dropped than were told of.
    fn is_flood_of(&self, pair: Pair) -> bool {
        let nowhere = Pair { netns: 0, ..pair };
        let told = |pair: &Pair| self.of_pairs.get(pair).copied().unwrap_or_default();
        if told(&pair) + told(&nowhere) >= DROP_FLOW_BURST {
            return true;
        }
        // Of many senders, those of some are not told of at all.
        let is_there = |other: &Pair| {
            (other.by, other.destination) == (pair.by, pair.destination)
                && (other.netns == 0 || other.netns == pair.netns)
        };
        self.told[pair.by as usize] >= DROP_BURST && self.of_pairs.keys().any(is_there)
    }
}
