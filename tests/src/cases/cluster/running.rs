//! Traces that begin while packets are under way.
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use podtrace::lab::traffic::ping;
use serde_json::Value;

use super::super::tracer::Tracer;
use super::{Cluster, is_path};

/// Traces that are begun, and paths that each has to show to its end.
const TRACES: usize = 3;
const PATHS: usize = 100;
/// Between two echo requests.
const PACE: Duration = Duration::from_millis(2);

/// Ends the traffic, whatever happens.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn traffic_that_runs_before_the_nodes_have_their_taps_is_not_lost() {
    let cluster = Cluster::new(3);
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(is_over);
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            let (from, to) = (cluster.pod(from), cluster.pod(to));
            scope.spawn(move || {
                for id in 1..u16::MAX {
                    if is_over.load(Ordering::Acquire) {
                        return;
                    }
                    ping(&from.netns, to.ipv4.into(), id, 1, 56).unwrap();
                    thread::sleep(PACE);
                }
            });
        }
        for _ in 0..TRACES {
            trace(&cluster);
        }
    });
}

/// Traces for a while, and looks at how the paths ended.
fn trace(cluster: &Cluster) {
    let mut console = cluster.console("trace");
    console.arg("icmp");
    let mut tracer = Tracer::spawn(console);
    let is_whole = |value: &Value| is_path(value) && value["outcome"] == "delivered";
    tracer.wait_until_all(PATHS, is_whole);
    let values = tracer.finish();
    let paths = values.iter().filter(|value| is_path(value));
    for path in paths {
        let outcome = path["outcome"].as_str().unwrap();
        let is_known = [
            "delivered",
            "left_for_vtep",
            "left_node",
            "in_flight",
            "unknown",
        ];
        assert!(is_known.contains(&outcome), "{path}");
    }
    for node in 0..cluster.lab.nodes.len() {
        cluster.wait_for_quiet(node);
    }
}
