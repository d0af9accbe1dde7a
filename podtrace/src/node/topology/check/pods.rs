//! Checks of pods and their veths.
use std::{collections::BTreeMap, net::IpAddr};

use super::{Found, is_own, widest_tunnel};
use crate::{
    node::topology::{Bridge, HostEnd, Interface, NodeTopology, Pod, PodInterface, State},
    packet::is_link_local,
    rules::{Owner, advice::inside},
};

pub(super) fn check(node: &NodeTopology, pod: &Pod, found: &mut Found) {
    for own in &pod.interfaces {
        let Some(host) = &own.host else {
            continue;
        };
        check_state(pod, own, host, found);
        let name = host.interface.bridge.as_ref();
        let bridge = node
            .bridges
            .iter()
            .find(|bridge| Some(&bridge.interface.name) == name);
        match bridge {
            Some(bridge) => check_subnet(pod, &own.interface, bridge, found),
            None => check_place(pod, host, found),
        }
        check_mtu(node, pod, own, host, bridge, found);
        if let Some(bridge) = bridge.filter(|bridge| node.is_overlay(bridge)) {
            check_gateways(node, pod, bridge, found);
        }
    }
    check_runtime_addresses(pod, found);
}

fn check_state(pod: &Pod, own: &PodInterface, host: &HostEnd, found: &mut Found) {
    let (inside, outside) = (&own.interface, &host.interface);
    let name = &pod.name;
    if inside.state == State::Down {
        found.error(
            name,
            format!("{} is down in the pod", inside.name),
            inside_of(pod, &format!("ip link set {} up", inside.name)),
        );
    } else if outside.state == State::Down {
        found.error(
            &outside.name,
            format!("the veth of {name} is down"),
            format!("ip link set {} up", outside.name),
        );
    }
}

/// A command in the namespace of a pod.
fn inside_of(pod: &Pod, command: &str) -> String {
    let owner = Owner {
        name: pod.name.as_str().into(),
        is_pod: true,
        path: pod.netns_path.as_deref().map(Into::into),
    };
    inside(&owner, command)
}

/// Without a bridge, a route has to lead to the veth.
fn check_place(pod: &Pod, host: &HostEnd, found: &mut Found) {
    if host.routed || host.interface.bridge.is_some() {
        return;
    }
    let veth = &host.interface.name;
    found.error(
        veth,
        format!(
            "the veth of {} is in no bridge, and no route leads to it",
            pod.name
        ),
        format!("ip link set {veth} master <bridge>"),
    );
}

fn check_subnet(pod: &Pod, own: &Interface, bridge: &Bridge, found: &mut Found) {
    let (name, subnets) = (&bridge.interface.name, &bridge.interface.addresses);
    for address in own.global() {
        let mut same_family = subnets
            .iter()
            .filter(|subnet| subnet.address.is_ipv4() == address.is_ipv4())
            .filter(|subnet| !is_link_local(subnet.address))
            .peekable();
        if same_family.peek().is_some() && !same_family.any(|subnet| subnet.covers(address)) {
            found.error(
                &pod.name,
                format!("{address} is in no subnet of {name}"),
                format!("ip addr show dev {name}; was the node's pod subnet changed?"),
            );
        }
    }
}

fn check_mtu(
    node: &NodeTopology,
    pod: &Pod,
    own: &PodInterface,
    host: &HostEnd,
    bridge: Option<&Bridge>,
    found: &mut Found,
) {
    let (own, mtu) = (&own.interface.name, own.interface.mtu);
    let hint = |allowed| inside_of(pod, &format!("ip link set {own} mtu {allowed}"));
    let (veth, veth_mtu) = (&host.interface.name, host.interface.mtu);
    if mtu > veth_mtu {
        found.warning(
            &pod.name,
            format!("MTU {mtu} of {own} is larger than {veth_mtu} of {veth}, its other end"),
            hint(veth_mtu),
        );
        return;
    }
    let through_tunnel = bridge.map_or(host.routed, |bridge| node.is_overlay(bridge));
    let tunnel = widest_tunnel(node).filter(|_| through_tunnel);
    if let Some(tunnel) = tunnel.filter(|tunnel| mtu > tunnel.interface.mtu) {
        let (name, allowed) = (&tunnel.interface.name, tunnel.interface.mtu);
        found.warning(
            &pod.name,
            format!("MTU {mtu} of {own} is larger than {allowed} of {name}"),
            hint(allowed),
        );
    }
}

/// The next hop of a pod on the overlay's bridge is the bridge, or another pod.
fn check_gateways(node: &NodeTopology, pod: &Pod, bridge: &Bridge, found: &mut Found) {
    // The problem of the bridge is reported already; a bridge that is down has lost its
    // IPv6 addresses.
    if bridge.interface.state == State::Down || bridge.interface.global().next().is_none() {
        return;
    }
    let beyond_link = pod
        .gateways
        .iter()
        .filter(|gateway| !is_link_local(**gateway));
    for gateway in beyond_link {
        let neighbours = node.spaces().filter(|other| other.is_port_of(bridge));
        let of_pod = neighbours
            .flat_map(|other| &other.addresses)
            .any(|own| own == gateway);
        if !of_pod && !is_own(node, *gateway) {
            found.error(
                &pod.name,
                format!("its gateway {gateway} is no address of {}", node.name),
                format!("ip addr show dev {}", bridge.interface.name),
            );
        }
    }
}

/// Compares the runtime's addresses with those of the interfaces.
fn check_runtime_addresses(pod: &Pod, found: &mut Found) {
    if pod.interfaces.is_empty() {
        return;
    }
    let interfaces = || {
        pod.interfaces
            .iter()
            .flat_map(|own| &own.interface.addresses)
    };
    for address in &pod.addresses {
        if !interfaces().any(|prefix| prefix.address == *address) {
            found.error(
                &pod.name,
                format!("{address}, its address for the runtime, is on none of its interfaces"),
                "delete the pod, so that it is recreated".to_owned(),
            );
        }
    }
}

/// No two pods may have the same address. Containers of other networks (docker0) may, on
/// different nodes.
pub(super) fn check_addresses(nodes: &[NodeTopology], found: &mut Found) {
    let mut holders: BTreeMap<IpAddr, Vec<(&NodeTopology, &Pod)>> = BTreeMap::new();
    for node in nodes {
        for pod in node.spaces() {
            for address in &pod.addresses {
                holders.entry(*address).or_default().push((node, pod));
            }
        }
    }
    for (address, holders) in holders {
        for (number, (node, pod)) in holders.iter().enumerate() {
            let rivals = holders.iter().skip(number + 1);
            for (other, rival) in rivals.filter(|rival| can_meet((node, pod), **rival)) {
                found.node.clone_from(&node.name);
                found.error(
                    &pod.name,
                    format!(
                        "{address} is also the address of {} on {}",
                        rival.name, other.name
                    ),
                    "delete one of the two pods, and see to the node's address management"
                        .to_owned(),
                );
            }
        }
    }
}

/// Whether packets go from one pod to the other: both are on the overlay, or
/// ports of one bridge.
fn can_meet((node, pod): (&NodeTopology, &Pod), (other, rival): (&NodeTopology, &Pod)) -> bool {
    let on_overlay = |node: &NodeTopology, pod: &Pod| {
        let routed = || pod.interfaces.iter().filter_map(|own| own.host.as_ref());
        let mut bridges = node.bridges.iter();
        bridges.any(|bridge| pod.is_port_of(bridge) && node.is_overlay(bridge))
            || routed().any(|host| host.routed)
    };
    let mut bridges = node.bridges.iter();
    (on_overlay(node, pod) && on_overlay(other, rival))
        || (node.name == other.name
            && bridges.any(|bridge| pod.is_port_of(bridge) && rival.is_port_of(bridge)))
}
