//! Frames of zstd, whole and damaged.
use std::io::{self, Cursor, Read};

use podtrace::session::input::{Source, Unpacked};

/// Bytes that are unpacked at most.
const UNPACKED_MAX: u64 = 4 << 20;
/// First byte of an input that is packed first.
const PACK: u8 = b'z';

/// Unpacks the bytes, or packs them and unpacks that.
pub(crate) fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((&PACK, text)) => round_trip(text),
        _ => {
            unpack(bytes.to_vec());
        }
    }
}

/// One frame for each line comes out as it went in.
fn round_trip(text: &[u8]) {
    let frames = text.split_inclusive(|byte| *byte == b'\n');
    let packed: io::Result<Vec<_>> = frames
        .map(|frame| zstd::stream::encode_all(frame, 1))
        .collect();
    let Ok(packed) = packed else { return };
    let (unpacked, is_damaged) = unpack(packed.concat());
    assert_eq!(unpacked, text);
    assert!(!is_damaged);
}

/// What is unpacked, and whether any of it was damaged.
fn unpack(packed: Vec<u8>) -> (Vec<u8>, bool) {
    let len = packed.len() as u64;
    let source = Box::new(Bytes(Cursor::new(packed)));
    let mut out = Vec::new();
    let Ok(mut unpacked) = Unpacked::new(source, &[]) else {
        return (out, true);
    };
    let read = (&mut unpacked).take(UNPACKED_MAX).read_to_end(&mut out);
    assert!(read.is_ok(), "damage is skipped: {read:?}");
    unpacked.finish();
    let mut end = 0;
    let all = unpacked.take_damage();
    for damage in &all {
        assert!(damage.offset >= end, "in order: {all:?}");
        end = damage.offset + damage.len;
        assert!(end <= len, "within {len} bytes: {all:?}");
    }
    (out, !all.is_empty())
}

struct Bytes(Cursor<Vec<u8>>);

impl Read for Bytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Source for Bytes {}
