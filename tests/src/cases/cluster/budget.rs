//! A request for everything, of which there is more than the console takes.
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use podtrace::lab::traffic::ping;
use serde_json::Value;

use super::super::tracer::Tracer;
use super::{Cluster, is_path, nodes_of};

/// Echo requests of the flood.
const FLOOD: u16 = 7;
/// Those of an address that nobody has.
const ASTRAY: u16 = 8;

fn says(value: &Value, words: &[&str]) -> bool {
    let text = value["text"].as_str().unwrap_or_default();
    words.iter().all(|word| text.contains(word))
}

#[test]
fn nodes_sample_to_a_common_budget_and_nothing_left_out_is_lost() {
    // The second node has a bound of its own, which is lower than its share.
    let own = |node| match node {
        1 => &["--max-rate", "100"][..],
        _ => &[],
    };
    let cluster = Cluster::with(3, own);
    let mut console = cluster.console("trace");
    console.args(["--max-rate", "1500", "--hop-timeout", "50ms"]);
    let mut tracer = Tracer::spawn(console);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            let (from, to) = (cluster.pod(from), cluster.pod(to));
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    ping(&from.netns, to.ipv4.into(), FLOOD, 10, 56).unwrap();
                }
            });
        }
        let mut wait = |words: &[&str]| {
            tracer.wait_for(|value| says(value, words));
        };
        wait(&["worker2", "beyond 100 events"]);
        wait(&["1500 events a second of all nodes, 500 of each"]);
        // Packets end while the shares differ.
        tracer.wait_until_all(50, |value| {
            is_path(value) && value["outcome"] == "delivered" && nodes_of(value).len() == 2
        });
        tracer.wait_until_all(50, |value| is_path(value) && value["outcome"] == "unknown");
        is_done.store(true, Ordering::Relaxed);
    });
    let values = tracer.finish();
    for path in values.iter().filter(|value| is_path(value)) {
        let outcome = path["outcome"].as_str().unwrap();
        let may_be = [
            "delivered",
            "unknown",
            "in_flight",
            "events_lost",
            "incomplete",
        ];
        // A question that is flooded to a node that it does not ask.
        let asks_others = path["protocol"] == "arp" && outcome == "no_receiver_expected";
        assert!(may_be.contains(&outcome) || asks_others, "{path}");
    }
    let summed_up = |value: &&Value| {
        let words = ["sampled to stay below 1500", "worker2 down to 1 in "];
        says(value, &words)
    };
    assert_eq!(values.iter().filter(summed_up).count(), 1);
    let total = &values.last().unwrap()["total"];
    assert!(total["filtered"].as_u64() > total["emitted"].as_u64());
    assert_eq!(total["lost_ring"], 0);
}

#[test]
fn budget_that_is_not_used_up_changes_nothing() {
    let cluster = Cluster::new(2);
    let mut tracer = Tracer::spawn(cluster.console("trace"));
    let (one, two) = (cluster.pod(0), cluster.pod(1));
    ping(&one.netns, two.ipv4.into(), FLOOD, 3, 56).unwrap();
    let mut nobody = two.ipv4.octets();
    nobody[3] = 250;
    // Nobody answers.
    ping(&one.netns, nobody.into(), ASTRAY, 1, 56).unwrap_err();
    let path = tracer.wait_for(|value| is_path(value) && value["icmp_id"] == ASTRAY);
    assert_ne!(path["outcome"], "unknown", "{path}");
    let values = tracer.finish();
    let floods = values
        .iter()
        .filter(|value| is_path(value) && value["icmp_id"] == FLOOD);
    assert_eq!(floods.clone().count(), 6);
    for path in floods {
        assert_eq!(path["outcome"], "delivered", "{path}");
    }
    assert!(!values.iter().any(|value| says(value, &["sampled"])));
}
