//! Whether a file begins as a capture does.
use std::{io, path::Path};

use super::capture::Magic;
use crate::session::{
    format::{BYTE_ORDER, SECTION_HEADER},
    input::{Endian, Frames, InputError, MAGIC, Opened, Source},
};

/// What a file is.
pub(super) enum Format {
    Pcap(Magic),
    Pcapng,
}

/// What a file is by its first bytes: they may be damaged if a block follows.
pub(super) fn format(first: &[u8]) -> Option<Format> {
    if let Some(magic) = Magic::of(first) {
        return Some(Format::Pcap(magic));
    }
    (is_section_header(first) || has_block(first)).then_some(Format::Pcapng)
}

fn is_section_header(first: &[u8]) -> bool {
    let order = Endian::Little.u32(first, 8);
    Endian::Little.u32(first, 0) == Some(SECTION_HEADER)
        && order.is_none_or(|order| [order, order.swap_bytes()].contains(&BYTE_ORDER))
}

fn has_block(first: &[u8]) -> bool {
    let mut frames = Frames::new(Box::new(Nothing), first.to_vec());
    frames.finish();
    matches!(frames.next_block(), Ok(Some(_)))
}

/// A source without bytes.
struct Nothing;

impl io::Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Source for Nothing {}

/// The error of a file that is no capture.
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
