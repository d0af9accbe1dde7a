//! Any packets, with answers from anywhere.
use proptest::prelude::*;

use super::*;

/// A packet of the model, and the answer to it.
#[derive(Clone, Debug)]
struct Sent {
    id: u32,
    to: u8,
    start: u64,
    /// How many of its tap points it passes.
    passes: usize,
    /// After how many of them an answer comes, and whether from where the packet is.
    answer: Option<(usize, bool)>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let answer = prop::option::of((1usize..=5, any::<bool>()));
    (0u32..6, 0u8..3, 0u64..40, 1usize..=5, answer).prop_map(|(id, to, start, passes, answer)| {
        Sent {
            id,
            to,
            start,
            passes,
            answer,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A delivered packet was not refused, whatever is forged; a refused one has an answer; and
    /// a packet of unique content that is refused where it ends is shown as refused.
    #[test]
    fn only_what_is_lost_is_refused(packets in prop::collection::vec(sent(), 1..16)) {
        let world = world();
        let mut events = Vec::new();
        for (number, sent) in packets.iter().enumerate() {
            let mut datagram = packet("10.244.1.3");
            if let Network::Ip(ip) = &mut datagram.network {
                ip.id = sent.id;
            }
            datagram.length += u32::from(sent.to);
            let at = |step: usize| 1 + sent.start * 64 + step as u64 * 16 + number as u64 % 8;
            let taps = THROUGH.iter().copied().chain([(POD2, Socket)]);
            for (step, (interface, direction)) in taps.enumerate().take(sent.passes) {
                events.push((at(step), number, event(at(step), interface, direction, &datagram)));
            }
            if let Some((step, is_there)) = sent.answer {
                let ts_ns = at(step.min(sent.passes) - 1) + 8;
                // Between the veths it is at the node, or in the second pod already.
                let from = match (is_there, sent.passes) {
                    (true, 2) | (false, 4 | 5) => (VETH1, Egress),
                    (true, 3..) | (false, 2) => (POD2, Egress),
                    (true, _) | (false, 3) => (POD1, Egress),
                    (false, _) => (VETH1, Egress),
                };
                let answer = error("10.244.1.3", NO_PORT, &datagram);
                events.push((ts_ns, packets.len() + number, answer.at(ts_ns, from.0, from.1)));
            }
        }
        events.sort_by_key(|(ts_ns, number, _)| (*ts_ns, *number));
        let mut builder = Builder::new(TIMEOUT_NS);
        let mut ids = vec![0; 2 * packets.len()];
        for (_, number, event) in &events {
            let id = builder.push(event, &world);
            if ids[*number] == 0 {
                ids[*number] = id;
            }
        }
        builder.expire(SECOND);
        let paths = finished(&mut builder);
        for path in &paths {
            let refused = path.outcome == Outcome::Refused;
            prop_assert!(!refused || path.refusal.is_some());
            prop_assert!(!refused || path.sockets().count() == 0);
        }
        for (number, sent) in packets.iter().enumerate() {
            let is_own = packets.iter().enumerate().all(|(other, packet)| {
                other == number || (packet.id, packet.to) != (sent.id, sent.to)
            });
            let path = paths.iter().find(|path| path.id == ids[number]).unwrap();
            if is_own {
                let is_refused = matches!(sent.answer, Some((step, true)) if step >= sent.passes)
                    && sent.passes < 5;
                prop_assert_eq!(path.outcome == Outcome::Refused, is_refused, "{:?}", sent);
            }
        }
    }
}
