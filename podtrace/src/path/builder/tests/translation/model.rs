//! Any packets of translated flows, some of them equal.
use proptest::prelude::*;

use std::collections::BTreeMap;

use super::*;

/// One packet of the model.
#[derive(Clone, Debug)]
struct Sent {
    flow: u16,
    /// The seed of its content.
    content: u32,
    kind: u8,
    start: u64,
    /// How many tap points it passes.
    passes: usize,
}

fn sent() -> impl Strategy<Value = Sent> {
    (0u16..6, 0u32..8, 0u8..3, 0u64..40, 2usize..=7).prop_map(
        |(flow, content, kind, start, passes)| Sent {
            flow,
            content,
            kind,
            start,
            passes,
        },
    )
}

impl Sent {
    fn packets(&self) -> [Packet; 2] {
        let mut packet = packet("10.96.0.10");
        packet.payload_hash = if self.kind == 1 { 0 } else { 1 + self.content };
        if self.kind == 2 {
            packet.transport = Transport::Tcp {
                source: 0,
                destination: 0,
                sequence: self.content,
                acknowledgment: 0,
                flags: 0x10,
                payload: 4,
            };
            if let Network::Ip(ip) = &mut packet.network {
                ip.protocol = 6;
            }
        }
        let before = ends("10.244.1.2", "10.96.0.10", (1000 + self.flow, 53));
        // Some flows keep one end, others none.
        let after = if self.flow.is_multiple_of(2) {
            ends("10.244.1.2", "10.244.1.3", (1000 + self.flow, 5353))
        } else {
            ends("10.244.1.1", "10.244.1.3", (2000 + self.flow, 5353))
        };
        [with_ends(&packet, before), with_ends(&packet, after)]
    }

    /// The identity of the content, which is everything but the flow.
    fn content(&self) -> (u8, u32) {
        (self.kind, if self.kind == 1 { 0 } else { self.content })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No two flows are joined, and a packet with unique content has one path.
    #[test]
    fn packets_join_by_unique_content_only(packets in prop::collection::vec(sent(), 1..24)) {
        let world = world();
        let mut events = Vec::new();
        for (number, sent) in packets.iter().enumerate() {
            let [before, after] = sent.packets();
            let taps = BEFORE.map(|tap| (tap, &before)).into_iter().map(|(tap, packet)| (tap, packet.clone()))
                .chain(BEHIND.map(|tap| (tap, after.clone())));
            for (hop, ((interface, direction), packet)) in taps.enumerate().take(sent.passes) {
                let ts_ns = 1 + sent.start * 4 + hop as u64 * 16 + number as u64 % 4;
                events.push((ts_ns, number, event(ts_ns, interface, direction, &packet)));
            }
        }
        events.sort_by_key(|(ts_ns, number, _)| (*ts_ns, *number));
        let mut builder = Builder::new(500_000_000);
        let mut ids = vec![Vec::new(); packets.len()];
        for (_, number, event) in &events {
            ids[*number].push(builder.push(event, &world));
        }
        builder.finish();
        let ambiguous: BTreeMap<u64, bool> =
            finished(&mut builder).iter().map(|path| (path.id, path.ambiguous)).collect();
        for (number, sent) in packets.iter().enumerate() {
            let is_own = packets.iter().enumerate().all(|(other, packet)| {
                other == number || packet.content() != sent.content()
            });
            if is_own && sent.kind != 1 {
                prop_assert!(ids[number].windows(2).all(|pair| pair[0] == pair[1]), "{sent:?} in pieces");
                prop_assert!(!ambiguous[&ids[number][0]]);
            }
            for (other, packet) in packets.iter().enumerate().skip(number + 1) {
                let is_shared = ids[number].iter().any(|id| ids[other].contains(id));
                prop_assert!(!is_shared || packet.flow == sent.flow || ids[number].iter().any(|id| ambiguous[id]),
                    "{sent:?} and {packet:?} are one path");
            }
        }
    }
}
