//! The network of the nodes, as far as a picture shows it: from the tables that were recorded.
pub(super) mod svg;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use crate::{
    model::{
        facts::{Device, DeviceKind, NodeFacts, Space},
        tap_point::Role,
    },
    world::World,
};

/// How many pods of a bridge are drawn.
const PODS_MAX: usize = 16;

/// Packets seen, and packets lost behind, by node, pod and interface.
pub(super) type Traffic = HashMap<(Arc<str>, Option<Arc<str>>, Arc<str>), (u64, u64)>;

/// All nodes of which tables are known.
#[derive(Debug, Default)]
pub(super) struct Picture {
    nodes: Vec<Node>,
    /// VTEPs of nodes that are not drawn.
    beyond: BTreeSet<IpAddr>,
}

#[derive(Debug, Default)]
struct Node {
    name: String,
    groups: Vec<Group>,
    tunnels: Vec<Tunnel>,
    uplinks: Vec<Link>,
}

/// A bridge and the pods at it, or pods at none.
#[derive(Debug, Default)]
struct Group {
    bridge: Option<Link>,
    pods: Vec<Pod>,
    /// How many more pods there are.
    more: usize,
}

#[derive(Debug)]
struct Pod {
    name: String,
    own: Link,
    /// The node's end of its veth pair.
    veth: String,
}

#[derive(Debug)]
struct Tunnel {
    link: Link,
    vni: u32,
    port: u16,
    underlay: Option<String>,
}

/// An interface.
#[derive(Debug)]
struct Link {
    name: String,
    address: Option<String>,
    is_up: bool,
    packets: u64,
    lost: u64,
}

impl Picture {
    /// The picture of what is known at the end.
    pub(super) fn of(world: &World, traffic: &Traffic) -> Self {
        let nodes = world.facts.values();
        let mut nodes: Vec<_> = nodes.map(|facts| node(facts, world, traffic)).collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            nodes,
            beyond: beyond(world),
        }
    }
}

/// The VTEPs of tunnels' forwarding entries that are no traced node's.
fn beyond(world: &World) -> BTreeSet<IpAddr> {
    let spaces = || {
        let nodes = world.facts.values();
        nodes.flat_map(|facts| &facts.spaces)
    };
    let own: BTreeSet<_> = spaces()
        .flat_map(|space| &space.devices)
        .filter_map(|device| device.vxlan.as_ref()?.local)
        .collect();
    let entries = spaces().flat_map(|space| &space.tables.fdb);
    let vteps = entries.filter_map(|entry| entry.vtep);
    vteps
        .filter(|vtep| !own.contains(vtep) && !vtep.is_unspecified())
        .collect()
}

fn node(facts: &NodeFacts, world: &World, traffic: &Traffic) -> Node {
    let mut found = Node {
        name: facts.name.clone(),
        ..Node::default()
    };
    let Some(host) = facts.spaces.iter().find(|space| !space.in_pod) else {
        return found;
    };
    let link = |device: &Device| link(&facts.name, None, device, traffic);
    let at = |ifindex: u32| host.devices.iter().find(|device| device.ifindex == ifindex);
    let mut groups: HashMap<Option<u32>, Vec<Pod>> = HashMap::new();
    for space in facts.spaces.iter().filter(|space| space.in_pod) {
        for (bridge, pod) in pods(facts, space, host, world, traffic) {
            groups.entry(bridge).or_default().push(pod);
        }
    }
    let mut bridges: Vec<_> = host
        .devices
        .iter()
        .filter(|device| device.kind == DeviceKind::Bridge)
        .map(|device| (Some(device.ifindex), Some(link(device))))
        .collect();
    bridges.push((None, None));
    for (ifindex, bridge) in bridges {
        let pods = groups.remove(&ifindex).unwrap_or_default();
        if bridge.is_some() || !pods.is_empty() {
            found.groups.push(group(bridge, pods));
        }
    }
    // What belongs to another kind of master, such as a VRF.
    for (_, pods) in groups {
        found.groups.push(group(None, pods));
    }
    for device in &host.devices {
        if let Some(vxlan) = &device.vxlan {
            found.tunnels.push(Tunnel {
                link: link(device),
                vni: vxlan.vni,
                port: vxlan.port,
                underlay: vxlan.underlay.and_then(at).map(|below| below.name.clone()),
            });
        }
    }
    let uplinks = uplinks(facts, host, world);
    let uplinks = host
        .devices
        .iter()
        .filter(|device| uplinks.contains(&device.ifindex));
    found.uplinks = uplinks.map(link).collect();
    found
}

/// The pod's interfaces that lead to the node, each with the bridge behind it.
fn pods(
    facts: &NodeFacts,
    space: &Space,
    host: &Space,
    world: &World,
    traffic: &Traffic,
) -> Vec<(Option<u32>, Pod)> {
    let name = world.identities.pod(space.netns);
    let ends = space.devices.iter().filter_map(|device| {
        let (netns, ifindex) = device.peer?;
        let mut devices = host.devices.iter();
        let veth = devices.find(|veth| netns == host.netns && veth.ifindex == ifindex)?;
        let pod = Pod {
            name: name.to_string(),
            own: link(&facts.name, Some(&name), device, traffic),
            veth: veth.name.clone(),
        };
        Some((veth.master, pod))
    });
    ends.collect()
}

/// A bridge with the pods that tell most.
fn group(bridge: Option<Link>, mut pods: Vec<Pod>) -> Group {
    if pods.len() > PODS_MAX {
        pods.sort_by_key(|pod| Reverse((pod.own.lost, pod.own.packets)));
    }
    let more = pods.len().saturating_sub(PODS_MAX);
    pods.truncate(PODS_MAX);
    pods.sort_by(|one, other| (&one.name, &one.veth).cmp(&(&other.name, &other.veth)));
    Group { bridge, pods, more }
}

/// The interfaces by which packets leave the node: those tapped as such, and what carries tunnels.
fn uplinks(facts: &NodeFacts, host: &Space, world: &World) -> BTreeSet<u32> {
    let points = world.tap_points.iter();
    let tapped = points
        .filter(|point| point.node == facts.node && point.role == Role::Uplink)
        .map(|point| point.ifindex);
    let devices = host.devices.iter();
    let carriers = devices.filter_map(|device| device.vxlan.as_ref()?.underlay);
    tapped.chain(carriers).collect()
}

fn link(node: &str, pod: Option<&Arc<str>>, device: &Device, traffic: &Traffic) -> Link {
    let key = (node.into(), pod.cloned(), device.name.as_str().into());
    let (packets, lost) = traffic.get(&key).copied().unwrap_or_default();
    let mut addresses = device.addresses.iter();
    let address = addresses.clone().find(|prefix| prefix.address.is_ipv4());
    Link {
        name: device.name.clone(),
        address: address
            .or_else(|| addresses.next())
            .map(|prefix| prefix.address.to_string()),
        is_up: device.up && device.carrier,
        packets,
        lost,
    }
}
