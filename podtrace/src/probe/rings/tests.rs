//! Rings in a file instead of a map, written in the way of the kernel side.
use std::{
    fs::File,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
};

use podtrace_ebpf::{
    config::SNAPLEN_MAX,
    record::{HEADER_LEN, Kind, Record, RecordHeader, VERSION},
    ring::{Cursors, room},
};
use proptest::prelude::*;

use super::*;
use crate::probe::batch::Batch;

const CPUS: usize = 3;
const BYTES: u32 = RING_MIN;

/// The kernel's side.
struct Writer {
    file: File,
    written: [u64; CPUS],
    lost: [u64; CPUS],
}

impl Writer {
    fn new() -> (Self, Rings) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(u64::from(value_len(BYTES)) * CPUS as u64)
            .unwrap();
        let rings = Rings::new(file.as_fd(), CPUS as u32, BYTES).unwrap();
        let writer = Self {
            file,
            written: [0; CPUS],
            lost: [0; CPUS],
        };
        (writer, rings)
    }

    fn value(cpu: usize) -> u64 {
        cpu as u64 * u64::from(value_len(BYTES))
    }

    fn number(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, number: u64) {
        self.file.write_all_at(&number.to_ne_bytes(), at).unwrap();
    }

    /// Writes a record if there is room; returns whether there was.
    fn write(&mut self, cpu: usize, ts_ns: u64, captured: u32) -> bool {
        let value = Self::value(cpu);
        let read = self.number(value + 64);
        let begin = self.written[cpu];
        let end = begin + u64::from(room(captured));
        if end - read > u64::from(BYTES) {
            self.lost[cpu] += 1;
            self.set(value + 8, self.lost[cpu]);
            return false;
        }
        let ring = value + size_of::<Cursors>() as u64;
        let at = ring + begin % u64::from(BYTES);
        self.file
            .write_all_at(&record(ts_ns, captured), at)
            .unwrap();
        self.written[cpu] = end;
        self.set(value, end);
        true
    }
}

/// A record whose captured bytes hold its time.
fn record(ts_ns: u64, captured: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ts_ns.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(captured.to_le_bytes());
    bytes.extend([0, 0, 0, 0, 0, 0, VERSION, Kind::Tap as u8]);
    assert_eq!(bytes.len(), size_of::<RecordHeader>());
    bytes.extend((0..captured).map(|n| (u64::from(n) ^ ts_ns) as u8));
    bytes
}

/// Takes all records in batches of `limit` bytes, checks that they are complete, and returns
/// their times.
fn take(rings: &mut Rings, limit: usize) -> Vec<u64> {
    let mut times = Vec::new();
    loop {
        let mut bytes = BytesMut::new();
        let mut noted = 0;
        rings.take(&mut bytes, limit, |_| noted += 1).unwrap();
        if bytes.is_empty() {
            return times;
        }
        let before = times.len();
        for bytes in Batch::new(bytes.freeze()).records() {
            let found = Record::decode(bytes).unwrap();
            assert_eq!(bytes, record(found.ts_ns, found.data.len() as u32));
            times.push(found.ts_ns);
        }
        assert_eq!(times.len() - before, noted);
    }
}

proptest! {
    /// Each record that found room is read once, in order of time, and all others are counted.
    #[test]
    fn records_come_out_in_order_of_time(
        turns in prop::collection::vec(
            (prop::collection::vec((0..CPUS, 0u32..=SNAPLEN_MAX, 0u64..3), 0..12), 1usize..20_000),
            1..30,
        ),
    ) {
        let (mut writer, mut rings) = Writer::new();
        let (mut ts_ns, mut expected, mut lost) = (1, Vec::new(), 0);
        for (records, limit) in turns {
            for (cpu, captured, later) in records {
                ts_ns += later;
                match writer.write(cpu, ts_ns, captured) {
                    true => expected.push(ts_ns),
                    false => lost += 1,
                }
            }
            rings.refresh(u64::MAX).unwrap();
            prop_assert_eq!(take(&mut rings, limit), std::mem::take(&mut expected));
            prop_assert!(rings.are_empty());
            prop_assert_eq!(rings.lost(), lost);
        }
    }
}

#[test]
fn records_after_the_refresh_are_left_for_the_next() {
    let (mut writer, mut rings) = Writer::new();
    for (cpu, ts_ns) in [(0, 10), (0, 30), (1, 20), (2, 40)] {
        assert!(writer.write(cpu, ts_ns, 5));
    }
    rings.refresh(20).unwrap();
    assert!(writer.write(1, 25, 5));
    assert_eq!(take(&mut rings, 100_000), [10, 20]);
    assert!(!rings.are_empty() && !rings.wake_at_once());
    rings.refresh(30).unwrap();
    assert_eq!(take(&mut rings, 1), [25, 30]);
    rings.refresh(u64::MAX).unwrap();
    assert_eq!(take(&mut rings, 1), [40]);
    assert!(rings.wake_at_once());
}

#[test]
fn levels_tell_when_all_is_taken() {
    let (mut writer, mut rings) = Writer::new();
    let levels = rings.levels();
    assert!(levels.are_taken());
    assert!(writer.write(1, 10, 60));
    assert!(writer.write(2, 20, 60));
    assert!(!levels.are_taken());
    rings.refresh(10).unwrap();
    assert_eq!(take(&mut rings, usize::MAX), [10]);
    assert!(!levels.are_taken());
    rings.refresh(20).unwrap();
    assert_eq!(take(&mut rings, usize::MAX), [20]);
    assert!(levels.are_taken());
    drop(rings);
    // Its memory stays for as long as they are asked.
    assert!(levels.are_taken());
}

#[test]
fn damaged_ring_is_an_error() {
    let (mut writer, mut rings) = Writer::new();
    assert!(writer.write(1, 10, 5));
    let captured = Writer::value(1) + size_of::<Cursors>() as u64 + HEADER_LEN as u64 - 12;
    writer.file.write_all_at(&[9, 9], captured).unwrap();
    assert!(rings.refresh(u64::MAX).is_err());
}

#[test]
fn rings_share_what_is_asked_for() {
    assert_eq!(ring_bytes(8 << 20, 2), 4 << 20);
    assert_eq!(ring_bytes(8 << 20, 3), 2 << 20);
    assert_eq!(ring_bytes(1 << 20, 256), RING_MIN);
    assert_eq!(ring_bytes(1 << 31, 1), RING_MAX);
}
