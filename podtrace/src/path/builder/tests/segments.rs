//! Paths go on through segmentation and its reverse.
use proptest::prelude::*;

use super::*;
use crate::path::{Segments, builder::join::sequence::FLOW_MAX};

/// Close to the end of the sequence numbers.
const BASE: u32 = u32::MAX - 2000;
const TAPS: [(u32, Direction); 5] = [
    (POD1, Egress),
    (VETH1, Ingress),
    (VETH2, Egress),
    (POD2, Ingress),
    (POD2, Socket),
];

/// A segment with the bytes `from..to` of a stream.
fn segment(from: u32, to: u32) -> Packet {
    let mut packet = packet("10.244.1.3");
    packet.length = 40 + to - from;
    packet.payload_hash = from;
    packet.transport = Transport::Tcp {
        source: 40_000,
        destination: 80,
        sequence: BASE.wrapping_add(from),
        acknowledgment: 5,
        flags: 0x10,
        payload: to - from,
    };
    if let Network::Ip(ip) = &mut packet.network {
        ip.protocol = 6;
    }
    packet
}

fn push(builder: &mut Builder, ts_ns: u64, tap: usize, from: u32, to: u32) -> u64 {
    let (interface, direction) = TAPS[tap];
    builder.push(
        &event(ts_ns, interface, direction, &segment(from, to)),
        &world(),
    )
}

/// The bytes of a path at a tap.
fn bytes_at(path: &Path, tap: usize) -> u32 {
    let (interface, direction) = TAPS[tap];
    let hop = path
        .hops
        .iter()
        .position(|hop| (hop.interface, hop.direction) == (interface, direction));
    let Transport::Tcp { payload, .. } = path.packet.transport else {
        panic!("TCP");
    };
    hop.map_or(0, |hop| {
        path.segments.get(hop).map_or(payload, |seen| seen.bytes)
    })
}

#[test]
fn segments_of_a_packet_and_what_they_are_merged_to_are_its_path() {
    let mut builder = Builder::new(500_000_000);
    let id = push(&mut builder, 1, 0, 0, 5000);
    push(&mut builder, 2, 1, 0, 5000);
    for (ts_ns, from) in (3..).zip((0..5000).step_by(1000)) {
        assert_eq!(push(&mut builder, ts_ns, 2, from, from + 1000), id);
    }
    push(&mut builder, 10, 3, 0, 3000);
    push(&mut builder, 11, 4, 0, 3000);
    push(&mut builder, 12, 3, 3000, 5000);
    assert!(finished(&mut builder).is_empty());
    push(&mut builder, 13, 4, 3000, 5000);
    let path = finished(&mut builder).remove(0);
    assert_eq!(path.outcome, Outcome::Delivered);
    let packets: Vec<_> = path.segments.iter().map(|seen| seen.packets).collect();
    assert_eq!(packets, [1, 1, 5, 2, 2]);
    assert!(path.segments.iter().all(|seen| seen.bytes == 5000));
}

#[test]
fn segments_that_are_merged_go_on_each() {
    let mut builder = Builder::new(500_000_000);
    for tap in 0..3 {
        for from in [0, 1000, 2000] {
            push(&mut builder, tap as u64 + 1, tap, from, from + 1000);
        }
    }
    push(&mut builder, 10, 3, 0, 3000);
    push(&mut builder, 11, 4, 0, 3000);
    let paths = finished(&mut builder);
    assert_eq!(paths.len(), 3);
    for path in paths {
        assert_eq!((path.hops.len(), path.outcome), (5, Outcome::Delivered));
        assert!(path.segments.is_empty());
    }
}

#[test]
fn lost_segment_is_a_lost_segment() {
    let mut builder = Builder::new(500_000_000);
    let id = push(&mut builder, 1, 0, 0, 5000);
    push(&mut builder, 2, 1, 0, 5000);
    for from in [0, 1000, 2000, 3000, 4000] {
        push(&mut builder, 3, 2, from, from + 1000);
        if from != 2000 {
            push(&mut builder, 4, 3, from, from + 1000);
            push(&mut builder, 5, 4, from, from + 1000);
        }
    }
    // Sent again, it takes its own way.
    for tap in 0..5 {
        assert_ne!(push(&mut builder, 300_000_000, tap, 2000, 3000), id);
    }
    builder.expire(600_000_000);
    let mut paths = finished(&mut builder);
    paths.sort_by_key(|path| path.id);
    let [whole, again, lost] = &paths[..] else {
        panic!("{} paths", paths.len());
    };
    assert_eq!(
        (whole.outcome, bytes_at(whole, 4)),
        (Outcome::Delivered, 4000)
    );
    let at_pod = Segments {
        packets: 4,
        bytes: 4000,
    };
    assert_eq!(whole.segments[3], at_pod);
    assert_eq!(again.outcome, Outcome::Delivered);
    assert_eq!((again.hops.len(), again.copy_of), (5, Some(id)));
    assert_eq!(lost.outcome, Outcome::NotSeenFurther);
    assert_eq!((lost.hops.len(), lost.part_of), (3, Some(id)));
    assert_eq!(lost.packet.transport, segment(2000, 3000).transport);
}

#[test]
fn flow_is_followed_up_to_a_number_at_once() {
    let mut builder = Builder::new(500_000_000);
    let count = FLOW_MAX as u32 + 100;
    for number in 0..count {
        push(&mut builder, 1, 0, number * 10, number * 10 + 10);
    }
    assert_eq!(finished(&mut builder).len(), 100);
}

/// Cuts a stream into packets.
fn cuts() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(1u32..4000, 0..12).prop_map(|cuts| {
        let inner = cuts.into_iter();
        std::iter::once(0).chain(inner).chain([4000]).collect()
    })
}

proptest! {
    /// However a stream is cut at each tap, and whatever is lost, in whatever order the taps
    /// see it: each byte that a tap has seen is in one path there.
    #[test]
    fn each_byte_is_in_one_path_at_each_tap(
        taps in prop::collection::vec(cuts(), 5),
        lost in prop::collection::vec((1usize..4, 0usize..12), 0..4),
        delay in 0u64..3000,
    ) {
        let mut gone = vec![false; 4000];
        // When the tap before has seen each byte.
        let mut before = [0; 4000];
        let mut events = Vec::new();
        let mut seen_at = [0; 5];
        for (tap, cuts) in taps.iter().enumerate() {
            for (number, pair) in cuts.windows(2).enumerate() {
                let [from, to] = [pair[0], pair[1]];
                if lost.contains(&(tap, number)) {
                    gone[from as usize..to as usize].fill(true);
                }
                // What was lost before does not come, and splits what comes.
                let mut start = from;
                for byte in from..=to {
                    if byte == to || gone[byte as usize] {
                        if start < byte {
                            let bytes = &mut before[start as usize..byte as usize];
                            let ready = bytes.iter().fold(u64::from(byte), |ready, ns| ready.max(*ns));
                            let ts_ns = if tap == 0 { ready } else { ready + 1 + delay };
                            bytes.fill(ts_ns);
                            events.push((ts_ns, tap, start, byte));
                            seen_at[tap] += byte - start;
                        }
                        start = byte + 1;
                    }
                }
            }
        }
        events.sort_by_key(|(ts_ns, tap, ..)| (*ts_ns, *tap));
        let mut builder = Builder::new(500_000_000);
        for (ts_ns, tap, from, to) in events {
            push(&mut builder, ts_ns, tap, from, to);
        }
        builder.expire(2_000_000_000);
        prop_assert!(!builder.is_waiting());
        let paths = finished(&mut builder);
        for (tap, seen) in seen_at.into_iter().enumerate() {
            let whole = paths.iter().filter(|path| path.part_of.is_none());
            let bytes: u32 = whole.map(|path| bytes_at(path, tap)).sum();
            prop_assert_eq!(bytes, seen, "tap {}", tap);
        }
        let lost: u32 = paths.iter().filter(|path| path.outcome == Outcome::NotSeenFurther).map(|path| bytes_at(path, 0)).sum();
        prop_assert_eq!(lost, gone.iter().filter(|gone| **gone).count() as u32);
    }
}
