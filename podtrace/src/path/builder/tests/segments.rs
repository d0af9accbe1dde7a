//! Paths continue through segmentation and reassembly.
mod counted;
mod many;
mod refused;
mod resent;
mod translated;

use proptest::prelude::*;

use super::{
    translation::{ends, with_ends},
    *,
};
use crate::{
    packet::Ends,
    path::{Hop, Segments, builder::join::sequence::FLOW_MAX},
};

/// Close to the end of the sequence numbers.
const BASE: u32 = u32::MAX - 2000;

/// The taps that packets pass.
#[derive(Clone, Copy, Debug)]
struct Road {
    taps: &'static [(u32, Direction)],
    /// The ends that a tap sees, by its number.
    ends: fn(usize) -> Ends,
}

/// From pod to pod.
const DIRECT: Road = Road {
    taps: &[
        (POD1, Egress),
        (VETH1, Ingress),
        (VETH2, Egress),
        (POD2, Ingress),
        (POD2, Socket),
    ],
    ends: |_| to_backend(),
};
/// From a pod to a Service, whose backend is the other pod.
const SERVICE: Road = Road {
    taps: &[
        (POD1, Egress),
        (VETH1, Ingress),
        (CNI0, Ingress),
        (CNI0, Egress),
        (VETH2, Egress),
        (POD2, Ingress),
        (POD2, Socket),
    ],
    ends: |tap| if tap < 3 { to_service() } else { to_backend() },
};

/// What the client asks.
fn to_service() -> Ends {
    ends("10.244.1.2", "10.96.0.10", (40_000, 8080))
}

fn to_backend() -> Ends {
    ends("10.244.1.2", "10.244.1.3", (40_000, 80))
}

impl Road {
    fn push(self, builder: &mut Builder, ts_ns: u64, tap: usize, packet: &Packet) -> u64 {
        let (interface, direction) = self.taps[tap];
        let packet = with_ends(packet, (self.ends)(tap));
        builder.push(&event(ts_ns, interface, direction, &packet), &world())
    }

    /// Sends a packet to the last tap.
    fn send(self, builder: &mut Builder, from_ns: u64, packet: &Packet) -> u64 {
        let ids =
            (0..self.taps.len()).map(|tap| self.push(builder, from_ns + tap as u64, tap, packet));
        ids.last().unwrap_or_default()
    }

    /// The bytes of a path at a tap.
    fn bytes_at(self, path: &Path, tap: usize) -> u32 {
        let mut hops = path.hops.iter();
        let hop = hops.position(|hop| (hop.interface, hop.direction) == self.taps[tap]);
        hop.map_or(0, |hop| {
            let seen = path.segments.get(hop);
            seen.map_or(path.packet.payload(), |seen| seen.bytes)
        })
    }
}

/// A segment with the bytes `from..to` of a stream.
pub(super) fn segment(from: u32, to: u32) -> Packet {
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

/// Asks for the connection, which shows the translation.
fn syn() -> Packet {
    let mut packet = segment(0, 0);
    if let Transport::Tcp {
        flags, sequence, ..
    } = &mut packet.transport
    {
        *flags = 2;
        *sequence = BASE.wrapping_sub(1);
    }
    packet
}

fn push(builder: &mut Builder, ts_ns: u64, tap: usize, from: u32, to: u32) -> u64 {
    DIRECT.push(builder, ts_ns, tap, &segment(from, to))
}

fn bytes_at(path: &Path, tap: usize) -> u32 {
    DIRECT.bytes_at(path, tap)
}

#[test]
fn segments_of_a_packet_and_what_they_are_merged_to_are_its_path() {
    let mut builder = Builder::new(TIMEOUT_NS);
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
    let mut builder = Builder::new(TIMEOUT_NS);
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
fn lost_segment_is_reported_as_lost() {
    let mut builder = Builder::new(TIMEOUT_NS);
    let id = push(&mut builder, 1, 0, 0, 5000);
    push(&mut builder, 2, 1, 0, 5000);
    for from in [0, 1000, 2000, 3000, 4000] {
        push(&mut builder, 3, 2, from, from + 1000);
        if from != 2000 {
            push(&mut builder, 4, 3, from, from + 1000);
            push(&mut builder, 5, 4, from, from + 1000);
        }
    }
    // A retransmission has a path of its own.
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
        segments: None,
        bytes: 4000,
    };
    assert_eq!(whole.segments[3], at_pod);
    assert_eq!(again.outcome, Outcome::Delivered);
    assert_eq!((again.hops.len(), again.copy_of), (5, Some(id)));
    assert_eq!(lost.outcome, Outcome::NotSeenFurther);
    assert_eq!(
        (lost.hops.len(), lost.part_of.map(|of| of.packet)),
        (3, Some(id))
    );
    assert_eq!(lost.packet.transport, segment(2000, 3000).transport);
}

/// What is lost together is a path with the number of its segments.
#[test]
fn lost_segments_are_counted() {
    // Of each segment, how many taps see it; the number of segments that the card told; and
    // first segment, hops and number of each path of lost ones.
    type Lost = (u32, usize, Option<(u16, u16)>);
    let cases: [([usize; 5], u16, &[Lost]); 6] = [
        ([5, 3, 3, 3, 5], 5, &[(1, 3, Some((3, 5)))]),
        (
            [5, 3, 2, 2, 5],
            5,
            &[(1, 3, Some((1, 5))), (2, 2, Some((2, 5)))],
        ),
        (
            [3, 5, 3, 3, 5],
            5,
            &[(0, 3, Some((1, 5))), (2, 3, Some((2, 5)))],
        ),
        // Only the last, shorter segment shows how long the others are.
        ([2, 2, 2, 2, 5], 5, &[(0, 2, Some((4, 5)))]),
        ([5, 3, 3, 3, 5], 0, &[(1, 3, None)]),
        ([5, 3, 3, 3, 5], 4, &[(1, 3, None)]),
    ];
    for (taps, told, expected) in cases {
        let mut builder = Builder::new(TIMEOUT_NS);
        let mut id = 0;
        for tap in 0..2 {
            let (interface, direction) = DIRECT.taps[tap];
            let mut whole = event(1 + tap as u64, interface, direction, &segment(0, 4500));
            whole.gso_segments = told;
            id = builder.push(&whole, &world());
        }
        for (number, seen) in (0..).zip(taps) {
            for tap in 2..seen {
                let (from, to) = (number * 1000, 4500.min(number * 1000 + 1000));
                push(&mut builder, 10 + u64::from(number), tap, from, to);
            }
        }
        builder.expire(600_000_000);
        let mut lost = finished(&mut builder);
        lost.retain(|path| path.part_of.is_some());
        let told = lost.iter().map(|path| {
            let of = path.part_of.filter(|of| of.packet == id).unwrap();
            let Transport::Tcp { sequence, .. } = path.packet.transport else {
                panic!("no segment");
            };
            let first = sequence.wrapping_sub(BASE) / 1000;
            (first, path.hops.len(), of.segments)
        });
        assert_eq!(told.collect::<Vec<_>>(), expected, "{taps:?}");
    }
}

#[test]
fn flow_is_followed_up_to_a_number_at_once() {
    let mut builder = Builder::new(TIMEOUT_NS);
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

/// The packet that was lost in part does not take the hops of the bytes that were sent again.
#[test]
fn bytes_sent_again_keep_their_own_hops() {
    let with_id = |mut packet: Packet, number: u32| {
        if let Network::Ip(ip) = &mut packet.network {
            ip.id = number;
        }
        packet
    };
    // What tells them apart: the order, or the identification if all of it was lost.
    for (road, arrives) in [(DIRECT, 4), (DIRECT, 0), (SERVICE, 4), (SERVICE, 0)] {
        let mut builder = Builder::new(TIMEOUT_NS);
        road.send(&mut builder, 1, &syn());
        let whole = with_id(segment(0, 5000), 100);
        let id = road.push(&mut builder, 100, 0, &whole);
        let last = road.taps.len() - 1;
        for number in 0..5 {
            let from = number * 1000;
            let piece = with_id(segment(from, from + 1000), 100 + number);
            let reaches = if number > 0 && number <= arrives {
                last
            } else {
                1
            };
            for tap in 1..=reaches {
                let ts_ns = 101 + 10 * u64::from(number) + tap as u64;
                assert_eq!(road.push(&mut builder, ts_ns, tap, &piece), id);
            }
        }
        // Two segments are sent again as one packet, which is cut again.
        let again = with_id(segment(0, 2000), 107);
        let copy = road.push(&mut builder, 1000, 0, &again);
        assert_ne!(copy, id);
        for number in 0..2 {
            let from = number * 1000;
            let piece = with_id(segment(from, from + 1000), 107 + number);
            for tap in 1..=last {
                let ts_ns = 1001 + 10 * u64::from(number) + tap as u64;
                let owner = road.push(&mut builder, ts_ns, tap, &piece);
                assert_eq!(owner, copy, "{road:?} {arrives} {tap}");
            }
        }
    }
}

proptest! {
    /// Whatever the taps cut, lose or reorder, each byte that a tap has seen is in exactly one
    /// path there, with the ends that it has there.
    #[test]
    fn each_byte_is_in_one_path_at_each_tap(
        is_service: bool,
        taps in prop::collection::vec(cuts(), 7),
        lost in prop::collection::vec((1usize..6, 0usize..12), 0..4),
        delay in 0u64..3000,
    ) {
        let road = if is_service { SERVICE } else { DIRECT };
        let count = road.taps.len();
        let mut builder = Builder::new(TIMEOUT_NS);
        road.send(&mut builder, 1, &syn());
        builder.expire(1_000_000_000);
        finished(&mut builder);
        let mut is_lost = vec![false; 4000];
        // The time at which the previous tap has seen each byte.
        let mut before = [2_000_000_000; 4000];
        let mut events = Vec::new();
        let mut seen_at = vec![0; count];
        for (tap, cuts) in taps.iter().enumerate().take(count) {
            for (number, pair) in cuts.windows(2).enumerate() {
                let [from, to] = [pair[0], pair[1]];
                if tap < count - 1 && lost.contains(&(tap, number)) {
                    is_lost[from as usize..to as usize].fill(true);
                }
                // Lost bytes do not arrive, and split those that do.
                let mut start = from;
                for byte in from..=to {
                    if byte == to || is_lost[byte as usize] {
                        if start < byte {
                            let bytes = &mut before[start as usize..byte as usize];
                            let sent_ns = 2_000_000_000 + u64::from(byte);
                            let ready = bytes.iter().fold(sent_ns, |ready, ns| ready.max(*ns));
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
        for (ts_ns, tap, from, to) in events {
            road.push(&mut builder, ts_ns, tap, &segment(from, to));
        }
        builder.expire(4_000_000_000);
        prop_assert!(!builder.is_waiting());
        let paths = finished(&mut builder);
        for (tap, seen) in seen_at.into_iter().enumerate() {
            let whole = paths.iter().filter(|path| path.part_of.is_none());
            prop_assert!(whole.clone().all(|path| path.hops[0].interface == POD1));
            let bytes: u32 = whole.map(|path| road.bytes_at(path, tap)).sum();
            prop_assert_eq!(bytes, seen, "tap {}", tap);
        }
        // What was left behind has a path of its own.
        let last = |path: &Path| path.segments.last().map_or(path.packet.payload(), |seen| seen.bytes);
        let lost = paths.iter().filter(|path| path.outcome == Outcome::NotSeenFurther);
        let lost: u32 = lost.map(last).sum();
        prop_assert_eq!(lost, is_lost.iter().filter(|is_lost| **is_lost).count() as u32);
        for path in &paths {
            let at = |hop: &Hop| (hop.interface, hop.direction) == (CNI0, Egress);
            let hop = path.hops.iter().position(at).filter(|_| is_service);
            let shown = path.translations.first().map(|translation| translation.hop);
            prop_assert_eq!(hop, shown);
        }
    }
}
