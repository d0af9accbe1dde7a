//! A diagnosis whose packets an agent sends.
use std::process::Output;

use serde_json::Value;

use super::super::on;
use super::{Cluster, PROBE};

const ALLOWED: &[&str] = &["--probe"];

fn diagnose(cluster: &Cluster) -> (Output, String) {
    let mut console = cluster.console("diagnose");
    console.args(PROBE).args(["mypod1", "mypod3"]);
    let output = console.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, words)
}

fn report((output, words): &(Output, String)) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {words}"))
}

#[test]
fn agent_of_the_source_sends_what_is_said_before() {
    let cluster = Cluster::with(3, |_| ALLOWED);
    let healthy = diagnose(&cluster);
    let words = &healthy.1;
    assert!(words.contains("podtrace sends 3 pings to"), "{words}");
    let found = report(&healthy);
    assert_eq!(healthy.0.status.code(), Some(0), "{found}");
    assert_eq!(found["conclusion"], "delivered", "{found}");
    assert!(
        found.to_string().contains("3 of 3 pings answered"),
        "{found}"
    );
    for way in ["request", "reply"] {
        assert!(found[way]["packets"].as_u64() >= Some(3), "{found}");
        assert_eq!(found[way]["packets"], found[way]["delivered"], "{found}");
    }
    on(&cluster.lab.nodes[2].netns, "ip link set veth0301 down");
    let broken = diagnose(&cluster);
    let found = report(&broken);
    assert_eq!(broken.0.status.code(), Some(1), "{found}");
    assert_eq!(found["conclusion"], "lost", "{found}");
    assert_eq!(found["cause"], "device_down", "{found}");
    assert!(
        found.to_string().contains("0 of 3 pings answered"),
        "{found}"
    );
    for node in 0..3 {
        cluster.wait_for_quiet(node);
    }
}

#[test]
fn agent_that_does_not_allow_it_sends_nothing() {
    let refusing = Cluster::with(3, |node| match node {
        0 => &[],
        _ => ALLOWED,
    });
    let refused = diagnose(&refusing);
    let words = &refused.1;
    assert_eq!(refused.0.status.code(), Some(3), "{words}");
    assert!(
        words.contains("nothing was sent") && words.contains("worker1"),
        "{words}"
    );
    let found = report(&refused);
    for way in ["request", "reply"] {
        assert_eq!(found[way]["packets"], 0, "{found}");
    }
    drop(refusing);
    let (output, words) = diagnose(&Cluster::new(1));
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("podtrace agent --probe"), "{words}");
}
