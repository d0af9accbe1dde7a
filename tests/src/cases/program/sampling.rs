//! Sampling and headers only, in the kernel.
use std::collections::BTreeSet;

use podtrace::lab::plan::VXLAN_PORT;
use podtrace_ebpf::{
    config::{KEY_PAYLOAD, PROGRAM_EGRESS, PROGRAM_INGRESS},
    record::{Direction, Record},
};

use super::Bench;
use crate::frames::{datagram, in_vxlan};

/// Packets of a run.
const COUNT: u32 = 400;
/// One in so many is taken.
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

#[test]
fn the_same_packets_are_taken_inside_and_outside_of_a_tunnel() {
    let mut bench = Bench::new(160, 1 << 20);
    bench.probe.set_vxlan_ports(&[VXLAN_PORT]).unwrap();
    bench.probe.sample(u32::MAX / SHARE).unwrap();
    for number in 0..COUNT {
        let frame = numbered(number);
        bench.run(PROGRAM_INGRESS, &frame, 1);
        bench.run(PROGRAM_EGRESS, &in_vxlan(&frame), 1);
    }
    let (records, [ingress, egress, _]) = bench.finish();
    let plain = arrived(&records, Direction::Ingress, 42);
    assert_eq!(plain, arrived(&records, Direction::Egress, 92));
    let expected = COUNT / SHARE;
    assert!((plain.len() as u32).abs_diff(expected) < expected / 3);
    for counters in [ingress, egress] {
        assert_eq!(counters.seen, u64::from(COUNT));
        assert_eq!(counters.lost, 0);
        assert_eq!(counters.filtered, counters.seen - plain.len() as u64);
    }
}

#[test]
fn what_cannot_be_told_apart_is_always_taken() {
    let mut bench = Bench::new(160, 1 << 20);
    bench.probe.sample(0).unwrap();
    let frames = super::frames();
    for frame in &frames {
        bench.run(PROGRAM_INGRESS, frame, 1);
    }
    let (records, [ingress, ..]) = bench.finish();
    let is_ip = |frame: &&Vec<u8>| matches!(frame[12..14], [0x08, 0] | [0x86, 0xdd]);
    let ip = frames.iter().filter(is_ip).count();
    assert_eq!(records.len(), frames.len() - ip);
    assert_eq!(ingress.filtered, ip as u64);
}

#[test]
fn headers_only_leaves_out_the_payload() {
    let mut bench = Bench::with_headers_only();
    let short = datagram(&[1; 4]);
    let long = datagram(&[1; 90]);
    bench.probe.set_vxlan_ports(&[VXLAN_PORT]).unwrap();
    let frames = [
        (short.clone(), short.len()),
        (long.clone(), 42 + KEY_PAYLOAD as usize),
        (in_vxlan(&long), 92 + KEY_PAYLOAD as usize),
    ];
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
