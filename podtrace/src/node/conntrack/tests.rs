use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::packet::Ends;

const DUMPED: u16 = 2;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

fn ends(source: &str, destination: &str, ports: (u16, u16)) -> Ends {
    Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        ports: Some(ports),
    }
}

fn tuple(kind: u16, ends: Ends, protocol: u8) -> Vec<u8> {
    let (first, source, destination) = match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            (1, source.octets().to_vec(), destination.octets().to_vec())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            (3, source.octets().to_vec(), destination.octets().to_vec())
        }
        _ => panic!("one family"),
    };
    let (from, to) = ends.ports.unwrap();
    let ip = [
        attribute(first, &source),
        attribute(first + 1, &destination),
    ];
    let ports = [
        attribute(1, &[protocol]),
        attribute(2, &from.to_be_bytes()),
        attribute(3, &to.to_be_bytes()),
    ];
    nested(kind, &[nested(1, &ip), nested(2, &ports)])
}

/// A message about a flow as the kernel tracks it.
fn message(
    (kind, flags): (u16, u16),
    flow: TranslatedFlow,
    status: u32,
    more: &[Vec<u8>],
) -> Vec<u8> {
    let mut message = vec![0; 16];
    message[4..6].copy_from_slice(&(1 << 8 | kind).to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    message.extend([2, 0, 0, 0]);
    message.extend(tuple(1, flow.before, flow.protocol));
    message.extend(tuple(2, flow.after.reversed(), flow.protocol));
    message.extend(attribute(3, &status.to_be_bytes()));
    message.extend(more.concat());
    let length = u32::try_from(message.len()).unwrap();
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

const NEW: (u16, u16) = (0, 0x600);
const GONE: (u16, u16) = (2, 0);
const CONFIRMED: u32 = 1 << 3;
const SRC_NAT: u32 = CONFIRMED | 1 << 4;
const DST_NAT: u32 = CONFIRMED | 1 << 5;

fn flow(port: u16) -> TranslatedFlow {
    TranslatedFlow {
        protocol: 6,
        before: ends("10.244.1.2", "10.96.0.10", (port, 80)),
        after: ends("10.244.1.2", "10.244.2.7", (port, 8080)),
    }
}

#[test]
fn translated_flows_are_read_in_both_families() {
    let v6 = TranslatedFlow {
        protocol: 17,
        before: ends("fd00::2", "fd00:96::10", (40_000, 53)),
        after: ends("fd01::11", "fd00::7", (50_000, 5353)),
    };
    let zone = attribute(18, &1_u16.to_be_bytes());
    let icmp = TranslatedFlow {
        protocol: 1,
        ..flow(4)
    };
    let same = TranslatedFlow {
        after: flow(5).before,
        ..flow(5)
    };
    let datagram = [
        message((0, DUMPED), flow(1), DST_NAT, &[]),
        message(NEW, v6, SRC_NAT | DST_NAT, &[]),
        message(NEW, flow(2), CONFIRMED, &[]),
        message(NEW, flow(3), DST_NAT, &[zone]),
        message(NEW, icmp, SRC_NAT, &[]),
        message(NEW, same, SRC_NAT, &[]),
        message((1, 0), flow(6), DST_NAT, &[]),
        message(GONE, flow(1), DST_NAT, &[]),
    ];
    let found: Vec<_> = messages(&datagram.concat()).collect();
    let expected = [
        Message::Dumped(flow(1)),
        Message::New(v6),
        Message::Gone(flow(1)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn last_change_of_a_flow_counts_and_a_dump_revives_none() {
    let mut gathered = Gathered::default();
    let datagram = [
        message(NEW, flow(1), DST_NAT, &[]),
        message(GONE, flow(1), DST_NAT, &[]),
        message(GONE, flow(2), DST_NAT, &[]),
        message(NEW, flow(2), DST_NAT, &[]),
        message((0, DUMPED), flow(1), DST_NAT, &[]),
    ];
    gathered.add(&datagram.concat());
    let expected = FlowChanges {
        new: vec![flow(2)],
        gone: vec![flow(1)],
    };
    assert_eq!(gathered.take(), expected);
    assert!(gathered.take().is_empty());
}

#[test]
fn dump_is_bounded() {
    let mut gathered = Gathered {
        dumped: DUMPED_MAX - 1,
        ..Gathered::default()
    };
    let dumped = |port| message((0, DUMPED), flow(port), DST_NAT, &[]);
    gathered.add(&[dumped(1), dumped(2), message(NEW, flow(3), DST_NAT, &[])].concat());
    let mut new = gathered.take().new;
    new.sort_by_key(|flow| flow.before.ports);
    assert_eq!(new, [flow(1), flow(3)]);
}

#[test]
fn no_module_is_loaded_for_the_question() {
    let line = |name: &str| format!("{name} 16384 0 - Live 0x0000000000000000\n");
    assert!(is_ready(""));
    assert!(!is_ready(&line("nf_conntrack")));
    let both = line("nf_conntrack_netlink") + &line("nf_conntrack");
    assert!(is_ready(&both));
}

proptest! {
    #[test]
    fn any_datagram_is_read(
        datagram in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..200,
        at in 0_usize..200,
        byte: u8,
    ) {
        let _ = messages(&datagram).count();
        let mut damaged = message(NEW, flow(1), DST_NAT, &[]);
        let length = damaged.len();
        damaged[at % length] = byte;
        damaged.truncate(cut);
        let _ = messages(&damaged).count();
    }
}
