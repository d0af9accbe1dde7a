//! Packets that are whole between their fragments.
use proptest::prelude::*;

use super::*;

/// Where it is in fragments before a bridge reassembles it for connection tracking.
const BEFORE: [(u32, Direction); 2] = [(POD1, Egress), (VETH1, Ingress)];

/// Feeds the fragments of a datagram, then it as a whole between their taps, and then the same
/// fragments; returns all paths.
fn whole_between(whole: &Packet, between: &Packet, parts: &[(u32, u32)]) -> Vec<Path> {
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut ts_ns = 0;
    let mut pass = |builder: &mut Builder, taps: &[(u32, Direction)]| {
        for tap in taps {
            for (from, to) in parts {
                ts_ns += 10;
                push(builder, ts_ns, *tap, &cut(whole, *from, *to));
            }
        }
        ts_ns += 10;
        ts_ns
    };
    let ts_ns = pass(&mut builder, &BEFORE);
    push(&mut builder, ts_ns, (CNI0, Ingress), between);
    let ts_ns = pass(&mut builder, &IN_FRAGMENTS);
    push(&mut builder, ts_ns, (POD2, Socket), whole);
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    paths
}

#[test]
fn packet_that_is_reassembled_on_its_way_belongs_to_its_fragments() {
    let whole = large(3000);
    let paths = whole_between(&whole, &whole, &[(0, 1448), (2896, 3000), (1448, 2896)]);
    assert_eq!(paths.len(), 3);
    for path in &paths {
        assert_eq!((path.outcome, path.hops.len()), (Outcome::Delivered, 7));
        assert_eq!(path.hops[2].interface, CNI0);
        assert!(!path.ambiguous && !path.incomplete);
    }
}

#[test]
fn whole_packet_that_is_not_of_the_fragments_stays_apart() {
    let whole = large(3000);
    let parts = [(0, 1448), (1448, 2896), (2896, 3000)];
    let mut other_id = whole.clone();
    let mut other_protocol = whole.clone();
    if let (Network::Ip(one), Network::Ip(other)) =
        (&mut other_id.network, &mut other_protocol.network)
    {
        one.id = 10;
        other.protocol = 6;
    }
    let mut other_ports = whole.clone();
    if let Transport::Udp { source, .. } = &mut other_ports.transport {
        *source = 9;
    }
    let others = [
        other_id,
        other_protocol,
        other_ports,
        large(2900),
        large(3100),
    ];
    for other in others {
        let paths = whole_between(&whole, &other, &parts);
        let hops: Vec<_> = paths.iter().map(|path| path.hops.len()).collect();
        assert_eq!(hops, [6, 6, 6, 1], "{other:?}");
    }
    // Without the last of them nobody reassembles it.
    let paths = whole_between(&whole, &whole, &parts[..2]);
    let apart = paths.iter().filter(|path| path.hops[0].interface == CNI0);
    assert_eq!(apart.count(), 1);
}

proptest! {
    /// However it is cut, in whatever order the fragments come, and whatever else is under way
    /// between the same two.
    #[test]
    fn whole_packet_belongs_to_all_its_fragments_and_to_no_others(
        bytes in 600u32..9000,
        size in 1u32..200,
        order in any::<u64>(),
        other_id in 1u32..20,
        other_bytes in 600u32..9000,
    ) {
        let cuts = |bytes: u32| {
            let size = (8 * size).max(bytes.div_ceil(60).next_multiple_of(8));
            let starts = (0..bytes).step_by(size as usize);
            let parts: Vec<_> = starts.map(|from| (from, bytes.min(from + size))).collect();
            parts
        };
        let whole = large(bytes);
        let mut parts = cuts(bytes);
        parts.sort_by_key(|(from, _)| order.rotate_left(from % 64).wrapping_mul(u64::from(*from) | 1));
        prop_assume!(parts.len() > 1);
        let paths = whole_between(&whole, &whole, &parts);
        prop_assert_eq!(paths.len(), parts.len());
        for path in &paths {
            prop_assert_eq!((path.outcome, path.hops.len()), (Outcome::Delivered, 7));
        }
        let mut other = large(other_bytes);
        if let Network::Ip(ip) = &mut other.network {
            ip.id = other_id;
        }
        let is_it = other == whole;
        let paths = whole_between(&whole, &other, &parts);
        let others = paths.iter().filter(|path| path.packet == other).count();
        prop_assert_eq!(others, usize::from(!is_it));
    }
}
