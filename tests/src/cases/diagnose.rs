//! `podtrace diagnose`: whether one pod reaches another, where packets die, and what to do.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Output;

use podtrace::lab::Lab;
use podtrace::lab::traffic::ping;
use podtrace::netns::NetNs;
use serde_json::{Value, json};

use super::load::version;
use super::on;
use super::scenarios::lab;
use super::tracer::{Tracer, podtrace, trace_nodes};
use crate::api_server::ApiServer;

/// Exit codes.
const DELIVERED: i32 = 0;
const LOST: i32 = 1;
const ERROR: i32 = 2;
const UNKNOWN: i32 = 3;

/// Runs diagnose on nodes of a lab.
fn run(lab: &Lab, nodes: &[usize], options: &[&str]) -> Output {
    let mut command = podtrace();
    command.args(["diagnose", "-o", "json"]);
    let _table = trace_nodes(&mut command, lab, nodes);
    for node in nodes {
        command.args(["--node-name", &lab.nodes[*node].name]);
    }
    command.args(options).output().unwrap()
}

fn report(output: &Output) -> (i32, Value) {
    let error = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("{:?}: {error}", output.status));
    (output.status.code().unwrap(), report)
}

/// Diagnoses with packets that podtrace sends.
fn probe(lab: &Lab, options: &[&str]) -> (i32, Value) {
    report(&run(lab, &[0, 1], &[&["--probe"], options].concat()))
}

/// `node1/cni0 ingress` for each stop of a road, with its mark in front.
fn road(half: &Value) -> Vec<String> {
    let stops = half["road"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let stop = |stop: &Value| {
        let owner = match &stop["pod"] {
            Value::String(pod) => pod.clone(),
            _ => text(&stop["node"]),
        };
        let (mark, interface) = (text(&stop["mark"]), text(&stop["interface"]));
        format!("{mark} {owner}/{interface} {}", text(&stop["direction"]))
    };
    stops.map(stop).collect()
}

#[test]
fn healthy_pods_reach_each_other() {
    let lab = lab();
    let (code, report) = probe(&lab, &["mypod1", "default/mypod3"]);
    assert_eq!(
        (code, &report["conclusion"]),
        (DELIVERED, &json!("delivered")),
        "{report}"
    );
    for half in ["request", "reply"] {
        assert_eq!(report[half]["packets"], 3, "{report}");
        assert_eq!(report[half]["delivered"], 3, "{report}");
        assert_eq!(road(&report[half]).len(), 10, "{report}");
    }
    let ladder = report["ladder"].as_array().unwrap();
    let last = json!({"bytes": 1450, "answered": true});
    assert_eq!(ladder.last(), Some(&last), "{report}");
    assert!(
        ladder.iter().all(|rung| rung["answered"] == true),
        "{report}"
    );
    let (code, report) = probe(&lab, &["mypod1", "mypod2"]);
    assert_eq!(
        (code, road(&report["request"]).len()),
        (DELIVERED, 4),
        "{report}"
    );
    let to = lab.nodes[1].underlay.to_string();
    let (code, report) = probe(&lab, &["node1", &to]);
    assert_eq!(code, DELIVERED, "{report}");
    assert_eq!(report["destination"]["name"], "node2", "{report}");
}

#[test]
fn tcp_and_udp_are_delivered_or_refused() {
    let lab = lab();
    let server = &lab.nodes[1].pods[0];
    let at = SocketAddr::from((server.ipv4, 80));
    let listener = server.netns.run(|| TcpListener::bind(at)).unwrap().unwrap();
    let asked = ["mypod1", "mypod3", "--port", "80"];
    let (code, report) = probe(&lab, &asked);
    assert_eq!(code, DELIVERED, "{report}");
    assert_eq!(report["protocol"], "tcp", "{report}");
    drop(listener);
    for (options, what) in [
        (&asked[..], "connection refused"),
        (
            &["mypod1", "mypod3", "--protocol", "udp", "--port", "53"],
            "port unreachable",
        ),
    ] {
        let (code, report) = probe(&lab, options);
        assert_eq!(
            (code, &report["conclusion"]),
            (LOST, &json!("refused")),
            "{report}"
        );
        assert_eq!(report["direction"], "request", "{report}");
        assert!(report["what"].as_str().unwrap().contains(what), "{report}");
    }
}

/// A fault: who is told what to break it, and to mend it; the verdict.
struct Fault<'a> {
    netns: &'a NetNs,
    breaks: String,
    mends: String,
    direction: &'static str,
    cause: &'static str,
    /// The last stop that saw the packet, if one has.
    last: Option<&'static str>,
    advice: Option<String>,
}

fn faults(lab: &Lab) -> Vec<Fault<'_>> {
    let [one, other] = &lab.nodes[..] else {
        panic!("{} nodes", lab.nodes.len());
    };
    let server = &other.pods[0];
    let mac = other.vtep_mac.map(|byte| format!("{byte:02x}")).join(":");
    let entry = format!("{mac} dev flannel.1 dst {}", other.underlay);
    vec![
        Fault {
            netns: &server.netns,
            breaks: "iptables -w -A INPUT -p icmp -j DROP".into(),
            mends: "iptables -w -D INPUT -p icmp -j DROP".into(),
            direction: "request",
            cause: "kernel_drop",
            last: Some("last default/mypod3/eth0 ingress"),
            advice: None,
        },
        Fault {
            netns: &server.netns,
            breaks: "sysctl -qw net.ipv4.icmp_echo_ignore_all=1".into(),
            mends: "sysctl -qw net.ipv4.icmp_echo_ignore_all=0".into(),
            direction: "reply",
            cause: "echo_ignored",
            last: None,
            advice: Some(format!(
                "ip netns exec {} sysctl -w net.ipv4.icmp_echo_ignore_all=0",
                server.netns.name
            )),
        },
        Fault {
            netns: &one.netns,
            breaks: format!("bridge fdb del {entry}"),
            mends: format!("bridge fdb append {entry}"),
            direction: "request",
            cause: "no_forwarding_entry",
            last: Some("last node1/flannel.1 egress"),
            advice: Some(format!("bridge fdb replace {entry}")),
        },
        Fault {
            netns: &other.netns,
            breaks: "ip route del 10.244.1.0/24".into(),
            mends: "ip route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink".into(),
            direction: "reply",
            cause: "no_route",
            last: Some("last node2/cni0 ingress"),
            advice: Some(format!("ip route get {}", one.pods[0].ipv4)),
        },
        Fault {
            netns: &server.netns,
            breaks: "iptables -w -A OUTPUT -p icmp -j DROP".into(),
            mends: "iptables -w -D OUTPUT -p icmp -j DROP".into(),
            direction: "reply",
            cause: "kernel_drop",
            last: None,
            advice: None,
        },
        Fault {
            netns: &server.netns,
            breaks: "ip route del default".into(),
            mends: "ip route add default via 10.244.2.1".into(),
            direction: "reply",
            cause: "no_route",
            last: None,
            advice: None,
        },
    ]
}

#[test]
fn faults_are_named_with_their_place_and_direction() {
    let lab = lab();
    for fault in faults(&lab) {
        on(fault.netns, &fault.breaks);
        let (code, report) = probe(&lab, &["mypod1", "mypod3"]);
        on(fault.netns, &fault.mends);
        let name = &fault.breaks;
        assert_eq!(
            (code, &report["conclusion"]),
            (LOST, &json!("lost")),
            "{name}: {report}"
        );
        assert_eq!(report["direction"], fault.direction, "{name}: {report}");
        if fault.cause != "kernel_drop" || version() >= (6, 0) {
            assert_eq!(report["cause"], fault.cause, "{name}: {report}");
        }
        let road = road(&report[fault.direction]);
        let last = road.iter().find(|stop| stop.starts_with("last"));
        assert_eq!(last.map(String::as_str), fault.last, "{name}: {report}");
        if let Some(advice) = fault.advice {
            assert_eq!(report["advice"], advice, "{name}: {report}");
        }
    }
    // What was mended works.
    let (code, report) = probe(&lab, &["mypod1", "mypod3"]);
    assert_eq!(code, DELIVERED, "{report}");
}

#[test]
fn what_cannot_be_sent_is_a_mistake_or_a_local_cause() {
    let lab = lab();
    for (options, words) in [
        (&["mypod1", "fe80::1"][..], "link-local"),
        (&["mypod1", "255.255.255.255"], "no address of one host"),
        (&["mypod1", "mypod3", "--protocol", "udp"], "--port 53"),
    ] {
        let output = run(&lab, &[0, 1], &[&["--probe"], options].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(ERROR), "{error}");
        assert!(error.contains(words), "{error}");
    }
    let client = &lab.nodes[0].pods[0].netns;
    on(client, "iptables -w -A OUTPUT -p icmp -j DROP");
    let (code, report) = probe(&lab, &["mypod1", "mypod3", "--no-drops"]);
    on(client, "iptables -w -D OUTPUT -p icmp -j DROP");
    assert_eq!(code, LOST, "{report}");
    assert_eq!(report["cause"], "kernel_drop", "{report}");
}

#[test]
fn who_talks_to_itself_is_reached() {
    let lab = lab();
    let own = lab.nodes[0].underlay.to_string();
    for options in [
        ["mypod1", "mypod1"],
        ["mypod1", "127.0.0.1"],
        ["node1", &own],
    ] {
        let (code, report) = probe(&lab, &options);
        assert_eq!(code, DELIVERED, "{options:?}: {report}");
    }
}

#[test]
fn another_with_the_address_is_named() {
    let lab = lab();
    let [server, other] = &lab.nodes[1].pods[..] else {
        panic!("{} pods", lab.nodes[1].pods.len());
    };
    on(
        &other.netns,
        &format!("ip addr add {}/24 dev eth0", server.ipv4),
    );
    // So that the answer of the other one wins.
    on(&server.netns, "ip link set eth0 arp off");
    on(&lab.nodes[1].netns, "ip neigh flush dev cni0");
    let (code, report) = probe(&lab, &["mypod1", "mypod3"]);
    assert_eq!(
        (code, &report["cause"]),
        (LOST, &json!("duplicate_address")),
        "{report}"
    );
}

#[test]
fn who_does_not_answer_arp_is_named() {
    let lab = lab();
    let server = &lab.nodes[1].pods[0];
    on(&server.netns, "ip link set eth0 arp off");
    on(&lab.nodes[1].netns, "ip neigh flush dev cni0");
    for from in ["mypod1", "mypod4"] {
        let (code, report) = probe(&lab, &[from, "mypod3"]);
        assert_eq!(
            (code, &report["cause"]),
            (LOST, &json!("arp_off")),
            "{report}"
        );
        let what = report["what"].as_str().unwrap();
        assert!(
            what.contains("ARP is off on eth0 of default/mypod3"),
            "{report}"
        );
    }
}

#[test]
fn large_packets_that_die_are_told_from_small_ones() {
    let lab = lab();
    on(&lab.nodes[0].pods[0].netns, "ip link set eth0 mtu 1500");
    let (code, report) = probe(&lab, &["mypod1", "mypod3"]);
    assert_eq!(
        (code, &report["cause"]),
        (LOST, &json!("mtu_exceeded")),
        "{report}"
    );
    let answered = |rung: &Value| rung["answered"] == true;
    let ladder = report["ladder"].as_array().unwrap();
    let fits: Vec<_> = ladder.iter().filter(|rung| answered(rung)).collect();
    assert_eq!(fits.last().unwrap()["bytes"], 1450, "{report}");
    assert!(!answered(ladder.last().unwrap()), "{report}");
    assert_eq!(report["request"]["delivered"], 3, "{report}");
}

#[test]
fn what_is_not_seen_is_unknown() {
    let lab = lab();
    // Nobody sends anything.
    let options = ["mypod1", "mypod3", "--duration", "1"];
    let (code, report_) = report(&run(&lab, &[0, 1], &options));
    assert_eq!(
        (code, &report_["conclusion"]),
        (UNKNOWN, &json!("unknown")),
        "{report_}"
    );
    assert!(
        report_["advice"].as_str().unwrap().contains("--probe"),
        "{report_}"
    );
    // The other node is not traced: an answer says that the request has arrived.
    let to = lab.nodes[1].pods[0].ipv4.to_string();
    let (code, report_) = report(&run(&lab, &[0], &["--probe", "mypod1", &to]));
    assert_eq!(code, DELIVERED, "{report_}");
    assert_eq!(report_["request"]["left"], 3, "{report_}");
    on(&lab.nodes[1].pods[0].netns, "iptables -w -A INPUT -j DROP");
    let (code, report_) = report(&run(&lab, &[0], &["--probe", "mypod1", &to]));
    assert_eq!(
        (code, &report_["conclusion"]),
        (UNKNOWN, &json!("unknown")),
        "{report_}"
    );
    assert_eq!(report_["direction"], "request", "{report_}");
    let output = run(&lab, &[0, 1], &["mypod1", "mypod33"]);
    assert_eq!(output.status.code(), Some(ERROR));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("no pod, Service or node mypod33"), "{error}");
    assert!(error.contains("default/mypod3"), "{error}");
}

#[test]
fn traffic_of_others_is_watched() {
    let lab = lab();
    let (from, to) = (&lab.nodes[0].pods[0], lab.nodes[1].pods[0].ipv4);
    let ping = format!("busybox ping -q -c 3 -i 0.1 {to} > /dev/null");
    let (netns, both) = (&from.netns.name, ["mypod1", "mypod3"]);
    let command = ["--", "ip", "netns", "exec", netns, "sh", "-c", &ping];
    let (code, report) = report(&run(&lab, &[0, 1], &[&both[..], &command].concat()));
    assert_eq!(code, DELIVERED, "{report}");
    assert_eq!(report["reply"]["delivered"], 3, "{report}");
    // It asks the other way round.
    let both = ["mypod3", "mypod1"];
    let output = run(&lab, &[0, 1], &[&both[..], &command].concat());
    assert_eq!(output.status.code(), Some(UNKNOWN), "{output:?}");
}

#[test]
fn recordings_of_two_nodes_are_diagnosed_as_one() {
    let lab = lab();
    let (from, to) = (
        &lab.nodes[0].pods[0],
        IpAddr::from(lab.nodes[1].pods[0].ipv4),
    );
    let recordings = tempfile::tempdir().unwrap();
    let files = [0, 1].map(|node| recordings.path().join(format!("{node}.pcapng")));
    let tracers = [0, 1].map(|node| {
        let file = files[node].to_str().unwrap();
        Tracer::start(&lab, &[node], &["-w", file])
    });
    ping(&from.netns, to, 81, 3, 56).unwrap();
    tracers.into_iter().for_each(|tracer| drop(tracer.finish()));
    let of = |files: &[PathBuf], from: &str| {
        let mut command = podtrace();
        command.args(["diagnose", "-o", "json"]);
        for file in files {
            command.arg("-r").arg(file);
        }
        report(&command.args([from, "mypod3"]).output().unwrap())
    };
    let (code, report) = of(&files, "mypod1");
    assert_eq!(code, DELIVERED, "{report}");
    assert_eq!(report["reply"]["delivered"], 3, "{report}");
    assert_eq!(road(&report["request"]).len(), 10, "{report}");
    // One of them shows the answers arrive, which is enough.
    let (code, report) = of(&files[1..], &from.ipv4.to_string());
    assert_eq!(code, UNKNOWN, "{report}");
    assert_eq!(report["request"]["delivered"], 3, "{report}");
}

#[test]
fn service_is_asked_at_its_port() {
    let lab = lab();
    let server = &lab.nodes[1].pods[0];
    let at = SocketAddr::from((server.ipv4, 8080));
    let rule = format!("PREROUTING -p tcp -d 10.96.0.10 --dport 80 -j DNAT --to-destination {at}");
    on(
        &lab.nodes[0].netns,
        &format!("iptables -w -t nat -A {rule}"),
    );
    let web = json!({
        "metadata": {"uid": "s1", "namespace": "shop", "name": "web"},
        "spec": {"clusterIPs": ["10.96.0.10"], "ports": [{"name": "http", "port": 80}]},
        "status": {"loadBalancer": {}},
    });
    let api = ApiServer::new(Vec::new(), Vec::new(), vec![web]).unwrap();
    let config = api.kubeconfig();
    let options = [
        "mypod1",
        "shop/web",
        "--kubeconfig",
        config.to_str().unwrap(),
    ];
    let listener = server.netns.run(|| TcpListener::bind(at)).unwrap().unwrap();
    let (code, report) = probe(&lab, &options);
    assert_eq!(code, DELIVERED, "{report}");
    assert_eq!(report["destination"]["kind"], "service", "{report}");
    assert_eq!(report["protocol"], "tcp", "{report}");
    drop(listener);
    let (code, report) = probe(&lab, &options);
    assert_eq!(
        (code, &report["conclusion"]),
        (LOST, &json!("refused")),
        "{report}"
    );
    let translated = format!("10.96.0.10:80 was translated to {at}");
    let evidence = report["evidence"].as_array().unwrap();
    assert!(evidence.contains(&json!(translated)), "{report}");
}
