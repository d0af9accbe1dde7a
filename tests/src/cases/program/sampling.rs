//! Sampling and headers only, in the kernel.
use std::collections::BTreeSet;

use podtrace::{
    packet::{FLANNEL_PORT, VxlanPorts},
    probe::ProbeOptions,
};
use podtrace_ebpf::{
    config::{KEY_PAYLOAD, PROGRAM_EGRESS, PROGRAM_INGRESS},
    record::{Direction, Record},
};

use super::Bench;
use crate::frames::{datagram, in_geneve, in_gre, in_ipip, in_vxlan, ipv6, labelled, tagged};

/// Packets of a run.
const COUNT: u32 = 400;
/// One in this many is sampled.
const SHARE: u32 = 4;

/// A frame whose payload begins with the number.
pub(super) fn numbered(number: u32) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(64, 7);
    datagram(&payload)
}

/// The numbers of the packets that arrived at a tap.
fn arrived(records: &[Vec<u8>], at: Direction, number_at: usize) -> BTreeSet<u32> {
    records
        .iter()
        .map(|bytes| Record::decode(bytes).unwrap())
        .filter(|record| record.direction == at)
        .map(|record| {
            let bytes = record.data[number_at..].first_chunk().unwrap();
            u32::from_be_bytes(*bytes)
        })
        .collect()
}

/// Encapsulates a frame.
pub(super) type Encapsulate = fn(&[u8]) -> Vec<u8>;

/// The encapsulations that a packet may have on its way.
pub(super) fn encapsulations() -> Vec<Encapsulate> {
    vec![
        in_vxlan,
        in_geneve,
        in_gre,
        in_ipip,
        tagged,
        labelled,
        |frame| in_vxlan(&in_ipip(frame)),
        |frame| in_gre(&in_ipip(frame)),
    ]
}

#[test]
fn the_same_packets_are_taken_inside_and_outside_of_a_tunnel() {
    for encapsulate in encapsulations() {
        let mut bench = Bench::new(200, 1 << 20);
        bench.probe.set_vxlan_ports(&[FLANNEL_PORT]).unwrap();
        bench.probe.sample(u32::MAX / SHARE).unwrap();
        for number in 0..COUNT {
            let frame = numbered(number);
            bench.run(PROGRAM_INGRESS, &frame, 1);
            bench.run(PROGRAM_EGRESS, &encapsulate(&frame), 1);
        }
        let around = encapsulate(&numbered(0)).len() - numbered(0).len();
        let (records, [ingress, egress, _]) = bench.finish();
        let plain = arrived(&records, Direction::Ingress, 42);
        assert_eq!(plain, arrived(&records, Direction::Egress, 42 + around));
        let expected = COUNT / SHARE;
        assert!((plain.len() as u32).abs_diff(expected) < expected / 3);
        for counters in [ingress, egress] {
            assert_eq!(counters.seen, u64::from(COUNT));
            assert_eq!(counters.lost, 0);
            assert_eq!(counters.filtered, counters.seen - plain.len() as u64);
        }
    }
}

#[test]
fn ports_of_vxlan_are_given_or_those_of_interfaces() {
    let mut bench = Bench::with(ProbeOptions {
        vxlan_ports: VxlanPorts::new(&[1, 2, 3, FLANNEL_PORT]).unwrap(),
        ..super::options(160, 1 << 20)
    });
    bench.probe.set_vxlan_ports(&[4789]).unwrap();
    bench.probe.sample(u32::MAX / SHARE).unwrap();
    for number in 0..COUNT {
        let frame = numbered(number);
        let mut elsewhere = in_vxlan(&frame);
        elsewhere[36..38].copy_from_slice(&4789_u16.to_be_bytes());
        bench.run(PROGRAM_INGRESS, &in_vxlan(&frame), 1);
        bench.run(PROGRAM_EGRESS, &elsewhere, 1);
    }
    let (records, _) = bench.finish();
    let given = arrived(&records, Direction::Ingress, 92);
    assert_eq!(given, arrived(&records, Direction::Egress, 92));
    assert!(!given.is_empty());
}

#[test]
fn packets_of_unknown_protocols_are_always_captured() {
    let mut bench = Bench::new(160, 1 << 20);
    bench.probe.sample(0).unwrap();
    // None of them is whole IP.
    let frames = super::frames();
    let ip = [datagram(&[1; 4]), ipv6()];
    for frame in frames.iter().chain(&ip) {
        bench.run(PROGRAM_INGRESS, frame, 1);
    }
    let (records, [ingress, ..]) = bench.finish();
    assert_eq!(records.len(), frames.len());
    assert_eq!(ingress.filtered, ip.len() as u64);
}

#[test]
fn headers_only_leaves_out_the_payload() {
    let mut bench = Bench::with_headers_only();
    let short = datagram(&[1; 4]);
    let long = datagram(&[1; 90]);
    bench.probe.set_vxlan_ports(&[FLANNEL_PORT]).unwrap();
    let headers = 42 + KEY_PAYLOAD as usize;
    let mut frames = vec![(short.clone(), short.len()), (long.clone(), headers)];
    for encapsulate in encapsulations() {
        let frame = encapsulate(&long);
        let captured = frame.len() - long.len() + headers;
        frames.push((frame, captured));
    }
    for (frame, _) in &frames {
        bench.run(PROGRAM_INGRESS, frame, 1);
    }
    let (records, _) = bench.finish();
    for (bytes, (frame, captured)) in records.iter().zip(&frames) {
        let record = Record::decode(bytes).unwrap();
        assert_eq!(record.wire_len as usize, frame.len());
        assert_eq!(record.data, &frame[..*captured]);
    }
    assert_eq!(records.len(), frames.len());
}
