//! Fragments belong to the first.
use super::*;
use crate::packet::Fragment;

fn fragment(offset: u16) -> Packet {
    let mut packet = packet("10.244.1.3");
    if offset > 0 {
        packet.transport = Transport::Fragment;
        packet.payload_hash = 0;
    }
    packet.length = 1000 + u32::from(offset);
    if let Network::Ip(ip) = &mut packet.network {
        ip.id = 9;
        ip.fragment = Some(Fragment {
            id: 9,
            offset,
            more: offset < 2000,
        });
    }
    packet
}

/// Feeds fragments one after the other.
fn follow(offsets: &[u16], taps: usize) -> Vec<Path> {
    let (world, mut builder) = (world(), Builder::new(TIMEOUT_NS));
    for (number, offset) in (1..).zip(offsets) {
        for (ts_ns, interface, direction) in &TO_POD2[..taps] {
            let event = event(ts_ns + number, *interface, *direction, &fragment(*offset));
            builder.push(&event, &world);
        }
    }
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    paths
}

#[test]
fn fragments_belong_to_the_first_in_any_order() {
    for (offsets, first) in [
        ([0, 1000, 2000], 1),
        ([1000, 0, 2000], 2),
        ([2000, 1000, 0], 3),
    ] {
        for taps in [2, 4] {
            let paths = follow(&offsets, taps);
            assert_eq!(paths.len(), 3);
            for (path, offset) in paths.iter().zip(offsets) {
                let of = path.fragment_of.map(|of| (of.packet, of.in_tunnel));
                assert_eq!(of, (offset > 0).then_some((first, false)));
            }
        }
    }
}

/// Who reassembles drops all fragments together.
#[test]
fn what_is_lost_with_the_first_says_so() {
    let paths = follow(&[0, 1000, 2000], 2);
    for path in &paths {
        assert_eq!(path.outcome, Outcome::NotSeenFurther);
    }
    let with_it: Vec<_> = paths
        .iter()
        .map(|path| path.fragment_of.map(|of| of.is_lost_with_it))
        .collect();
    assert_eq!(with_it, [None, Some(true), Some(true)]);
    let paths = follow(&[0, 1000], 4);
    assert!(paths[1].fragment_of.is_some_and(|of| !of.is_lost_with_it));
}

#[test]
fn rest_of_a_tunnels_packet_belongs_to_the_inner_packet() {
    let world = world();
    let mut inner = packet("10.244.2.2");
    let mut builder = Builder::new(TIMEOUT_NS);
    builder.push(&event(1, POD1, Egress, &inner), &world);
    inner.tunnel = Some(Tunnel {
        source: "192.168.77.11".parse().unwrap(),
        destination: "192.168.77.12".parse().unwrap(),
        carrier: Carrier::Vxlan(1),
        id: 0,
        fragment: Some(9),
    });
    builder.push(&event(2, UPLINK, Egress, &inner), &world);
    let mut rest = fragment(1000);
    if let Network::Ip(ip) = &mut rest.network {
        ip.source = "192.168.77.11".parse().unwrap();
        ip.destination = "192.168.77.12".parse().unwrap();
    }
    builder.push(&event(3, UPLINK, Egress, &rest), &world);
    let paths = finished(&mut builder);
    let of = paths[1].fragment_of.unwrap();
    assert_eq!((of.packet, of.in_tunnel), (paths[0].id, true));
}
