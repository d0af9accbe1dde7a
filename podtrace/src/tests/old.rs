//! Recordings of earlier versions go on being read: names change in the code, never in
//! files.
use std::path::Path;

use super::sample::*;

/// Three pings in a lab of two nodes, recorded by 0.1.0.
const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/tests/data/before-0.2.pcapng"
);

#[test]
fn recording_of_an_earlier_version_replays_as_it_did() {
    let nodes = ["podtrace-13172-0-node1", "podtrace-13172-0-node2"];
    let replayed = replay(&[Path::new(RECORDED).to_owned()], &nodes, text());
    assert_eq!(replayed.damage, []);
    insta::assert_snapshot!(replayed.text);
}
