//! The end of a session.
use super::pipeline;
use crate::{
    path::{
        builder::tests::{TO_POD2, event, syn},
        reorder::Reorder,
    },
    world::fixture::world,
};

/// The nodes are read once more if a socket did not answer, and then the summary is written.
#[test]
fn sockets_that_do_not_answer_are_known_once_events_end() {
    let (mut pipeline, _) = pipeline();
    *pipeline.world_mut() = world();
    for (ts_ns, interface, direction) in TO_POD2 {
        let event = event(ts_ns, interface, direction, &syn("10.244.1.3"));
        pipeline.reorder.push(event);
    }
    // It waits until it is known whether an event was lost.
    pipeline.join_ready(Reorder::all);
    pipeline.tick(10_000_000_000);
    assert!(!pipeline.has_unanswered_syns());
    pipeline.end_events();
    assert!(pipeline.has_unanswered_syns());
    let summary = pipeline.finish(&Default::default(), 1);
    assert_eq!((summary.packets, summary.unanswered_syns), (1, 1));
}
