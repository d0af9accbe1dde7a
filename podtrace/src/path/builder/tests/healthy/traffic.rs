//! Packets of healthy traffic, and the events that show them on their way.
use std::net::IpAddr;

use super::{
    super::translation::with_ends,
    network::{self, Pod, Shape, Step},
    *,
};
use crate::packet::{Ends, Fragment};

const MTU: u32 = 1450;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A datagram of so many bytes behind the IP header: in fragments if large.
    Udp(u32),
    /// The same, of which a router makes fragments.
    Cut(u32),
    /// One in a tunnel whose packet the node makes fragments of.
    CutOutside,
    /// A packet of so many segments, which a wire cuts and a card merges.
    Tcp(u16),
    Echo {
        reply: bool,
    },
}

/// How a packet's ends are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nat {
    None,
    /// A Service stands for the receiver; the source may become the node's.
    Service {
        masks: bool,
    },
    /// The same for an answer, at the node of who has asked.
    Answer {
        masks: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) kind: Kind,
    pub(super) nat: Nat,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) at_ns: u64,
    pub(super) seed: u64,
}

/// Pseudo-random numbers (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// Mostly far less than `most`.
    fn wait(&mut self, most: u64) -> u64 {
        let part = [10_000, 100, 10, 1][self.below(4) as usize];
        1 + self.below(most / part)
    }
}

/// A packet, before and behind the translation of its ends.
pub(super) struct Made {
    packet: [Packet; 2],
    gso_segments: u16,
    from: Pod,
    to: Pod,
    steps: Vec<Step>,
    /// The step at which a bridge has put its fragments together, and translated it.
    put_together: Option<usize>,
    kind: Kind,
}

/// The ends of a packet before and behind its translation, the node that translates, and whether
/// it is for that node's address before.
type Way = (Ends, Ends, Option<usize>, bool);

fn translation(nat: Nat, (from, to): (Pod, Pod), port: u16, has_ports: bool) -> Way {
    let (source, destination) = (network::address(from), network::address(to));
    let service: IpAddr = "10.96.0.10".parse().unwrap();
    let ends = |source, from_port, destination, to_port| Ends {
        source,
        destination,
        ports: has_ports.then_some((from_port, to_port)),
    };
    match nat {
        Nat::None => {
            let plain = ends(source, port, destination, 80);
            (plain, plain, None, false)
        }
        Nat::Service { masks } => {
            let node = network::node_address(from.0);
            let behind = ends(if masks { node } else { source }, port, destination, 8080);
            (ends(source, port, service, 80), behind, Some(from.0), false)
        }
        Nat::Answer { masks } => {
            let node = network::node_address(to.0);
            let before = ends(source, 8080, if masks { node } else { destination }, port);
            let behind = ends(service, 80, destination, port);
            (before, behind, Some(to.0), masks)
        }
    }
}

pub(super) fn made(number: usize, sent: &Sent, shape: Shape) -> Made {
    let pod = |number: usize| (number / 2 % shape.nodes, number % 2);
    let from = pod(sent.from);
    let to = match pod(sent.from + sent.to) {
        to if to == from => (from.0, 1 - from.1),
        to => to,
    };
    let is_far = from.0 != to.0;
    let kind = match sent.kind {
        Kind::Cut(bytes) if !is_far || shape.has_vxlan => Kind::Udp(bytes),
        Kind::CutOutside if !is_far || !shape.has_vxlan => Kind::Udp(1400),
        kind => kind,
    };
    let is_cut = matches!(kind, Kind::Cut(_) | Kind::CutOutside)
        || matches!(kind, Kind::Udp(bytes) if bytes > MTU);
    let nat = match sent.nat {
        Nat::Service { .. } if is_cut && matches!(kind, Kind::Udp(_)) && shape.has_bridge => {
            Nat::Service { masks: false }
        }
        // Who translates fragments puts them together, which not everything survives.
        _ if is_cut || matches!(kind, Kind::Echo { .. }) => Nat::None,
        // Segments by themselves do not show how they are translated.
        Nat::Answer { .. } if is_far && matches!(kind, Kind::Tcp(2..)) => Nat::None,
        nat => nat,
    };
    let has_ports = !matches!(kind, Kind::Echo { .. });
    let port = 40_000 + (sent.seed % 64) as u16;
    let (before, after, translates, is_to_node) = translation(nat, (from, to), port, has_ports);
    let mut packet = packet("10.244.1.3");
    let (protocol, length);
    (protocol, packet.transport, length) = contents(kind, number);
    packet.length = 20 + length;
    packet.payload_hash = sent.seed as u32;
    if let Network::Ip(ip) = &mut packet.network {
        ip.protocol = protocol;
        // The third is in two windows of `bucket`, too.
        ip.id = 1000 + 8 * number as u32;
    }
    Made {
        packet: [before, after].map(|ends| with_ends(&packet, ends)),
        gso_segments: match kind {
            Kind::Tcp(segments) if segments > 1 => segments,
            _ => 0,
        },
        from,
        to,
        put_together: (is_cut && translates.is_some()).then_some(2),
        steps: network::way(shape, from, to, translates, is_to_node),
        kind,
    }
}

/// Protocol, transport and length behind the IP header.
fn contents(kind: Kind, number: usize) -> (u8, Transport, u32) {
    let udp = |bytes: u32| Transport::Udp {
        source: 0,
        destination: 0,
        payload: bytes - 8,
    };
    match kind {
        Kind::Udp(bytes) | Kind::Cut(bytes) => (17, udp(bytes), bytes),
        Kind::CutOutside => (17, udp(1440), 1440),
        Kind::Tcp(segments) => {
            let payload = 1000 * u32::from(segments);
            let transport = Transport::Tcp {
                source: 0,
                destination: 0,
                // Far apart: nobody sends the same bytes twice. The tenth is in two windows of
                // `bucket`.
                sequence: (number as u32).wrapping_mul(104_857),
                acknowledgment: 7,
                flags: 0x18,
                payload,
            };
            (6, transport, 20 + payload)
        }
        Kind::Echo { reply } => {
            let transport = Transport::Echo {
                reply,
                id: number as u16,
                sequence: 1,
            };
            (1, transport, 64)
        }
    }
}

/// What goes on by itself: from the hop of this number on, what it looks like, and how many
/// segments it is.
type Piece = (usize, [Packet; 2], u16);

impl Made {
    /// The number of the first hop behind a wire.
    fn wire(&self) -> usize {
        let mut steps = self.steps.iter();
        let wire = steps.position(|step| step.state.is_behind_wire);
        wire.unwrap_or(self.steps.len())
    }

    /// What it goes on as.
    fn pieces(&self, dice: &mut Dice) -> Vec<Piece> {
        match self.kind {
            Kind::Udp(bytes) if bytes > MTU => self.fragments(0, MTU - 20),
            Kind::Cut(_) => self.fragments(self.wire() - 1, 1000),
            Kind::Tcp(segments) if segments > 1 && self.wire() < self.steps.len() => {
                self.segments(u32::from(segments), dice)
            }
            _ => vec![(0, self.packet.clone(), self.gso_segments)],
        }
    }

    fn fragments(&self, hop: usize, most: u32) -> Vec<Piece> {
        let total = self.packet[0].length - 20;
        let most = most & !7;
        let starts = (0..total).step_by(most as usize);
        let cut = |from: u32| {
            let to = total.min(from + most);
            let packets = [0, 1].map(|side| fragment(&self.packet[side], from, to));
            (hop, packets, 0)
        };
        starts.map(cut).collect()
    }

    /// The segments that come from the wire, some of them merged.
    fn segments(&self, all: u32, dice: &mut Dice) -> Vec<Piece> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < all {
            let count = 1 + dice.below(u64::from(all - at)) as u32;
            let packets = [0, 1].map(|side| segment(&self.packet[side], at, count));
            let gso_segments = if count > 1 { count as u16 } else { 0 };
            pieces.push((self.wire(), packets, gso_segments));
            at += count;
        }
        pieces
    }

    /// All events.
    pub(super) fn events(&self, at_ns: u64, dice: &mut Dice) -> Vec<Event> {
        let mut events = Vec::new();
        let mut pieces = self.pieces(dice);
        let mut ts_ns = at_ns;
        if let Some(gate) = self.put_together {
            ts_ns = self.up_to_whole(&mut events, &pieces, gate, ts_ns, dice);
            pieces.iter_mut().for_each(|(hop, ..)| *hop = gate + 1);
        }
        let begun = self.put_together.map_or(pieces[0].0, |_| 0);
        for step in &self.steps[..begun] {
            let side = usize::from(step.state.is_translated);
            events.push(self.event(ts_ns, step, &self.packet[side], self.gso_segments));
            ts_ns += dice.wait(step.wait_ns);
        }
        let mut arrived_ns = 0;
        let is_in_fragments = pieces[0].1[0].is_fragment();
        // Who waits for the last piece does not wait for long.
        let share = if pieces.len() > 1 { 10 } else { 1 };
        for (hop, packets, gso_segments) in &pieces {
            let mut ts_ns = ts_ns + dice.below(1000);
            for (number, step) in self.steps.iter().enumerate().skip(*hop) {
                let side = usize::from(step.state.is_translated);
                if number > *hop {
                    ts_ns += dice.wait(step.wait_ns / share);
                }
                let mut event = self.event(ts_ns, step, &packets[side], *gso_segments);
                if self.kind == Kind::CutOutside && step.state.tunnel.is_some() {
                    ts_ns = outside(&mut events, &mut event, step, dice);
                }
                events.push(event);
            }
            arrived_ns = arrived_ns.max(ts_ns);
            if !is_in_fragments {
                self.take(&mut events, ts_ns, &packets[1], *gso_segments);
            }
        }
        if is_in_fragments {
            self.take(&mut events, arrived_ns, &self.packet[1], 0);
        }
        events
    }

    /// Its fragments up to where a bridge puts them together, and it as a whole behind its
    /// translation; returns when it goes on.
    fn up_to_whole(
        &self,
        events: &mut Vec<Event>,
        pieces: &[Piece],
        gate: usize,
        at_ns: u64,
        dice: &mut Dice,
    ) -> u64 {
        let mut whole_ns = at_ns;
        for (_, [before, _], _) in pieces {
            let mut ts_ns = at_ns + dice.below(1000);
            for step in &self.steps[..gate] {
                events.push(self.event(ts_ns, step, before, 0));
                ts_ns += dice.wait(step.wait_ns / 10);
            }
            whole_ns = whole_ns.max(ts_ns);
        }
        let step = &self.steps[gate];
        events.push(self.event(whole_ns, step, &self.packet[1], 0));
        whole_ns + dice.wait(step.wait_ns)
    }

    fn event(&self, ts_ns: u64, step: &Step, packet: &Packet, gso_segments: u16) -> Event {
        let mut event = event(ts_ns, step.tap.0, step.tap.1, packet);
        event.gso_segments = gso_segments;
        event.wire_len = 14 + packet.length;
        let is_sent = network::is_pods(step.tap.0) && step.tap.1 == Egress;
        event.cgroup = match self.kind {
            Kind::Echo { reply: true } => CGROUP_NONE,
            _ if is_sent => network::cgroup(self.from),
            _ => CGROUP_NONE,
        };
        if let Some(link) = &mut event.packet.link {
            link.destination = step.to;
        }
        if let Network::Ip(ip) = &mut event.packet.network {
            ip.ttl = 64 - step.state.routed;
            let id = ip.id;
            event.packet.tunnel = step.state.tunnel.map(|(near, far)| Tunnel {
                source: network::node_address(near),
                destination: network::node_address(far),
                carrier: Carrier::Vxlan(1),
                id,
                fragment: None,
            });
        }
        event
    }

    /// A socket takes it, if one does.
    fn take(&self, events: &mut Vec<Event>, ts_ns: u64, packet: &Packet, gso_segments: u16) {
        if self.kind == (Kind::Echo { reply: false }) {
            return;
        }
        let (interface, direction) = network::socket(self.to);
        let mut event = event(ts_ns + 500, interface, direction, packet);
        event.gso_segments = gso_segments;
        event.cgroup = network::cgroup(self.to);
        event.packet.link = None;
        if let (Network::Ip(ip), Some(last)) = (&mut event.packet.network, self.steps.last()) {
            ip.ttl = 64 - last.state.routed;
        }
        events.push(event);
    }
}

/// Makes an event one of the first fragment of the tunnel's packet, and adds the rest; returns
/// when the last of both has come.
fn outside(events: &mut Vec<Event>, first: &mut Event, step: &Step, dice: &mut Dice) -> u64 {
    let Some(tunnel) = &mut first.packet.tunnel else {
        return first.ts_ns;
    };
    tunnel.fragment = Some(tunnel.id);
    first.wire_len = 14 + 20 + 1400;
    let mut whole = packet("10.244.1.3");
    whole.length = 20 + 1500;
    if let Network::Ip(ip) = &mut whole.network {
        ip.id = tunnel.id;
        (ip.source, ip.destination) = (tunnel.source, tunnel.destination);
    }
    let mut rest = fragment(&whole, 1400, 1500);
    if let Some(link) = &mut rest.link {
        link.destination = network::card_beside(step.to);
    }
    let late_ns = first.ts_ns + dice.wait(50_000_000);
    events.push(event(late_ns, step.tap.0, step.tap.1, &rest));
    late_ns
}

fn fragment(whole: &Packet, from: u32, to: u32) -> Packet {
    let total = whole.length - 20;
    let mut part = whole.clone();
    part.length = 20 + to - from;
    match &mut part.transport {
        Transport::Udp { payload, .. } if from == 0 => *payload = to - 8,
        transport => *transport = Transport::Fragment,
    }
    part.payload_hash ^= from;
    if let Network::Ip(ip) = &mut part.network {
        ip.fragment = Some(Fragment {
            id: ip.id,
            offset: from as u16,
            more: to < total,
        });
    }
    part
}

/// Some segments of a packet in a row.
fn segment(whole: &Packet, at: u32, count: u32) -> Packet {
    let mut part = whole.clone();
    part.length = 40 + 1000 * count;
    if let Transport::Tcp {
        sequence, payload, ..
    } = &mut part.transport
    {
        *sequence = sequence.wrapping_add(1000 * at);
        *payload = 1000 * count;
    }
    if let Network::Ip(ip) = &mut part.network {
        ip.id = (ip.id + at) & 0xffff;
    }
    part
}
