//! Selectors: one ping is found among many, a pod may come later, a mistaken name is an error.

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabPod};
use serde_json::Value;

use super::one_node;
use super::tracer::{Tracer, is_path, paths_of, podtrace, trace_nodes};
use crate::cri_lab::{CriLab, CriLabSpec, PodSpec};

const PODS: usize = 10;

/// Each pod pings the next one, once.
fn ping_around(lab: &Lab) {
    let pods = &lab.nodes[0].pods;
    for (number, pod) in (0..).zip(pods) {
        let next = &pods[(usize::from(number) + 1) % pods.len()];
        ping(&pod.netns, next.ipv4.into(), 100 + number, 1, 56).unwrap();
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Source and destination of the echo requests and replies.
fn pings(values: &[Value]) -> Vec<(String, String)> {
    let paths = paths_of(values, "ICMP echo ").into_iter();
    let ends = paths.map(|path| {
        (
            text(path, "source").into(),
            text(path, "destination").into(),
        )
    });
    ends.collect()
}

fn both_ways(from: &LabPod, to: &LabPod) -> [(String, String); 2] {
    let (from, to) = (from.ipv4.to_string(), to.ipv4.to_string());
    [(from.clone(), to.clone()), (to, from)]
}

/// The name without its namespace.
fn short(pod: &LabPod) -> &str {
    pod.name.rsplit('/').next().unwrap()
}

#[test]
fn one_ping_is_found_among_those_of_ten_pods() {
    let lab = one_node(PODS);
    let pods = &lab.nodes[0].pods;
    let (one, two) = (&pods[2], &pods[3]);
    let to = two.ipv4.to_string();
    for options in [
        &["--from-pod", short(one), "--protocol", "icmp", "--ip", &to][..],
        &["--between", &one.name, short(two), "--protocol", "icmp"],
        &[
            "--pod",
            short(one),
            "--pod",
            short(two),
            "--ip",
            &to,
            "--protocol",
            "icmp",
            "--not",
            "--ip",
            &pods[4].ipv4.to_string(),
        ],
    ] {
        let tracer = Tracer::start(&lab, &[0], options);
        ping_around(&lab);
        // Of each packet it is known that it is shown or filtered: the counts add up.
        let values = tracer.finish();
        let [request, reply] = both_ways(one, two);
        let expected = match options[0] {
            "--from-pod" => vec![request],
            _ => vec![request, reply],
        };
        assert_eq!(pings(&values), expected, "{options:?}");
        let shown = values.iter().filter(|value| value["type"] == "path");
        assert_eq!(shown.count(), expected.len(), "{options:?}");
        for path in paths_of(&values, "ICMP echo ") {
            assert_eq!(path["outcome"], "delivered", "{path}");
        }
    }
}

#[test]
fn packets_of_a_pod_are_those_that_touch_it() {
    let lab = one_node(PODS);
    let pods = &lab.nodes[0].pods;
    let tracer = Tracer::start(&lab, &[0], &["--pod", &pods[2].name]);
    ping_around(&lab);
    let before = both_ways(&pods[1], &pods[2]);
    let after = both_ways(&pods[2], &pods[3]);
    assert_eq!(pings(&tracer.finish()), [before, after].concat());
}

#[test]
fn interface_of_a_pod_is_traced_alone() {
    let lab = one_node(3);
    let pods = &lab.nodes[0].pods;
    let name = format!("{}/eth0", short(&pods[1]));
    let tracer = Tracer::start(&lab, &[0], &["-i", &name]);
    ping_around(&lab);
    let values = tracer.finish();
    let events: Vec<_> = values
        .iter()
        .filter(|value| value["type"] == "event")
        .collect();
    assert!(!events.is_empty());
    for event in events {
        assert_eq!(event["pod"], pods[1].name.as_str(), "{event}");
        assert_eq!(event["interface"], "eth0", "{event}");
    }
}

#[test]
fn name_that_nothing_has_is_an_error_that_says_what_there_is() {
    let lab = one_node(2);
    for (options, expected) in [
        (
            &["--pod", "nosuch"][..],
            "there is no pod nosuch\nhint: there is ",
        ),
        (
            &["--not", "-N", "nosuch"],
            "there is no namespace nosuch\nhint: there is ",
        ),
        (
            &["--service", "nosuch"],
            "there is no Service nosuch\nhint: no Service is known",
        ),
        (
            &["-i", "nosuch/eth0"],
            "no interface nosuch/eth0 on the node or in its pods\nhint: there is ",
        ),
    ] {
        let mut command = podtrace();
        command.arg("trace");
        let _table = trace_nodes(&mut command, &lab, &[0]);
        let output = command.args(options).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {error}");
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}

#[test]
fn pod_that_comes_later_is_waited_for() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: false,
    })
    .unwrap();
    let node = &lab.nodes[0];
    let target = PodSpec {
        name: "target",
        ..PodSpec::default()
    };
    let host = node.run_pod(&target).unwrap().ipv4().unwrap().to_string();
    let options = [
        "--wait",
        "--from-pod",
        "default/late",
        "-l",
        "app=late",
        "--protocol",
        "icmp",
    ];
    let mut tracer = Tracer::on(node, &options);
    let is_notice = |words: &'static str| move |value: &Value| text(value, "text").contains(words);
    tracer.wait_until_all(1, is_notice("waiting for pod default/late"));
    let late = PodSpec {
        name: "late",
        labels: &[("app", "late")],
        containers: &["main"],
        command: Some(&["ping", "-q", "-i", "0.05", &host]),
        ..PodSpec::default()
    };
    let _late = node.run_pod(&late).unwrap();
    tracer.wait_for(is_notice(" is there now"));
    let path = tracer.wait_for(|value| is_path(value, "ICMP echo request"));
    assert_eq!(path["source_pod"], "default/late", "{path}");
    tracer.finish();
}
