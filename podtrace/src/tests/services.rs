//! Translations name the Services that they stand for: in each output, live and in a replay,
//! also of a later file alone.
use std::net::IpAddr;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};
use serde_json::Value;

use super::sample::*;
use crate::{
    identity::kubernetes::{ClusterService, ClusterServicePort, ClusterUpdate, Resource},
    model::pod::HostPort,
};

pub(super) const SERVICE: &str = "10.96.0.10";
pub(super) const SERVICE_PORT: u16 = 5300;
const NODE_PORT: u16 = 30053;

pub(super) fn dns() -> ClusterService {
    ClusterService {
        uid: "uid-dns".into(),
        namespace: "kube-system".into(),
        name: "dns".into(),
        addresses: vec![SERVICE.parse().unwrap()],
        ports: vec![ClusterServicePort {
            name: Some("dns-udp".into()),
            protocol: 17,
            port: SERVICE_PORT,
            node_port: Some(NODE_PORT),
        }],
        created_ns: 0,
    }
}

/// The pod that is behind it.
pub(super) fn behind_dns() -> ClusterService {
    ClusterService {
        uid: "uid-dns-x7k2p".into(),
        addresses: vec![pod_address(1, 1)],
        ports: vec![ClusterServicePort {
            name: Some("dns-udp".into()),
            protocol: 17,
            port: 53,
            node_port: None,
        }],
        ..dns()
    }
}

/// A packet between these ends.
pub(super) fn packet(from: (IpAddr, u16), to: (IpAddr, u16), id: u16, receiver: u64) -> Vec<u8> {
    let mut frame = frame(from.0, to.0, id, mac(receiver));
    frame[34..36].copy_from_slice(&from.1.to_be_bytes());
    frame[36..38].copy_from_slice(&to.1.to_be_bytes());
    frame
}

/// A request of the first pod to the second one, as this destination, and the answer.
pub(super) fn ask(tape: &mut Tape, id: u16, to: (IpAddr, u16)) {
    use Direction::{Egress, Ingress, Socket};
    let client = (pod_address(1, 0), 5000);
    let server = (pod_address(1, 1), 53);
    let ways = [
        (
            [POD1, VETH1, BRIDGE, BRIDGE, VETH2, POD2],
            [11, 12],
            3,
            id,
            [(client, to), (client, server)],
        ),
        (
            [POD2, VETH2, BRIDGE, BRIDGE, VETH1, POD1],
            [12, 11],
            2,
            id + 1000,
            [(server, client), (to, client)],
        ),
    ];
    for (interfaces, [sender, receiver], netns, id, ends) in ways {
        let frames = ends.map(|(from, to)| packet(from, to, id, netns));
        let directions = [Egress, Ingress, Ingress, Egress, Egress, Ingress];
        for (hop, (interface, direction)) in interfaces.into_iter().zip(directions).enumerate() {
            let cgroup = if hop == 0 { sender } else { CGROUP_NONE };
            tape.event(interface, direction, &frames[hop / 3], cgroup, (None, 0));
        }
        tape.event(interfaces[5], Socket, &frames[1][14..], receiver, (None, 0));
        tape.tick(30_000_000);
    }
}

fn record(how: How, output: Box<dyn crate::output::render::Render>) -> Recorded {
    let mut tape = Tape::new(1, how, output);
    let service: IpAddr = SERVICE.parse().unwrap();
    ask(&mut tape, 1, (service, SERVICE_PORT));
    tape.cluster(ClusterUpdate::Restart(Resource::Services));
    tape.cluster(ClusterUpdate::Service(dns()));
    tape.cluster(ClusterUpdate::Synced(Resource::Services));
    tape.tick(1_000_000_000);
    for number in 0..20 {
        ask(&mut tape, 2 + number, (service, SERVICE_PORT));
    }
    ask(&mut tape, 30, (uplink_address(1), NODE_PORT));
    // Another protocol or port is not the Service's.
    ask(&mut tape, 40, (service, 53));
    ask(&mut tape, 50, (pod_address(2, 0), NODE_PORT));
    tape.tick(1_000_000_000);
    tape.finish()
}

#[test]
fn hops_name_the_service_where_the_api_tells_it() {
    let recorded = record(How::default(), text());
    let lines = recorded.text.lines().filter(|line| line.contains("NAT"));
    let mut seen: Vec<_> = lines
        .map(|line| line.split("egress  ").last().unwrap())
        .collect();
    seen.dedup();
    let count = seen.iter().filter(|line| line.contains("dns")).count();
    assert_eq!(count, 2 * 20 + 2, "{seen:#?}");
    let last = &seen[seen.len() - 8..];
    insta::assert_snapshot!(last.join("\n"), @"
    DNAT 10.96.0.10:5300 (kube-system/dns:5300) -> 10.244.1.3:53
    SNAT 10.244.1.3:53 -> 10.96.0.10:5300 (kube-system/dns:5300)
    DNAT 192.168.77.11:30053 (kube-system/dns:5300) -> 10.244.1.3:53
    SNAT 10.244.1.3:53 -> 192.168.77.11:30053 (kube-system/dns:5300)
    DNAT 10.96.0.10:53 -> 10.244.1.3:53
    SNAT 10.244.1.3:53 -> 10.96.0.10:53
    DNAT 10.244.2.2:30053 -> 10.244.1.3:53
    SNAT 10.244.1.3:53 -> 10.244.2.2:30053
    ");
}

/// As where a socket's destination was translated when it was connected.
#[test]
fn packets_that_nobody_translates_name_the_service_behind_which_a_pod_is() {
    let record = |how, output| {
        let mut tape = Tape::new(1, how, output);
        tape.cluster(ClusterUpdate::Restart(Resource::EndpointSlices));
        tape.cluster(ClusterUpdate::Endpoints(behind_dns()));
        tape.cluster(ClusterUpdate::Synced(Resource::EndpointSlices));
        ask(&mut tape, 1, (pod_address(1, 1), 53));
        // What shows the Service itself needs no other name.
        ask(&mut tape, 2, (SERVICE.parse().unwrap(), SERVICE_PORT));
        tape.cluster(ClusterUpdate::EndpointsDeleted {
            uid: behind_dns().uid,
        });
        tape.tick(1_000_000_000);
        ask(&mut tape, 3, (pod_address(1, 1), 53));
        tape.tick(1_000_000_000);
        tape.finish()
    };
    for (live, again) in outputs(EPOCH_NS).into_iter().zip(outputs(0)) {
        let recorded = record(How::default(), live);
        let replayed = replay(&recorded.files, &["worker1"], again);
        assert_eq!(replayed.text, recorded.text);
    }
    let recorded = record(How::default(), text());
    let heads = recorded.text.lines().filter(|line| line.contains(" UDP "));
    let behind = heads.map(|line| line.split("  (").nth(1).unwrap_or_default());
    let behind: Vec<_> = behind.collect();
    let (to, from) = (
        "to a pod of kube-system/dns)",
        "from a pod of kube-system/dns)",
    );
    assert_eq!(behind, [to, from, "", "", "", ""]);
    let [_, json] = outputs(0);
    let recorded = record(How::default(), json);
    let values = recorded.text.lines().filter_map(|line| {
        let value = serde_json::from_str::<Value>(line).unwrap();
        value["behind_service"].as_str().map(str::to_owned)
    });
    assert_eq!(values.collect::<Vec<_>>(), ["kube-system/dns"; 2]);
}

/// A port of the node that leads to a pod is named by it, and so is a replay's.
#[test]
fn hops_name_the_pod_of_a_host_port() {
    let record = |output| {
        let mut tape = Tape::new(1, How::default(), output);
        let mut pods = [0, 1].map(|pod| tape.pod(pod));
        let port = |protocol, port, address: Option<&str>, pod_port| HostPort {
            protocol,
            port,
            address: address.map(|address| address.parse().unwrap()),
            pod_port,
        };
        pods[1].host_ports = vec![
            port(17, 8053, None, 53),
            port(17, 8054, Some("10.9.9.9"), 53),
            port(6, 8055, None, 53),
            port(17, 8056, None, 54),
        ];
        tape.report(pods.to_vec());
        for (number, port) in (8053..=8057).enumerate() {
            let id = u16::try_from(number).unwrap() * 10;
            ask(&mut tape, id, (uplink_address(1), port));
        }
        // Another address with that port is not the node's.
        ask(&mut tape, 90, (pod_address(2, 0), 8053));
        tape.tick(1_000_000_000);
        tape.finish()
    };
    let [live, ..] = outputs(EPOCH_NS);
    let [again, ..] = outputs(0);
    let recorded = record(live);
    let lines = recorded.text.lines().filter(|line| line.contains("NAT"));
    let named: Vec<_> = lines
        .filter(|line| line.contains("default/pod1-1:"))
        .map(|line| line.split("egress  ").last().unwrap())
        .collect();
    insta::assert_snapshot!(named.join("\n"), @"
    DNAT 192.168.77.11:8053 (default/pod1-1:8053) -> 10.244.1.3:53
    SNAT 10.244.1.3:53 -> 192.168.77.11:8053 (default/pod1-1:8053)
    ");
    let replayed = replay(&recorded.files, &["worker1"], again);
    assert_eq!(replayed.text, recorded.text);
}

#[test]
fn replay_names_the_same_services() {
    for rotate_bytes in [None, Some(20_000)] {
        let how = How {
            rotate_bytes,
            ..How::default()
        };
        for (live, again) in outputs(EPOCH_NS).into_iter().zip(outputs(0)) {
            let recorded = record(how, live);
            let replayed = replay(&recorded.files, &["worker1"], again);
            assert_eq!(replayed.damage, []);
            assert_eq!(replayed.text, recorded.text);
        }
    }
    let how = How {
        rotate_bytes: Some(20_000),
        ..How::default()
    };
    let recorded = record(how, text());
    assert!(recorded.files.len() > 2);
    let mut named = 0;
    // Each later file begins with the Services.
    for file in &recorded.files[1..] {
        let [_, json] = outputs(0);
        let alone = replay(std::slice::from_ref(file), &["worker1"], json);
        let lines = alone.text.lines();
        let values = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let hops = values.filter_map(|value| value["hops"].as_array().cloned());
        for hop in hops.flatten() {
            let translation = &hop["translation"];
            named += usize::from(
                translation["service"] == "kube-system/dns:5300"
                    && translation["service_port"] == "dns-udp",
            );
        }
    }
    assert!(named > 10, "{named}");
}
