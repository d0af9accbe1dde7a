//! Packets under way, and their frames.
use std::net::Ipv4Addr;

use podtrace::packet::FLANNEL_PORT;

use crate::world::{self, POD_A, POD_B, Tap, VETH_A, VETH_B};

const SERVICE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 10), 80);

/// An IP packet under way from a pod of one node.
pub(crate) struct Sent {
    pub(crate) ts_ns: u64,
    /// Node and pod, each 0 or 1.
    pub(crate) from: (usize, usize),
    pub(crate) to: (usize, usize),
    pub(crate) protocol: u8,
    pub(crate) id: u16,
    /// From the transport header on.
    pub(crate) content: Vec<u8>,
    pub(crate) sender: u64,
    /// Cgroup of the socket that takes it, if one does.
    pub(crate) receiver: Option<u64>,
    pub(crate) shows_service: ShowsService,
    /// How many segments the wire cuts it into; at most one leaves it whole.
    pub(crate) cut: usize,
}

/// Where a packet has a Service's address in place of its backend's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShowsService {
    Nowhere,
    /// Before the client's node translates the request.
    First,
    /// Once the client's node has translated the answer.
    Last,
}

/// A part of a packet's way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// To the bridge of the first node.
    First,
    Between,
    /// From the bridge of the last node.
    Last,
}

pub(crate) fn ethernet((source, destination): ([u8; 6], [u8; 6]), packet: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &[8, 0], packet].concat()
}

/// The interfaces of a pod and of its veth.
pub(crate) fn taps((_, pod): (usize, usize)) -> [Tap; 2] {
    [[POD_A, POD_B][pod], [VETH_A, VETH_B][pod]]
}

/// The frame in the tunnel, and around it.
pub(crate) fn on_the_wire(sent: &Sent) -> (Vec<u8>, Vec<u8>) {
    let (first, last) = (sent.from.0, sent.to.0);
    let routed = ethernet(
        (world::vtep_mac(first), world::vtep_mac(last)),
        &ip(sent, 63, Part::Between),
    );
    let outer = vxlan(first, last, &routed);
    (routed, outer)
}

pub(crate) fn ip(sent: &Sent, ttl: u8, part: Part) -> Vec<u8> {
    let [mut from, mut to] = [world::pod_address(sent.from), world::pod_address(sent.to)];
    let mut content = sent.content.clone();
    let (address, port) = SERVICE;
    match (sent.shows_service, part) {
        (ShowsService::First, Part::First) => {
            to = address;
            content[2..4].copy_from_slice(&port.to_be_bytes());
        }
        (ShowsService::Last, Part::Last) => {
            from = address;
            content[..2].copy_from_slice(&port.to_be_bytes());
        }
        _ => {}
    }
    ip_packet([from, to], sent.protocol, sent.id, ttl, &content)
}

fn ip_packet(ends: [Ipv4Addr; 2], protocol: u8, id: u16, ttl: u8, content: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + content.len() as u16).to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend([0x40, 0, ttl, protocol, 0, 0]);
    packet.extend(ends.iter().flat_map(Ipv4Addr::octets));
    packet.extend(content);
    packet
}

fn vxlan(from: usize, to: usize, frame: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    content.extend(50_000u16.to_be_bytes());
    content.extend(FLANNEL_PORT.to_be_bytes());
    content.extend((16 + frame.len() as u16).to_be_bytes());
    content.extend([0, 0, 8, 0, 0, 0, 0, 0, 1, 0]);
    content.extend(frame);
    let ends = [from, to].map(world::node_address);
    let packet = ip_packet(ends, 17, 0, 64, &content);
    ethernet((world::uplink_mac(from), world::uplink_mac(to)), &packet)
}
