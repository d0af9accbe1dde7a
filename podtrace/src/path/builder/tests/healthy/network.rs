//! A network of some nodes with two pods each, and the way of a packet through it.
use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    model::{
        origin::Origin,
        snapshot::{Holder, NamespaceInfo, Snapshot},
    },
    packet::Framing,
    update::Update,
};

/// Interfaces of a node, by number from its first: two of each pod, and its own.
pub(super) const PER_NODE: u32 = 7;
const CNI: u32 = 4;
const FLANNEL: u32 = 5;
const NIC: u32 = 6;

/// How long a queue, a wire or a neighbour's answer may keep a packet, in nanoseconds; and a
/// kernel.
const LONG_NS: u64 = 100_000_000;
const SHORT_NS: u64 = 200_000;

/// The shape of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) has_bridge: bool,
    pub(super) has_vxlan: bool,
    pub(super) watches_sockets: bool,
}

/// A pod: its node, and which of its two.
pub(super) type Pod = (usize, usize);

/// A hop of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) tap: (u32, Direction),
    /// How long it may take to come here, in nanoseconds.
    pub(super) wait_ns: u64,
    /// Whom the frame is for.
    pub(super) to: Mac,
    pub(super) state: State,
}

/// What has become of a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// How often it was routed.
    pub(super) routed: u8,
    pub(super) is_translated: bool,
    /// The nodes at the ends of the tunnel that it is in.
    pub(super) tunnel: Option<(usize, usize)>,
    /// Whether it has come from one node to another.
    pub(super) is_behind_wire: bool,
}

pub(super) fn address((node, pod): Pod) -> IpAddr {
    Ipv4Addr::new(10, 244, node as u8 + 1, pod as u8 + 2).into()
}

pub(super) fn node_address(node: usize) -> IpAddr {
    Ipv4Addr::new(192, 168, 77, node as u8 + 11).into()
}

pub(super) fn cgroup((node, pod): Pod) -> u64 {
    1000 + 10 * node as u64 + pod as u64
}

fn netns((node, pod): Pod) -> u64 {
    10 * (node as u64 + 1) + pod as u64 + 1
}

/// The MAC address of an interface.
fn mac(interface: u32) -> Mac {
    Mac([2, 7, 0, 0, 0, interface as u8])
}

/// The MAC address of the card of the node that has an interface's.
pub(super) fn card_beside(interface: Mac) -> Mac {
    let node = u32::from(interface.0[5]) / PER_NODE;
    mac(node * PER_NODE + NIC)
}

fn eth0((node, pod): Pod) -> u32 {
    node as u32 * PER_NODE + pod as u32
}

fn veth(pod: Pod) -> u32 {
    eth0(pod) + 2
}

/// The tap where a pod's socket gets what its interface got.
pub(super) fn socket(pod: Pod) -> (u32, Direction) {
    (eth0(pod), Socket)
}

pub(super) fn is_pods(interface: u32) -> bool {
    interface % PER_NODE < 2
}

pub(super) fn world_of(shape: Shape) -> World {
    let mut world = World::default();
    let names = (1..=shape.nodes).map(|node| format!("worker{node}").into());
    world.nodes = names.collect();
    let origin = Origin {
        session: 0,
        nodes: 0..shape.nodes,
    };
    let (mut spaces, mut held) = (Vec::new(), Vec::new());
    for node in 0..shape.nodes {
        let own = 10 * (node as u64 + 1);
        let pods = [(node, 0), (node, 1)];
        let points = [
            (netns(pods[0]), None, Role::Pod, "eth0"),
            (netns(pods[1]), None, Role::Pod, "eth0"),
            (own, Some(netns(pods[0])), Role::Veth, "veth1"),
            (own, Some(netns(pods[1])), Role::Veth, "veth2"),
            (own, None, Role::Bridge, "cni0"),
            (own, None, Role::Vxlan, "flannel.1"),
            (own, None, Role::Uplink, "eth0"),
        ];
        for (netns, leads_to, role, name) in points {
            let number = world.tap_points.next_number();
            let point = TapPoint {
                node,
                node_name: format!("worker{}", node + 1).into(),
                ifindex: number,
                framing: Framing::Ethernet,
                is_port: role == Role::Veth && shape.has_bridge,
                mac: Some(mac(number)),
                ..tap_point(name, netns, leads_to, role)
            };
            world.apply(&origin, &Update::TapPoint { number, point });
        }
        for pod in pods {
            let id = netns(pod);
            let netns = Some(id);
            held.push((address(pod), Holder { node, netns }));
            spaces.push(NamespaceInfo {
                id,
                node,
                watched: shape.watches_sockets,
                ..NamespaceInfo::default()
            });
        }
        held.push((node_address(node), Holder { node, netns: None }));
    }
    let snapshot = Snapshot {
        namespaces: spaces,
        addresses: held.into_iter().collect(),
        watches_sockets: shape.watches_sockets,
        ..Snapshot::default()
    };
    world.apply(&origin, &Update::Snapshot(Box::new(snapshot)));
    world
}

/// The way of a packet from pod to pod.
///
/// `translates`: the node where its ends are translated. `is_to_node`: whether it is for that
/// node's address before.
pub(super) fn way(
    shape: Shape,
    from: Pod,
    to: Pod,
    translates: Option<usize>,
    is_to_node: bool,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut add = |tap, wait_ns, state, to| {
        steps.push(Step {
            tap,
            wait_ns,
            to,
            state,
        });
    };
    let is_local = from.0 == to.0;
    let is_bridged = shape.has_bridge && is_local && translates.is_none();
    let at = |node: usize, interface: u32| node as u32 * PER_NODE + interface;
    let gateway = match (is_bridged, shape.has_bridge) {
        (true, _) => mac(eth0(to)),
        (false, true) => mac(at(from.0, CNI)),
        (false, false) => mac(veth(from)),
    };
    let mut state = State::default();
    add((eth0(from), Egress), LONG_NS, state, gateway);
    add((veth(from), Ingress), LONG_NS, state, gateway);
    if shape.has_bridge && !is_bridged {
        add((at(from.0, CNI), Ingress), SHORT_NS, state, gateway);
    }
    if !is_bridged {
        state.routed += 1;
        state.is_translated |= translates == Some(from.0);
    }
    if !is_local {
        let (near, far) = (from.0, to.0);
        // What is for a node's own address goes outside of the tunnel.
        let in_tunnel = shape.has_vxlan && !is_to_node;
        let next = mac(at(far, if in_tunnel { FLANNEL } else { NIC }));
        if in_tunnel {
            add((at(near, FLANNEL), Egress), SHORT_NS, state, next);
            state.tunnel = Some((near, far));
        }
        add((at(near, NIC), Egress), LONG_NS, state, next);
        state.is_behind_wire = true;
        add((at(far, NIC), Ingress), LONG_NS, state, next);
        state.tunnel = None;
        if in_tunnel {
            add((at(far, FLANNEL), Ingress), SHORT_NS, state, next);
        }
        state.routed += 1;
        state.is_translated |= translates == Some(far);
    }
    let last = mac(eth0(to));
    let mut queue_ns = SHORT_NS;
    if shape.has_bridge && !is_bridged {
        add((at(to.0, CNI), Egress), SHORT_NS, state, last);
        queue_ns = LONG_NS;
    }
    add((veth(to), Egress), queue_ns, state, last);
    add((eth0(to), Ingress), LONG_NS, state, last);
    steps
}
