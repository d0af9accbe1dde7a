use super::*;
use crate::{
    node::topology::{
        HostEnd, Pod, State,
        fixture::{healthy, interface, ip, pod, prefix, route},
    },
    packet::Mac,
};

/// The problems found after `damage`: `severity node subject: problem`.
fn found(damage: impl FnOnce(&mut Topology)) -> Vec<String> {
    let mut topology = healthy();
    damage(&mut topology);
    let problems = check(&topology, &[], &|_| None);
    assert!(problems.iter().all(|problem| !problem.hint.is_empty()));
    problems
        .iter()
        .map(|problem| {
            let Problem {
                severity,
                node,
                subject,
                problem,
                ..
            } = problem;
            format!("{severity:?} {node} {subject}: {problem}")
        })
        .collect()
}

/// Expects one problem, which starts with this text.
#[track_caller]
fn check_one(damage: impl FnOnce(&mut Topology), expected: &str) {
    let found = found(damage);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(expected), "{found:#?}");
}

#[track_caller]
fn check_none(change: impl FnOnce(&mut Topology)) {
    assert_eq!(found(change), [""; 0]);
}

fn host(pod: &mut Pod) -> &mut HostEnd {
    pod.interfaces[0].host.as_mut().unwrap()
}

#[test]
fn healthy_network_has_no_problems() {
    check_none(|_| {});
    // A node without pods yet, without the forwarding that they would need, and with a
    // bridge without ports.
    check_none(|topology| {
        let node = &mut topology.nodes[0];
        node.pods.clear();
        node.bridges[0].interface.state = State::NoCarrier;
        node.forwarding.ipv6 = Some(false);
    });
    check_none(|topology| topology.nodes.truncate(1));
}

/// Docker beside flannel: its own bridge, its own MTU, its own addresses.
#[test]
fn docker_beside_flannel_is_no_problem() {
    check_none(|topology| {
        for node in &mut topology.nodes {
            let mut docker = node.bridges[0].clone();
            docker.interface = interface("docker0", 30, 1500, &["172.17.0.1/16"]);
            node.bridges.push(docker);
            let mut container = pod(9, 1, "netns:4026532999");
            container.addresses = vec![ip("172.17.0.2")];
            container.gateways = vec![ip("172.17.0.1")];
            let own = &mut container.interfaces[0];
            own.interface = interface("eth0", 2, 1500, &["172.17.0.2/16"]);
            let host = host(&mut container);
            host.interface.mtu = 1500;
            host.interface.bridge = Some("docker0".into());
            node.unnamed.push(container);
        }
    });
}

/// Calico and ptp: a route to each veth, and a next hop without an owner.
#[test]
fn routed_pods_are_no_problem() {
    check_none(|topology| {
        let pod = &mut topology.nodes[0].pods[0];
        host(pod).interface.bridge = None;
        host(pod).routed = true;
        pod.gateways = vec![ip("169.254.1.1")];
    });
}

#[test]
fn routes_without_an_end_are_found() {
    check_one(
        |topology| {
            let route = &mut topology.nodes[0].tunnels[0].routes[0];
            (route.mac, route.vtep) = (None, None);
        },
        "Error node1 route 10.244.2.0/24: no neighbour entry for its next hop 10.244.2.0 on flannel.1",
    );
    check_one(
        |topology| topology.nodes[0].tunnels[0].routes[1].vtep = None,
        "Error node1 route fd00:2::/64: no forwarding entry for 0e:f1:00:00:00:02 (next hop fd00:2::) on flannel.1",
    );
    check_none(|topology| {
        topology.nodes[0].tunnels[0].learning = true;
        topology.nodes[0].tunnels[0].routes[1].vtep = None;
    });
}

#[test]
fn unreachable_vtep_is_found() {
    let lost = |topology: &mut Topology| {
        topology.nodes[0].tunnels[0].routes.truncate(1);
        topology.nodes[0]
            .routes
            .retain(|route| route.subnet.len != 0);
        topology.nodes[0]
            .routes
            .retain(|route| route.subnet != prefix("192.168.77.0/24"));
    };
    let expected = "Error node1 route 10.244.2.0/24: no route leads to its VTEP 192.168.77.12";
    check_one(lost, expected);
    check_one(
        |topology| {
            topology.nodes[0].tunnels[0].routes.truncate(1);
            let mut refusal = route("192.168.77.12/32", None, "eth0");
            refusal.refused = true;
            topology.nodes[0].routes.push(refusal);
        },
        expected,
    );
}

#[test]
fn veth_outside_of_any_bridge_is_found() {
    check_one(
        |topology| host(&mut topology.nodes[0].pods[0]).interface.bridge = None,
        "Error node1 veth0101: the veth of default/my-pod is in no bridge",
    );
}

#[test]
fn interfaces_that_are_down_are_found() {
    check_one(
        |topology| topology.nodes[0].uplinks[0].state = State::NoCarrier,
        "Error node1 eth0: the uplink is down",
    );
    check_one(
        |topology| topology.nodes[0].tunnels[0].interface.state = State::Down,
        "Error node1 flannel.1: it is down",
    );
    check_one(
        |topology| topology.nodes[0].bridges[0].interface.state = State::Down,
        "Error node1 cni0: the bridge is down",
    );
    check_one(
        |topology| host(&mut topology.nodes[0].pods[1]).interface.state = State::Down,
        "Error node1 veth0102: the veth of default/mypod2 is down",
    );
    check_one(
        |topology| {
            let pod = &mut topology.nodes[0].pods[1];
            pod.interfaces[0].interface.state = State::Down;
            host(pod).interface.state = State::LowerLayerDown;
        },
        "Error node1 default/mypod2: eth0 is down in the pod",
    );
}

#[test]
fn large_mtus_are_found() {
    check_one(
        |topology| topology.nodes[0].uplinks[0].mtu = 1499,
        "Error node1 flannel.1: MTU 1450 is larger than eth0 with MTU 1499 allows, which is 1449",
    );
    check_one(
        |topology| topology.nodes[0].tunnels[0].local = Some(ip("fd77::11")),
        "Error node1 flannel.1: MTU 1450 is larger than eth0 with MTU 1500 allows, which is 1430: VXLAN over IPv6 adds 70",
    );
    check_one(
        |topology| topology.nodes[0].bridges[0].interface.mtu = 1500,
        "Warning node1 cni0: MTU 1500 is larger than 1450 of flannel.1",
    );
    check_one(
        |topology| {
            let pod = &mut topology.nodes[0].pods[0];
            pod.interfaces[0].interface.mtu = 1500;
            host(pod).interface.mtu = 1500;
        },
        "Warning node1 default/my-pod: MTU 1500 of eth0 is larger than 1450 of flannel.1",
    );
    check_one(
        |topology| topology.nodes[0].pods[0].interfaces[0].interface.mtu = 1500,
        "Warning node1 default/my-pod: MTU 1500 of eth0 is larger than 1450 of veth0101",
    );
}

#[test]
fn forwarding_that_is_off_is_found() {
    let off = |topology: &mut Topology| {
        let node = &mut topology.nodes[1];
        node.forwarding.ipv4 = Some(false);
        node.bridges[0].interface.forwards_ipv4 = Some(false);
        node.tunnels[0].interface.forwards_ipv4 = Some(false);
    };
    check_one(off, "Error node2 ip_forward: IPv4 forwarding is off");
    // Switched on by interface.
    check_none(|topology| topology.nodes[1].forwarding.ipv4 = Some(false));
    check_one(
        |topology| topology.nodes[1].bridges[0].interface.forwards_ipv4 = Some(false),
        "Error node2 cni0: IPv4 forwarding is off on it",
    );
    let off = |topology: &mut Topology| topology.nodes[1].forwarding.ipv6 = Some(false);
    check_one(off, "Error node2 ip_forward: IPv6 forwarding is off");
    check_none(|topology| {
        off(topology);
        topology.nodes[1].unnamed[0].addresses.truncate(1);
    });
}

#[test]
fn addresses_that_do_not_fit_are_found() {
    check_one(
        |topology| {
            let pod = &mut topology.nodes[0].pods[1];
            pod.addresses = vec![ip("10.244.9.3")];
            pod.interfaces[0].interface.addresses = vec![prefix("10.244.9.3/24")];
        },
        "Error node1 default/mypod2: 10.244.9.3 is in no subnet of cni0",
    );
    check_one(
        |topology| topology.nodes[0].pods[1].gateways = vec![ip("10.244.1.254")],
        "Error node1 default/mypod2: its gateway 10.244.1.254 is no address of node1",
    );
    check_one(
        |topology| topology.nodes[0].bridges[0].interface.addresses.clear(),
        "Error node1 cni0: the bridge has no address",
    );
    check_one(
        |topology| topology.nodes[0].pods[1].addresses = vec![ip("10.244.1.77")],
        "Error node1 default/mypod2: 10.244.1.77, its address for the runtime, is on none",
    );
}

#[test]
fn two_pods_with_one_address_are_found() {
    check_one(
        |topology| {
            let twin = topology.nodes[0].pods[0].clone();
            let twin = Pod {
                name: "default/twin".into(),
                ..twin
            };
            topology.nodes[0].pods = vec![topology.nodes[0].pods[0].clone(), twin];
            for pod in &mut topology.nodes[0].pods {
                pod.addresses.truncate(1);
            }
        },
        "Error node1 default/my-pod: 10.244.1.2 is also the address of default/twin on node1",
    );
}

#[test]
fn nodes_that_do_not_fit_together_are_found() {
    check_one(
        |topology| topology.nodes[1].tunnels[0].port = 4789,
        "Error node1 flannel.1: UDP port 8472 here, 4789 on node2",
    );
    check_one(
        |topology| {
            topology.nodes[0].tunnels[0].routes.truncate(1);
            topology.nodes[1].tunnels[0].interface.mac = Some(Mac([0x0e, 0, 0, 0, 0, 9]));
        },
        "Error node1 route 10.244.2.0/24: it leads to the MAC address 0e:f1:00:00:00:02, but flannel.1 of node2 has 0e:00:00:00:00:09",
    );
}

#[test]
fn errors_come_before_warnings() {
    let found = found(|topology| {
        topology.nodes[0].bridges[0].interface.mtu = 1500;
        topology.nodes[1].tunnels[0].interface.state = State::Down;
    });
    assert!(found[0].starts_with("Error node2") && found[1].starts_with("Warning node1"));
}
