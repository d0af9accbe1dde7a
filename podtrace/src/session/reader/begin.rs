//! Recognises captures by their first bytes.
use std::{io, path::Path};

use super::capture::Magic;
use crate::session::{
    format::{BYTE_ORDER, SECTION_HEADER},
    input::{Endian, Frames, InputError, MAGIC, Opened, Source, is_known},
};

/// The format of a file.
pub(super) enum Format {
    Pcap(Magic),
    Pcapng,
}

/// The format of a file by its first bytes. A section header of pcapng may be damaged in its type
/// or its magic number, and be missing if another block stands in its place; what only holds
/// blocks further on is another file, such as a program with a capture in it.
pub(super) fn format(first: &[u8]) -> Option<Format> {
    if let Some(magic) = Magic::of(first) {
        return Some(Format::Pcap(magic));
    }
    let begins = is_section_header(first) || is_damaged_header(first) || begins_with_block(first);
    begins.then_some(Format::Pcapng)
}

fn is_section_header(first: &[u8]) -> bool {
    let order = Endian::Little.u32(first, 8);
    Endian::Little.u32(first, 0) == Some(SECTION_HEADER)
        && order.is_none_or(|order| [order, order.swap_bytes()].contains(&BYTE_ORDER))
}

/// Whether one of type and magic number is intact, and a block follows.
fn is_damaged_header(first: &[u8]) -> bool {
    let is_type = Endian::Little.u32(first, 0) == Some(SECTION_HEADER);
    let order = Endian::Little.u32(first, 8).unwrap_or(0);
    (is_type || [order, order.swap_bytes()].contains(&BYTE_ORDER)) && first_block(first).is_some()
}

fn begins_with_block(first: &[u8]) -> bool {
    first_block(first).is_some_and(|(offset, kind)| offset == 0 && is_known(kind))
}

/// Offset and type of the first good block.
fn first_block(first: &[u8]) -> Option<(u64, u32)> {
    let mut frames = Frames::new(Box::new(Nothing), first.to_vec());
    frames.finish();
    let frame = frames.next_block().ok()??;
    Some((frame.offset, frame.kind))
}

/// A source without bytes.
struct Nothing;

impl io::Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Source for Nothing {}

/// The error for a file that is no capture.
pub(super) fn no_capture(path: &Path, opened: &Opened) -> InputError {
    let hint = match (opened.is_packed, opened.first.len()) {
        (true, _) => ", nor is one packed in it".to_owned(),
        (false, 0) => ": it is empty".to_owned(),
        (false, len @ 1..MAGIC) => format!(": it has only {len} bytes"),
        (false, _) => String::new(),
    };
    InputError::Format {
        path: path.to_owned(),
        hint,
    }
}
