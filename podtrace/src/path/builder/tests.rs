mod ahead;
mod arrival;
mod circle;
mod datagrams;
mod dropped;
mod echo;
mod equal;
pub(crate) mod flood;
mod fragments;
mod healthy;
mod hostile;
mod late;
mod limits;
mod losses;
mod members;
mod merged;
mod partial_view;
mod refused;
mod routed;
mod segments;
mod shares;
mod sockets;
mod translation;

use std::net::IpAddr;

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::*;
use crate::{
    model::tap_point::{Role, TapPoint},
    packet::{Carrier, Ip, Link, Mac, Network, Packet, Transport, Tunnel},
    path::{Hop, RoundTrip, Translation},
    world::fixture::{
        CGROUP1, CGROUP2, CNI0, NETNS1, NETNS2, NODE, POD1, POD2, UPLINK, VETH1, VETH2,
        apply_snapshot, mac_of, tap_point, world,
    },
};

/// The time after which the tests' builders give up on a packet, in nanoseconds.
const TIMEOUT_NS: u64 = 500_000_000;

pub(crate) fn packet(destination: &str) -> Packet {
    Packet {
        tunnel: None,
        vlan: None,
        shim: None,
        link: Some(Link {
            source: Mac([2; 6]),
            destination: mac_of(match destination {
                "10.244.1.1" => NODE,
                _ => NETNS2,
            }),
            ethertype: 0x0800,
        }),
        network: Network::Ip(Ip {
            source: "10.244.1.2".parse().unwrap(),
            destination: destination.parse().unwrap(),
            ttl: 64,
            protocol: 17,
            id: 0,
            may_fragment: true,
            fragment: None,
        }),
        transport: Transport::Udp {
            source: 5000,
            destination: 53,
            payload: 4,
        },
        payload_hash: 9,
        length: 32,
    }
}

pub(crate) fn event(ts_ns: u64, interface: u32, direction: Direction, packet: &Packet) -> Event {
    Event {
        ts_ns,
        interface,
        direction,
        wire_len: 46,
        gso_segments: 0,
        cgroup: match (interface, direction) {
            (POD1, Egress) => CGROUP1,
            (POD2, Socket) => CGROUP2,
            _ => CGROUP_NONE,
        },
        packet: packet.clone(),
        payload: None,
        vlan_tci: None,
        matches: true,
        captured: bytes::Bytes::new(),
        link: crate::packet::link::ETHERNET,
        number: 0,
    }
}

use Direction::{Egress, Ingress, Socket};

/// Takes the paths that have ended.
fn finished(builder: &mut Builder) -> Vec<Path> {
    builder.take_finished().map(|path| *path).collect()
}

/// A path with this number.
pub(crate) fn path(id: u64) -> Path {
    let mut paths = finished(&mut join_hops("10.244.1.3", &TO_POD2));
    let mut path = paths.remove(0);
    path.id = id;
    path
}

/// A path that left for another node, with its second hop in a tunnel.
pub(crate) fn path_to_vtep(id: u64) -> Path {
    let vtep: IpAddr = "192.168.77.12".parse().unwrap();
    let mut path = path(id);
    path.hops[1].tunnel = Some(Box::new(Tunnel {
        source: "192.168.77.11".parse().unwrap(),
        destination: vtep,
        carrier: Carrier::Vxlan(1),
        id: 0,
        fragment: None,
    }));
    path.outcome = Outcome::LeftForVtep(vtep);
    path.ambiguous = true;
    path
}

/// The reply to a SYN.
pub(crate) const SYN_ACK: Transport = Transport::Tcp {
    source: 40_000,
    destination: 80,
    sequence: u32::MAX,
    acknowledgment: 7,
    flags: 0x12,
    payload: 100,
};

/// A TCP header without payload.
fn tcp(ports: (u16, u16), sequence: u32, acknowledgment: u32, flags: u8) -> Transport {
    Transport::Tcp {
        source: ports.0,
        destination: ports.1,
        sequence,
        acknowledgment,
        flags,
        payload: 0,
    }
}

/// A packet from port 5000 that asks for a connection to port 80.
pub(crate) fn syn(to: &str) -> Packet {
    let mut syn = packet(to);
    syn.transport = tcp((5000, 80), 77, 0, 0x02);
    if let Network::Ip(ip) = &mut syn.network {
        ip.protocol = 6;
    }
    syn
}

/// Feeds the hops of packets to `destination` to a builder.
pub(crate) fn join_hops(destination: &str, hops: &[(u64, u32, Direction)]) -> Builder {
    let world = world();
    let packet = packet(destination);
    let mut builder = Builder::new(TIMEOUT_NS);
    for (ts_ns, interface, direction) in hops {
        builder.push(&event(*ts_ns, *interface, *direction, &packet), &world);
    }
    builder
}

pub(crate) const TO_POD2: [(u64, u32, Direction); 5] = [
    (1000, POD1, Egress),
    (2000, VETH1, Ingress),
    (3000, VETH2, Egress),
    (4000, POD2, Ingress),
    (5000, POD2, Socket),
];
