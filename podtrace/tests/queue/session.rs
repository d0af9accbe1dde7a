//! The recordings of two nodes.
use std::{fs, path::PathBuf};

pub(crate) const RECORDED: [&str; 2] = ["worker1.pcapng", "worker2.pcapng"];

/// Type of a packet's block.
const PACKET: u32 = 6;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/docs")
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Blocks: their types and where they end, with the time of packets.
fn blocks(bytes: &[u8]) -> Vec<(usize, Option<u64>)> {
    let (mut at, mut blocks) = (0, Vec::new());
    while at < bytes.len() {
        let block = &bytes[at..];
        let time = || u64::from(word(block, 12)) << 32 | u64::from(word(block, 16));
        blocks.push((at, (word(block, 0) == PACKET).then(time)));
        at += word(block, 4) as usize;
    }
    blocks
}

/// A recording up to the time at which half of the packets of both were seen, and the rest.
pub(crate) fn halves(file: &str) -> (Vec<u8>, Vec<u8>) {
    let all = RECORDED.map(|file| fs::read(folder().join(file)).unwrap());
    let mut times: Vec<_> = all
        .iter()
        .flat_map(|bytes| blocks(bytes))
        .filter_map(|(_, time)| time)
        .collect();
    times.sort_unstable();
    let middle = times[times.len() / 2];
    let bytes = fs::read(folder().join(file)).unwrap();
    let blocks = blocks(&bytes);
    let mut later = blocks
        .iter()
        .filter(|(_, time)| time.is_some_and(|time| time > middle));
    let at = later.next().unwrap().0;
    let rest = bytes[at..].to_vec();
    (bytes[..at].to_vec(), rest)
}
