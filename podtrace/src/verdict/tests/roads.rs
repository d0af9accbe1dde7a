//! The roads of packets through the network of the facts.
use std::net::IpAddr;

use podtrace_ebpf::record::Direction;

use super::*;
use crate::{
    model::{
        origin::Origin,
        snapshot::{NamespaceInfo, Snapshot},
        tap_point::{Role, TapPoint},
        topology::RecordedTopology,
    },
    packet::{Arp, Carrier, Ends, Framing, Link, Network, Transport, Tunnel},
    path::{Hop, Translation, builder::tests as builder, dropped::Dropped},
    rules::fixture::netns_of_pod,
    update::Update,
};

/// The taps: node, namespace, index, role.
const TAPS: [(usize, u64, u32, Role); 14] = [
    (0, 11, POD, Role::Pod),
    (0, 1, VETH1, Role::Veth),
    (0, 1, CNI0, Role::Bridge),
    (0, 1, FLANNEL, Role::Vxlan),
    (0, 1, UPLINK, Role::Uplink),
    (1, 2, UPLINK, Role::Uplink),
    (1, 2, FLANNEL, Role::Vxlan),
    (1, 2, CNI0, Role::Bridge),
    (1, 2, VETH1, Role::Veth),
    (1, 21, POD, Role::Pod),
    (0, 1, VETH2, Role::Veth),
    (0, 12, POD, Role::Pod),
    (0, 1, VETH3, Role::Veth),
    (0, 13, POD, Role::Pod),
];

/// The hops from a pod to one of the other node, and to one of its own: number of the tap.
const ACROSS: [(u32, Direction); 10] = [
    (0, Egress),
    (1, Ingress),
    (2, Ingress),
    (3, Egress),
    (4, Egress),
    (5, Ingress),
    (6, Ingress),
    (7, Egress),
    (8, Egress),
    (9, Ingress),
];
const WITHIN: [(u32, Direction); 4] = [(0, Egress), (1, Ingress), (10, Egress), (11, Ingress)];
const ASTRAY: [(u32, Direction); 4] = [(0, Egress), (1, Ingress), (12, Egress), (13, Ingress)];
const FROM_BRIDGE: [(u32, Direction); 3] = [(2, Egress), (12, Egress), (13, Ingress)];

/// The world with these facts, and with taps everywhere.
pub(crate) fn world(facts: Vec<NodeFacts>) -> World {
    let mut world = World::default();
    world.nodes = vec!["worker1".into(), "worker2".into()];
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    let mut namespaces = Vec::new();
    for (number, (node, netns, ifindex, role)) in (0..).zip(TAPS) {
        let in_pod = role == Role::Pod;
        if in_pod {
            namespaces.push(NamespaceInfo {
                id: netns,
                node,
                given: Some(format!("default/pod{netns}").into()),
                ..NamespaceInfo::default()
            });
        }
        let name = match (role, ifindex) {
            (Role::Bridge, _) => "cni0",
            (Role::Vxlan, _) => "flannel.1",
            (Role::Veth, VETH1) => "veth1",
            (Role::Veth, VETH2) => "veth2",
            (Role::Veth, _) => "veth3",
            _ => "eth0",
        };
        let pod = u64::from(ifindex.saturating_sub(VETH1) + 1);
        let leads_to = (role == Role::Veth).then(|| netns_of_pod(netns, pod));
        let point = TapPoint {
            node,
            node_name: world.nodes[node].clone(),
            in_pod,
            leads_to,
            peer_name: None,
            netns_id: netns,
            ifindex,
            name: name.into(),
            role,
            framing: Framing::Ethernet,
            is_port: role == Role::Veth,
            mac: Some(mac(netns, ifindex)),
            captured_link: None,
        };
        world.apply(&origin, &Update::TapPoint { number, point });
    }
    let snapshot = Snapshot {
        namespaces,
        ..Snapshot::default()
    };
    world.apply(&origin, &Update::Snapshot(Box::new(snapshot)));
    let topology = RecordedTopology {
        facts: facts.into_iter().map(Arc::new).collect(),
        ..RecordedTopology::default()
    };
    world.apply(&origin, &Update::Topology(Box::new(topology)));
    world
}

/// The road of a packet until it was not seen any more.
pub(crate) struct Road(Path);

/// The first hops of a packet to the other node.
pub(crate) fn road(hops: usize) -> Road {
    Road::of(&ACROSS[..hops], "10.244.2.2", mac(netns_of(1), CNI0))
}

/// The first hops of the answer from the other node.
pub(crate) fn answer(hops: usize) -> Road {
    let back = ACROSS.iter().rev().map(|(tap, direction)| match direction {
        Egress => (*tap, Ingress),
        _ => (*tap, Egress),
    });
    let back: Vec<_> = back.take(hops).collect();
    let mut road = Road::of(&back, "10.244.1.2", mac(netns_of(2), CNI0));
    let tunnels = road.0.hops.iter_mut().filter_map(|hop| hop.tunnel.as_mut());
    for tunnel in tunnels {
        std::mem::swap(&mut tunnel.source, &mut tunnel.destination);
    }
    road.ip(|own| own.source = ip("10.244.2.2"))
}

/// The first hops of a packet to another pod of the node.
pub(crate) fn local(hops: usize) -> Road {
    Road::of(&WITHIN[..hops], "10.244.1.3", mac(netns_of_pod(1, 2), POD))
}

/// The first hops of a frame that gets to a third pod of the node.
pub(super) fn stray(hops: usize) -> Road {
    Road::of(&ASTRAY[..hops], "10.244.1.3", mac(netns_of_pod(1, 2), POD))
}

/// The same of one that the node sends.
pub(super) fn stray_from_bridge(hops: usize) -> Road {
    let third = mac(netns_of_pod(1, 3), POD);
    let road = Road::of(&FROM_BRIDGE[..hops], "10.244.1.3", third);
    road.ip(|own| own.source = ip("10.244.1.1"))
}

impl Road {
    fn of(hops: &[(u32, Direction)], to: &str, next: Mac) -> Self {
        let mut path = builder::path(1);
        path.hops = (1000..)
            .step_by(1000)
            .zip(hops)
            .map(|(ts_ns, (interface, direction))| Hop {
                ts_ns,
                interface: *interface,
                direction: *direction,
                wire_len: 46,
                tunnel: tunnel(*interface),
                ttl: Some(64),
                aside: false,
                cgroup: 0,
                matches: true,
            })
            .collect();
        path.outcome = Outcome::NotSeenFurther;
        path.translations.clear();
        path.packet.link = Some(Link {
            source: mac(netns_of_pod(1, 1), POD),
            destination: next,
            ethertype: 0x0800,
        });
        Self(path).to(to).with_df()
    }

    pub(crate) fn path(&self) -> Path {
        self.0.clone()
    }

    fn ip(mut self, change: impl Fn(&mut crate::packet::Ip)) -> Self {
        if let Network::Ip(ip) = &mut self.0.packet.network {
            change(ip);
        }
        self
    }

    fn with_df(self) -> Self {
        self.ip(|ip| ip.may_fragment = false)
    }

    pub(super) fn without_df(self) -> Self {
        self.ip(|ip| ip.may_fragment = true)
    }

    pub(crate) fn to(self, destination: &str) -> Self {
        let destination = ip(destination);
        self.ip(|ip| ip.destination = destination)
    }

    pub(super) fn for_mac(mut self, mac: Mac) -> Self {
        self.0.packet.link.as_mut().unwrap().destination = mac;
        self
    }

    pub(crate) fn long(mut self, bytes: u32) -> Self {
        self.0.packet.length = bytes;
        self
    }

    pub(super) fn ttl(mut self, ttl: u8) -> Self {
        for hop in &mut self.0.hops {
            hop.ttl = Some(ttl);
        }
        self
    }

    pub(crate) fn ended(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    pub(crate) fn left(mut self, vtep: &str) -> Self {
        let vtep = ip(vtep);
        self.0.outcome = Outcome::LeftForVtep(vtep);
        let tunnels = self.0.hops.iter_mut().filter_map(|hop| hop.tunnel.as_mut());
        tunnels.for_each(|tunnel| tunnel.destination = vtep);
        self
    }

    pub(crate) fn no_socket(self) -> Self {
        self.ended(Outcome::NoSocket)
    }

    pub(super) fn translated(mut self, to: &str) -> Self {
        let ends = |destination: &str| Ends {
            source: ip("10.244.1.2"),
            destination: ip(destination),
            ports: Some((5000, 53)),
        };
        self.0.translations = vec![Translation {
            hop: 2,
            before: ends("10.96.0.10"),
            after: ends(to),
        }];
        self
    }

    pub(crate) fn refused(mut self, refusal: Refusal) -> Self {
        self.0.refusal = Some(Box::new(refusal));
        self.ended(Outcome::Refused)
    }

    pub(crate) fn asks(mut self, target: Ipv4Addr) -> Self {
        let packet = &mut self.0.packet;
        packet.link.as_mut().unwrap().destination = Mac([0xff; 6]);
        packet.transport = Transport::None;
        packet.network = Network::Arp(Arp {
            operation: 1,
            sender_mac: mac(netns_of_pod(1, 1), POD),
            sender: Ipv4Addr::new(10, 244, 1, 2),
            target_mac: Mac::default(),
            target,
        });
        self.ended(Outcome::Unanswered)
    }

    pub(crate) fn dropped(mut self, reason: &str, function: Option<&str>) -> Self {
        let last = self.0.hops.last().map_or(0, |hop| hop.interface);
        let by = KernelDrop {
            ts_ns: self.0.last_ns() + 12_345,
            netns: TAPS[last as usize].1,
            ifindex: FLANNEL,
            reason: Some(reason.into()),
            function: function.map(Into::into),
            ..KernelDrop::default()
        };
        let hops = self.0.hops.len();
        self.0.dropped = Some(Box::new(Dropped {
            by,
            hops,
            translated: None,
        }));
        self
    }
}

/// The tunnel at an interface, if packets are in it there.
fn tunnel(interface: u32) -> Option<Box<Tunnel>> {
    let vtep = |node: u8| IpAddr::from([192, 168, 77, 10 + node]);
    matches!(interface, 4 | 5).then(|| {
        Box::new(Tunnel {
            source: vtep(1),
            destination: vtep(2),
            carrier: Carrier::Vxlan(1),
            id: 0,
            fragment: None,
        })
    })
}
