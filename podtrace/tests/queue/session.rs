//! The recordings of two nodes.
use std::{fs, path::PathBuf};

pub(crate) const RECORDED: [&str; 2] = ["worker1.pcapng", "worker2.pcapng"];

/// Types of a packet's block, of a section's header, and of podtrace's own blocks.
const PACKET: u32 = 6;
const SECTION: u32 = 0x0a0d_0d0a;
const ENTRY: u32 = 0x8074_6470;

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

/// The recording of another node, which saw the same a while later.
pub(crate) fn of_node(recorded: &[u8], node: u32) -> Vec<u8> {
    changed(recorded, node, true)
}

/// What a node records that begins anew after the first half, so many seconds later.
pub(crate) fn begun_anew(file: &str, seconds: u32) -> Vec<u8> {
    let (first, rest) = halves(file);
    let mut ends = blocks(&first);
    ends.push((first.len(), None));
    let known = ends.windows(2).filter(|pair| pair[0].1.is_none());
    let known = known.flat_map(|pair| &first[pair[0].0..pair[1].0]);
    let recorded: Vec<_> = known.chain(&rest).copied().collect();
    changed(&recorded, seconds, false)
}

/// Another recording, so many seconds later. `is_elsewhere`: of another node.
fn changed(recorded: &[u8], seconds: u32, is_elsewhere: bool) -> Vec<u8> {
    let later_ns = u64::from(seconds) * 1_000_000_000;
    let mut bytes = recorded.to_vec();
    let mut ends = blocks(recorded);
    ends.push((bytes.len(), None));
    for pair in ends.windows(2) {
        let block = &mut bytes[pair[0].0..pair[1].0];
        match pair[0].1 {
            Some(time) => {
                let time = time + later_ns;
                block[12..16].copy_from_slice(&((time >> 32) as u32).to_le_bytes());
                block[16..20].copy_from_slice(&(time as u32).to_le_bytes());
                seal(block, b"pdtP");
            }
            None if word(block, 0) == SECTION => {
                let name = format!("n{seconds:06}");
                if is_elsewhere {
                    put(block, b"\"nodes\":[\"", name.as_bytes());
                }
                put(block, b"\"session\":\"", name.as_bytes());
                put(block, b"[{\"session\":\"", name.as_bytes());
                seal(block, b"pdtJ");
            }
            None if word(block, 0) == ENTRY => {
                delay(block, later_ns);
                let end = block.len() - 8;
                let checksum = crc32fast::hash(&block[..end]);
                block[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
            }
            None => {}
        }
    }
    bytes
}

/// Makes the times in the JSON of a block later: they are its only numbers with so many digits.
fn delay(block: &mut [u8], later_ns: u64) {
    let mut at = 0;
    while at < block.len() {
        let rest = block[at..].iter();
        let digits = rest.take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 19 {
            let number = &mut block[at..at + digits];
            let time: u64 = str::from_utf8(number).unwrap().parse().unwrap();
            number.copy_from_slice((time + later_ns).to_string().as_bytes());
        }
        at += digits + 1;
    }
}

/// Where the first of these bytes end.
fn find(block: &[u8], bytes: &[u8]) -> usize {
    let mut windows = block.windows(bytes.len());
    windows.position(|window| window == bytes).unwrap() + bytes.len()
}

fn put(block: &mut [u8], behind: &[u8], bytes: &[u8]) {
    let at = find(block, behind);
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Makes the checksum of an option right: the option has a length, a number, this magic number, its
/// value, and the checksum of all before that.
fn seal(block: &mut [u8], magic: &[u8]) {
    let value = find(block, magic);
    let length = usize::from(u16::from_le_bytes([block[value - 10], block[value - 9]]));
    let end = value + length - 12;
    let checksum = crc32fast::hash(&block[..end]);
    block[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
}
