//! Records as taps make them: pods of two nodes that ping each other, floods of
//! equal datagrams on one node, and TCP with payload between the nodes.
use podtrace::{
    model::event::{Event, TapPoints},
    packet::{DecodeOptions, FLANNEL_PORT, key_payload},
};
use podtrace_ebpf::{
    config::SNAPLEN_DEFAULT,
    record::{CGROUP_NONE, CGROUP_ROOT, Direction, Kind, VERSION},
};

use crate::{
    sent::{Part, Sent, ShowsService, ethernet, ip, on_the_wire, taps},
    world::{self, POD_A, POD_B, Tap, UPLINK, VETH_A, VETH_B},
};

/// When the first packet is sent: names have come long before.
const START_NS: u64 = 10_000_000_000;
/// From one exchange to the next.
const INTERVAL_NS: u64 = 100_000;
/// Nanoseconds between two hops.
const HOP_NS: u64 = 4_000;
/// Length of a TCP header, with a timestamp.
const TCP_HEADER: usize = 32;
/// Segments of a large packet.
const CUT: usize = 5;
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
    /// The same to a Service: the client's node translates its address.
    Service,
    /// The same in packets of [`CUT`] segments, which the wire cuts.
    Segments,
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
        vxlan_ports: vec![FLANNEL_PORT],
        key_payload: key_payload(SNAPLEN_DEFAULT),
        filter: None,
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

impl Stream {
    fn exchange(&mut self, traffic: Traffic, number: u64) {
        let ts_ns = START_NS + number * INTERVAL_NS;
        match (traffic, number % 4) {
            (Traffic::Ping, _) | (Traffic::Mixed, 0 | 2) => self.ping(ts_ns, number),
            (Traffic::Flood | Traffic::Lossy, _) | (Traffic::Mixed, 1) => self.flood(ts_ns),
            (Traffic::Tcp | Traffic::Mixed, _) => self.segment(ts_ns, number, false, 0),
            (Traffic::Service, _) => self.segment(ts_ns, number, true, 0),
            (Traffic::Segments, _) => self.segment(ts_ns, number, true, CUT),
        }
    }

    fn ping(&mut self, ts_ns: u64, number: u64) {
        let [id, sequence] = [number % 50, number / 50].map(|n| n as u16);
        let pod = usize::from(id % 2);
        let (requester, replier) = ((0, pod), (1, pod));
        let content = |kind: u8| {
            let mut bytes = vec![kind, 0, 0x12, 0x34];
            bytes.extend(id.to_be_bytes());
            bytes.extend(sequence.to_be_bytes());
            bytes.extend((0..56).map(|n: u8| n.wrapping_add(id as u8)));
            bytes
        };
        let request = Sent {
            ts_ns,
            from: requester,
            to: replier,
            protocol: 1,
            id: number as u16,
            content: content(8),
            sender: world::cgroup(requester),
            receiver: None,
            shows_service: ShowsService::Nowhere,
            cut: 0,
        };
        self.cross(&request);
        let reply = Sent {
            ts_ns: ts_ns + 60_000,
            from: replier,
            to: requester,
            content: content(0),
            id: (number as u16).wrapping_mul(7),
            sender: CGROUP_ROOT,
            receiver: Some(world::cgroup(requester)),
            ..request
        };
        self.cross(&reply);
    }

    fn segment(&mut self, ts_ns: u64, number: u64, to_service: bool, cut: usize) {
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
        let payload = 1000 * cut.max(1);
        let at = (number / 64) as u32 * payload as u32;
        let (client, server) = ((1, 0), (0, 1));
        let data = Sent {
            ts_ns,
            from: client,
            to: server,
            protocol: 6,
            id: (number as u16).wrapping_mul(3),
            content: segment([port, 8080], [at, 77], payload),
            sender: world::cgroup(client),
            receiver: Some(world::cgroup(server)),
            shows_service: if to_service {
                ShowsService::First
            } else {
                ShowsService::Nowhere
            },
            cut,
        };
        self.cross(&data);
        let acknowledgment = Sent {
            ts_ns: ts_ns + 60_000,
            from: server,
            to: client,
            content: segment([8080, port], [77, at + payload as u32], 0),
            id: (number as u16).wrapping_mul(5),
            sender: data.receiver.unwrap_or(CGROUP_NONE),
            receiver: Some(data.sender),
            shows_service: if to_service {
                ShowsService::Last
            } else {
                ShowsService::Nowhere
            },
            cut: 0,
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
                shows_service: ShowsService::Nowhere,
                cut: 0,
            };
            self.local(&sent);
        }
    }

    fn local(&mut self, sent: &Sent) {
        let [veth_from, veth_to] = [sent.from.1, sent.to.1].map(|pod| [VETH_A, VETH_B][pod]);
        let [pod_from, pod_to] = [sent.from.1, sent.to.1].map(|pod| [POD_A, POD_B][pod]);
        let macs = (world::pod_mac(sent.from), world::pod_mac(sent.to));
        let frame = ethernet(macs, &ip(sent, 64, Part::First));
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
        self.leave(sent);
        if sent.cut <= 1 {
            return self.arrive(sent);
        }
        let (header, payload) = sent.content.split_at(TCP_HEADER);
        let size = payload.len().div_ceil(sent.cut);
        for (number, bytes) in payload.chunks(size).enumerate() {
            let mut content = [header, bytes].concat();
            let sequence = &mut content[4..8];
            let from = u32::from_be_bytes([sequence[0], sequence[1], sequence[2], sequence[3]]);
            sequence.copy_from_slice(&(from + (number * size) as u32).to_be_bytes());
            self.arrive(&Sent {
                ts_ns: sent.ts_ns + 100 * number as u64,
                id: sent.id + number as u16,
                content,
                cut: 0,
                ..*sent
            });
        }
    }

    /// To the wire.
    fn leave(&mut self, sent: &Sent) {
        let node = sent.from.0;
        let [pod, veth] = taps(sent.from);
        let leaving = ethernet(
            (world::pod_mac(sent.from), world::BRIDGE_MAC),
            &ip(sent, 64, Part::First),
        );
        let (routed, outer) = on_the_wire(sent);
        let hops: [(Tap, Direction, u64, &[u8]); 5] = [
            (pod, Direction::Egress, sent.sender, &leaving),
            (veth, Direction::Ingress, sent.sender, &leaving),
            (world::BRIDGE, Direction::Ingress, CGROUP_NONE, &leaving),
            (world::VXLAN, Direction::Egress, CGROUP_NONE, &routed),
            (UPLINK, Direction::Egress, CGROUP_NONE, &outer),
        ];
        for (n, (tap, direction, cgroup, frame)) in hops.into_iter().enumerate() {
            self.see(sent, n, world::number(node, tap), direction, cgroup, frame);
        }
    }

    /// From the wire.
    fn arrive(&mut self, sent: &Sent) {
        let node = sent.to.0;
        let [pod, veth] = taps(sent.to);
        let (routed, outer) = on_the_wire(sent);
        let arriving = ethernet(
            (world::BRIDGE_MAC, world::pod_mac(sent.to)),
            &ip(sent, 62, Part::Last),
        );
        let hops: [(Tap, Direction, &[u8]); 5] = [
            (UPLINK, Direction::Ingress, &outer),
            (world::VXLAN, Direction::Ingress, &routed),
            (world::BRIDGE, Direction::Egress, &arriving),
            (veth, Direction::Egress, &arriving),
            (pod, Direction::Ingress, &arriving),
        ];
        let numbers = 5..5 + hops.len();
        for (n, (tap, direction, frame)) in numbers.zip(hops) {
            let interface = world::number(node, tap);
            self.see(sent, n, interface, direction, CGROUP_NONE, frame);
        }
        self.socket(sent, 10, pod, 62);
    }

    fn socket(&mut self, sent: &Sent, hop: usize, tap: Tap, ttl: u8) {
        if let Some(receiver) = sent.receiver {
            let interface = world::number(sent.to.0, tap);
            let packet = ip(sent, ttl, Part::Last);
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
        // No tag.
        record.extend([0; 2]);
        record.extend((sent.cut as u16).to_le_bytes());
        record.extend([direction as u8, 0, VERSION, Kind::Tap as u8]);
        record.extend(captured);
        self.seen.push(Seen { ts_ns, hop, record });
    }
}
