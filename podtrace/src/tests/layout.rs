//! The layout that other tools require: interfaces directly behind the section header, and one
//! link layer for all packets.
use std::{collections::BTreeSet, ops::Range};

use podtrace_ebpf::record::Direction;

use super::sample::*;
use crate::{
    model::tap_point::Role,
    packet::link::{ETHERNET, MADE},
    session::format::{
        ENHANCED_PACKET, ENTRY_BLOCK, INTERFACE_DESCRIPTION, NAME_RESOLUTION, SECTION_HEADER,
    },
    update::Update,
};

/// The blocks of a file: their types, and where they are.
fn blocks(bytes: &[u8]) -> Vec<(u32, Range<usize>)> {
    let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let (mut blocks, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = at + word(at + 4) as usize;
        blocks.push((word(at), at..end));
        at = end;
    }
    blocks
}

/// Packets of containers' sockets among others.
fn session(how: How) -> Vec<Vec<u8>> {
    let mut tape = Tape::new(1, how, text());
    for number in 0..20 {
        tape.ping(number, 5);
        tape.tick(30_000_000);
    }
    let files = tape.finish();
    let files = files.files.iter().map(|file| std::fs::read(file).unwrap());
    files.collect()
}

#[test]
fn each_file_begins_with_its_interfaces() {
    for rotate_bytes in [None, Some(20_000)] {
        let files = session(How {
            rotate_bytes,
            ..How::default()
        });
        assert_eq!(files.len() > 1, rotate_bytes.is_some());
        for bytes in files {
            let blocks = blocks(&bytes);
            let kinds: Vec<_> = blocks.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds[0], SECTION_HEADER);
            let described = kinds[1..]
                .iter()
                .take_while(|kind| **kind == INTERFACE_DESCRIPTION);
            // Six tap points, and the sockets behind all but the ends of veths.
            assert_eq!(described.count(), 6 + 4);
            let all = kinds.iter().filter(|kind| **kind == INTERFACE_DESCRIPTION);
            assert_eq!(all.count(), 6 + 4);
            for kind in [NAME_RESOLUTION, ENTRY_BLOCK, ENHANCED_PACKET] {
                assert!(kinds.contains(&kind));
            }
        }
    }
}

#[test]
fn limited_file_begins_with_some_of_its_interfaces() {
    let files = session(How {
        rotate_bytes: Some(6_000),
        ..How::default()
    });
    for bytes in files {
        let kinds: Vec<_> = blocks(&bytes).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds[..2], [SECTION_HEADER, INTERFACE_DESCRIPTION]);
        let described = kinds.iter().filter(|kind| **kind == INTERFACE_DESCRIPTION);
        assert!(described.count() < 6 + 4);
    }
}

#[test]
fn every_packet_is_an_ethernet_frame() {
    let bytes = session(How::default()).concat();
    let mut links = Vec::new();
    let mut made = BTreeSet::new();
    for (kind, range) in blocks(&bytes) {
        let block = &bytes[range];
        if kind == INTERFACE_DESCRIPTION {
            links.push(block[8]);
        } else if kind == ENHANCED_PACKET {
            let (frame, len) = (&block[28..], &block[20..28]);
            assert_eq!(len[..4], len[4..]);
            assert_eq!(frame[12..15], [8, 0, 0x45]);
            assert_eq!(usize::from(len[0]), 14 + usize::from(frame[17]));
            if frame[6..12] == MADE.0 {
                // The pod's address, which the receiving socket is behind.
                assert_eq!(frame[..6], mac(3).0);
                made.insert(block[8]);
            }
        }
    }
    assert!(links.iter().all(|link| u16::from(*link) == ETHERNET));
    assert_eq!(made.len(), 1);
    let items = read(&bytes).events;
    let sockets = items.iter().filter(|event| event.contains("Socket"));
    assert_eq!(sockets.count(), 20);
}

/// Packets of sockets are read without the made header.
#[test]
fn made_header_is_left_out_again() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("s.pcapng");
    std::fs::write(&file, session(How::default()).concat()).unwrap();
    let mut chain = chain(&[file]);
    chain.end();
    let mut sockets = 0;
    while let Some(item) = chain.next_item().unwrap() {
        if !matches!(item, crate::session::reader::Item::Event) {
            continue;
        }
        let event = chain.event().unwrap();
        let is_socket = event.direction == Direction::Socket;
        assert_eq!(event.wire_len, if is_socket { 36 } else { 50 });
        assert_eq!(event.captured.len(), event.wire_len as usize);
        assert_eq!(event.link, if is_socket { 101 } else { 1 });
        sockets += u32::from(is_socket);
    }
    assert_eq!(sockets, 20);
}

/// Updates come in all sizes: what fits a file with the state at its begin stays within its limit.
#[test]
fn no_file_is_longer_than_its_limit() {
    const LIMIT: u64 = 60_000;
    let how = How {
        rotate_bytes: Some(LIMIT),
        ..How::default()
    };
    for length in (0..8_000).step_by(700) {
        let mut tape = Tape::new(1, how, text());
        for number in 0..12 {
            tape.add_place(&format!("veth{number}"), 1, None, Role::Veth);
        }
        for number in 0..60 {
            tape.ping(number, 5);
            tape.update(&Update::Notice {
                text: "n".repeat(length * usize::from(number % 3)),
            });
            tape.tick(30_000_000);
        }
        let recorded = tape.finish();
        assert!(recorded.files.len() > 1);
        for file in &recorded.files {
            let bytes = std::fs::metadata(file).unwrap().len();
            assert!(bytes <= LIMIT, "{bytes} with {length}: {}", file.display());
        }
    }
}
