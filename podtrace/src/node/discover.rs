//! Which interfaces to tap, and what each of them is.
use std::{collections::HashSet, fs, net::IpAddr, sync::Arc};

use super::{
    links::{self, Link, LinkKind, LinksError},
    netns::{NETNS_DIR, NetNs},
};
use crate::{identity::Identity, output::sanitize::sanitize, packet::Framing};

/// Where `ip netns` and container runtimes keep named namespaces.
const NETNS_DIRS: [&str; 2] = [NETNS_DIR, "/var/run/docker/netns"];

/// What an interface is on the road of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A pod's interface: eth0.
    Pod,
    /// A loopback interface.
    Loopback,
    /// The node's end of a pod's veth pair.
    Veth,
    /// A bridge: cni0.
    Bridge,
    /// A VXLAN tunnel: flannel.1.
    Vxlan,
    /// What carries the node's VXLAN packets.
    Uplink,
    /// Any other interface, tapped because it was asked for.
    Other,
}

/// A node whose interfaces are traced.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the output.
    pub name: Arc<str>,
    /// Its network namespace.
    pub netns: NetNs,
}

/// An interface to tap.
#[derive(Clone, Debug)]
pub struct Place {
    /// The node it belongs to, as in the list of nodes.
    pub node: usize,
    /// The node's name.
    pub node_name: Arc<str>,
    /// `namespace/pod`; none for the node's own interfaces.
    pub pod: Option<Arc<str>>,
    /// Cookie of its namespace. Not an open handle: that would keep the
    /// namespace of a dead pod alive.
    pub netns_cookie: u64,
    /// Its index there.
    pub ifindex: u32,
    /// Its name there, made safe for a terminal.
    pub name: Arc<str>,
    /// What it is.
    pub role: Role,
    /// What its packets start with.
    pub framing: Framing,
}

/// A place and what attaching to it takes, for the moment.
#[derive(Clone, Debug)]
pub struct Target {
    /// The place.
    pub place: Place,
    /// Its namespace, to be let go soon.
    pub netns: NetNs,
    /// The interface's name as the kernel has it.
    pub device: String,
}

/// The state of the nodes at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The interfaces to tap.
    pub targets: Vec<Target>,
    /// UDP ports that carry VXLAN, from the VXLAN interfaces.
    pub vxlan_ports: Vec<u16>,
    /// Addresses by owner: node number, pod name (none: the node itself).
    pub addresses: Vec<(IpAddr, usize, Option<Arc<str>>)>,
    /// Every interface name there is, chosen or not.
    pub names: Vec<String>,
}

/// Looks at the nodes and at every pod namespace that a veth ties to them.
///
/// `chosen`: names of the interfaces to tap; empty for the usual ones.
///
/// # Errors
/// When a node's namespace cannot be read; a pod's namespace that vanishes
/// meanwhile is left out.
pub async fn discover(
    nodes: &[Node],
    identity: &dyn Identity,
    chosen: &[String],
) -> Result<Snapshot, LinksError> {
    let mut snapshot = Snapshot::default();
    let candidates = namespaces(nodes);
    for (number, node) in nodes.iter().enumerate() {
        let node_links = links::list(&node.netns).await?;
        let mut add = |netns: &NetNs, link: &Link, pod: Option<Arc<str>>, role| {
            snapshot.names.push(link.name.clone());
            for address in &link.addresses {
                snapshot.addresses.push((*address, number, pod.clone()));
            }
            if let LinkKind::Vxlan(vxlan) = &link.kind {
                snapshot.vxlan_ports.push(vxlan.port);
            }
            let usual = role != Role::Other && (role != Role::Loopback || pod.is_some());
            let wanted = if chosen.is_empty() {
                usual
            } else {
                chosen.contains(&link.name)
            };
            if wanted {
                let place = Place {
                    node: number,
                    node_name: Arc::clone(&node.name),
                    pod,
                    netns_cookie: netns.cookie,
                    ifindex: link.ifindex,
                    name: sanitize(&link.name).into(),
                    role,
                    framing: link.framing,
                };
                snapshot.targets.push(Target {
                    place,
                    netns: netns.clone(),
                    device: link.name.clone(),
                });
            }
        };
        for link in &node_links {
            add(&node.netns, link, None, node_role(link, &node_links));
        }
        for netns in &candidates {
            let Some(pod_links) = pod_links(node, &node_links, netns).await else {
                continue;
            };
            let pod = identity.pod(netns);
            for link in &pod_links {
                let role = match link.kind {
                    LinkKind::Loopback => Role::Loopback,
                    LinkKind::Veth => Role::Pod,
                    _ => Role::Other,
                };
                add(netns, link, Some(Arc::clone(&pod)), role);
            }
        }
    }
    snapshot.vxlan_ports.sort_unstable();
    snapshot.vxlan_ports.dedup();
    Ok(snapshot)
}

fn node_role(link: &Link, all: &[Link]) -> Role {
    let carries_vxlan = all.iter().any(|other| {
        matches!(&other.kind, LinkKind::Vxlan(vxlan) if vxlan.underlay == Some(link.ifindex))
    });
    match link.kind {
        _ if carries_vxlan => Role::Uplink,
        LinkKind::Veth => Role::Veth,
        LinkKind::Bridge => Role::Bridge,
        LinkKind::Vxlan(_) => Role::Vxlan,
        LinkKind::Loopback => Role::Loopback,
        LinkKind::Other => Role::Other,
    }
}

/// The interfaces of a namespace if one of them is the peer of a veth of the
/// node; none for others' namespaces and for those that are gone.
async fn pod_links(node: &Node, node_links: &[Link], netns: &NetNs) -> Option<Vec<Link>> {
    let nsid = links::nsid(&node.netns, netns).await.ok()??;
    let pod_links = links::list(netns).await.ok()?;
    let tied = node_links.iter().any(|host| {
        // Not the uplink: the nodes of a lab are joined by a veth pair.
        node_role(host, node_links) == Role::Veth
            && host.peer_nsid == Some(nsid)
            && pod_links.iter().any(|pod| {
                pod.kind == LinkKind::Veth
                    && host.peer == Some(pod.ifindex)
                    && pod.peer == Some(host.ifindex)
            })
    });
    tied.then_some(pod_links)
}

/// Every network namespace that has a name or a process, but for the nodes'.
fn namespaces(nodes: &[Node]) -> Vec<NetNs> {
    let mut known: HashSet<u64> = nodes.iter().map(|node| node.netns.cookie).collect();
    let named = NETNS_DIRS
        .iter()
        .flat_map(|dir| entries(dir))
        .collect::<Vec<_>>();
    let of_processes = entries("/proc")
        .into_iter()
        .filter(|path| {
            path.rsplit('/')
                .next()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .map(|path| path + "/ns/net");
    let mut inodes = HashSet::new();
    named
        .into_iter()
        .chain(of_processes)
        .filter(|path| {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata(path).is_ok_and(|meta| inodes.insert(meta.ino()))
        })
        .filter_map(|path| NetNs::open(&path).ok())
        .filter(|netns| known.insert(netns.cookie))
        .collect()
}

fn entries(dir: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.path().into_os_string().into_string().ok())
        .collect()
}
