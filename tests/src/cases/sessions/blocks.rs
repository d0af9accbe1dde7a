//! The blocks of a recording, to be damaged or rewritten.

use std::ops::Range;

use podtrace::session::block::{self, Block};
use podtrace::session::format::{
    BYTE_ORDER, ENHANCED_PACKET, ENTRY_BLOCK, ENTRY_MAGIC, Entry, MAGIC_JSON, SECTION_HEADER,
    SectionInfo,
};

/// A block and its position.
#[derive(Clone, Debug)]
pub(super) struct BlockRange {
    pub(super) kind: u32,
    pub(super) range: Range<usize>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The positions of the blocks of an intact file.
pub(super) fn blocks(bytes: &[u8]) -> Vec<BlockRange> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = word(bytes, at + 4) as usize;
        assert_eq!(word(bytes, at + len - 4) as usize, len);
        blocks.push(BlockRange {
            kind: word(bytes, at),
            range: at..at + len,
        });
        at += len;
    }
    blocks
}

/// The blocks with a packet.
pub(super) fn packets(blocks: &[BlockRange]) -> impl Iterator<Item = &BlockRange> {
    blocks.iter().filter(|block| block.kind == ENHANCED_PACKET)
}

/// The header of the first section.
pub(super) fn info(bytes: &[u8]) -> SectionInfo {
    serde_json::from_slice(section_json(&bytes[blocks(bytes)[0].range.clone()]).1).unwrap()
}

/// The offset of the custom option of a section header, and its JSON.
fn section_json(block: &[u8]) -> (usize, &[u8]) {
    let at = block.windows(4).position(|window| window == MAGIC_JSON);
    // Code, length and enterprise number precede it; the checksum follows.
    let at = at.unwrap();
    let len = usize::from(u16::from_le_bytes([block[at - 6], block[at - 5]]));
    (at - 8, &block[at + 4..at - 4 + len - 4])
}

/// A copy of a recording by another clock: `offset_ns` ahead, and faster by `drift_ppm` from
/// the first packet on.
pub(super) fn by_another_clock(bytes: &[u8], offset_ns: i64, drift_ppm: f64) -> Vec<u8> {
    let blocks = blocks(bytes);
    let first = packets(&blocks).next().unwrap();
    let begin = time(&bytes[first.range.clone()]);
    let epoch = info(bytes).epoch_ns;
    let drifted = |utc: u64| {
        let since = utc as i64 - begin as i64;
        (utc as i64 + (since as f64 * drift_ppm / 1e6).round() as i64) as u64
    };
    // The JSON has times of CLOCK_MONOTONIC.
    let monotonic = |ns: u64| (drifted(ns.wrapping_add_signed(epoch)) as i64 - epoch) as u64;
    let mut out = Vec::new();
    for BlockRange { kind, range } in blocks {
        let block = &bytes[range];
        match kind {
            SECTION_HEADER => {
                let (at, json) = section_json(block);
                let mut info: SectionInfo = serde_json::from_slice(json).unwrap();
                info.epoch_ns += offset_ns;
                let mut new = Block::begin(&mut out, SECTION_HEADER);
                assert_eq!(word(block, 8), BYTE_ORDER);
                new.bytes(&block[8..at]);
                new.seal_json(&info);
            }
            ENHANCED_PACKET => {
                let mut new = block.to_vec();
                let ns = drifted(time(block)).wrapping_add_signed(offset_ns);
                let (high, low) = block::halves(ns);
                new[12..16].copy_from_slice(&high.to_le_bytes());
                new[16..20].copy_from_slice(&low.to_le_bytes());
                // The checksum precedes the end of the options.
                let at = new.len() - 12;
                let sum = checksum(&new[..at]);
                assert_eq!(word(block, at), checksum(&block[..at]));
                new[at..at + 4].copy_from_slice(&sum.to_le_bytes());
                out.extend(new);
            }
            ENTRY_BLOCK => {
                assert_eq!(block[8..16], ENTRY_MAGIC);
                let len = word(block, 16) as usize;
                let mut entry = serde_json::from_slice(&block[20..20 + len]).unwrap();
                match &mut entry {
                    Entry::Update(update) | Entry::UpdateOf { update, .. } => {
                        update.map_times(monotonic)
                    }
                    Entry::SnapshotAgain { time, .. } => time.map_times(monotonic),
                    Entry::Tick(tick) => tick.now_ns = monotonic(tick.now_ns),
                    Entry::Loss(span) | Entry::NotRecorded(span) => span.map_times(monotonic),
                    Entry::Clock {
                        monotonic_ns,
                        utc_ns,
                    } => {
                        *monotonic_ns = monotonic(*monotonic_ns);
                        *utc_ns = drifted(*utc_ns as u64) as i64 + offset_ns;
                    }
                    Entry::Ready | Entry::Topology(_) | Entry::End(_) => {}
                }
                block::entry(&mut out, &entry);
            }
            _ => out.extend_from_slice(block),
        }
    }
    out
}

/// Nanoseconds since 1970 of a packet.
pub(super) fn time(block: &[u8]) -> u64 {
    u64::from(word(block, 12)) << 32 | u64::from(word(block, 16))
}

/// CRC-32 (IEEE 802.3), bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
