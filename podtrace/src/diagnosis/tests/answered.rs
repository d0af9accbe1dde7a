//! Answers that have come, and those that come from elsewhere than from who was asked.
use super::*;
use crate::{
    model::{
        probes::ErrorKind,
        snapshot::{Holder, NamespaceInfo, Snapshot},
    },
    packet::TCP_RST,
    rules::fixture::prefix,
    verdict::tests::roads::local,
};

/// The other pod has the sender's address, too.
fn shared_address() -> World {
    let mut facts = healthy();
    let second = &mut facts[1].spaces[1].devices[0].addresses;
    second.push(prefix("10.244.1.2/32"));
    let mut world = world(facts);
    let holder = |node, netns| Holder {
        node,
        netns: Some(netns),
    };
    let namespaces = [(0, 11), (1, 21)].map(|(node, id)| NamespaceInfo {
        id,
        node,
        given: Some(format!("default/pod{id}").into()),
        ..NamespaceInfo::default()
    });
    let addresses = [
        (ip("10.244.1.2"), holder(0, 11)),
        (ip("10.244.1.2"), holder(1, 21)),
        (ip("10.244.2.2"), holder(1, 21)),
    ];
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

#[test]
fn who_has_the_senders_address_is_asked_at_another() {
    let world = shared_address();
    let named = || Diagnosis::new(pair(None), Mode::Probed);
    assert_eq!(probes(&world, &named()).to, ip("10.244.2.2"));
    // What the source sends to that address is its own.
    let own = || road(1).to("10.244.1.2").ended(Outcome::Delivered);
    let mut diagnosis = named();
    assert!(!diagnosis.add(&echo(1, false, &own()), &world));
    // Without another, nothing is sent.
    let itself = AskedEnd {
        peer: "10.244.1.2".parse().unwrap(),
        text: "10.244.1.2".into(),
    };
    let from_shared = Pair {
        source: itself,
        ..pair(None)
    };
    let Err(Unsent::Misasked(words)) =
        Diagnosis::new(from_shared, Mode::Probed).plan(7, false, &world)
    else {
        panic!();
    };
    let expected = "10.244.1.2 is the address of default/pod11 and default/pod21: which";
    assert!(words.starts_with(expected), "{words}");
    // Nor does it answer ARP of who has its address.
    let mut facts: Vec<_> = world
        .facts
        .values()
        .map(|facts| (**facts).clone())
        .collect();
    let second = &mut facts[0].spaces[2].devices[0];
    second.addresses.push(prefix("10.244.1.2/32"));
    let beside = fixture::world(facts);
    let asked = local(3).asks(std::net::Ipv4Addr::new(10, 244, 1, 3));
    let cause = verdict(&asked.path(), &beside).unwrap().cause;
    assert_eq!(cause.name(), "duplicate_address", "{cause}");
    // What comes to it is forged, and is not answered.
    let died = road(10).dropped("IP_LOCAL_SOURCE", Some("ip_rcv_finish"));
    let report = diagnose(pair(None), &[echo(1, false, &died)], &world).conclude(0, &world);
    let found = (report.conclusion, report.cause, report.confidence);
    let expected = (Conclusion::Lost, Some("duplicate_address"), Some("sure"));
    assert_eq!(found, expected, "{:?}", report.what);
    let taken = echo(1, false, &road(10).ended(Outcome::Delivered));
    let report = diagnose(pair(None), &[taken], &world).conclude(0, &world);
    assert_eq!(report.cause, Some("duplicate_address"));
}

#[test]
fn loss_does_not_stand_beside_answers() {
    let world = world(healthy());
    let arrived = || echo(1, false, &road(10).ended(Outcome::Delivered));
    let lost = || echo(2, false, &road(4));
    let reply = || echo(3, true, &answer(10).ended(Outcome::Delivered));
    let lost_reply = || echo(4, true, &answer(4));
    use Conclusion::{Delivered, Lost, Unknown};
    for (name, paths, answered, conclusion) in [
        ("no answer was seen", vec![arrived()], 3, Delivered),
        ("no answer came", vec![arrived()], 0, Lost),
        ("one came", vec![arrived()], 1, Unknown),
        ("a request died", vec![lost()], 3, Unknown),
        ("some died", vec![arrived(), lost(), reply()], 1, Lost),
        (
            "those of others died",
            vec![arrived(), lost(), reply()],
            3,
            Unknown,
        ),
        ("a reply died", vec![arrived(), lost_reply()], 3, Unknown),
    ] {
        let mut diagnosis = diagnose(pair(None), &paths, &world);
        diagnosis.probed(sent(probed("ping", 3, answered, None)));
        let report = diagnosis.conclude(0, &world);
        assert_eq!(report.conclusion, conclusion, "{name}: {}", report.verdict);
    }
}

/// A rule of the sender's own resets what it sends, in the name of the receiver.
#[test]
fn reset_of_the_senders_own_is_no_answer() {
    let world = world(healthy());
    let mut reset = syn(1, &road(1).to("10.244.1.2").ended(Outcome::Delivered));
    if let Network::Ip(ip) = &mut reset.packet.network {
        ip.source = "10.244.2.2".parse().unwrap();
    }
    if let Transport::Tcp {
        source,
        destination,
        flags,
        ..
    } = &mut reset.packet.transport
    {
        (*source, *destination, *flags) = (80, 40_000, TCP_RST);
    }
    // Where it is the source's own Service, its answers are.
    let mut own = reset.clone();
    if let Network::Ip(ip) = &mut own.packet.network {
        ip.source = "10.244.1.2".parse().unwrap();
    }
    let mut diagnosis = Diagnosis::new(pair(Some(Protocol::Tcp)), Mode::Watched);
    assert!(!diagnosis.is_of_source(&own, &world));
    assert!(diagnosis.is_of_source(&reset, &world));
    for refused in [None, Some((ErrorKind::Refused, "Connection refused"))] {
        let mut diagnosis = diagnose(pair(Some(Protocol::Tcp)), &[reset.clone()], &world);
        if refused.is_some() {
            diagnosis.probed(sent(probed("TCP connection", 3, 3, refused)));
        }
        let report = diagnosis.conclude(0, &world);
        let found = (report.conclusion, report.cause);
        assert_eq!(
            found,
            (Conclusion::Refused, Some("refused")),
            "{}",
            report.verdict
        );
        assert_eq!(report.reply.packets, 0);
    }
}

#[test]
fn lengths_are_answered_where_the_socket_says_so() {
    let world = world(healthy());
    let mut diagnosis = Diagnosis::new(pair(None), Mode::Probed);
    diagnosis.probe(probes(&world, &diagnosis));
    let mut large = probed("large ping", 3, 1, None);
    large.lengths = vec![1280];
    diagnosis.probed(Outcomes {
        probed: vec![probed("ping", 3, 3, None), large],
        listener: None,
    });
    let ladder = diagnosis.conclude(0, &world).ladder;
    let ladder: Vec<_> = ladder
        .iter()
        .map(|rung| (rung.bytes, rung.answered))
        .collect();
    assert_eq!(ladder, [(1280, true), (1420, false), (1450, false)]);
}
