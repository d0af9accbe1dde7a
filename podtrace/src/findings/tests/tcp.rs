use podtrace_ebpf::record::Direction;

use super::{
    super::*,
    fixture::{Shot, found, kinds, overflown, shown, syn, syn_ack, tcp, world_of},
};
use crate::{
    model::{hook::Hook, ruleset::Action},
    packet::{TCP_ACK, TCP_SYN},
    path::Outcome,
    rules::fixture::{VETH1, healthy as facts, netns_of},
    update::Update,
    verdict::tests::firewall::acting,
};

/// A connection that is opened, and closed after some data.
fn opened(ms: u64, port: u16) -> Vec<Path> {
    let shots = [
        syn(ms),
        syn_ack(ms + 1),
        tcp(ms + 2, false, TCP_ACK, 101, 0),
        tcp(ms + 3, false, TCP_ACK, 101, 500),
        tcp(ms + 4, true, TCP_ACK, 901, 500),
    ];
    shots.map(|shot| shot.port(port).path()).into()
}

fn syns(change: impl Fn(Shot) -> Shot) -> Vec<Path> {
    let times = [0, 1000, 3000];
    times.map(|ms| change(syn(ms)).path()).into()
}

#[test]
fn syn_that_is_lost_refused_or_not_answered() {
    let firewall = syns(|syn| syn.dropped(8, "NETFILTER_DROP", "nft_do_chain"));
    insta::assert_snapshot!(shown(&firewall, facts(), 3000));
    insta::assert_snapshot!(shown(&syns(Shot::reset)[..1], facts(), 3000));
    insta::assert_snapshot!(shown(&syns(|syn| syn.icmp(3, 13, 0))[..1], facts(), 3000));
    insta::assert_snapshot!(shown(
        &syns(|syn| syn.ended(Outcome::LeftNode)),
        facts(),
        9000
    ));
    insta::assert_snapshot!(shown(
        &syns(|syn| syn.ended(Outcome::Unanswered)),
        facts(),
        9000
    ));
}

#[test]
fn full_queue_answers_some_and_leaves_others() {
    let mut paths = opened(0, 5001);
    paths.extend(syns(|syn| syn.ended(Outcome::Unanswered)));
    insta::assert_snapshot!(shown(&paths, facts(), 9000));
}

/// The counters of its namespace, at the begin of the trace and at the end.
#[test]
fn full_queue_is_proven_by_the_kernels_counters() {
    let unanswered = syns(|syn| syn.ended(Outcome::Unanswered));
    let shown = |paths: &[Path], counts: &[u64]| {
        let mut findings = found(paths, facts(), 9000);
        for count in counts {
            findings.note(&overflown(facts(), *count));
        }
        let found = findings.found(None, &world_of(facts())).findings;
        let [one] = &found[..] else {
            panic!("{found:?}");
        };
        (one.kind, one.confidence, one.evidence.clone())
    };
    let (kind, confidence, evidence) = shown(&unanswered, &[0, 1, 3]);
    assert_eq!(
        (kind, confidence),
        (Kind::AcceptQueueFull, Confidence::Sure)
    );
    let words = "has risen by 3, and ListenDrops by 3, while podtrace watched";
    assert!(evidence[1].ends_with(words), "{evidence:?}");
    // Fewer than SYNs: some are of other sockets, or were lost otherwise.
    let (kind, confidence, _) = shown(&unanswered, &[0, 2]);
    assert_eq!(
        (kind, confidence),
        (Kind::AcceptQueueFull, Confidence::Likely)
    );
    // What had overflown before says nothing, nor do counters that were read once.
    for counts in [&[5, 5][..], &[5], &[]] {
        let (kind, confidence, _) = shown(&unanswered, counts);
        assert_eq!(
            (kind, confidence),
            (Kind::SynUnanswered, Confidence::Likely)
        );
    }
    let (_, confidence, _) = shown(&unanswered[..1], &[0, 9]);
    assert_eq!(confidence, Confidence::Likely, "the SYN was not repeated");
}

#[test]
fn kernel_that_takes_data_and_repeats_its_answer_has_a_full_queue() {
    let data = |ms| tcp(ms, false, TCP_ACK, 101, 500);
    let paths = [
        syn(0),
        syn_ack(1),
        data(2),
        syn_ack(1001),
        data(1002),
        syn_ack(3001),
    ];
    let paths = paths.map(Shot::path);
    insta::assert_snapshot!(shown(&paths, facts(), 9000));
    // The answer comes late: the network is slow.
    let mut late = paths.to_vec();
    late.push(tcp(3002, true, TCP_ACK, 901, 0).path());
    assert_eq!(kinds(&late, 9000), []);
    // The ACK has crossed the second SYN-ACK.
    let crossed = [
        syn(0),
        syn_ack(1),
        syn_ack(1001),
        tcp(1002, false, TCP_ACK, 101, 0),
    ];
    assert_eq!(kinds(&crossed.map(Shot::path), 9000), []);
}

#[test]
fn connections_that_open_show_nothing() {
    assert_eq!(kinds(&opened(0, 5000), 9000), []);
    // The first SYN is lost, and the second answered.
    let mut repeated = vec![syn(0).lost(3).path()];
    repeated.extend(opened(1000, 5000));
    assert_eq!(kinds(&repeated, 9000), []);
    // The trace ended before the answer.
    assert_eq!(kinds(&[syn(0).ended(Outcome::LeftNode).path()], 900), []);
    // A probe of traceroute.
    assert_eq!(kinds(&syns(|syn| syn.icmp(11, 0, 0)), 9000), []);
}

#[test]
fn syn_ack_that_is_lost_is_not_acknowledged() {
    let lost = [syn(0), syn_ack(1).lost(3), syn_ack(1001).lost(3)];
    assert_eq!(
        kinds(&lost.clone().map(Shot::path), 9000),
        [Kind::ReplyLost]
    );
    // It took a way that podtrace does not see.
    let mut unseen = lost.map(Shot::path).to_vec();
    unseen.push(tcp(1002, false, TCP_ACK, 101, 0).path());
    assert_eq!(kinds(&unseen, 9000), []);
}

#[test]
fn ports_are_used_again() {
    let mut paths = opened(0, 5000);
    let again = |ms| tcp(ms, false, TCP_SYN, 5_000_000, 0).lost(3).path();
    paths.extend([again(10_000), again(11_000)]);
    assert_eq!(kinds(&paths, 20_000), [Kind::SynUnanswered]);
}

#[test]
fn queues_lose_and_firewalls_lose() {
    let stream = |reason: &'static str| {
        let mut paths = opened(0, 5000);
        for number in 1..=40 {
            let data = tcp(number * 10, false, TCP_ACK, 1000 * number as u32, 1000);
            paths.push(match number % 4 {
                0 => data.dropped(5, reason, "f").path(),
                1 => data.copy().path(),
                _ => data.path(),
            });
        }
        paths
    };
    assert_eq!(kinds(&stream("QDISC_OVERLIMIT"), 9000), []);
    insta::assert_snapshot!(shown(&stream("NETFILTER_DROP"), facts(), 9000));
}

/// A stream whose large segments die in front of a small MTU.
fn stream(large: impl Fn(Shot) -> Shot) -> Vec<Path> {
    let mut paths = opened(0, 5000);
    for number in 0..4 {
        let ms = 100 + number * 1000;
        paths.push(large(tcp(ms, false, TCP_ACK, 1000, 1410)).path());
        paths.push(tcp(ms + 1, true, TCP_ACK, 1000, 0).path());
        paths.push(tcp(ms + 2, false, TCP_ACK, 1000, 0).path());
    }
    paths
}

#[test]
fn black_hole_of_the_path_mtu() {
    let narrow = || {
        let mut facts = facts();
        let mut devices = facts[1].spaces[0].devices.iter_mut();
        devices.find(|device| device.ifindex == VETH1).unwrap().mtu = 1400;
        facts
    };
    insta::assert_snapshot!(shown(&stream(|large| large.lost(8)), narrow(), 9000));
    // Nothing tells the MTU: it looks like one.
    insta::assert_snapshot!(shown(&stream(|large| large.lost(8)), Vec::new(), 9000));
    // The sender is told, and sends shorter ones.
    let told = stream(|large| large.icmp(3, 4, 1400));
    assert_eq!(kinds(&told, 9000), []);
    // All of them pass.
    assert_eq!(kinds(&stream(|large| large), 9000), []);
    // A firewall drops them.
    let firewall = stream(|large| large.dropped(8, "NETFILTER_DROP", "nft_do_chain"));
    assert_eq!(kinds(&firewall, 9000), [Kind::Lossy]);
}

/// What the first node has refused by a rule.
fn rejected(shot: Shot) -> Path {
    let mut path = shot.path();
    path.hops.truncate(3);
    if let Some(refusal) = &mut path.refusal {
        (refusal.at, refusal.hops) = (Some((1, Direction::Egress)), 3);
    }
    path
}

/// A world whose first node rejects all that it forwards.
fn rejecting() -> World {
    let mut world = acting(Hook::Forward, Vec::new(), Action::Reject);
    let mut ruleset = world.rulesets[&netns_of(1)].as_ref().clone();
    ruleset.legacy.clear();
    world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
    world
}

#[test]
fn rule_that_resets_an_open_connection_is_told() {
    let world = rejecting();
    let mut findings = Findings::default();
    for shot in [syn(0), syn_ack(1)] {
        findings.add(&shot.path(), &world);
    }
    let segment = tcp(2000, false, TCP_ACK, 101, 9);
    findings.add(&rejected(segment.aborted()), &world);
    findings.tick(9_000_000_000);
    let found = findings.found(None, &world).findings;
    insta::assert_snapshot!(found[0].sentence, @"connection reset: a firewall rule of worker1 answers what 10.244.1.2:5000 sends to 10.244.2.2:80 with a reset");
    insta::assert_snapshot!(found[0].evidence.join("\n"), @r"
    1 of 2 packets answered by a reset of worker1 (in the name of 10.244.2.2), 1 arrived or left before
    cause: rejected by rule 7 of chain all of table inet fw of worker1: some words
    ");
}

#[test]
fn rule_that_resets_a_connection_is_told() {
    let world = rejecting();
    let mut findings = Findings::default();
    findings.add(&rejected(syn(0).reset()), &world);
    findings.tick(3_000_000_000);
    let found = findings.found(None, &world).findings;
    insta::assert_snapshot!(found[0].sentence, @"connection refused: a firewall rule of worker1 answers the SYN of 10.244.1.2:5000 to 10.244.2.2:80 with a reset");
    insta::assert_snapshot!(found[0].evidence.join("\n"), @r"
    1 of 1 packet refused by worker1 (in the name of 10.244.2.2): connection refused
    cause: rejected by rule 7 of chain all of table inet fw of worker1: some words
    ");
}

/// Both ends ask at once, and each answers (RFC 9293, 3.5).
#[test]
fn connection_that_both_open_has_no_full_queue() {
    let mut paths = vec![syn(0).path(), tcp(1, true, TCP_SYN, 900, 0).path()];
    paths.push(tcp(2, false, TCP_SYN | TCP_ACK, 100, 0).path());
    paths.push(tcp(3, true, TCP_SYN | TCP_ACK, 900, 0).path());
    paths.push(tcp(4, false, TCP_ACK, 101, 5).path());
    paths.push(tcp(5, true, TCP_SYN | TCP_ACK, 900, 0).path());
    assert_eq!(kinds(&paths, 9000), []);
}
