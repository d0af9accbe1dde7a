mod answered;
mod unseen;

use super::{fixture::*, *};
use crate::{
    identity::kubernetes::{ClusterPod, ClusterUpdate},
    model::{facts::Qdisc, origin::Origin},
    packet::{Ends, Network, TCP_ACK, TCP_SYN},
    path::{LateOf, Outcome, Translation},
    rules::fixture::{healthy, ip},
    update::Update,
    verdict::tests::roads::{answer, road},
};

#[test]
fn cases_are_concluded() {
    let rows = reports().into_iter().map(|(name, report)| {
        let cause = report.what.unwrap_or_else(|| "-".into());
        let advice = report.advice.unwrap_or_else(|| "-".into());
        format!(
            "{name}: {:?}: {}\n    {cause}\n    {advice}\n    {:?}\n",
            report.conclusion, report.verdict, report.evidence
        )
    });
    insta::assert_snapshot!(rows.collect::<String>());
}

#[test]
fn later_reports_correct_earlier_ones() {
    let world = world(healthy());
    let lost = echo(1, false, &road(4));
    let mut late = echo(2, false, &road(10).ended(Outcome::Delivered));
    late.late_of = Some(LateOf::of(&lost));
    let reply = echo(3, true, &answer(10).ended(Outcome::Delivered));
    let diagnosis = diagnose(pair(None), &[lost, late, reply], &world);
    let report = diagnosis.conclude(0, &world);
    assert_eq!(report.conclusion, Conclusion::Delivered);
    assert_eq!((report.request.packets, report.request.lost), (1, 0));
}

/// The node answers for the pod whose address it takes for its own.
#[test]
fn what_arrives_at_a_node_has_not_reached_the_pod() {
    let world = world(healthy());
    let there = echo(1, false, &road(3).ended(Outcome::Delivered));
    let back = echo(2, true, &answer(10).ended(Outcome::Delivered));
    let report = diagnose(pair(None), &[there, back], &world).conclude(0, &world);
    assert_eq!(
        (report.conclusion, &*report.verdict),
        (
            Conclusion::Lost,
            "the request came to worker1, not to default/pod21"
        )
    );
    assert_eq!(
        report.advice.as_deref(),
        Some("on worker1: ip route get 10.244.2.2")
    );
}

#[test]
fn packets_of_others_and_of_other_protocols_do_not_count() {
    let world = world(healthy());
    let there = road(10).ended(Outcome::Delivered);
    let foreign = [
        // The destination pings the source, which answers.
        echo(1, false, &answer(10)),
        echo(2, true, &there),
        syn(3, &there),
        echo(4, false, &road(10).to("10.244.9.9")),
    ];
    let diagnosis = diagnose(pair(None), &foreign, &world);
    let report = diagnosis.conclude(0, &world);
    assert_eq!((report.request.packets, report.reply.packets), (0, 0));
    // A connection that the destination begins is not the source's.
    let mut back = syn(1, &answer(10).ended(Outcome::Delivered));
    let mut acknowledged = syn(2, &there);
    if let Transport::Tcp {
        flags,
        source,
        destination,
        ..
    } = &mut acknowledged.packet.transport
    {
        (*flags, *source, *destination) = (0x12, 80, 40_000);
    }
    back.packet.length = 60;
    let diagnosis = diagnose(pair(Some(Protocol::Tcp)), &[back, acknowledged], &world);
    let report = diagnosis.conclude(0, &world);
    assert_eq!((report.request.packets, report.reply.packets), (0, 0));
}

#[test]
fn port_is_that_of_the_destination() {
    let world = world(healthy());
    let path = syn(1, &road(10).ended(Outcome::Delivered));
    for (port, count) in [(80, 1), (40_000, 0)] {
        let pair = Pair {
            port: Some(port),
            ..pair(Some(Protocol::Tcp))
        };
        let report = diagnose(pair, std::slice::from_ref(&path), &world).conclude(0, &world);
        assert_eq!(report.request.packets, count, "{port}");
    }
}

#[test]
fn missing_answer_is_waited_for_and_not_lost_where_events_are() {
    let world = world(healthy());
    let request = echo(1, false, &road(10).ended(Outcome::Delivered));
    let mut diagnosis = Diagnosis::new(pair(None), Mode::Watched);
    diagnosis.add(&request, &world);
    let conclusion = |diagnosis: &Diagnosis, lost| diagnosis.conclude(lost, &world).conclusion;
    assert_eq!(conclusion(&diagnosis, 0), Conclusion::Unknown);
    diagnosis.advance(request.last_ns() + ANSWER_NS);
    assert_eq!(conclusion(&diagnosis, 0), Conclusion::Lost);
    assert_eq!(conclusion(&diagnosis, 1), Conclusion::Unknown);
}

#[test]
fn few_lost_segments_among_many_are_no_loss() {
    let world = world(healthy());
    let there = road(10).ended(Outcome::Delivered);
    let mut paths: Vec<_> = (1..30).map(|id| echo(id, false, &there)).collect();
    paths.push(echo(31, false, &road(4)));
    paths.push(echo(32, true, &answer(10).ended(Outcome::Delivered)));
    let report = diagnose(pair(None), &paths, &world).conclude(0, &world);
    assert_eq!(report.conclusion, Conclusion::Delivered);
    let [other] = &report.evidence[..] else {
        panic!("{:?}", report.evidence);
    };
    assert!(other.starts_with("of the other packets, 1 request lost after flannel.1"));
}

#[test]
fn plan_is_made_of_what_is_known() {
    let world = world(healthy());
    let plan = |pair: Pair, waits| Diagnosis::new(pair, Mode::Probed).plan(7, waits, &world);
    let Ok(Plan::Send(probes, name)) = plan(pair(None), true) else {
        panic!();
    };
    assert_eq!(name, "default/pod11 (10.244.1.2)");
    assert_eq!((probes.netns, probes.to), (11, ip("10.244.2.2")));
    assert_eq!(probes.ladder, [1280, 1420, 1450]);
    let Err(Unsent::Misasked(words)) = plan(pair(Some(Protocol::Udp)), true) else {
        panic!();
    };
    assert_eq!(
        words,
        "--protocol udp with --probe takes the port of pod21, too (--port)\nhint: --protocol udp \
         --port 53; without --protocol and --port, it sends pings"
    );
    let to = |address: &str| Pair {
        destination: AskedEnd {
            peer: address.parse().unwrap(),
            text: address.to_owned(),
        },
        ..pair(None)
    };
    for (address, is_sent) in [("10.244.1.255", false), ("10.244.2.255", true)] {
        let planned = plan(to(address), true);
        assert_eq!(planned.is_ok(), is_sent, "{planned:?}");
        let words = format!("{planned:?}");
        assert_eq!(words.contains("broadcast address"), !is_sent, "{words}");
    }
    let nobody = AskedEnd {
        peer: Peer::Named("nobody".parse().unwrap()),
        text: "nobody".into(),
    };
    let pair = || pair(None);
    let from_nobody = Pair {
        source: nobody,
        ..pair()
    };
    let nowhere = plan(from_nobody, true).unwrap_err();
    let words = "nothing is sent: it is not known where nobody is";
    assert_eq!(nowhere, Unsent::NotHere(words.into()));
    // Without the tables of the nodes it is waited for them, but not for ever.
    let bare = fixture::world(Vec::new());
    let plan = |waits| Diagnosis::new(pair(), Mode::Probed).plan(7, waits, &bare);
    assert_eq!(plan(true), Ok(Plan::Wait));
    assert!(matches!(plan(false), Ok(Plan::Send(probes, _)) if probes.ladder.is_empty()));
}

#[test]
fn what_no_tap_has_seen_is_told_by_the_kernel() {
    let world = world(healthy());
    let drop = KernelDrop {
        reason: Some("NETFILTER_DROP".into()),
        function: Some("nft_do_chain".into()),
        ..KernelDrop::default()
    };
    let request = echo(1, false, &road(10).ended(Outcome::Delivered));
    let reply = echo(2, true, &answer(10));
    let concluded = |paths: &[Path], dropped: &Path| {
        let mut diagnosis = diagnose(pair(None), paths, &world);
        diagnosis.add_drop(&drop, &dropped.packet, &world);
        let report = diagnosis.conclude(0, &world);
        (report.verdict, report.cause.unwrap_or_default())
    };
    let (verdict, cause) = concluded(std::slice::from_ref(&request), &reply);
    let expected = "the request arrived, the reply died before it left its receiver";
    assert_eq!((&*verdict, cause), (expected, "kernel_drop"));
    let (verdict, cause) = concluded(&[], &request);
    let expected = "the request died before it left default/pod11";
    assert_eq!((&*verdict, cause), (expected, "kernel_drop"));
    // The answer to another's question.
    let (_, cause) = concluded(&[], &echo(1, true, &road(10)));
    assert_eq!(cause, "");
}

#[test]
fn source_on_another_node_is_told_with_its_node() {
    let mut world = world(healthy());
    let origin = Origin {
        session: 0,
        nodes: 0..2,
    };
    let pod = ClusterPod {
        uid: "far".into(),
        namespace: "default".into(),
        name: "far".into(),
        node: Some("worker9".into()),
        addresses: vec![ip("10.244.9.2")],
        host_network: false,
        phase_running: true,
        created_ns: 0,
        started_ns: None,
        deleted: false,
    };
    let update = Update::Cluster {
        update: ClusterUpdate::Pod(pod),
        ts_ns: 1,
    };
    world.apply(&origin, &update);
    let far = AskedEnd {
        peer: Peer::Named("far".parse().unwrap()),
        text: "far".into(),
    };
    let pair = Pair {
        source: far,
        ..pair(None)
    };
    let diagnosis = Diagnosis::new(pair, Mode::Probed);
    let Err(Unsent::NotHere(words)) = diagnosis.plan(7, false, &world) else {
        panic!();
    };
    let report = diagnosis.conclude(0, &world);
    assert_eq!(report.conclusion, Conclusion::Unknown);
    for words in [words, report.advice.unwrap()] {
        assert!(words.contains("default/far is on node worker9"), "{words}");
    }
    assert_eq!(report.source.node.as_deref(), Some("worker9"));
}

#[test]
fn what_a_shaper_may_hold_back_is_not_lost() {
    let conclusion = |kind: &str, paths: &[Path]| {
        let mut facts = healthy();
        let devices = facts[0].spaces[0].devices.iter_mut();
        for device in devices.filter(|device| device.name == "flannel.1") {
            device.qdiscs = vec![Qdisc {
                kind: kind.into(),
                ..Qdisc::default()
            }];
        }
        let world = world(facts);
        diagnose(pair(None), paths, &world)
            .conclude(0, &world)
            .conclusion
    };
    let waits = echo(1, false, &road(4));
    let one = std::slice::from_ref(&waits);
    assert_eq!(conclusion("tbf", one), Conclusion::Unknown);
    assert_eq!(conclusion("fq_codel", one), Conclusion::Lost);
    let mut late = echo(2, false, &road(10).ended(Outcome::Delivered));
    late.late_of = Some(LateOf::of(&waits));
    let reply = echo(3, true, &answer(10).ended(Outcome::Delivered));
    assert_eq!(
        conclusion("tbf", &[waits, late, reply]),
        Conclusion::Delivered
    );
}

/// As where other pods start all the time.
#[test]
fn interfaces_of_other_pods_may_be_unwatched() {
    let world = world(healthy());
    let unwatched = |left, pods: &[u64]| Update::Attaching {
        left,
        refused: 0,
        partial: 0,
        pods: pods.to_vec(),
        since_ns: None,
        begun_ns: None,
        ts_ns: 1,
    };
    for (pods, conclusion) in [
        (&[77_u64, 78][..], Conclusion::Lost),
        // Those of the destination, or of nobody.
        (&[77, 21], Conclusion::Unknown),
        (&[], Conclusion::Unknown),
    ] {
        let mut path = echo(1, false, &road(4).ended(Outcome::Unknown));
        (path.incomplete, path.is_unwatched) = (true, true);
        let mut diagnosis = Diagnosis::new(pair(None), Mode::Watched);
        diagnosis.note_unwatched(&unwatched(2, pods));
        diagnosis.add(&path, &world);
        assert_eq!(
            diagnosis.conclude(0, &world).conclusion,
            conclusion,
            "{pods:?}"
        );
        // What was sent later has passed none of them.
        diagnosis.note_unwatched(&unwatched(0, &[]));
        path.id = 2;
        diagnosis.add(&path, &world);
        let lost = diagnosis.conclude(0, &world).conclusion;
        assert_eq!(lost == Conclusion::Lost, !pods.contains(&21), "{pods:?}");
    }
}

/// Which of equal packets went on is not known.
#[test]
fn equal_packets_of_two_pods_are_not_lost() {
    let world = world(healthy());
    for ended in [road(4), road(4).ended(Outcome::Dropped)] {
        let mut path = echo(1, false, &ended);
        let report = diagnose(pair(None), std::slice::from_ref(&path), &world).conclude(0, &world);
        assert_eq!(report.conclusion, Conclusion::Lost);
        path.ambiguous = true;
        let report = diagnose(pair(None), &[path], &world).conclude(0, &world);
        assert_eq!(report.conclusion, Conclusion::Unknown);
        assert!(report.verdict.contains("ambiguous"), "{}", report.verdict);
    }
}

/// The answer is for the node, which stands for the source.
#[test]
fn answer_that_dies_before_it_is_translated_back_is_a_reply() {
    let world = world(healthy());
    let mut request = syn(1, &road(10).ended(Outcome::Delivered));
    let before = request.packet.ends().unwrap();
    let after = Ends {
        source: ip("10.244.2.1"),
        ports: Some((6000, 80)),
        ..before
    };
    request.translations = vec![Translation {
        hop: 7,
        before,
        after,
    }];
    let mut reply = syn(2, &answer(2));
    if let Network::Ip(ip) = &mut reply.packet.network {
        ip.destination = after.source;
    }
    if let Transport::Tcp {
        source,
        destination,
        flags,
        ..
    } = &mut reply.packet.transport
    {
        (*source, *destination, *flags) = (80, 6000, TCP_SYN | TCP_ACK);
    }
    let mut diagnosis = Diagnosis::new(pair(Some(Protocol::Tcp)), Mode::Watched);
    assert!(!diagnosis.add_untranslated(&reply, &world));
    diagnosis.add(&request, &world);
    assert!(diagnosis.add_untranslated(&reply, &world));
    diagnosis.advance(10_000_000_000);
    let report = diagnosis.conclude(0, &world);
    assert_eq!(report.conclusion, Conclusion::Lost);
    assert!(
        report.verdict.contains("the reply died"),
        "{}",
        report.verdict
    );
    assert_eq!((report.request.delivered, report.reply.lost), (1, 1));
    // Nothing tells the echo replies to several pods apart.
    let mut request = echo(3, false, &road(10).ended(Outcome::Delivered));
    let before = request.packet.ends().unwrap();
    let after = Ends {
        source: ip("10.244.2.1"),
        ..before
    };
    request.translations = vec![Translation {
        hop: 7,
        before,
        after,
    }];
    let report = diagnose(pair(None), &[request], &world).conclude(0, &world);
    assert_eq!(report.conclusion, Conclusion::Unknown, "{}", report.verdict);
}
