//! A recording of podtrace's, replayed to text and to JSON.
//!
//! Its blocks are sealed by checksums, which no mutation passes. So an input is text, a
//! line for each block, and the target makes the blocks:
//!
//! ```text
//! S JSON                                   section header
//! I LINKTYPE JSON                          interface description
//! P INTERFACE FLAGS TIME LENGTH HEX        packet
//! C INTERFACE JSON                         interface statistics
//! E JSON                                   entry
//! ```
use std::{collections::VecDeque, io};

use jiff::tz::TimeZone;
use podtrace::{
    model::origin::Origin,
    output::{
        json::Json,
        printer::Printer,
        text::{Text, TextOptions},
    },
    packet::DecodeOptions,
    pipeline::Pipeline,
    replay::merge::{All, Merge, Step, Stream},
    session::{
        chain::Chain,
        format::SectionInfo,
        reader::{Reader, ReaderOptions},
    },
    sink::TextSink,
};
use serde::de::IgnoredAny;

use crate::{input::MemoryFile, recording};

const KEY_PAYLOAD: usize = 16;
const HOP_TIMEOUT_NS: u64 = 500_000_000;
/// Nodes of a session at most: each has its place in memory.
const NODES_MAX: usize = 64;

/// Replays it: all lines of JSON can be read, and nothing that terminals obey is shown.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(file) = MemoryFile::new(&recording::of(bytes)) else {
        return;
    };
    let options = ReaderOptions {
        key_payload: KEY_PAYLOAD,
        filter: None,
        keep_captured: true,
        ..ReaderOptions::default()
    };
    let Ok(reader) = Reader::open(&file.path(), options.clone()) else {
        return;
    };
    let nodes = nodes(bytes);
    let decode = DecodeOptions {
        vxlan_ports: Vec::new(),
        key_payload: KEY_PAYLOAD,
        filter: None,
    };
    let mut pipeline = Pipeline::new(decode, HOP_TIMEOUT_NS, None);
    pipeline.world_mut().nodes = nodes.iter().map(|name| name.as_str().into()).collect();
    let text = Text::new(TextOptions::default(), TimeZone::UTC);
    pipeline.add(Box::new(Printer::new(Box::new(text), Box::new(Shown))));
    let json = Box::new(Json::new(0));
    pipeline.add(Box::new(Printer::new(json, Box::new(Parsed))));

    let chain = Chain::new(reader, options, VecDeque::new());
    let origin = Origin {
        session: 0,
        nodes: 0..nodes.len(),
    };
    let mut merge = Merge::new(vec![Stream::new(chain, origin, None)]);
    while let Ok(step) = merge.step(&mut pipeline, &mut All, false) {
        if step == Step::Over {
            break;
        }
    }
    let duration_ns = merge.finish(&mut pipeline);
    pipeline.end(duration_ns);
    // The sinks cannot fail.
    let _ = pipeline.close();
}

/// The nodes that the first section names.
fn nodes(bytes: &[u8]) -> Vec<String> {
    let mut headers = recording::lines(bytes).filter_map(|(kind, rest)| {
        let is_header = kind == b'S';
        is_header.then(|| serde_json::from_slice::<SectionInfo>(rest).ok())?
    });
    let nodes = headers.next().map(|header| header.nodes);
    let mut nodes = nodes
        .filter(|nodes| !nodes.is_empty())
        .unwrap_or_else(|| vec!["node".to_owned()]);
    nodes.truncate(NODES_MAX);
    nodes
        .iter()
        .map(|name| podtrace::text::sanitize::sanitize(name))
        .collect()
}

/// Text for a terminal.
struct Shown;

impl TextSink for Shown {
    fn take(&mut self, text: &str) -> io::Result<()> {
        let obeyed = text.chars().find(|char| char.is_control() && *char != '\n');
        assert_eq!(obeyed, None, "shown: {text:?}");
        Ok(())
    }
}

/// Lines of JSON.
struct Parsed;

impl TextSink for Parsed {
    fn take(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            let parsed = serde_json::from_str::<IgnoredAny>(line);
            assert!(parsed.is_ok(), "not JSON: {line}");
        }
        Ok(())
    }
}
