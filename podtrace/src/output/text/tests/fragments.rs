//! Packets that are cut on their way.
use super::*;
use crate::path::Segments;

#[test]
fn fragments_are_counted_and_so_is_what_is_missing() {
    let (world, mut path) = (world(), path(1));
    path.packet.length = 3020;
    path.in_fragments = true;
    let seen = [(1, 3000), (3, 3000), (2, 2896)];
    path.segments = seen
        .map(|(packets, bytes)| Segments {
            packets,
            segments: None,
            bytes,
        })
        .to_vec();
    path.hops.truncate(seen.len());
    let texts = (0..seen.len()).map(|hop| {
        let mut out = String::new();
        remarks::changes(&mut out, &path, hop, &world);
        out
    });
    let expected = ["", "  3 fragments", "  2 fragments with 2896 of 3000 B"];
    assert!(texts.eq(expected));
}
