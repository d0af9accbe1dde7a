//! Batches of hops from another program.
use podtrace::wire::{Batch, Decoder, Hop, Limits, Refused, Tap};
use podtrace_ebpf::record::Direction;

use crate::input::parts;

/// A small bound, so that bytes which pass it are found.
const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    hops: 1 << 10,
};
/// First byte of an input of hops.
const HOPS: u8 = b'h';
/// First byte of an input that is packed first, as one who means harm would.
const PACK: u8 = b'z';

/// Reads the bytes as a message, reads them packed, or sends them as hops.
pub(crate) fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((&HOPS, hops)) => round_trip(hops),
        Some((&PACK, plain)) => {
            if let Ok(packed) = zstd::bulk::compress(plain, 1) {
                read(&packed);
            }
        }
        _ => read(bytes),
    }
}

fn read(message: &[u8]) {
    let Ok(mut decoder) = Decoder::new(LIMITS) else {
        return;
    };
    let Ok(mut hops) = decoder.decode(message) else {
        return;
    };
    let (mut len, mut bytes) = (hops.len(), 0);
    while let Some(hop) = hops.next() {
        len -= 1;
        bytes += hop.captured.len();
    }
    assert_eq!(len, 0, "all are told");
    assert!(bytes <= LIMITS.bytes);
}

/// Each part is a hop: eight bytes of its own, then what was captured.
fn round_trip(bytes: &[u8]) {
    let (Ok(mut batch), Ok(mut decoder)) = (Batch::new(), Decoder::new(LIMITS)) else {
        return;
    };
    let hops: Vec<_> = parts(bytes).filter_map(hop).collect();
    let taken = hops
        .iter()
        .take_while(|hop| batch.push(hop) != Err(Refused::Full))
        .count();
    assert_eq!(taken, batch.len());
    let Ok(message) = batch.finish() else { return };
    let decoded = decoder.decode(&message);
    assert!(decoded.is_ok(), "what was sent is taken: {decoded:?}");
    let Ok(mut decoded) = decoded else { return };
    for hop in &hops[..taken] {
        assert_eq!(decoded.next().as_ref(), Some(hop));
    }
    assert!(decoded.is_empty());
}

fn hop(bytes: &[u8]) -> Option<Hop<'_>> {
    let ([time, interface, kind, link, length, segments, cgroup, tci], captured) =
        bytes.split_first_chunk()?;
    let directions = [
        Direction::Ingress,
        Direction::Egress,
        Direction::Socket,
        Direction::Unknown,
    ];
    Some(Hop {
        // Some lie far apart.
        ts_ns: u64::from(*time) << (time & 0x3f),
        tap: Tap {
            interface: (*interface).into(),
            direction: directions[usize::from(kind & 3)],
            cgroup: u64::from(*cgroup) << (cgroup & 0x3f),
            vlan_tci: (kind & 4 != 0).then_some((*tci).into()),
            link: if link & 1 == 0 { 1 } else { (*link).into() },
        },
        wire_len: if kind & 8 == 0 {
            captured.len() as u32
        } else {
            (*length).into()
        },
        gso_segments: (*segments).into(),
        captured,
    })
}
