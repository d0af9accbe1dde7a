//! The intact parts of damaged files are read.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use podtrace::session::format::{
    ENHANCED_PACKET, ENTRY_BLOCK, INTERFACE_DESCRIPTION, SECTION_HEADER,
};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::blocks::{BlockRange, blocks, packets};
use super::record::{conserved, lines, notices, number, of_type, parse, recorded, run};

/// A recording to be damaged, which all cases share.
static WHOLE: LazyLock<Whole> = LazyLock::new(whole);

struct Whole {
    bytes: Vec<u8>,
    blocks: Vec<BlockRange>,
    /// The identities of its events, in the order of their blocks.
    events: Vec<(u64, String)>,
}

fn whole() -> Whole {
    let recorded = recorded("a.pcapng", &[]);
    let bytes = fs::read(&recorded.file).unwrap();
    let blocks = blocks(&bytes);
    let values = read(&recorded.file).expect("a whole file");
    assert_eq!(notices(&values), [""; 0]);
    let events = events(&values);
    assert_eq!(events.len(), packets(&blocks).count());
    assert!(events.len() > 500);
    Whole {
        bytes,
        blocks,
        events,
    }
}

/// The output of a replay; none if nothing in the file is recognised.
#[track_caller]
fn read(file: &Path) -> Option<Vec<Value>> {
    let output = run(&["replay", "-o", "json", file.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(2) {
        assert!(error.contains("is neither pcapng nor pcap"), "{error}");
        return None;
    }
    assert!(output.status.success(), "{}: {error}", output.status);
    assert_eq!(error, "");
    let values = parse(&lines(&String::from_utf8(output.stdout).unwrap()));
    conserved(&values);
    Some(values)
}

fn events(values: &[Value]) -> Vec<(u64, String)> {
    let events = of_type(values, "event").map(|event| {
        let what = format!("{} {}", event["what"], event["direction"]);
        (number(event, "time_ns"), what)
    });
    events.collect()
}

impl Whole {
    /// The output of a replay of a damaged copy.
    #[track_caller]
    fn read(&self, bytes: &[u8]) -> Option<Vec<Value>> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        read(file.path())
    }

    /// All events except for those in the `damaged` bytes are shown.
    #[track_caller]
    fn shows_the_rest(&self, values: &[Value], damaged: &Range<usize>) {
        let shown: BTreeSet<_> = events(values).into_iter().collect();
        let intact = packets(&self.blocks).zip(&self.events);
        let missing = intact
            .filter(|(block, _)| {
                block.range.end <= damaged.start || block.range.start >= damaged.end
            })
            .filter(|(_, event)| !shown.contains(event));
        assert_eq!(missing.count(), 0, "{damaged:?}: {:?}", notices(values));
    }

    fn block_at(&self, at: usize) -> &BlockRange {
        let mut blocks = self.blocks.iter();
        blocks.find(|block| block.range.contains(&at)).unwrap()
    }
}

/// The bytes that notices report as damaged.
fn damaged(values: &[Value]) -> Vec<Range<usize>> {
    let ranges = notices(values).into_iter().filter_map(|text| {
        let (_, block) = text.split_once(" is damaged: ")?;
        let (_, block) = block.rsplit_once(", ")?;
        let (len, block) = block.split_once(" from byte ")?;
        // `1 byte … was skipped`
        let len = len
            .strip_suffix(" byte")
            .or_else(|| len.strip_suffix(" bytes"))?;
        let (offset, _) = block.split_once(" on w")?;
        let (len, offset): (usize, usize) = (len.parse().unwrap(), offset.parse().unwrap());
        Some(offset..offset + len)
    });
    ranges.collect()
}

/// `count` numbers below a limit, the same in every run.
fn spread(count: usize, limit: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| (i * 2_654_435_761 + 12_345) % limit)
}

#[test]
fn cut_files_lose_what_was_cut() {
    let whole = &*WHOLE;
    let len = whole.bytes.len();
    let ends = whole.blocks.iter().map(|block| block.range.end);
    let at_ends = ends.step_by(whole.blocks.len() / 10);
    for at in spread(40, len).chain(at_ends).chain([1, 11, 27, len - 1]) {
        let Some(values) = whole.read(&whole.bytes[..at]) else {
            assert_eq!(at, 1, "too few bytes to say what it is");
            continue;
        };
        whole.shows_the_rest(&values, &(at..len));
        let is_whole = whole.blocks.iter().any(|block| block.range.end == at);
        let ranges = damaged(&values);
        assert_eq!(ranges.is_empty(), is_whole, "{at}: {:?}", notices(&values));
        if !is_whole {
            let begin = whole.block_at(at).range.start;
            assert_eq!(ranges.len(), 1, "{at}: {:?}", notices(&values));
            assert_eq!(ranges[0], begin..at, "{at}");
        }
        let mentions_it = |text: &&str| text.contains("ends without a closing block");
        // Without a section header, no closing block is expected.
        let has_header = at >= whole.blocks[0].range.end;
        let is_reported = notices(&values).iter().any(mentions_it);
        assert_eq!(is_reported, has_header && at < len, "{at}");
    }
}

#[test]
fn flipped_bits_cost_their_block() {
    let whole = &*WHOLE;
    let (mut noticed, mut flips) = (0, 0);
    for at in spread(100, whole.bytes.len()) {
        let block = whole.block_at(at);
        if block.kind == SECTION_HEADER || block.kind == INTERFACE_DESCRIPTION {
            continue;
        }
        let mut bytes = whole.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let values = whole.read(&bytes).expect("most is whole");
        whole.shows_the_rest(&values, &block.range);
        let damaged = damaged(&values);
        assert!(damaged.len() <= 1, "{at}: {:?}", notices(&values));
        let is_there = damaged.iter().all(|range| range.contains(&at));
        assert!(is_there, "{at}: {:?}", notices(&values));
        flips += 1;
        // Damage in bytes that no reader uses may go unnoticed: padding, the end of options.
        noticed += damaged.len();
        // With another type, the block may be of any tool: only the counts show that it is
        // missing.
        let body = block.range.start + 4..block.range.end - 12;
        if block.kind == ENHANCED_PACKET && body.contains(&at) {
            assert_eq!(damaged.len(), 1, "{at}");
            assert_eq!(damaged[0], block.range, "{at}");
        }
    }
    println!("{flips} flips, {noticed} noticed");
    assert!(
        flips > 50 && noticed * 10 > flips * 8,
        "{noticed} of {flips}"
    );
}

#[test]
fn damaged_headers_cost_what_they_describe_at_most() {
    let whole = &*WHOLE;
    let described = whole
        .blocks
        .iter()
        .filter(|block| [SECTION_HEADER, INTERFACE_DESCRIPTION].contains(&block.kind));
    let described: Vec<_> = described.collect();
    for (number, block) in described.iter().enumerate() {
        let at = block.range.start + (number * 7 + 8) % (block.range.len() - 16);
        let mut bytes = whole.bytes.clone();
        bytes[at] ^= 0x10;
        let values = whole.read(&bytes).expect("blocks are there");
        assert_eq!(damaged(&values).len(), 1, "{at}: {:?}", notices(&values));
        // Packets of one interface, or without the state of the section.
        let shown = events(&values).len();
        println!(
            "{:x} at {at}: {shown} of {}",
            block.kind,
            whole.events.len()
        );
        assert!(
            shown > whole.events.len() / 3,
            "{:x} at {at}: {shown}",
            block.kind
        );
    }
}

/// If the entries of interfaces are lost, their descriptions serve.
#[test]
fn damaged_entries_cost_no_packet() {
    let whole = &*WHOLE;
    let mut bytes = whole.bytes.clone();
    let entries = whole
        .blocks
        .iter()
        .filter(|block| block.kind == ENTRY_BLOCK);
    for block in entries {
        bytes[block.range.start + 24] ^= 1;
    }
    let values = whole.read(&bytes).expect("packets are there");
    assert!(events(&values).len() == whole.events.len());
    let is_named = |event: &Value| event["interface"] != "";
    assert!(of_type(&values, "event").all(is_named));
}

#[test]
fn holes_cost_what_was_in_them() {
    let whole = &*WHOLE;
    let len = whole.bytes.len();
    let first = packets(&whole.blocks).next().unwrap().range.start;
    let defined = whole
        .blocks
        .iter()
        .filter(|block| block.kind == INTERFACE_DESCRIPTION);
    let last_defined = defined.map(|block| block.range.end).max().unwrap();
    println!("interfaces are described until {last_defined} of {len}, packets begin at {first}");
    for (number, at) in spread(20, len - 4_000).enumerate() {
        let cut = at..at + 1 + number * 197;
        let touches = whole.blocks.iter().any(|block| {
            block.kind != ENHANCED_PACKET
                && block.range.start < cut.end
                && cut.start < block.range.end
                && block.range.start < last_defined
        });
        let bytes = [&whole.bytes[..cut.start], &whole.bytes[cut.end..]].concat();
        let values = whole.read(&bytes).expect("most is whole");
        let is_cut = |at: usize| !whole.blocks.iter().any(|block| block.range.start == at);
        if is_cut(cut.start) || is_cut(cut.end) {
            assert_eq!(damaged(&values).len(), 1, "{cut:?}: {:?}", notices(&values));
        }
        if !touches {
            whole.shows_the_rest(&values, &cut);
        }
    }
}

#[test]
fn file_that_begins_with_garbage_is_no_capture() {
    let whole = &*WHOLE;
    for len in [1, 3, 4, 7, 64, 1_001, 70_000] {
        let garbage: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8 | 0x80).collect();
        let bytes = [&garbage, &whole.bytes[..]].concat();
        assert!(whole.read(&bytes).is_none(), "{len}");
    }
}

#[test]
fn header_of_the_other_byte_order_is_damage() {
    let whole = &*WHOLE;
    let mut bytes = whole.bytes.clone();
    bytes[8..12].reverse();
    let values = whole.read(&bytes).expect("blocks are there");
    let ranges = damaged(&values);
    assert_eq!(ranges.len(), 1, "{:?}", notices(&values));
    assert_eq!(ranges[0], whole.blocks[0].range);
    println!("{} of {} events", events(&values).len(), whole.events.len());
    assert!(!events(&values).is_empty());
}

#[test]
fn compressed_files_lose_damaged_frames_only() {
    let recorded = recorded("a.pcapng.zst", &["--zstd", "--flush", "50ms"]);
    let whole = fs::read(&recorded.file).unwrap();
    let all = events(&read(&recorded.file).unwrap()).len();
    let file = recorded.dir.path().join("damaged.pcapng.zst");
    for at in spread(20, whole.len() - 200) {
        // Not in the first frame, which has the begin of the section.
        let at = at + 200;
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&file, &bytes).unwrap();
        if let Some(values) = read(&file) {
            assert!(events(&values).len() <= all);
            assert!(!damaged(&values).is_empty(), "{at}: {:?}", notices(&values));
        }
        fs::write(&file, &whole[..at]).unwrap();
        let values = read(&file);
        assert!(values.is_none_or(|values| events(&values).len() <= all));
    }
}
