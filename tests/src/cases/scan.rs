//! The results of scanning a node and its pods.

use std::time::{Duration, Instant};

use podtrace::{
    lab::{Lab, LabSpec},
    model::tap_point::Role,
    node::{
        discover::{Scan, Scanner},
        pod_table::PodTable,
        target::Node,
    },
};
use rtnetlink::LinkVeth;

use super::churn::netlink;
use super::one_node;
use crate::newcomer::{Newcomer, tie};

/// The deadline of a wait.
const DEADLINE: Duration = Duration::from_secs(20);

fn pods_of(scan: &Scan) -> usize {
    let pods = scan.targets.iter();
    pods.filter(|target| target.point.role == Role::Pod).count()
}

/// A node of a lab and a runtime to scan it.
fn node_of(lab: &Lab) -> (Node, tokio::runtime::Runtime) {
    let node = Node {
        name: "node1".into(),
        netns: lab.nodes[0].netns.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    (node, runtime)
}

#[test]
fn all_of_many_pods_are_found_and_one_more() {
    const PODS: usize = 100;
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: PODS,
        ipv6: true,
    })
    .unwrap();
    let (node, runtime) = node_of(&lab);
    let mut scanner = Scanner::new(vec![node.clone()], Vec::new(), PodTable::default());
    let mut scan = || runtime.block_on(scanner.scan()).unwrap();
    assert_eq!(pods_of(&scan()), PODS);
    let newcomer = Newcomer::new().unwrap();
    tie(&node.netns, "vethnew", &newcomer.netns).unwrap();
    assert_eq!(pods_of(&scan()), PODS + 1);
}

#[test]
fn pods_are_recognised_by_their_veths() {
    let lab = one_node(2);
    let (node, runtime) = node_of(&lab);
    let pod = &lab.nodes[0].pods[0].netns;
    let mut scanner = Scanner::new(vec![node.clone()], Vec::new(), PodTable::default());
    let mut scan = || runtime.block_on(scanner.scan()).unwrap();
    assert_eq!(pods_of(&scan()), 2);
    // A pair inside a pod, as of a container engine in a container.
    netlink(pod, async |handle| {
        let pair = LinkVeth::new("inner0", "inner1").build();
        handle.link().add(pair).execute().await.unwrap();
    });
    assert_eq!(pods_of(&scan()), 2);
    // A second network of a pod.
    tie(&node.netns, "vethsecond", pod).unwrap();
    let found = scan();
    let mut names: Vec<_> = found
        .targets
        .iter()
        .filter(|target| target.point.pod_netns() == Some(pod.id))
        .map(|target| (target.device.as_str(), target.point.role))
        .collect();
    names.sort_by_key(|(name, _)| *name);
    let expected = [
        ("eth0", Role::Pod),
        ("lo", Role::Loopback),
        ("vethend", Role::Pod),
    ];
    assert_eq!(names, expected);
    let leads_to = found
        .targets
        .iter()
        .find(|target| target.device == "vethsecond")
        .and_then(|target| target.point.leads_to);
    assert_eq!(leads_to, Some(pod.id));
    // A namespace without a name, which is removed again.
    let newcomer = Newcomer::new().unwrap();
    tie(&node.netns, "vethnew", &newcomer.netns).unwrap();
    assert_eq!(pods_of(&scan()), 4);
    drop(newcomer);
    let start = Instant::now();
    while pods_of(&scan()) != 3 {
        assert!(
            start.elapsed() < DEADLINE,
            "the pod that went is still there"
        );
    }
}
