//! The nodes' network: the underlay, and the configuration that flanneld adds to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{LinkVxlan, RouteMessageBuilder};

use super::wire::{Wire, veth};
use super::{LabError, plan};
use crate::{netns::NetNs, packet::FLANNEL_PORT};

/// The uplink of every node.
pub(super) const UNDERLAY_LINK: &str = "eth0";
pub(super) const VXLAN: &str = "flannel.1";

/// A network of that many nodes. A single node has no uplink and no overlay.
#[derive(Clone, Copy)]
pub(super) struct Flannel {
    pub(super) nodes: usize,
    pub(super) ipv6: bool,
}

/// Turns one or two existing namespaces into the nodes of a network: forwarding, the underlay
/// and `flannel.1`. The caller adds bridge and pods.
pub(super) async fn join(nodes: &[NetNs], ipv6: bool) -> Result<(), LabError> {
    let flannel = Flannel {
        nodes: nodes.len(),
        ipv6,
    };
    let mut wires = Vec::new();
    for node in nodes {
        wires.push(Wire::open(node.clone(), ipv6).await?);
    }
    if let [one, two] = wires.as_slice() {
        Flannel::cable(one, two).await?;
    }
    for (wire, node) in wires.iter().zip(1..) {
        flannel.node(wire, node).await?;
    }
    let links: Vec<_> = flannel.links().map(str::to_owned).collect();
    for wire in &wires {
        wire.ready(&links).await?;
    }
    Ok(())
}

impl Flannel {
    /// Joins two nodes by their uplinks.
    pub(super) async fn cable(one: &Wire, two: &Wire) -> Result<(), LabError> {
        let cable = veth(UNDERLAY_LINK, UNDERLAY_LINK, &two.ns, None);
        one.add_link(UNDERLAY_LINK, cable).await.map(|_index| ())
    }

    /// Sets up a node that has its uplink.
    pub(super) async fn node(self, wire: &Wire, node: u8) -> Result<(), LabError> {
        wire.sysctl("ipv4/ip_forward", "1")?;
        if self.ipv6 {
            wire.sysctl("ipv6/conf/all/forwarding", "1")?;
        }
        if self.nodes > 1 {
            let uplink = self.uplink(wire, node).await?;
            self.overlay(wire, uplink, node).await?;
        }
        Ok(())
    }

    /// The links of a node that must carry traffic.
    pub(super) fn links(self) -> impl Iterator<Item = &'static str> {
        let links = [UNDERLAY_LINK, VXLAN];
        links.into_iter().filter(move |_| self.nodes > 1)
    }

    async fn uplink(self, wire: &Wire, node: u8) -> Result<u32, LabError> {
        let link = wire.index(UNDERLAY_LINK).await?;
        wire.set_up(UNDERLAY_LINK, link).await?;
        self.addresses(
            wire,
            link,
            (plan::underlay4(node), 24),
            (plan::underlay6(node), 64),
        )
        .await?;
        Ok(link)
    }

    async fn overlay(self, wire: &Wire, uplink: u32, node: u8) -> Result<(), LabError> {
        let vxlan = LinkVxlan::new(VXLAN, plan::VNI)
            .dev(uplink)
            .local(plan::underlay4(node))
            .port(FLANNEL_PORT)
            .learning(false)
            .address(plan::vtep_mac(node).to_vec())
            .mtu(plan::OVERLAY_MTU)
            .up()
            .build();
        let link = wire.add_link(VXLAN, vxlan).await?;
        self.addresses(
            wire,
            link,
            (plan::overlay4(node, 0), 32),
            (plan::overlay6(node, 0), 128),
        )
        .await?;
        for peer in (1..).take(self.nodes).filter(|peer| *peer != node) {
            self.peer(wire, link, peer).await?;
        }
        Ok(())
    }

    /// Adds the configuration for another node, as flanneld does.
    async fn peer(self, wire: &Wire, link: u32, peer: u8) -> Result<(), LabError> {
        let mac = plan::vtep_mac(peer);
        wire.add_fdb(link, mac, plan::underlay4(peer).into())
            .await?;
        let subnet = plan::overlay4(peer, 0);
        wire.add_neighbour(link, subnet.into(), mac).await?;
        wire.add_route(&subnet.to_string(), via4(link, subnet))
            .await?;
        if self.ipv6 {
            let subnet = plan::overlay6(peer, 0);
            wire.add_neighbour(link, subnet.into(), mac).await?;
            wire.add_route(&subnet.to_string(), via6(link, subnet))
                .await?;
        }
        Ok(())
    }

    /// Assigns the addresses of the enabled families.
    pub(super) async fn addresses(
        self,
        wire: &Wire,
        link: u32,
        v4: (Ipv4Addr, u8),
        v6: (Ipv6Addr, u8),
    ) -> Result<(), LabError> {
        wire.add_address(link, IpAddr::V4(v4.0), v4.1).await?;
        if self.ipv6 {
            wire.add_address(link, IpAddr::V6(v6.0), v6.1).await?;
        }
        Ok(())
    }
}

fn via4(link: u32, subnet: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(subnet, 24)
        .gateway(subnet)
        .output_interface(link)
        .onlink()
        .build()
}

fn via6(link: u32, subnet: Ipv6Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(subnet, 64)
        .gateway(subnet)
        .output_interface(link)
        .onlink()
        .build()
}
