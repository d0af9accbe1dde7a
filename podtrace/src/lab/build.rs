//! Builds a lab: namespaces, underlay, flannel, pods.

use std::net::{Ipv4Addr, Ipv6Addr};

use rtnetlink::{LinkBridge, LinkUnspec, RouteMessageBuilder};

use super::flannel::{Flannel, UNDERLAY_LINK};
use super::name::NsName;
use super::wire::{Wire, veth};
use super::{LabError, LabNode, LabPod, LabSpec, plan};

const BRIDGE: &str = "cni0";
const POD_LINK: &str = "eth0";

struct Builder<'a> {
    id: &'a str,
    spec: LabSpec,
    flannel: Flannel,
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
        flannel: Flannel {
            nodes: spec.nodes,
            ipv6: spec.ipv6,
        },
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
            wires.push(self.namespace(&format!("node{node}")).await?);
        }
        Ok(wires)
    }

    /// Joins the nodes: two by a cable, more by a switch.
    async fn underlay(&mut self, wires: &[Wire]) -> Result<(), LabError> {
        match wires {
            [] | [_] => Ok(()),
            [one, two] => Flannel::cable(one, two).await,
            more => self.underlay_switch(more).await,
        }
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
        self.flannel.node(wire, node).await?;
        let mut pods = Vec::new();
        for pod in (1..).take(self.spec.pods_per_node) {
            pods.push(self.pod(wire, bridge, node, pod).await?);
        }
        Ok(LabNode {
            name: format!("node{node}"),
            netns: wire.ns.clone(),
            underlay: plan::underlay4(node),
            vtep_mac: plan::vtep_mac(node),
            pods,
        })
    }

    async fn bridge(&self, wire: &Wire, node: u8) -> Result<u32, LabError> {
        let bridge = LinkBridge::new(BRIDGE).mtu(plan::OVERLAY_MTU).up().build();
        let link = wire.add_link(BRIDGE, bridge).await?;
        self.flannel
            .addresses(
                wire,
                link,
                (plan::overlay4(node, 1), 24),
                (plan::overlay6(node, 1), 64),
            )
            .await?;
        Ok(link)
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
        inside.set_up(POD_LINK, link).await?;
        let host = plan::pod_host(pod);
        let v4 = (plan::overlay4(node, host), 24);
        let v6 = (plan::overlay6(node, host), 64);
        self.flannel.addresses(inside, link, v4, v6).await?;
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

    /// The links of a node that must carry traffic. A bridge without ports
    /// never comes up.
    fn node_links(&self, node: &LabNode) -> Vec<String> {
        let mut links: Vec<_> = node.pods.iter().map(|pod| pod.veth.clone()).collect();
        if !links.is_empty() {
            links.push(BRIDGE.to_owned());
        }
        links.extend(self.flannel.links().map(str::to_owned));
        links
    }
}

/// Puts a link into a bridge and sets it up.
async fn plug(wire: &Wire, port: &str, bridge: u32) -> Result<(), LabError> {
    let link = LinkUnspec::new_with_name(port).controller(bridge).up();
    wire.set_link(port, link.build()).await
}
