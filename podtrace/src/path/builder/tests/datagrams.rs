//! Datagrams that are sent as one packet are its path.
use proptest::prelude::*;

use super::*;

const TAPS: [(u32, Direction); 5] = [
    (POD1, Egress),
    (VETH1, Ingress),
    (VETH2, Egress),
    (POD2, Ingress),
    (POD2, Socket),
];

/// The datagrams of a packet: `lengths` are those of their payloads. The first is the packet.
fn datagrams(lengths: &[u32], id: u32, is_v6: bool) -> (Event, Vec<Packet>) {
    let datagram = |length: u32, id: u32, content: u32| {
        let mut packet = packet("10.244.1.3");
        packet.length = 28 + length;
        packet.payload_hash = content;
        packet.transport = Transport::Udp {
            source: 5000,
            destination: 443,
            payload: length,
        };
        if let Network::Ip(ip) = &mut packet.network {
            ip.id = id & 0xffff;
            if is_v6 {
                ip.id = 0;
                ip.source = "fd00::2".parse().unwrap();
                ip.destination = "fd00::3".parse().unwrap();
            }
        }
        packet
    };
    // No two contents are equal: those of the packets have odd numbers.
    let whole = datagram(lengths.iter().sum(), id, 2 * id + 1);
    let mut whole = event(0, POD1, Egress, &whole);
    whole.gso_segments = lengths.len() as u16;
    let parts = lengths.iter().zip(id..);
    let parts = parts.map(|(length, id)| datagram(*length, id, 2 * id));
    let parts = parts.collect();
    (whole, parts)
}

fn push(builder: &mut Builder, ts_ns: u64, tap: usize, event: &Event) -> u64 {
    let (interface, direction) = TAPS[tap];
    let mut event = event.clone();
    (event.ts_ns, event.interface, event.direction) = (ts_ns, interface, direction);
    builder.push(&event, &world())
}

fn alone(packet: &Packet) -> Event {
    event(0, POD1, Egress, packet)
}

#[test]
fn lost_datagram_is_reported_as_lost() {
    let mut builder = Builder::new(500_000_000);
    let (whole, parts) = datagrams(&[1200, 1200, 1200, 300], 0xfffe, false);
    let id = push(&mut builder, 1, 0, &whole);
    push(&mut builder, 2, 1, &whole);
    for (number, part) in parts.iter().enumerate() {
        for tap in 2..5 {
            let ts_ns = 10 * (1 + number as u64) + tap as u64;
            if number != 1 || tap == 2 {
                assert_eq!(push(&mut builder, ts_ns, tap, &alone(part)), id);
            }
        }
    }
    builder.expire(600_000_000);
    let paths = finished(&mut builder);
    let [lost, rest] = &paths[..] else {
        panic!("{} paths", paths.len());
    };
    assert_eq!(
        (lost.outcome, lost.part_of.map(|of| of.packet)),
        (Outcome::NotSeenFurther, Some(id))
    );
    assert_eq!((lost.hops.len(), lost.packet.payload()), (3, 1200));
    assert_eq!(rest.outcome, Outcome::Delivered);
    let seen: Vec<_> = rest
        .segments
        .iter()
        .map(|seen| (seen.packets, seen.bytes))
        .collect();
    assert_eq!(
        seen,
        [(1, 3900), (1, 3900), (4, 3900), (3, 2700), (3, 2700)]
    );
}

#[test]
fn datagram_that_cannot_be_of_a_packet_has_a_path_of_its_own() {
    let mut builder = Builder::new(500_000_000);
    let (whole, parts) = datagrams(&[1200, 1200, 300], 7, false);
    let id = push(&mut builder, 1, 0, &whole);
    let (_, strangers) = datagrams(&[0, 100, 800, 1300, 3000], 6, false);
    for stranger in &strangers {
        assert_ne!(push(&mut builder, 2, 1, &alone(stranger)), id);
    }
    // One that came already.
    assert_eq!(push(&mut builder, 3, 1, &alone(&parts[1])), id);
    assert_ne!(push(&mut builder, 4, 1, &alone(&parts[1])), id);
}

proptest! {
    /// Whichever taps cut the packets, each datagram is of the packet that it was sent in.
    #[test]
    fn datagrams_are_of_the_packet_that_they_were_sent_in(
        sent in prop::collection::vec((2usize..6, 1u32..1400, 1u32..1400, 1usize..5), 1..8),
        is_v6: bool,
        interval in prop_oneof![0u64..20, Just(100)],
    ) {
        let mut builder = Builder::new(500_000_000);
        let mut events = Vec::new();
        let mut next_id = 1;
        for (number, (count, each, last, cut_at)) in sent.iter().enumerate() {
            let mut lengths = vec![*each; *count];
            lengths[count - 1] = *last.min(each);
            let (whole, parts) = datagrams(&lengths, next_id, is_v6);
            next_id += *count as u32;
            let start = 1 + number as u64 * interval;
            for tap in 0..5 {
                if tap < *cut_at {
                    events.push((start + tap as u64 * 10, number, tap, whole.clone()));
                } else {
                    for (place, part) in parts.iter().enumerate() {
                        let ts_ns = start + tap as u64 * 10 + place as u64;
                        events.push((ts_ns, number, tap, alone(part)));
                    }
                }
            }
        }
        events.sort_by_key(|(ts_ns, number, tap, _)| (*ts_ns, *number, *tap));
        let mut ids = vec![Vec::new(); sent.len()];
        for (ts_ns, number, tap, event) in &events {
            ids[*number].push(push(&mut builder, *ts_ns, *tap, event));
        }
        builder.expire(2_000_000_000);
        let paths = finished(&mut builder);
        for (number, ids) in ids.iter().enumerate() {
            // Without identifications, nothing else tells packets apart that are under way at once.
            let is_clear = !is_v6 || interval >= 60 || sent.len() == 1;
            if is_clear {
                prop_assert!(ids.iter().all(|id| *id == ids[0]), "{number}: {ids:?}");
            }
            let path = paths.iter().find(|path| path.id == ids[0]).unwrap();
            if is_clear {
                prop_assert_eq!(path.outcome, Outcome::Delivered);
                prop_assert!(!path.ambiguous);
            }
        }
        let sure = paths.iter().filter(|path| !path.ambiguous);
        for path in sure {
            let of = |ids: &&Vec<u64>| ids.contains(&path.id);
            prop_assert_eq!(ids.iter().filter(of).count(), 1);
        }
    }
}

/// The packet that datagrams in a row are merged to.
fn merged(parts: &[Packet]) -> Event {
    let mut packet = parts[0].clone();
    let payload = parts.iter().map(Packet::payload).sum();
    packet.length = 28 + payload;
    if let Transport::Udp {
        payload: length, ..
    } = &mut packet.transport
    {
        *length = payload;
    }
    let mut event = alone(&packet);
    event.gso_segments = if parts.len() > 1 {
        parts.len() as u16
    } else {
        0
    };
    event
}

#[test]
fn merged_datagrams_without_one_leave_its_bytes() {
    let mut builder = Builder::new(500_000_000);
    let (_, parts) = datagrams(&[1200, 1200, 1200, 300], 0xfffe, false);
    let mut ids = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        if number != 2 {
            ids.push(push(&mut builder, 1 + number as u64, 0, &alone(part)));
        }
    }
    let whole = merged(&parts);
    assert_eq!(push(&mut builder, 10, 1, &whole), ids[0]);
    let [second, third, unseen] = builder.further()[..] else {
        panic!("{:?}", builder.further());
    };
    assert_eq!([second, third], ids[1..]);
    assert!(!ids.contains(&unseen));
    builder.finish();
    let paths = finished(&mut builder);
    let path = paths.iter().find(|path| path.id == unseen).unwrap();
    assert_eq!((path.packet.payload(), path.hops.len()), (1200, 1));
    assert!(paths.iter().all(|path| !path.ambiguous));
}

#[test]
fn datagrams_of_another_flow_are_not_merged() {
    let mut builder = Builder::new(500_000_000);
    let (_, mut parts) = datagrams(&[1200, 1200, 300], 7, false);
    let whole = merged(&parts);
    for part in &mut parts {
        if let Transport::Udp { source, .. } = &mut part.transport {
            *source += 1;
        }
        push(&mut builder, 1, 0, &alone(part));
    }
    push(&mut builder, 2, 1, &whole);
    assert!(builder.further().is_empty());
    builder.finish();
    assert_eq!(finished(&mut builder).len(), 4);
}

proptest! {
    /// Wherever packets are cut and their datagrams merged, and cut again, all bytes stay on the
    /// paths that they were sent on.
    #[test]
    fn bytes_stay_on_their_paths_however_they_are_merged(
        sent in prop::collection::vec((1usize..7, 1u32..1400, 1u32..1400, any::<bool>()), 1..6),
        cuts in prop::collection::vec(1usize..4, 40),
        is_v6: bool,
    ) {
        let mut builder = Builder::new(500_000_000);
        let mut cuts = cuts.iter().cycle();
        let (mut next_id, mut start) = (1, 1);
        let mut count = 0;
        for (datagrams_in, each, last, is_whole) in &sent {
            let mut lengths = vec![*each; *datagrams_in];
            lengths[datagrams_in - 1] = *last.min(each);
            let (whole, parts) = datagrams(&lengths, next_id, is_v6);
            next_id += *datagrams_in as u32;
            let first = match *is_whole && *datagrams_in > 1 {
                true => vec![(whole, 1)],
                false => parts.iter().map(|part| (alone(part), 1)).collect(),
            };
            let mut ids = Vec::new();
            for (event, _) in first {
                ids.push(push(&mut builder, start, 0, &event));
                start += 1;
            }
            count += ids.len();
            for tap in 1..5 {
                let mut rest = &parts[..];
                let mut seen = Vec::new();
                while !rest.is_empty() {
                    let (some, others) = rest.split_at(*cuts.next().unwrap().min(&rest.len()));
                    seen.push(push(&mut builder, start, tap, &merged(some)));
                    seen.extend(builder.further());
                    rest = others;
                    start += 1;
                }
                seen.dedup();
                prop_assert_eq!(&seen, &ids, "tap {}", tap);
            }
        }
        builder.expire(2_000_000_000);
        let paths = finished(&mut builder);
        prop_assert_eq!(paths.len(), count);
        for path in paths {
            prop_assert_eq!(path.outcome, Outcome::Delivered);
            prop_assert_eq!(path.hops.len(), 5);
        }
    }
}
