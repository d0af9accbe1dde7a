//! Packets between a pod of the first node and one of the second.
use podtrace_ebpf::record::Direction::{self, Egress, Ingress};

use super::super::*;
use crate::{
    model::{
        drop::KernelDrop,
        facts::{ListenCounters, NodeFacts},
        topology::RecordedTopology,
    },
    packet::{Arp, Dns, Ends, IcmpError, Mac, Network, Payload, TCP_ACK, TCP_SYN, Transport},
    path::{
        LateOf, Outcome, Translation,
        dropped::Dropped,
        refusal::{Reason, Refusal},
    },
    rules::fixture::{CNI0, POD, mac, netns_of, netns_of_pod},
    verdict::tests::roads::{road, world},
};

pub(super) const CLIENT: &str = "10.244.1.2";
pub(super) const SERVER: &str = "10.244.2.2";
const MS: u64 = 1_000_000;

/// The taps on the way back.
const BACK: [(u32, Direction); 10] = [
    (9, Egress),
    (8, Ingress),
    (7, Ingress),
    (6, Egress),
    (5, Egress),
    (4, Ingress),
    (3, Ingress),
    (2, Egress),
    (1, Egress),
    (0, Ingress),
];

pub(super) fn world_of(facts: Vec<NodeFacts>) -> World {
    world(facts)
}

/// The findings of paths, at a time in milliseconds.
pub(super) fn found(paths: &[Path], facts: Vec<NodeFacts>, ms: u64) -> Findings {
    let world = world(facts);
    let mut findings = Findings::default();
    for path in paths {
        findings.add(path, &world);
    }
    findings.tick(ms * MS);
    findings
}

pub(super) fn shown(paths: &[Path], facts: Vec<NodeFacts>, ms: u64) -> String {
    let findings = found(paths, facts.clone(), ms);
    let mut out = String::new();
    for finding in findings.found(None, &world(facts)).findings {
        out += &format!(
            "{}: {} ({})\n",
            finding.kind.as_str(),
            finding.sentence,
            finding.confidence.as_str()
        );
        for text in finding.evidence {
            out += &format!("  {text}\n");
        }
        if let Some(advice) = finding.advice {
            out += &format!("  try: {advice}\n");
        }
    }
    out
}

pub(super) fn kinds(paths: &[Path], ms: u64) -> Vec<Kind> {
    kinds_by(paths, crate::rules::fixture::healthy(), ms)
}

/// The same with other facts.
pub(super) fn kinds_by(paths: &[Path], facts: Vec<NodeFacts>, ms: u64) -> Vec<Kind> {
    let findings = found(paths, facts.clone(), ms);
    let found = findings.found(None, &world(facts));
    found
        .findings
        .into_iter()
        .map(|finding| finding.kind)
        .collect()
}

/// What nodes tell whose listening sockets had no room for so many connections.
pub(super) fn overflown(mut facts: Vec<NodeFacts>, overflows: u64) -> Update {
    let spaces = facts.iter_mut().flat_map(|facts| &mut facts.spaces);
    for space in spaces {
        space.settings.listen = Some(ListenCounters {
            overflows: 100 + overflows,
            drops: 200 + overflows,
        });
    }
    Update::Topology(Box::new(RecordedTopology {
        facts: facts.into_iter().map(Into::into).collect(),
        ..RecordedTopology::default()
    }))
}

/// A packet that is delivered, unless it is changed.
#[derive(Clone)]
pub(super) struct Shot(Path);

fn shot(ms: u64, back: bool, protocol: u8, transport: Transport) -> Shot {
    let mut path = road(10).path();
    path.id = 1000 + ms * 10 + u64::from(back);
    path.outcome = Outcome::Delivered;
    path.packet.transport = transport;
    path.packet.length = 60;
    if back {
        let hops = path.hops.iter_mut().zip(BACK);
        hops.for_each(|(hop, (interface, direction))| {
            (hop.interface, hop.direction) = (interface, direction);
        });
        if let Some(link) = &mut path.packet.link {
            link.source = mac(netns_of_pod(2, 1), POD);
            link.destination = mac(netns_of(2), CNI0);
        }
    }
    for (number, hop) in (0..).zip(&mut path.hops) {
        hop.ts_ns = ms * MS + number * 1000;
    }
    if let Network::Ip(ip) = &mut path.packet.network {
        ip.protocol = protocol;
        if back {
            (ip.source, ip.destination) = (SERVER.parse().unwrap(), CLIENT.parse().unwrap());
        }
    }
    Shot(path)
}

pub(super) fn echo(ms: u64, reply: bool) -> Shot {
    let transport = Transport::Echo {
        reply,
        id: 7,
        sequence: (ms / 1000) as u16,
    };
    shot(ms, reply, 1, transport)
}

/// A datagram for a port of the server, or back.
pub(super) fn udp(ms: u64, back: bool, port: u16) -> Shot {
    let (source, destination) = if back { (port, 5000) } else { (5000, port) };
    let transport = Transport::Udp {
        source,
        destination,
        payload: 32,
    };
    shot(ms, back, 17, transport)
}

/// A segment from the client or back, with this number of payload bytes.
pub(super) fn tcp(ms: u64, back: bool, flags: u8, sequence: u32, payload: u32) -> Shot {
    let (source, destination) = if back { (80, 5000) } else { (5000, 80) };
    let transport = Transport::Tcp {
        source,
        destination,
        sequence,
        acknowledgment: 1,
        flags,
        payload,
    };
    shot(ms, back, 6, transport).long(40 + payload)
}

pub(super) fn syn(ms: u64) -> Shot {
    tcp(ms, false, TCP_SYN, 100, 0)
}

pub(super) fn syn_ack(ms: u64) -> Shot {
    tcp(ms, true, TCP_SYN | TCP_ACK, 900, 0)
}

/// A query or response of DNS.
pub(super) fn dns(ms: u64, back: bool, id: u16, kind: u16) -> Shot {
    let mut shot = udp(ms, back, 53);
    shot.0.id += u64::from(id) * 1_000_000;
    shot.0.payload = Some(Box::new(Payload::Dns(Dns {
        id,
        is_response: back,
        is_truncated: false,
        rcode: 0,
        answers: 1,
        name: Some("web.default.svc".into()),
        kind: Some(kind),
    })));
    shot
}

/// A question for a neighbour's address, or the answer of a MAC address.
pub(super) fn arp(ms: u64, answer: Option<u8>) -> Shot {
    let mut shot = shot(ms, answer.is_some(), 0, Transport::None);
    let (asker, asked) = (Mac([2, 0, 0, 0, 11, 2]), "10.244.1.77".parse().unwrap());
    let client = CLIENT.parse().unwrap();
    shot.0.packet.network = Network::Arp(match answer {
        None => Arp {
            operation: 1,
            sender_mac: asker,
            sender: client,
            target_mac: Mac::default(),
            target: asked,
        },
        Some(mac) => Arp {
            operation: 2,
            sender_mac: Mac([4, 0, 0, 0, 0, mac]),
            sender: asked,
            target_mac: asker,
            target: client,
        },
    });
    if let Some(link) = &mut shot.0.packet.link {
        (link.source, link.destination) = match answer {
            None => (asker, Mac([0xff; 6])),
            Some(mac) => (Mac([4, 0, 0, 0, 0, mac]), asker),
        };
    }
    shot
}

impl Shot {
    pub(super) fn path(self) -> Path {
        self.0
    }

    pub(super) fn ended(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Not seen further after so many hops.
    pub(super) fn lost(mut self, hops: usize) -> Self {
        self.0.hops.truncate(hops);
        self.ended(Outcome::NotSeenFurther)
    }

    /// Dropped by the kernel after so many hops.
    pub(super) fn dropped(mut self, hops: usize, reason: &str, function: &str) -> Self {
        self = self.lost(hops).ended(Outcome::Dropped);
        let by = KernelDrop {
            ts_ns: self.0.last_ns() + 5000,
            reason: Some(reason.into()),
            function: Some(function.into()),
            ..KernelDrop::default()
        };
        self.0.dropped = Some(Box::new(Dropped {
            by,
            hops,
            translated: None,
        }));
        self
    }

    fn refused(mut self, reason: Reason) -> Self {
        self.0.refusal = Some(Box::new(Refusal {
            packet: 77,
            by: SERVER.parse().unwrap(),
            at: None,
            ts_ns: self.0.last_ns() + 1000,
            reason,
            carried: None,
            hops: self.0.hops.len(),
        }));
        self.ended(Outcome::Refused)
    }

    pub(super) fn icmp(self, kind: u8, code: u8, value: u32) -> Self {
        self.refused(Reason::Icmp(IcmpError {
            is_v4: true,
            kind,
            code,
            value,
        }))
    }

    pub(super) fn unreachable(self) -> Self {
        self.icmp(3, 3, 0)
    }

    pub(super) fn reset(self) -> Self {
        self.refused(Reason::Reset)
    }

    pub(super) fn aborted(self) -> Self {
        self.refused(Reason::Aborted)
    }

    pub(super) fn long(mut self, bytes: u32) -> Self {
        self.0.packet.length = bytes;
        self
    }

    pub(super) fn to(mut self, address: &str) -> Self {
        if let Network::Ip(ip) = &mut self.0.packet.network {
            ip.destination = address.parse().unwrap();
        }
        self
    }

    /// From this port of the client.
    pub(super) fn port(mut self, port: u16) -> Self {
        match &mut self.0.packet.transport {
            Transport::Udp {
                source,
                destination,
                ..
            }
            | Transport::Tcp {
                source,
                destination,
                ..
            } => {
                let own = if *source == 5000 { source } else { destination };
                *own = port;
            }
            Transport::Echo { id, .. } => *id = port,
            _ => {}
        }
        self
    }

    pub(super) fn translated(mut self, before: Ends, after: Ends) -> Self {
        self.0.translations = vec![Translation {
            hop: 2,
            before,
            after,
        }];
        self
    }

    pub(super) fn copy(mut self) -> Self {
        self.0.copy_of = Some(1);
        self
    }

    pub(super) fn corrects(mut self, before: &Path) -> Self {
        self.0.late_of = Some(LateOf::of(before));
        self.0.id = before.id + 1;
        self
    }
}
