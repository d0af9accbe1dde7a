//! As many translated flows as a node tracks.
use super::*;

/// The ends of a flow before and behind the translation.
fn both(flow: u16) -> [Ends; 2] {
    [
        ends("10.244.1.2", "10.96.0.10", (flow, 8080)),
        ends("10.244.1.2", "10.244.1.3", (flow, 80)),
    ]
}

/// Each has shown its translation by a small packet. Then its large ones are recognised that are
/// cut before the translation shows.
#[test]
fn translations_of_65536_flows_are_known_at_once() {
    let world = world();
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut small = syn();
    if let Transport::Tcp { flags, .. } = &mut small.transport {
        *flags = 0x10;
    }
    for flow in 0..=u16::MAX {
        let [before, behind] = both(flow).map(|ends| with_ends(&small, ends));
        let at_ns = 1000 * u64::from(flow);
        let ids = [
            event(at_ns + 1, CNI0, Ingress, &before),
            event(at_ns + 2, CNI0, Egress, &behind),
            event(at_ns + 3, POD2, Socket, &behind),
        ]
        .map(|event| builder.push(&event, &world));
        assert_eq!(ids, [u64::from(flow) + 1; 3]);
        assert_eq!(finished(&mut builder).len(), 1);
    }
    for flow in [0, 1, 40_000, u16::MAX] {
        let [before, behind] = both(flow);
        let large = with_ends(&segment(0, 3000), before);
        let id = builder.push(&event(1_000_000_000, CNI0, Ingress, &large), &world);
        for from in [0, 1000, 2000] {
            let piece = with_ends(&segment(from, from + 1000), behind);
            let event = event(1_000_000_001, CNI0, Egress, &piece);
            assert_eq!(builder.push(&event, &world), id, "{flow}");
        }
    }
}
