use super::*;
use crate::{path::builder::tests::path, world::fixture::world};

#[test]
fn path_that_may_lack_hops_says_so() {
    let mut out = String::new();
    for incomplete in [false, true] {
        let path = Path {
            incomplete,
            ..path(1)
        };
        Json::new(0).path(&mut out, &path, &world());
    }
    let said: Vec<_> = out
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["outcome"].clone(), line["incomplete"].clone())
        })
        .collect();
    assert_eq!(
        said,
        [false, true].map(|it| ("delivered".into(), it.into()))
    );
}

#[test]
fn summary_counts_paths_that_may_lack_hops() {
    let mut out = String::new();
    let summary = Summary {
        packets: 3,
        incomplete: 2,
        ..Summary::default()
    };
    Json::new(0).summary(&mut out, &summary, &NotShown::default(), &world());
    insta::assert_snapshot!(out, @r#"{"type":"summary","packets":3,"outcomes":{"delivered":0,"events_lost":0,"given_up":0,"in_flight":0,"left_for_vtep":0,"left_node":0,"not_seen_further":0,"unknown":0},"incomplete":2,"unreadable":0,"duration_ns":0,"total":{"seen":0,"emitted":0,"filtered":0,"lost_ring":0,"undecodable":0},"taps":[]}"#);
}
