//! What looking at a node costs, by the number of its pods.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aya::programs::{SchedClassifier, TcAttachType};
use podtrace::{
    lab::{Lab, LabSpec},
    model::place::Role,
    netns::NetNs,
    node::{
        discover::{Scan, Scanner},
        pod_table::PodTable,
        target::Node,
    },
};
use rtnetlink::{LinkUnspec, LinkVeth};

use super::{churn::netlink, tracer::Tracer};

/// How long something may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(20);

/// A namespace without a name: of a process that waits for its input to end.
pub(super) struct Newcomer {
    process: Child,
    pub(super) netns: NetNs,
}

impl Newcomer {
    pub(super) fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]).stdin(Stdio::piped());
        let own = NetNs::current().unwrap();
        let mut newcomer = Self {
            process: command.spawn().unwrap(),
            netns: own.clone(),
        };
        let path = format!("/proc/{}/ns/net", newcomer.process.id());
        let start = Instant::now();
        while newcomer.netns.id == own.id {
            assert!(start.elapsed() < DEADLINE, "no new namespace");
            std::thread::yield_now();
            newcomer.netns = NetNs::open(&path).unwrap();
        }
        newcomer
    }
}

/// Ties a namespace to a node by a veth pair: `host` there, `vethend` in it.
pub(super) fn tie(node: &NetNs, host: &str, netns: &NetNs) {
    netlink(node, async |handle| {
        let pair = LinkVeth::new(host, "vethend").build();
        handle.link().add(pair).execute().await.unwrap();
        let end = LinkUnspec::new_with_name("vethend").setns_by_fd(netns.as_fd().as_raw_fd());
        handle.link().set(end.build()).execute().await.unwrap();
    });
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What a look saw and what it took.
fn timed(runtime: &tokio::runtime::Runtime, scanner: &mut Scanner) -> (Scan, Duration) {
    let start = Instant::now();
    let scan = runtime.block_on(scanner.scan()).unwrap();
    (scan, start.elapsed())
}

/// The last of the looks that it takes until nothing is young any more.
fn settled(runtime: &tokio::runtime::Runtime, scanner: &mut Scanner) -> Duration {
    let start = Instant::now();
    loop {
        let (scan, took) = timed(runtime, scanner);
        if !scan.unsettled {
            return took;
        }
        assert!(start.elapsed() < DEADLINE);
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn pods_of(scan: &Scan) -> usize {
    let pods = scan.targets.iter();
    pods.filter(|target| target.place.role == Role::Pod).count()
}

/// A node of a lab and a runtime to look at it.
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

/// Prints the table; times are the machine's, so only what is found is checked.
#[test]
fn cost_of_a_look() {
    for pods in [1, 100, 250] {
        let lab = Lab::new(LabSpec {
            nodes: 1,
            pods_per_node: pods,
            ipv6: true,
        })
        .unwrap();
        let (node, runtime) = node_of(&lab);
        let mut scanner = Scanner::new(vec![node.clone()], Vec::new(), PodTable::default());
        let (scan, first) = timed(&runtime, &mut scanner);
        assert_eq!(pods_of(&scan), pods);
        let (_, young) = timed(&runtime, &mut scanner);
        let later = settled(&runtime, &mut scanner);
        let newcomer = Newcomer::new();
        tie(&node.netns, "vethnew", &newcomer.netns);
        let (scan, new) = timed(&runtime, &mut scanner);
        assert_eq!(pods_of(&scan), pods + 1);
        eprintln!(
            "{pods:>3} pods: first look {first:.1?}, while all are young {young:.1?}, later {later:.1?}, with a new pod {new:.1?}"
        );
    }
}

#[test]
fn pods_are_told_by_the_veths_that_tie_them_to_the_node() {
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: 2,
        ipv6: false,
    })
    .unwrap();
    let (node, runtime) = node_of(&lab);
    let pod = &lab.nodes[0].pods[0].netns;
    let mut scanner = Scanner::new(vec![node.clone()], Vec::new(), PodTable::default());
    let mut look = || timed(&runtime, &mut scanner).0;
    assert_eq!(pods_of(&look()), 2);
    // A pair within a pod, as of a container engine in a container.
    netlink(pod, async |handle| {
        let pair = LinkVeth::new("inner0", "inner1").build();
        handle.link().add(pair).execute().await.unwrap();
    });
    assert_eq!(pods_of(&look()), 2);
    // A second network of a pod.
    tie(&node.netns, "vethsecond", pod);
    let scan = look();
    let mut names: Vec<_> = scan
        .targets
        .iter()
        .filter(|target| target.place.pod_netns() == Some(pod.id))
        .map(|target| (target.device.as_str(), target.place.role))
        .collect();
    names.sort_by_key(|(name, _)| *name);
    let expected = [
        ("eth0", Role::Pod),
        ("lo", Role::Loopback),
        ("vethend", Role::Pod),
    ];
    assert_eq!(names, expected);
    let leads_to = scan
        .targets
        .iter()
        .find(|target| target.device == "vethsecond")
        .and_then(|target| target.place.leads_to);
    assert_eq!(leads_to, Some(pod.id));
    // One that has no name, and goes again.
    let newcomer = Newcomer::new();
    tie(&node.netns, "vethnew", &newcomer.netns);
    assert_eq!(pods_of(&look()), 4);
    drop(newcomer);
    let start = Instant::now();
    while pods_of(&look()) != 3 {
        assert!(
            start.elapsed() < DEADLINE,
            "the pod that went is still there"
        );
    }
}

/// How long after `start` an interface has a tap, for each direction.
fn time_to_taps(netns: &NetNs, interface: &str, start: Instant) -> [Duration; 2] {
    let wait = |direction| loop {
        let programs = SchedClassifier::query_tcx(interface, direction);
        if programs.is_ok_and(|(_, programs)| !programs.is_empty()) {
            return start.elapsed();
        }
        assert!(start.elapsed() < DEADLINE, "{interface} has no tap");
        std::thread::sleep(Duration::from_micros(100));
    };
    netns
        .run(|| [TcAttachType::Ingress, TcAttachType::Egress].map(wait))
        .unwrap()
}

/// Prints how long the veth pair of a new pod is without taps.
#[test]
fn time_from_a_new_veth_to_its_taps() {
    const ROUNDS: usize = 5;
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: 99,
        ipv6: true,
    })
    .unwrap();
    let node = &lab.nodes[0].netns;
    let tracer = Tracer::start(&lab, &[0], &[]);
    // They stay: one that goes takes the kernel's time from the next one.
    let mut newcomers = Vec::new();
    tracer.finish_after(|_| {
        for round in 0..ROUNDS {
            let newcomer = Newcomer::new();
            let name = format!("vethnew{round}");
            let start = Instant::now();
            tie(node, &name, &newcomer.netns);
            let tied = start.elapsed();
            let (host, pod) = std::thread::scope(|scope| {
                let host = scope.spawn(|| time_to_taps(node, &name, start));
                let pod = scope.spawn(|| time_to_taps(&newcomer.netns, "vethend", start));
                (host.join().unwrap(), pod.join().unwrap())
            });
            eprintln!(
                "99 other pods: tied {tied:.1?}; ingress and egress tapped at the node's end {host:.1?}, at the pod's {pod:.1?}"
            );
            newcomers.push(newcomer);
        }
    });
}
