use podtrace_ebpf::record::{Direction, Record};
mod arrow;

use proptest::prelude::*;

use super::*;

/// A hop that owns its bytes.
#[derive(Clone, Debug)]
struct Owned {
    ts_ns: u64,
    tap: Tap,
    wire_len: u32,
    gso_segments: u16,
    captured: Vec<u8>,
}

impl Owned {
    fn hop(&self) -> Hop<'_> {
        Hop {
            ts_ns: self.ts_ns,
            tap: self.tap,
            wire_len: self.wire_len,
            gso_segments: self.gso_segments,
            captured: &self.captured,
        }
    }
}

fn encode<'a>(hops: impl IntoIterator<Item = &'a Owned>) -> Vec<Vec<u8>> {
    let mut batch = Batch::new().unwrap();
    let mut messages = Vec::new();
    for hop in hops {
        if batch.push(&hop.hop()) == Err(Refused::Full) {
            messages.push(batch.finish().unwrap());
            batch.push(&hop.hop()).unwrap();
        }
    }
    messages.push(batch.finish().unwrap());
    messages
}

fn example() -> Owned {
    Owned {
        ts_ns: 7,
        tap: Tap {
            interface: 3,
            direction: Direction::Egress,
            cgroup: 9 << 32,
            vlan_tci: Some(42),
            link: 1,
        },
        wire_len: 98,
        gso_segments: 2,
        captured: vec![1, 2, 3],
    }
}

#[test]
fn record_of_a_hop_says_the_same() {
    let example = example();
    let mut bytes = Vec::new();
    example.hop().write_record(&mut bytes);
    let record = Record::decode(&bytes).unwrap();
    let tap = Tap {
        interface: record.interface,
        direction: record.direction,
        cgroup: record.cgroup,
        vlan_tci: record.vlan_tci,
        link: 1,
    };
    assert_eq!(tap, example.tap);
    assert_eq!((record.ts_ns, record.wire_len), (7, 98));
    assert_eq!((record.gso_segments, record.data), (2, &[1, 2, 3][..]));
}

fn decoder() -> Decoder {
    Decoder::new(Limits::default()).unwrap()
}

#[test]
fn batch_beyond_the_limits_is_refused() {
    let hop = Owned {
        captured: vec![1; 200],
        ..example()
    };
    let [message] = encode(&vec![hop; 40]).try_into().unwrap();
    let refusal = |bytes, hops| {
        let mut decoder = Decoder::new(Limits { bytes, hops }).unwrap();
        decoder.decode(&message).err()
    };
    assert!(refusal(8000, 40).is_none());
    // All that was captured, the hops, and the message itself.
    for (bytes, hops) in [(7999, 40), (8000, 39), (1000, 40)] {
        let refusal = refusal(bytes, hops);
        assert!(matches!(refusal, Some(WireError::TooLarge)), "{refusal:?}");
    }
}

fn tap() -> impl Strategy<Value = Tap> {
    let direction = prop::sample::select(vec![
        Direction::Ingress,
        Direction::Egress,
        Direction::Socket,
        Direction::Unknown,
    ]);
    let link = prop_oneof![Just(1), Just(101), any::<u16>()];
    let cgroup = prop_oneof![Just(0), any::<u64>()];
    (0..5_u32, direction, cgroup, any::<Option<u16>>(), link).prop_map(
        |(interface, direction, cgroup, vlan_tci, link)| Tap {
            interface,
            direction,
            cgroup,
            vlan_tci,
            link,
        },
    )
}

/// Anything, and what looks like a packet.
fn captured() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |len| prop::collection::vec(any::<u8>(), len);
    let ethernet = |ethertype: [u8; 2], first: u8| {
        (bytes(0..60), any::<bool>(), any::<bool>()).prop_map(move |(rest, is_quiet, in_vxlan)| {
            let mut packet = vec![2; 12];
            packet.extend(ethertype);
            packet.push(first);
            packet.extend(
                rest.iter()
                    .map(|byte| if is_quiet { byte & 1 } else { *byte }),
            );
            if !in_vxlan {
                return packet;
            }
            let mut outer = vec![2; 12];
            outer.extend([8, 0, 0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 7, 7]);
            outer.extend([9; 8]);
            outer.extend([0x30, 0, 18, 181, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0]);
            outer.extend(packet);
            outer
        })
    };
    prop_oneof![
        bytes(0..80),
        ethernet([8, 0], 0x45),
        ethernet([8, 0], 0x46),
        ethernet([8, 0], 0x41),
        ethernet([0x86, 0xdd], 0x60),
        ethernet([8, 6], 0),
        bytes(0..40).prop_map(|rest| [&[0x45][..], &rest].concat()),
    ]
}

fn hops() -> impl Strategy<Value = Vec<Owned>> {
    let packet = (captured(), any::<u32>(), 0..3_u16);
    let packets = prop::collection::vec(packet, 1..8);
    let seen = (
        any::<prop::sample::Index>(),
        tap(),
        prop_oneof![0..5000_u64, any::<u64>()],
        any::<prop::sample::Index>(),
        any::<u8>(),
    );
    (packets, prop::collection::vec(seen, 0..40)).prop_map(|(packets, seen)| {
        seen.into_iter()
            .map(|(packet, tap, ts_ns, cut, ttl)| {
                let (captured, wire_len, gso_segments) = packet.get(&packets);
                let mut captured = captured.clone();
                if ttl & 1 == 0 {
                    captured.truncate(cut.index(captured.len() + 1));
                }
                if let Some(byte) = captured.get_mut(22) {
                    *byte = ttl;
                }
                Owned {
                    ts_ns,
                    tap,
                    wire_len: *wire_len,
                    gso_segments: *gso_segments,
                    captured,
                }
            })
            .collect()
    })
}

fn assert_same(hops: &[Owned], messages: &[Vec<u8>]) {
    let mut expected = hops.iter();
    for message in messages {
        let mut decoded = decoder().decode(message).unwrap();
        while let Some(hop) = decoded.next() {
            assert_eq!(Some(hop), expected.next().map(Owned::hop));
        }
    }
    assert!(expected.next().is_none());
}

proptest! {
    #[test]
    fn hops_are_the_same_behind_the_wire(hops in hops()) {
        assert_same(&hops, &encode(&hops));
    }

    #[test]
    fn damaged_message_is_refused(hops in hops(), at: prop::sample::Index, bit in 0..8_u32) {
        for mut message in encode(&hops) {
            let cut = &message[..at.index(message.len())];
            prop_assert!(decoder().decode(cut).is_err());
            let at = at.index(message.len());
            message[at] ^= 1_u8 << bit;
            // Other hops, if any: the transport is to tell whether a message is whole.
            if let Ok(mut hops) = decoder().decode(&message) {
                while hops.next().is_some() {}
            }
        }
    }

    /// Packed again, as one who means harm would send it.
    #[test]
    fn damaged_content_does_no_harm(
        hops in hops(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for message in encode(&hops) {
            let mut plain = zstd::decode_all(&message[..]).unwrap();
            for (at, byte) in &flips {
                let at = at.index(plain.len());
                plain[at] = *byte;
            }
            let packed = zstd::bulk::compress(&plain, 1).unwrap();
            if let Ok(mut hops) = decoder().decode(&packed) {
                while hops.next().is_some() {}
            }
        }
    }
}
