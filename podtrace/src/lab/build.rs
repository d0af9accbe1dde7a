//! Builds a lab: namespaces, underlay, flannel, pods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder};

use super::name::NsName;
use super::wire::Wire;
use super::{LabError, LabNode, LabPod, LabSpec, plan};
use crate::node::netns::NetNs;

const UNDERLAY_LINK: &str = "eth0";
const BRIDGE: &str = "cni0";
const VXLAN: &str = "flannel.1";
const POD_LINK: &str = "eth0";

struct Builder<'a> {
    id: &'a str,
    spec: LabSpec,
    names: Vec<NsName>,
    pods: Vec<Wire>,
}

/// Builds everything and waits until it can carry traffic.
pub(super) async fn build(
    id: &str,
    spec: LabSpec,
) -> Result<(Vec<LabNode>, Vec<NsName>), LabError> {
    let mut builder = Builder {
        id,
        spec,
        names: Vec::new(),
        pods: Vec::new(),
    };
    let wires = builder.node_wires().await?;
    builder.underlay(&wires).await?;
    let mut nodes = Vec::new();
    for (wire, node) in wires.iter().zip(1..) {
        nodes.push(builder.node(wire, node).await?);
    }
    // Once everything is there: the kernel reports carriers in batches.
    for (wire, node) in wires.iter().zip(&nodes) {
        wire.ready(&builder.node_links(node)).await?;
    }
    for pod in &builder.pods {
        pod.ready(&[POD_LINK.to_owned()]).await?;
    }
    Ok((nodes, builder.names))
}

impl Builder<'_> {
    async fn namespace(&mut self, suffix: &str) -> Result<Wire, LabError> {
        let (name, ns) = NsName::create(&format!("{}-{suffix}", self.id))?;
        self.names.push(name);
        Wire::open(ns, self.spec.ipv6).await
    }

    async fn node_wires(&mut self) -> Result<Vec<Wire>, LabError> {
        let mut wires = Vec::new();
        for node in 1..=self.spec.nodes {
            let wire = self.namespace(&format!("node{node}")).await?;
            wire.sysctl("ipv4/ip_forward", "1")?;
            if self.spec.ipv6 {
                wire.sysctl("ipv6/conf/all/forwarding", "1")?;
            }
            wires.push(wire);
        }
        Ok(wires)
    }

    /// Joins the nodes: two by a cable, more by a switch.
    async fn underlay(&mut self, wires: &[Wire]) -> Result<(), LabError> {
        match wires {
            [] | [_] => return Ok(()),
            [one, two] => {
                let cable = veth(UNDERLAY_LINK, UNDERLAY_LINK, &two.ns, None);
                one.add_link(UNDERLAY_LINK, cable).await?;
            }
            more => self.underlay_switch(more).await?,
        }
        for (wire, node) in wires.iter().zip(1..) {
            let link = wire.index(UNDERLAY_LINK).await?;
            set_up(wire, UNDERLAY_LINK, link).await?;
            self.addresses(
                wire,
                link,
                (plan::underlay4(node), 24),
                (plan::underlay6(node), 64),
            )
            .await?;
        }
        Ok(())
    }

    async fn underlay_switch(&mut self, wires: &[Wire]) -> Result<(), LabError> {
        let switch = self.namespace("underlay").await?;
        let bridge = LinkBridge::new("br0").up().build();
        let bridge = switch.add_link("br0", bridge).await?;
        for (wire, node) in wires.iter().zip(1..) {
            let port = format!("node{node}");
            let cable = veth(&port, UNDERLAY_LINK, &wire.ns, None);
            switch.add_link(&port, cable).await?;
            plug(&switch, &port, bridge).await?;
        }
        Ok(())
    }

    async fn node(&mut self, wire: &Wire, node: u8) -> Result<LabNode, LabError> {
        let bridge = self.bridge(wire, node).await?;
        if self.spec.nodes > 1 {
            self.flannel(wire, node).await?;
        }
        let mut pods = Vec::new();
        for pod in (1..).take(self.spec.pods_per_node) {
            pods.push(self.pod(wire, bridge, node, pod).await?);
        }
        Ok(LabNode {
            name: format!("node{node}"),
            netns: wire.ns.clone(),
            underlay: plan::underlay4(node),
            pods,
        })
    }

    async fn bridge(&self, wire: &Wire, node: u8) -> Result<u32, LabError> {
        let bridge = LinkBridge::new(BRIDGE).mtu(plan::OVERLAY_MTU).up().build();
        let link = wire.add_link(BRIDGE, bridge).await?;
        self.addresses(
            wire,
            link,
            (plan::overlay4(node, 1), 24),
            (plan::overlay6(node, 1), 64),
        )
        .await?;
        Ok(link)
    }

    async fn flannel(&self, wire: &Wire, node: u8) -> Result<(), LabError> {
        let vxlan = LinkVxlan::new(VXLAN, plan::VNI)
            .dev(wire.index(UNDERLAY_LINK).await?)
            .local(plan::underlay4(node))
            .port(plan::VXLAN_PORT)
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
        for peer in (1..).take(self.spec.nodes).filter(|peer| *peer != node) {
            self.flannel_peer(wire, link, peer).await?;
        }
        Ok(())
    }

    /// What flanneld writes for another node.
    async fn flannel_peer(&self, wire: &Wire, link: u32, peer: u8) -> Result<(), LabError> {
        let mac = plan::vtep_mac(peer);
        wire.add_fdb(link, mac, plan::underlay4(peer).into())
            .await?;
        let subnet = plan::overlay4(peer, 0);
        wire.add_neighbour(link, subnet.into(), mac).await?;
        wire.add_route(&subnet.to_string(), via4(link, subnet))
            .await?;
        if self.spec.ipv6 {
            let subnet = plan::overlay6(peer, 0);
            wire.add_neighbour(link, subnet.into(), mac).await?;
            wire.add_route(&subnet.to_string(), via6(link, subnet))
                .await?;
        }
        Ok(())
    }

    async fn pod(
        &mut self,
        wire: &Wire,
        bridge: u32,
        node: u8,
        pod: u8,
    ) -> Result<LabPod, LabError> {
        let inside = self.namespace(&format!("node{node}-pod{pod}")).await?;
        let host_end = plan::veth(node, pod);
        let pair = veth(&host_end, POD_LINK, &inside.ns, Some(plan::OVERLAY_MTU));
        wire.add_link(&host_end, pair).await?;
        plug(wire, &host_end, bridge).await?;
        self.pod_network(&inside, node, pod).await?;
        let number = (usize::from(node) - 1) * self.spec.pods_per_node + usize::from(pod);
        let netns = inside.ns.clone();
        self.pods.push(inside);
        Ok(LabPod {
            name: format!("default/mypod{number}"),
            netns,
            ipv4: plan::overlay4(node, plan::pod_host(pod)),
            ipv6: plan::overlay6(node, plan::pod_host(pod)),
            veth: host_end,
        })
    }

    async fn pod_network(&self, inside: &Wire, node: u8, pod: u8) -> Result<(), LabError> {
        let link = inside.index(POD_LINK).await?;
        set_up(inside, POD_LINK, link).await?;
        let host = plan::pod_host(pod);
        let v4 = (plan::overlay4(node, host), 24);
        let v6 = (plan::overlay6(node, host), 64);
        self.addresses(inside, link, v4, v6).await?;
        let gateway = RouteMessageBuilder::<Ipv4Addr>::new().gateway(plan::overlay4(node, 1));
        inside
            .add_route("default", gateway.output_interface(link).build())
            .await?;
        if self.spec.ipv6 {
            let gateway = RouteMessageBuilder::<Ipv6Addr>::new().gateway(plan::overlay6(node, 1));
            inside
                .add_route("default", gateway.output_interface(link).build())
                .await?;
        }
        Ok(())
    }

    async fn addresses(
        &self,
        wire: &Wire,
        link: u32,
        v4: (Ipv4Addr, u8),
        v6: (Ipv6Addr, u8),
    ) -> Result<(), LabError> {
        wire.add_address(link, IpAddr::V4(v4.0), v4.1).await?;
        if self.spec.ipv6 {
            wire.add_address(link, IpAddr::V6(v6.0), v6.1).await?;
        }
        Ok(())
    }

    /// The links of a node that must carry traffic. A bridge without ports
    /// never comes up.
    fn node_links(&self, node: &LabNode) -> Vec<String> {
        let mut links: Vec<_> = node.pods.iter().map(|pod| pod.veth.clone()).collect();
        if !links.is_empty() {
            links.push(BRIDGE.to_owned());
        }
        if self.spec.nodes > 1 {
            links.extend([UNDERLAY_LINK.to_owned(), VXLAN.to_owned()]);
        }
        links
    }
}

/// A veth pair with the peer born in another namespace.
fn veth(name: &str, peer: &str, peer_ns: &NetNs, mtu: Option<u32>) -> LinkMessage {
    let mut near = LinkVeth::new(name, peer);
    let mut far = LinkUnspec::new_with_name(peer).setns_by_fd(peer_ns.as_fd().as_raw_fd());
    if let Some(mtu) = mtu {
        near = near.mtu(mtu);
        far = far.mtu(mtu);
    }
    near.set_info_data(InfoData::Veth(InfoVeth::Peer(far.build())))
        .build()
}

async fn set_up(wire: &Wire, name: &str, link: u32) -> Result<(), LabError> {
    let up = LinkUnspec::new_with_index(link).up().build();
    wire.set_link(name, up).await
}

/// Puts a link into a bridge and sets it up.
async fn plug(wire: &Wire, port: &str, bridge: u32) -> Result<(), LabError> {
    let link = LinkUnspec::new_with_name(port).controller(bridge).up();
    wire.set_link(port, link.build()).await
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
