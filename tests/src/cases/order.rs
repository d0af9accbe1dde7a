//! Programs that other tools put before ours are named, and packets that they hide are not
//! reported as lost.

use aya::programs::TcAttachType;
use podtrace::lab::LabPod;
use podtrace::lab::traffic::ping;
use podtrace::probe::AttachMethod;
use serde_json::Value;

use super::foreign::{Foreign, OK, Spot};
use super::one_node;
use super::tracer::{Tracer, hops};

fn is_notice(value: &Value, words: &str) -> bool {
    let text = value["text"].as_str().unwrap_or_default();
    text.starts_with("veth0102 of ") && text.contains(words)
}

/// Sends an echo request and returns its path.
fn request(tracer: &mut Tracer, from: &LabPod, to: &LabPod, id: u16) -> Value {
    ping(&from.netns, to.ipv4.into(), id, 1, 56).unwrap();
    let what = format!("ICMP echo request id {id} ");
    tracer.wait_for(|value| {
        let begins = |packet: &str| packet.starts_with(&what);
        value["type"] == "path" && value["what"].as_str().is_some_and(begins)
    })
}

#[test]
fn program_before_ours_makes_the_tap_partial_until_removed() {
    if AttachMethod::best() != AttachMethod::Tcx {
        println!("skipped: this kernel has no TCX");
        return;
    }
    let lab = one_node(2);
    let node = &lab.nodes[0];
    let (from, to) = (&node.pods[0], &node.pods[1]);
    let mut tracer = Tracer::start(&lab, &[0], &["--attach", "tcx"]);
    let mut program = Foreign::new();
    program.set(OK, 0);
    let link = program.attach(&node.netns, &to.veth, TcAttachType::Egress, Spot::TcxFirst);
    let notice = tracer.wait_for(|value| is_notice(value, "is traced in part"));
    let text = notice["text"].as_str().unwrap();
    assert!(
        text.contains("TCX program ") && text.contains(", egress"),
        "{text}"
    );
    let there = "1/veth0102 egress".to_owned();
    let blind = request(&mut tracer, from, to, 51);
    assert!(!hops(&blind).contains(&there), "{blind}");
    assert_eq!(blind["incomplete"], true, "{blind}");
    drop(link);
    tracer.wait_for(|value| is_notice(value, "is traced in full again"));
    let whole = request(&mut tracer, from, to, 52);
    assert!(hops(&whole).contains(&there), "{whole}");
    let values = tracer.finish();
    let is_partial = |value: &Value| value["text"] == "interfaces: 1 traced in part";
    assert!(values.iter().any(is_partial));
}
