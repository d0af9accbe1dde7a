//! Other tools change our filters during a trace.

use serde_json::Value;

use super::{BEHIND, Site, U32, VETH, notices, objects};
use crate::cases::foreign::tc;
use crate::cases::tracer::Tracer;

const RESTORED: &str = "was not traced for a moment: another tool had removed";
const REMOVED: &str = "is not traced: failed to stay attached to";

fn is_notice(value: &Value, what: &str) -> bool {
    let text = value["text"].as_str().unwrap_or_default();
    value["type"] == "notice" && text.starts_with(VETH) && text.contains(what)
}

fn trace(site: &Site) -> Tracer {
    site.trace("clsact", &[])
}

#[test]
fn filters_that_are_removed_are_attached_again_a_few_times() {
    let site = Site::new();
    let before = site.dump();
    let mut tracer = trace(&site);
    for id in 20..23 {
        site.tc(&format!("qdisc del dev {VETH} clsact"));
        tracer.wait_for(|value| is_notice(value, RESTORED));
        assert!(site.sees_pings(&mut tracer, id));
    }
    site.tc(&format!("qdisc del dev {VETH} clsact"));
    tracer.wait_for(|value| is_notice(value, REMOVED));
    assert_eq!(site.dump(), before);
    assert!(!site.sees_pings(&mut tracer, 23));
    tracer.finish();
    assert_eq!(site.dump(), before);
}

/// The last hop of such packets is not seen, and yet they arrive.
#[test]
fn packets_that_pass_meanwhile_are_not_said_to_be_lost() {
    let site = Site::new();
    // Much longer than the detection of the removal.
    let mut tracer = site.trace("clsact", &["--hop-timeout", "2s"]);
    let to = site.0.nodes[0].pods[1].netns.clone();
    tc(&to, "qdisc del dev eth0 clsact");
    site.ping(30);
    let restored = |value: &Value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.starts_with("eth0") && text.contains(RESTORED)
    };
    tracer.wait_for(restored);
    site.ping(31);
    let values = tracer.finish();
    let of = |id: &str| -> Vec<_> {
        let what = |path: &&Value| path["what"].as_str().is_some_and(|what| what.contains(id));
        let paths = values.iter().filter(|value| value["type"] == "path");
        let paths = paths.filter(what);
        let outcome = |path: &Value| (path["outcome"].clone(), path["incomplete"].clone());
        paths.map(outcome).collect()
    };
    for (outcome, is_incomplete) in of("request id 30 ") {
        assert_ne!(
            (outcome, is_incomplete),
            ("not_seen_further".into(), false.into())
        );
    }
    assert_eq!(
        of(" id 31 "),
        [
            ("delivered".into(), false.into()),
            ("delivered".into(), false.into())
        ]
    );
}

#[test]
fn one_filter_that_is_removed_is_attached_again() {
    let site = Site::new();
    let before = site.dump();
    let mut tracer = trace(&site);
    site.tc(&format!("filter del dev {VETH} egress"));
    tracer.wait_for(|value| is_notice(value, RESTORED));
    assert!(site.sees_pings(&mut tracer, 24));
    tracer.finish();
    assert_eq!(site.dump(), before);
}

#[test]
fn qdisc_that_another_tool_has_made_in_the_place_of_ours_stays() {
    let site = Site::new();
    let mut tracer = trace(&site);
    site.tc(&format!("qdisc del dev {VETH} clsact"));
    site.tc(&format!("qdisc add dev {VETH} clsact"));
    let theirs = objects(&site.dump());
    tracer.wait_for(|value| is_notice(value, RESTORED));
    assert!(site.sees_pings(&mut tracer, 25));
    tracer.finish();
    let is_clsact = |one: &&Value| one["kind"] == "clsact";
    let left = objects(&site.dump());
    assert_eq!(
        left.iter().find(is_clsact),
        theirs.iter().find(is_clsact),
        "{left:?}"
    );
}

#[test]
fn later_filter_before_ours_is_reported() {
    let site = Site::new();
    let mut tracer = trace(&site);
    site.tc(&format!("filter add dev {VETH} ingress prio 80 {U32}"));
    site.tc(&format!("filter add dev {VETH} ingress prio 2 {U32}"));
    tracer.wait_for(|value| is_notice(value, BEHIND));
    let values = tracer.finish();
    let behind = notices(&values)
        .into_iter()
        .filter(|text| text.contains(BEHIND));
    assert_eq!(behind.count(), 1);
}
