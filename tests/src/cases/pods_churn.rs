//! Pods that come and go during a trace, and whose addresses are reused at once. The truth is
//! known by packet: every pod pings with a size of its own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::tracer::Tracer;
use crate::cri_lab::{CriLab, CriLabSpec, CriNode, CriPod, PodSpec};

/// Ethernet, IPv4 and ICMP headers.
const HEADERS: u64 = 14 + 20 + 8;
/// The size of the first pod's pings.
const FIRST_SIZE: u64 = 100;

fn one_node() -> CriLab {
    CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: false,
    })
    .unwrap()
}

pub(super) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// A pod's lifetime, in nanoseconds since 1970: it had its address within.
struct Life {
    pod: String,
    /// The names it may have before its runtime reports it.
    also: [String; 2],
    address: String,
    /// Before the request to run it.
    from_ns: u64,
    /// After its end.
    until_ns: u64,
}

impl Life {
    fn is_called(&self, name: &str) -> bool {
        self.pod == name || self.also.iter().any(|other| other == name)
    }
}

/// All pods of the test.
#[derive(Default)]
struct Lives(Vec<Life>);

impl Lives {
    fn push(&mut self, pod: &CriPod, from_ns: u64, until_ns: u64) {
        self.0.push(Life {
            pod: pod.full_name(),
            also: [
                format!("pod:{}", pod.uid),
                file_name(pod.netns_path.as_deref().unwrap()).to_owned(),
            ],
            address: pod.ipv4().unwrap().to_string(),
            from_ns,
            until_ns,
        });
    }

    fn of(&self, pod: &str) -> Option<&Life> {
        self.0.iter().find(|life| life.is_called(pod))
    }

    /// Whatever name the path has: that pod had the address then.
    #[track_caller]
    fn check(&self, path: &Value) {
        for side in ["source", "destination"] {
            let name = text(path, &format!("{side}_pod"));
            if name.is_empty() {
                continue;
            }
            let life = self.of(name);
            let life = life.unwrap_or_else(|| panic!("{name} is no name: {path}"));
            let hops = path["hops"].as_array().unwrap();
            if text(path, side).starts_with("fe80:") {
                // It has such an address too; equal reports of it may be joined.
                assert!(life.from_ns <= hops[0]["time_ns"].as_u64().unwrap());
                continue;
            }
            assert_eq!(text(path, side), life.address, "{name} at another: {path}");
            for hop in hops {
                let time_ns = hop["time_ns"].as_u64().unwrap();
                assert!(
                    (life.from_ns..=life.until_ns).contains(&time_ns),
                    "{name} was not there: {path}"
                );
            }
        }
        for hop in path["hops"].as_array().unwrap() {
            let pod = text(hop, "pod");
            assert!(pod.is_empty() || self.of(pod).is_some(), "{pod}: {path}");
        }
    }
}

/// How many there were, and how many had their name.
#[derive(Default, Debug)]
struct Share {
    all: usize,
    named: usize,
}

impl Share {
    fn count(&mut self, named: bool) {
        self.all += 1;
        self.named += usize::from(named);
    }
}

/// The pings of pods, identified by their sizes.
#[derive(Default, Debug)]
struct Pings {
    /// Those seen at the pod's own eth0.
    at_eth0: Share,
    /// All.
    overall: Share,
}

impl Pings {
    /// `owners`: the pod that pings with each size.
    fn check(&mut self, path: &Value, owners: &BTreeMap<u64, &Life>) {
        let what = text(path, "what");
        let hops = path["hops"].as_array().unwrap();
        let headers = if hops[0]["direction"] == "socket" {
            HEADERS - 14
        } else {
            HEADERS
        };
        let size = hops[0]["bytes"].as_u64().unwrap().saturating_sub(headers);
        let Some(owner) = owners.get(&size).filter(|_| what.starts_with("ICMP echo")) else {
            return;
        };
        let is_request = what.contains("request");
        let side = if is_request { "source" } else { "destination" };
        let name = text(path, &format!("{side}_pod"));
        assert!(
            name.is_empty() || owner.is_called(name),
            "not of {}: {path}",
            owner.pod
        );
        self.overall.count(name == owner.pod);
        let own = |hop: &&Value| hop["interface"] == "eth0" && hop["direction"] != "socket";
        let at_eth0 = hops.iter().filter(own).any(|hop| {
            (hop["direction"] == "egress") == is_request && text(hop, "pod") == owner.pod
        });
        if at_eth0 {
            self.at_eth0.count(name == owner.pod);
        }
        if at_eth0 && is_request {
            assert_eq!(text(path, "source_container"), "main", "{path}");
        }
    }
}

/// Pods of this lab have one container and start fast.
fn spec<'a>(name: &'a str, command: Option<&'a [&'a str]>) -> PodSpec<'a> {
    PodSpec {
        name,
        command,
        containers: &["main"],
        ..PodSpec::default()
    }
}

const PODS: usize = 30;
const THREADS: usize = 3;

/// A pod's whole life: it pings from its start to its end.
fn live(node: &CriNode, name: &str, size: u64, target: Ipv4Addr, lives: &Mutex<Lives>) {
    let (size, target) = (size.to_string(), target.to_string());
    let ping = format!("ping -q -i 0.01 -c 2000 -s {size} {target}");
    let from_ns = now_ns();
    let pod = node
        .run_pod(&spec(name, Some(&["sh", "-c", &ping])))
        .unwrap();
    let burst = ["ping", "-q", "-A", "-c", "20", "-s", &size, &target];
    let output = pod.exec("main", &burst).unwrap();
    assert_eq!(output.code, 0, "{name}: {output:?}");
    pod.stop().unwrap();
    lives.lock().unwrap().push(&pod, from_ns, now_ns());
    pod.stop_and_remove().unwrap();
}

/// Pings the addresses that move from pod to pod, each with a size of its own.
fn prober(node: &CriNode, first: u8, last: u8) -> CriPod {
    let pings = format!(
        "for n in $(seq {first} {last}); do \
           while true; do ping -q -i 0.02 -s $n 10.244.1.$n; done & \
         done; wait"
    );
    node.run_pod(&spec("prober", Some(&["sh", "-c", &pings])))
        .unwrap()
}

#[test]
fn pods_come_and_go_and_no_packet_gets_a_wrong_name() {
    let lab = one_node();
    let node = &lab.nodes[0];
    let began = Instant::now();
    let mut lives = Lives::default();
    let from_ns = now_ns();
    let target = node.run_pod(&spec("target", None)).unwrap();
    let prober = prober(node, 4, 3 + THREADS as u8);
    // As many addresses as pods at a time: each is reused by the next pod.
    node.limit_addresses(3 + THREADS as u8).unwrap();
    for pod in [&target, &prober] {
        lives.push(pod, from_ns, u64::MAX);
    }
    let tracer = Tracer::on(node, &[]);
    let (lives, next) = (Mutex::new(lives), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < PODS
                {
                    let size = FIRST_SIZE + number as u64;
                    let target = target.ipv4().unwrap();
                    live(node, &format!("pod-{number}"), size, target, &lives);
                }
            });
        }
    });
    let lived = began.elapsed();
    let values = tracer.finish();
    let lives = lives.into_inner().unwrap();
    let addresses: BTreeMap<_, usize> = lives.0.iter().fold(BTreeMap::new(), |mut all, life| {
        *all.entry(life.address.as_str()).or_default() += 1;
        all
    });
    let owners = (0..PODS).map(|number| {
        let life = lives.of(&format!("default/pod-{number}")).unwrap();
        (FIRST_SIZE + number as u64, life)
    });
    let owners: BTreeMap<_, _> = owners.collect();
    let mut pings = Pings::default();
    let mut paths = 0;
    for path in values.iter().filter(|value| value["type"] == "path") {
        lives.check(path);
        pings.check(path, &owners);
        paths += 1;
    }
    eprintln!(
        "{PODS} pods in {lived:?} at {addresses:?}: {paths} paths; {pings:?}; {}",
        values.last().unwrap()["total"]
    );
    assert!(pings.at_eth0.all >= PODS * 20, "{pings:?}");
    assert_eq!(pings.at_eth0.named, pings.at_eth0.all);
}

/// Starts a pod that pings while it lives; returns when it does, with the time of the request.
fn pinging(node: &CriNode, name: &str, size: u64, target: Ipv4Addr) -> (CriPod, u64) {
    let ping = format!("ping -q -i 0.002 -s {size} {target}");
    let from_ns = now_ns();
    let command = ["sh", "-c", &ping];
    (node.run_pod(&spec(name, Some(&command))).unwrap(), from_ns)
}

/// One echo request of this size that a hop has shown at the pod's own eth0.
fn is_ping_of(value: &Value, pod: &str, size: u64) -> bool {
    value["type"] == "path"
        && text(value, "what").starts_with("ICMP echo request")
        && value["hops"][0]["bytes"] == size + HEADERS
        && text(value, "source_pod") == pod
}

#[test]
fn address_that_changes_hands_keeps_the_names_apart() {
    let lab = one_node();
    let node = &lab.nodes[0];
    let target = node.run_pod(&spec("target", None)).unwrap();
    let prober = prober(node, 4, 4);
    node.limit_addresses(4).unwrap();
    let mut lives = Lives::default();
    lives.push(&target, 0, u64::MAX);
    lives.push(&prober, 0, u64::MAX);
    let to = target.ipv4().unwrap();
    let mut tracer = Tracer::on(node, &[]);
    // All have the same size, so that the packets are as equal as possible; time distinguishes
    // them.
    let size = FIRST_SIZE;
    for name in ["first", "second", "third"] {
        let (pod, from_ns) = pinging(node, name, size, to);
        assert_eq!(pod.ipv4().unwrap(), Ipv4Addr::new(10, 244, 1, 4));
        let full = pod.full_name();
        tracer.wait_for(|value| is_ping_of(value, &full, size));
        pod.stop().unwrap();
        lives.push(&pod, from_ns, now_ns());
        pod.stop_and_remove().unwrap();
    }
    let values = tracer.finish();
    let mut named = BTreeMap::new();
    for path in values.iter().filter(|value| value["type"] == "path") {
        lives.check(path);
        for side in ["source", "destination"] {
            let name = text(path, &format!("{side}_pod")).to_owned();
            *named.entry(name).or_insert(0) += 1;
        }
        let pings = text(path, "what").starts_with("ICMP echo request")
            && path["hops"][0]["bytes"] == size + HEADERS;
        if pings && path["hops"][0]["interface"] == "eth0" {
            let time_ns = path["hops"][0]["time_ns"].as_u64().unwrap();
            let now = |life: &&Life| (life.from_ns..=life.until_ns).contains(&time_ns);
            let owner = lives.0[2..].iter().find(now).unwrap();
            assert_eq!(text(path, "source_pod"), owner.pod, "{path}");
            assert_eq!(text(path, "source_container"), "main", "{path}");
        }
    }
    eprintln!("10.244.1.4 went through three pods: {named:?}");
    for life in &lives.0[2..] {
        assert!(named[&life.pod] > 50, "{named:?}");
    }
}
