//! Damage is reported, and all else is read.
use std::{
    ops::Range,
    time::{Duration, Instant},
};

use super::sample::*;
use crate::session::{
    format::{ENHANCED_PACKET, ENTRY_BLOCK, INTERFACE_DESCRIPTION, SECTION_HEADER},
    input::Damage,
};

/// A session's bytes, its blocks, and the items of each.
struct Sample {
    bytes: Vec<u8>,
    blocks: Vec<(Range<usize>, u32)>,
    /// By number of the block.
    events: Vec<(usize, String)>,
    items: Vec<String>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

impl Sample {
    fn new() -> Self {
        let bytes = small(How::default()).bytes();
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let end = at + word(&bytes, at + 4) as usize;
            blocks.push((at..end, word(&bytes, at)));
            at = end;
        }
        let given = read(&bytes);
        assert_eq!(given.damage, []);
        let packets = blocks.iter().enumerate();
        let packets = packets.filter(|(_, (_, kind))| *kind == ENHANCED_PACKET);
        let events = packets.map(|(number, _)| number).zip(given.events);
        Self {
            events: events.collect(),
            items: given.items,
            bytes,
            blocks,
        }
    }

    fn interface_of(&self, packet: usize) -> usize {
        let index = word(&self.bytes, self.blocks[packet].0.start + 8) as usize;
        let mut descriptions = self.blocks.iter().enumerate();
        let mut nth = descriptions
            .by_ref()
            .filter(|(_, (_, kind))| *kind == INTERFACE_DESCRIPTION);
        nth.nth(index).unwrap().0
    }

    /// The events of the blocks that are whole, if their interface is known.
    fn expected(&self, is_whole: impl Fn(&Range<usize>) -> bool) -> Vec<&String> {
        let is_whole = |number: usize| is_whole(&self.blocks[number].0);
        let events = self.events.iter();
        let events =
            events.filter(|(number, _)| is_whole(*number) && is_whole(self.interface_of(*number)));
        events.map(|(_, event)| event).collect()
    }

    /// All of `expected` are given, and nothing that was not recorded.
    fn check(&self, given: &Given, expected: &[&String], what: &str) {
        let mut events = given.events.iter();
        for event in expected {
            assert!(events.any(|other| other == *event), "{what}: {event}");
        }
        let mut all = self.events.iter();
        for event in &given.events {
            assert!(all.any(|(_, known)| known == event), "{what}: {event}");
        }
    }
}

fn touches(block: &Range<usize>, range: &Range<usize>) -> bool {
    block.start < range.end && range.start < block.end
}

#[test]
fn file_cut_anywhere_gives_all_before() {
    let sample = Sample::new();
    let (all, bounds) = (sample.bytes.len(), sample.blocks.iter());
    let bounds = bounds.flat_map(|(block, _)| block.start.saturating_sub(4)..=block.start + 12);
    let lens = (0..all).step_by(5).chain(bounds);
    // Fewer bytes do not say what the file is.
    for len in lens.filter(|len| *len >= 4) {
        let given = read(&sample.bytes[..len]);
        let expected = sample.expected(|block| block.end <= len);
        sample.check(&given, &expected, &format!("cut to {len}"));
        let is_between = sample.blocks.iter().any(|(block, _)| block.start == len);
        assert_eq!(given.damage.is_empty(), is_between, "{len}");
        for damage in &given.damage {
            assert_eq!(damage.offset + damage.len, len as u64);
            let (last, _) = sample.blocks.iter().rfind(|(b, _)| b.start <= len).unwrap();
            assert_eq!(damage.offset, last.start as u64, "{damage:?}");
        }
    }
}

#[test]
fn flipped_bits_take_their_block_only_and_do_not_go_unseen() {
    let sample = Sample::new();
    for at in 0..sample.bytes.len() {
        let (block, kind) = sample.blocks.iter().find(|(b, _)| b.contains(&at)).unwrap();
        // All bits of the fields that say what a block is, some of the others.
        let is_head = at < block.start + 12 || at + 4 >= block.end;
        for bit in (0..8).filter(|bit| is_head && at % 3 == 0 || bit * 5 % 8 == at % 40) {
            let mut bytes = sample.bytes.clone();
            bytes[at] ^= 1 << bit;
            let given = read(&bytes);
            let expected = sample.expected(|other| other != block);
            let what = format!("bit {bit} of {at} in {block:?} of type {kind:#x}");
            sample.check(&given, &expected, &what);
            if given.damage.is_empty() && given.unread.packets.total() == 0 {
                assert_eq!(given.items, sample.items, "{what}");
            }
            for damage in &given.damage {
                let (from, to) = (damage.offset, damage.offset + damage.len);
                let block = block.start as u64..=block.end as u64;
                assert!(
                    block.contains(&from) && block.contains(&to),
                    "{what} {damage:?}"
                );
            }
        }
    }
}

#[test]
fn ranges_zeroed_removed_doubled_or_filled_take_their_blocks_only() {
    let sample = Sample::new();
    let mut dice = Dice(7);
    for round in 0..2_000 {
        let len = sample.bytes.len();
        let start = dice.below(len);
        let size = if round % 2 == 0 { 40 } else { 3_000 };
        let range = start..(start + 1 + dice.below(size)).min(len);
        let mut bytes = sample.bytes.clone();
        let garbage = dice.bytes(range.len());
        let what = ["zeroed", "removed", "doubled", "garbage in", "garbage at"][round % 5];
        let damaged = match round % 5 {
            0 => {
                bytes[range.clone()].fill(0);
                range.clone()
            }
            1 => {
                bytes.drain(range.clone());
                range.clone()
            }
            2 => {
                let copy = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, copy);
                // The copied part may be whole, and is then read twice.
                range.end..range.end
            }
            3 => {
                bytes[range.clone()].copy_from_slice(&garbage);
                range.clone()
            }
            _ => {
                bytes.splice(start..start, garbage);
                start..start
            }
        };
        let given = read(&bytes);
        let expected = sample.expected(|block| !touches(block, &damaged));
        let mut events = given.events.iter();
        for event in expected {
            assert!(
                events.any(|other| other == event),
                "{what} {range:?}: {event}"
            );
        }
    }
}

#[test]
fn lengths_that_cannot_be_are_skipped() {
    let sample = Sample::new();
    let lengths = [
        0,
        3,
        11,
        12,
        0xffff_fffc,
        0xffff_ffff,
        (16 << 20) + 4,
        16 << 20,
        1 << 16,
    ];
    for (number, (block, _)) in sample.blocks.iter().enumerate() {
        for length in lengths {
            let mut bytes = sample.bytes.clone();
            bytes[block.start + 4..block.start + 8].copy_from_slice(&u32::to_le_bytes(length));
            let given = read(&bytes);
            let expected = sample.expected(|other| other != block);
            sample.check(
                &given,
                &expected,
                &format!("length {length} of block {number}"),
            );
            let at: Vec<_> = given.damage.iter().map(|damage| damage.offset).collect();
            assert_eq!(at, [block.start as u64]);
        }
    }
}

#[test]
fn interfaces_keep_their_numbers_when_one_is_damaged() {
    let sample = Sample::new();
    let is_interface = |(_, kind): &&(_, u32)| *kind == INTERFACE_DESCRIPTION;
    for (block, _) in sample.blocks.iter().filter(is_interface) {
        let mut bytes = sample.bytes.clone();
        bytes[block.start + 20] ^= 0xff;
        let given = read(&bytes);
        let expected = sample.expected(|other| other != block);
        assert_eq!(given.events.iter().collect::<Vec<_>>(), expected);
        let lost = (sample.events.len() - expected.len()) as u64;
        assert_eq!(given.unread.packets.total(), lost);
    }
}

/// The entry that tells of a tap point is damaged: its interface tells too.
#[test]
fn counts_add_up_whatever_entry_is_damaged() {
    let recorded = small(How::default());
    let sample = Sample::new();
    let path = recorded.files[0].clone();
    for (block, kind) in &sample.blocks {
        let mut bytes = sample.bytes.clone();
        bytes[block.start + 9] ^= 0xff;
        std::fs::write(&path, &bytes).unwrap();
        let replayed = replay(std::slice::from_ref(&path), &["worker1"], text());
        assert_eq!(replayed.damage.len(), 1, "{block:?} {kind:#x}");
        let mut emitted = 0;
        for (tap, count) in &replayed.taps {
            assert!(count.is_conserved(), "{tap:?} {count:?}");
            emitted += count.emitted;
        }
        if *kind == ENTRY_BLOCK || *kind == SECTION_HEADER {
            assert_eq!(emitted, sample.events.len() as u64, "{block:?}");
        }
    }
}

#[test]
fn zstd_frames_that_are_whole_are_read() {
    let recorded = small(How {
        zstd: true,
        ..How::default()
    });
    let bytes = recorded.bytes();
    let all = read(&bytes);
    assert_eq!(all.damage, []);
    let magic = |at: &usize| bytes[*at..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let starts: Vec<_> = (0..bytes.len()).filter(magic).collect();
    assert!(starts.len() > 3);
    let frame_of = |at: usize| {
        let start = starts.iter().rfind(|start| **start <= at).unwrap();
        let end = starts.iter().find(|start| **start > at);
        *start as u64..=end.map_or(bytes.len(), |end| *end) as u64
    };
    let is_inside = |damage: &Damage, at: usize| {
        let frame = frame_of(at);
        frame.contains(&damage.offset) && frame.contains(&(damage.offset + damage.len))
    };
    for at in (4..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let given = read(&damaged);
        let lost = all.items.len() - given.items.len();
        assert!(lost == 0 || !given.damage.is_empty(), "{at}");
        let mut items = all.events.iter();
        for event in &given.events {
            assert!(items.any(|other| other == event), "{at}: {event}");
        }
        assert!(
            given
                .damage
                .first()
                .is_none_or(|damage| is_inside(damage, at)),
            "{at} {:?} {:?}",
            given.damage,
            frame_of(at)
        );

        let given = read(&bytes[..at]);
        let is_whole = starts.contains(&at);
        assert_eq!(given.damage.is_empty(), is_whole, "cut at {at}");
        assert!(given.damage.iter().any(|damage| is_inside(damage, at)) || is_whole);
    }
    let with_more = |more: &[u8]| read(&[&bytes[..], more].concat());
    let given = with_more(b"garbage behind");
    assert_eq!(given.items, all.items);
    let end = bytes.len() as u64;
    assert_eq!((given.damage.len(), given.damage[0].offset), (1, end));
    assert_eq!(given.damage[0].len, 14);
    let skippable = [0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    assert_eq!(with_more(&skippable).damage, []);
    let given = read(&[&skippable[..], &bytes].concat());
    assert_eq!(
        (given.items.len(), given.damage),
        (all.items.len(), Vec::new())
    );
}

/// A file that is being written: nothing is damaged until it is over.
#[test]
fn bytes_that_arrive_late_are_not_damage() {
    use crate::session::input::{Source, Unpacked};
    use std::io::Read;

    struct Slow(Vec<u8>, usize);
    impl Read for Slow {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            if !self.1.is_multiple_of(30) || self.0.is_empty() {
                return Ok(0);
            }
            let len = 499.min(self.0.len()).min(out.len());
            out[..len].copy_from_slice(&self.0[..len]);
            self.0.drain(..len);
            Ok(len)
        }
    }
    impl Source for Slow {}
    let bytes = small(How {
        zstd: true,
        ..How::default()
    })
    .bytes();
    let len = bytes.len();
    let mut unpacked = Unpacked::new(Box::new(Slow(bytes, 0)), &[]).unwrap();
    let mut out = Vec::new();
    let mut part = [0; 1000];
    for _ in 0..len / 4 {
        let read = unpacked.read(&mut part).unwrap();
        out.extend_from_slice(&part[..read]);
    }
    unpacked.finish();
    assert_eq!(unpacked.take_damage(), []);
    assert_eq!(read(&out).damage, []);
}

#[test]
fn worst_garbage_is_skipped_in_linear_time() {
    let begin = Instant::now();
    let sample = Sample::new();
    let header = &sample.bytes[sample.blocks[0].0.clone()];
    for length in [16_u32 << 20, 1 << 20, 4 << 20, 64] {
        let word = [6_u32.to_le_bytes(), length.to_le_bytes()].concat();
        let given = read(&[header, &word.repeat(1 << 20)].concat());
        assert_eq!((given.events.len(), given.damage.len()), (0, 1));
    }
    let magic = [0x28, 0xb5, 0x2f, 0xfd].repeat(1 << 20);
    assert!(read(&magic).damage.len() <= 2);
    // Blocks with a byte between them: each is damage of its own.
    let block = [&[6, 0, 0, 0, 12, 0, 0, 0, 12, 0, 0, 0][..], &[1]].concat();
    assert!(read(&block.repeat(1 << 16)).damage.len() <= 1001);
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}
