//! Cases made by hand: packets of two pods on two nodes, and what is concluded.
use super::*;
use crate::{
    model::{
        facts::NodeFacts,
        origin::Origin,
        probes::{Ask, ErrorKind, ProbeError},
        snapshot::{Holder, NamespaceInfo, Snapshot},
    },
    packet::{IcmpError, Network, TCP_SYN},
    path::{
        Outcome,
        refusal::{Reason, Refusal},
    },
    rules::fixture::{healthy, ip, netns_of_pod},
    update::Update,
    verdict::tests::roads::{Road, answer, road, world as world_of},
};

/// When packets are sent in the cases, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// Identifier of the echo requests that podtrace sends.
const ECHO_ID: u16 = 40;

/// The world with these facts, in which the pods have their addresses.
pub(crate) fn world(facts: Vec<NodeFacts>) -> World {
    let mut world = world_of(facts);
    let pods = [
        (0, 11, "10.244.1.2"),
        (0, 12, "10.244.1.3"),
        (1, 21, "10.244.2.2"),
    ];
    let namespaces = pods.map(|(node, id, _)| NamespaceInfo {
        id,
        node,
        given: Some(format!("default/pod{id}").into()),
        ..NamespaceInfo::default()
    });
    let addresses = pods.map(|(node, netns, address)| {
        let netns = Some(netns);
        (ip(address), Holder { node, netns })
    });
    let snapshot = Snapshot {
        namespaces: namespaces.into(),
        addresses: addresses.into(),
        ..Snapshot::default()
    };
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    world.apply(&origin, &Update::Snapshot(Box::new(snapshot)));
    world
}

/// A packet of ICMP echo on a road.
pub(super) fn echo(id: u64, reply: bool, road: &Road) -> Path {
    let mut path = road.path();
    path.id = id;
    path.packet.transport = Transport::Echo {
        reply,
        id: 7,
        sequence: u16::try_from(id).unwrap(),
    };
    if let Network::Ip(ip) = &mut path.packet.network {
        ip.protocol = 1;
    }
    path
}

/// A SYN to port 80 on a road.
pub(super) fn syn(id: u64, road: &Road) -> Path {
    let mut path = road.path();
    path.id = id;
    path.packet.transport = Transport::Tcp {
        source: 40_000,
        destination: 80,
        sequence: u32::try_from(id).unwrap(),
        acknowledgment: 0,
        flags: TCP_SYN,
        payload: 0,
    };
    if let Network::Ip(ip) = &mut path.packet.network {
        ip.protocol = 6;
    }
    path
}

/// The same as a packet of the ladder.
fn rung(bytes: u32, mut path: Path) -> Path {
    if let Transport::Echo { id, .. } = &mut path.packet.transport {
        *id = ECHO_ID + 1;
    }
    path.packet.length = bytes;
    path
}

pub(super) fn pair(protocol: Option<Protocol>) -> Pair {
    let end = |text: &str| AskedEnd {
        peer: Peer::Named(text.parse().unwrap()),
        text: text.to_owned(),
    };
    Pair {
        source: end("default/pod11"),
        destination: end("pod21"),
        protocol,
        port: None,
    }
}

/// The diagnosis of these paths, long after the last.
pub(super) fn diagnose(pair: Pair, paths: &[Path], world: &World) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(pair, Mode::Recorded);
    for path in paths {
        diagnosis.add(path, world);
    }
    diagnosis.advance(10 * SECOND);
    diagnosis
}

/// A change of the healthy facts.
type Fault = fn(&mut [NodeFacts]);

fn none(_: &mut [NodeFacts]) {}

fn no_fdb(facts: &mut [NodeFacts]) {
    facts[0].spaces[0].tables.fdb.retain(|entry| !entry.own);
}

fn no_way_back(facts: &mut [NodeFacts]) {
    let routes = &mut facts[1].spaces[0].tables.routes;
    routes.retain(|route| route.destination != ip("10.244.1.0"));
}

fn no_default(facts: &mut [NodeFacts]) {
    let pod = netns_of_pod(2, 1);
    let pod = facts[1].spaces.iter_mut().find(|space| space.netns == pod);
    let routes = &mut pod.unwrap().tables.routes;
    routes.retain(|route| route.gateway.is_none());
}

fn large_mtu(facts: &mut [NodeFacts]) {
    let pod = netns_of_pod(1, 1);
    let pod = facts[0].spaces.iter_mut().find(|space| space.netns == pod);
    for device in &mut pod.unwrap().devices {
        device.mtu = 1500;
    }
}

fn three(reply: bool, road: &Road) -> Vec<Path> {
    (1..=3)
        .map(|id| echo(id + 10 * u64::from(reply), reply, road))
        .collect()
}

fn delivered(road: Road) -> Road {
    road.ended(Outcome::Delivered)
}

fn reset() -> Refusal {
    Refusal {
        packet: 7,
        by: ip("10.244.2.2"),
        at: Some((9, podtrace_ebpf::record::Direction::Egress)),
        ts_ns: 0,
        reason: Reason::Reset,
        carried: None,
        hops: 10,
    }
}

fn too_big() -> Refusal {
    let error = IcmpError {
        is_v4: true,
        kind: 3,
        code: 4,
        value: 1450,
    };
    Refusal {
        by: ip("10.244.1.1"),
        reason: Reason::Icmp(error),
        hops: 3,
        at: None,
        ..reset()
    }
}

/// A case: its name, its fault, its packets.
type Case = (&'static str, Fault, Vec<Path>);

/// The cases that only paths decide.
fn cases() -> Vec<Case> {
    let requests = || three(false, &delivered(road(10)));
    let firewall = |road: Road| {
        let road = road.ended(Outcome::Dropped);
        road.dropped("NETFILTER_DROP", Some("nft_do_chain"))
    };
    let with = |replies: Vec<Path>| [requests(), replies].concat();
    vec![
        (
            "delivered across nodes",
            none,
            with(three(true, &delivered(answer(10)))),
        ),
        (
            "dropped by the pod's firewall",
            none,
            three(false, &firewall(road(10))),
        ),
        ("forwarding entry missing", no_fdb, three(false, &road(4))),
        (
            "no listener",
            none,
            vec![syn(1, &road(10).refused(reset()))],
        ),
        (
            "too long",
            large_mtu,
            vec![echo(1, false, &road(3).long(1500).refused(too_big()))],
        ),
        ("reply lost", no_way_back, with(three(true, &answer(3)))),
        ("reply not sent", no_default, requests()),
        (
            "one of three lost",
            none,
            [
                with(three(true, &delivered(answer(10)))),
                vec![echo(4, false, &road(4))],
            ]
            .concat(),
        ),
        (
            "left for a node that is not traced",
            none,
            three(false, &road(5).left("192.168.77.12")),
        ),
        (
            "events lost",
            none,
            three(false, &road(5).ended(Outcome::EventsLost)),
        ),
        ("nothing seen", none, Vec::new()),
    ]
}

/// The reports of all cases by name.
pub(crate) fn reports() -> Vec<(&'static str, Report)> {
    let report = |(name, fault, paths): Case| {
        let mut facts = healthy();
        fault(&mut facts);
        let world = world(facts);
        let protocol = (name == "no listener").then_some(Protocol::Tcp);
        let diagnosis = diagnose(pair(protocol), &paths, &world);
        (name, diagnosis.conclude(0, &world))
    };
    let mut reports: Vec<_> = cases().into_iter().map(report).collect();
    reports.push(("ladder", ladder()));
    reports.push(("nothing leaves the source", unsent()));
    reports
}

/// What podtrace would send.
pub(super) fn probes(world: &World, diagnosis: &Diagnosis) -> Probes {
    match diagnosis.plan(ECHO_ID, false, world).unwrap() {
        Plan::Send(probes, _) => *probes,
        Plan::Wait => unreachable!(),
    }
}

/// Small packets arrive, and large ones die at the other end of the pod's interface.
fn ladder() -> Report {
    let mut facts = healthy();
    large_mtu(&mut facts);
    let world = world(facts);
    let mut diagnosis = Diagnosis::new(pair(None), Mode::Probed);
    let probes = probes(&world, &diagnosis);
    assert_eq!(
        (probes.ask, &probes.ladder[3..]),
        (Ask::Echo, &[1480, 1500][..])
    );
    diagnosis.probe(probes);
    let (there, back) = (delivered(road(10)), delivered(answer(10)));
    for path in [three(false, &there), three(true, &back)].concat() {
        diagnosis.add(&path, &world);
    }
    for (id, bytes) in [(21, 1280), (22, 1420), (23, 1450)] {
        diagnosis.add(&rung(bytes, echo(id, false, &there)), &world);
        diagnosis.add(&rung(bytes, echo(id + 10, true, &back)), &world);
    }
    for (id, bytes) in [(24, 1480), (25, 1500)] {
        diagnosis.add(&rung(bytes, echo(id, false, &road(1))), &world);
    }
    diagnosis.probed(sent(probed("large ping", 5, 3, None)));
    diagnosis.conclude(0, &world)
}

/// The source has no route, and its kernel says so.
fn unsent() -> Report {
    let mut facts = healthy();
    let pod = netns_of_pod(1, 1);
    let pod = facts[0].spaces.iter_mut().find(|space| space.netns == pod);
    pod.unwrap().tables.routes.clear();
    let world = world(facts);
    let mut diagnosis = Diagnosis::new(pair(None), Mode::Probed);
    let probes = probes(&world, &diagnosis);
    diagnosis.probe(probes);
    let error = (ErrorKind::NoWay, "Network is unreachable");
    diagnosis.probed(sent(probed("ping", 3, 0, Some(error))));
    diagnosis.conclude(0, &world)
}

/// What came of packets of one kind.
pub(super) fn sent(probed: Probed) -> Outcomes {
    Outcomes {
        probed: vec![probed],
        listener: None,
    }
}

pub(super) fn probed(
    what: &'static str,
    tried: u32,
    answered: u32,
    error: Option<(ErrorKind, &str)>,
) -> Probed {
    let error = error.map(|(kind, words)| ProbeError {
        kind,
        words: words.to_owned(),
    });
    Probed {
        what,
        tried,
        answered,
        lengths: Vec::new(),
        unsent: Vec::new(),
        error,
    }
}
