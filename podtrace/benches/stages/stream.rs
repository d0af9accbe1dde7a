//! Records as taps make them: pods of two nodes that ping each other, floods of
//! equal datagrams on one node, and TCP with payload between the nodes.
use std::net::Ipv4Addr;

use podtrace::{
    model::event::{Event, TapPoints},
    packet::{DecodeOptions, key_payload},
};
use podtrace_ebpf::{
    config::SNAPLEN_DEFAULT,
    record::{CGROUP_NONE, CGROUP_ROOT, Direction, Kind, VERSION},
};

use crate::world::{self, POD_A, POD_B, Tap, UPLINK, VETH_A, VETH_B, VXLAN_PORT};

/// When the first packet is sent: names have come long before.
const START_NS: u64 = 10_000_000_000;
/// From one exchange to the next.
const INTERVAL_NS: u64 = 100_000;
/// Nanoseconds between two hops.
const HOP_NS: u64 = 4_000;
/// Equal datagrams under way at once.
const FLOOD: u64 = 16;

/// What is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Echo requests and replies of pods on different nodes: 21 hops.
    Ping,
    /// Equal datagrams from pod to pod on one node: 5 hops each.
    Flood,
    /// The flood without most of its events behind the second hop: packets that are
    /// equal seem to be under way for long.
    Lossy,
    /// Segments with payload and acknowledgments between nodes: 11 hops each.
    Tcp,
    /// All of them in turns.
    Mixed,
}

/// One record with its time, to sort by.
struct Seen {
    ts_ns: u64,
    hop: usize,
    record: Vec<u8>,
}

/// `events` records at least, in order of time.
pub(crate) fn records(traffic: Traffic, events: usize) -> Vec<Vec<u8>> {
    let mut stream = Stream::default();
    let made = match traffic {
        Traffic::Lossy => events * 3,
        _ => events,
    };
    for exchange in 0.. {
        if stream.seen.len() >= made {
            break;
        }
        stream.exchange(traffic, exchange);
    }
    stream.seen.sort_by_key(|seen| seen.ts_ns);
    if traffic == Traffic::Lossy {
        let mut number = 0;
        stream.seen.retain(|seen| {
            number += 1;
            seen.hop < 2 || number % 8 == 0
        });
    }
    stream.seen.into_iter().map(|seen| seen.record).collect()
}

/// What the pipeline decodes them with.
pub(crate) fn options() -> DecodeOptions {
    DecodeOptions {
        vxlan_ports: vec![VXLAN_PORT],
        key_payload: key_payload(SNAPLEN_DEFAULT),
    }
}

/// The records decoded.
pub(crate) fn events(records: &[Vec<u8>], tap_points: &TapPoints) -> Vec<Event> {
    let options = options();
    records
        .iter()
        .filter_map(|record| Event::decode(record, tap_points, &options).ok())
        .collect()
}

#[derive(Default)]
struct Stream {
    seen: Vec<Seen>,
}

/// An IP packet under way from a pod of one node.
struct Sent {
    ts_ns: u64,
    /// Node and pod, each 0 or 1.
    from: (usize, usize),
    to: (usize, usize),
    protocol: u8,
    id: u16,
    /// From the transport header on.
    content: Vec<u8>,
    sender: u64,
    /// Cgroup of the socket that takes it, if one does.
    receiver: Option<u64>,
}

impl Stream {
    fn exchange(&mut self, traffic: Traffic, number: u64) {
        let ts_ns = START_NS + number * INTERVAL_NS;
        match (traffic, number % 4) {
            (Traffic::Ping, _) | (Traffic::Mixed, 0 | 2) => self.ping(ts_ns, number),
            (Traffic::Flood | Traffic::Lossy, _) | (Traffic::Mixed, 1) => self.flood(ts_ns),
            (Traffic::Tcp | Traffic::Mixed, _) => self.segment(ts_ns, number),
        }
    }

    fn ping(&mut self, ts_ns: u64, number: u64) {
        let [id, sequence] = [number % 50, number / 50].map(|n| n as u16);
        let pod = usize::from(id % 2);
        let (asker, asked) = ((0, pod), (1, pod));
        let content = |kind: u8| {
            let mut bytes = vec![kind, 0, 0x12, 0x34];
            bytes.extend(id.to_be_bytes());
            bytes.extend(sequence.to_be_bytes());
            bytes.extend((0..56).map(|n: u8| n.wrapping_add(id as u8)));
            bytes
        };
        let request = Sent {
            ts_ns,
            from: asker,
            to: asked,
            protocol: 1,
            id: number as u16,
            content: content(8),
            sender: world::cgroup(asker),
            receiver: None,
        };
        self.cross(&request);
        let reply = Sent {
            ts_ns: ts_ns + 60_000,
            from: asked,
            to: asker,
            content: content(0),
            id: (number as u16).wrapping_mul(7),
            sender: CGROUP_ROOT,
            receiver: Some(world::cgroup(asker)),
            ..request
        };
        self.cross(&reply);
    }

    fn segment(&mut self, ts_ns: u64, number: u64) {
        let segment = |ports: [u16; 2], numbers: [u32; 2], payload: usize| {
            let mut bytes = Vec::new();
            bytes.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
            bytes.extend([0x80, 0x18, 0x01, 0xf6, 0x9a, 0xbc, 0, 0]);
            bytes.extend([1, 1, 8, 10, 0, 1, 2, 3, 0, 1, 2, 4]);
            bytes.extend((0..payload).map(|n| n as u8));
            bytes
        };
        let port = 40_000 + (number % 64) as u16;
        let at = (number / 64) as u32 * 1000;
        let (client, server) = ((1, 0), (0, 1));
        let data = Sent {
            ts_ns,
            from: client,
            to: server,
            protocol: 6,
            id: (number as u16).wrapping_mul(3),
            content: segment([port, 8080], [at, 77], 1000),
            sender: world::cgroup(client),
            receiver: Some(world::cgroup(server)),
        };
        self.cross(&data);
        let acknowledgment = Sent {
            ts_ns: ts_ns + 60_000,
            from: server,
            to: client,
            content: segment([8080, port], [77, at + 1000], 0),
            id: (number as u16).wrapping_mul(5),
            sender: data.receiver.unwrap_or(CGROUP_NONE),
            receiver: Some(data.sender),
            ..data
        };
        self.cross(&acknowledgment);
    }

    /// Equal datagrams in a burst: the second is sent while the first is under way.
    fn flood(&mut self, ts_ns: u64) {
        for number in 0..FLOOD {
            let (from, to) = ((0, 0), (0, 1));
            let mut content = vec![0x13, 0x88, 0x13, 0x89, 0, 40, 0x56, 0x78];
            content.extend([7; 32]);
            let sent = Sent {
                ts_ns: ts_ns + number * 500,
                from,
                to,
                protocol: 17,
                id: 0,
                content,
                sender: world::cgroup(from),
                receiver: Some(world::cgroup(to)),
            };
            self.local(&sent);
        }
    }

    fn local(&mut self, sent: &Sent) {
        let [veth_from, veth_to] = [sent.from.1, sent.to.1].map(|pod| [VETH_A, VETH_B][pod]);
        let [pod_from, pod_to] = [sent.from.1, sent.to.1].map(|pod| [POD_A, POD_B][pod]);
        let macs = (world::pod_mac(sent.from), world::pod_mac(sent.to));
        let frame = ethernet(macs, &ip(sent, 64));
        let node = sent.from.0;
        let hops = [
            (pod_from, Direction::Egress, sent.sender),
            (veth_from, Direction::Ingress, sent.sender),
            (veth_to, Direction::Egress, CGROUP_NONE),
            (pod_to, Direction::Ingress, CGROUP_NONE),
        ];
        for (n, (tap, direction, cgroup)) in hops.into_iter().enumerate() {
            self.see(sent, n, world::number(node, tap), direction, cgroup, &frame);
        }
        self.socket(sent, hops.len(), pod_to, 64);
    }

    /// From a pod of one node, by VXLAN, to a pod of the other.
    fn cross(&mut self, sent: &Sent) {
        let [from, to] = [sent.from, sent.to]
            .map(|(node, pod)| (node, [[POD_A, POD_B][pod], [VETH_A, VETH_B][pod]]));
        let (first, last) = (sent.from.0, sent.to.0);
        let leaving = ethernet(
            (world::pod_mac(sent.from), world::BRIDGE_MAC),
            &ip(sent, 64),
        );
        let routed = ethernet(
            (world::vtep_mac(first), world::vtep_mac(last)),
            &ip(sent, 63),
        );
        let outer = vxlan(first, last, &routed);
        let arriving = ethernet((world::BRIDGE_MAC, world::pod_mac(sent.to)), &ip(sent, 62));
        let hops: [(usize, Tap, Direction, u64, &[u8]); 10] = [
            (from.0, from.1[0], Direction::Egress, sent.sender, &leaving),
            (from.0, from.1[1], Direction::Ingress, sent.sender, &leaving),
            (
                from.0,
                world::BRIDGE,
                Direction::Ingress,
                CGROUP_NONE,
                &leaving,
            ),
            (
                from.0,
                world::VXLAN,
                Direction::Egress,
                CGROUP_NONE,
                &routed,
            ),
            (from.0, UPLINK, Direction::Egress, CGROUP_NONE, &outer),
            (to.0, UPLINK, Direction::Ingress, CGROUP_NONE, &outer),
            (to.0, world::VXLAN, Direction::Ingress, CGROUP_NONE, &routed),
            (
                to.0,
                world::BRIDGE,
                Direction::Egress,
                CGROUP_NONE,
                &arriving,
            ),
            (to.0, to.1[1], Direction::Egress, CGROUP_NONE, &arriving),
            (to.0, to.1[0], Direction::Ingress, CGROUP_NONE, &arriving),
        ];
        for (n, (node, tap, direction, cgroup, frame)) in hops.into_iter().enumerate() {
            self.see(sent, n, world::number(node, tap), direction, cgroup, frame);
        }
        self.socket(sent, hops.len(), to.1[0], 62);
    }

    fn socket(&mut self, sent: &Sent, hop: usize, tap: Tap, ttl: u8) {
        if let Some(receiver) = sent.receiver {
            let interface = world::number(sent.to.0, tap);
            let packet = ip(sent, ttl);
            self.see(sent, hop, interface, Direction::Socket, receiver, &packet);
        }
    }

    fn see(
        &mut self,
        sent: &Sent,
        hop: usize,
        interface: u32,
        direction: Direction,
        cgroup: u64,
        frame: &[u8],
    ) {
        let ts_ns = sent.ts_ns + hop as u64 * HOP_NS;
        let captured = &frame[..frame.len().min(SNAPLEN_DEFAULT as usize)];
        let mut record = Vec::new();
        record.extend(ts_ns.to_le_bytes());
        record.extend(cgroup.to_le_bytes());
        record.extend(interface.to_le_bytes());
        record.extend((frame.len() as u32).to_le_bytes());
        record.extend((captured.len() as u32).to_le_bytes());
        // No tag, no segments.
        record.extend([0; 4]);
        record.extend([direction as u8, 0, VERSION, Kind::Tap as u8]);
        record.extend(captured);
        self.seen.push(Seen { ts_ns, hop, record });
    }
}

fn ethernet((source, destination): ([u8; 6], [u8; 6]), packet: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &[8, 0], packet].concat()
}

fn ip(sent: &Sent, ttl: u8) -> Vec<u8> {
    let ends = [world::pod_address(sent.from), world::pod_address(sent.to)];
    ip_packet(ends, sent.protocol, sent.id, ttl, &sent.content)
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
    content.extend(VXLAN_PORT.to_be_bytes());
    content.extend((16 + frame.len() as u16).to_be_bytes());
    content.extend([0, 0, 8, 0, 0, 0, 0, 0, 1, 0]);
    content.extend(frame);
    let ends = [from, to].map(world::node_address);
    let packet = ip_packet(ends, 17, 0, 64, &content);
    ethernet((world::uplink_mac(from), world::uplink_mac(to)), &packet)
}
