//! Segments of packets.
use super::*;
use crate::{
    output::text::remarks::left_behind,
    path::{PartOf, Segments},
};

#[test]
fn segments_are_counted_apart_from_their_packets() {
    let (world, mut out) = (world(), String::new());
    let mut path = path(1);
    path.gso_segments = 5;
    path.segments = [
        (5, Some(5), 4),
        (2, Some(5), 4),
        (3, Some(3), 3),
        (2, Some(3), 3),
        (1, Some(1), 1),
        (2, None, 4),
        (1, None, 3),
    ]
    .map(|(packets, segments, bytes)| Segments {
        packets,
        segments,
        bytes,
    })
    .to_vec();
    for hop in 0..path.segments.len() {
        remarks::changes(&mut out, &path, hop, &world);
        out.push('\n');
    }
    insta::assert_snapshot!(out, @r"
      5 segments
      5 segments in 2 packets
      3 of 5 segments
      3 of 5 segments in 2 packets
      1 of 5 segments
      2 packets
      1 packet with 3 of 4 B
    ");
}

#[test]
fn segments_that_were_left_behind_are_counted() {
    let shown = |segments| {
        let mut out = String::new();
        left_behind(
            &mut out,
            PartOf {
                packet: 7,
                segments,
            },
        );
        out
    };
    let texts = [Some((3, 5)), Some((1, 5)), None].map(shown);
    insta::assert_snapshot!(texts.join("\n"), @r"
      (3 of 5 segments of a packet, which went on without them)
      (1 of 5 segments of a packet, which went on without it)
      (a part of a packet, which went on without it)
    ");
}
