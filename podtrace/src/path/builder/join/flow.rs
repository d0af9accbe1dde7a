//! Numbers of flows, which are quick to compare.
use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;

use crate::packet::{Ends, PacketKey};

/// One direction of a connection, by a hash of its ends. The last bit tells the directions
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::path::builder) struct Flow(u64);

impl Flow {
    /// The flow of the answers.
    pub(super) fn reversed(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// Numbers flows: nobody can choose ends that have the number of others.
#[derive(Default)]
pub(super) struct Flows {
    hasher: RandomState,
}

impl Flows {
    /// The flow of a TCP or UDP packet.
    #[inline]
    pub(super) fn of_key(&self, key: &PacketKey) -> Flow {
        self.number(key.ends(), key.reversed_ends())
    }

    /// The flow of packets with these ends.
    pub(super) fn of(&self, ends: &Ends) -> Flow {
        self.number(ends.words(), ends.reversed().words())
    }

    fn number(&self, ends: [u64; 5], reversed: [u64; 5]) -> Flow {
        let mut hasher = self.hasher.build_hasher();
        for word in ends.min(reversed) {
            hasher.write_u64(word);
        }
        Flow(hasher.finish() & !1 | u64::from(ends > reversed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Ip, Network, Packet, Transport};

    fn packet(from: &str, to: &str, ports: (u16, u16)) -> Packet {
        Packet {
            tunnel: None,
            vlan: None,
            shim: None,
            link: None,
            network: Network::Ip(Ip {
                source: from.parse().unwrap(),
                destination: to.parse().unwrap(),
                ttl: 64,
                protocol: 17,
                id: 0,
                may_fragment: true,
                fragment: None,
            }),
            transport: Transport::Udp {
                source: ports.0,
                destination: ports.1,
                payload: 3,
            },
            payload_hash: 0,
            length: 31,
        }
    }

    #[test]
    fn flow_is_that_of_its_ends_and_of_its_answers_reversed() {
        let flows = Flows::default();
        let mut known = Vec::new();
        for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            for ports in [(1, 2), (2, 1), (3, 3)] {
                let there = packet(from, to, ports);
                let back = packet(to, from, (ports.1, ports.0));
                let [one, other] = [&there, &back].map(|packet| flows.of_key(&packet.key()));
                assert_eq!(one, other.reversed());
                assert_ne!(one, other);
                assert_eq!(one, flows.of(&there.ends().unwrap()));
                assert_eq!(other, flows.of(&back.ends().unwrap()));
                known.extend([one.0, other.0]);
            }
        }
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), 12);
    }
}
