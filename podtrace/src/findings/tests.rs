mod dns;
mod fixture;
mod healthy;
mod network;
mod receive_buffer;
mod tcp;

use fixture::{CLIENT, SERVER, Shot, echo, found, kinds, shown, syn, syn_ack, udp};

use super::*;
use crate::{packet::Ends, path::Outcome, rules::fixture::healthy as facts};

fn pings(times: std::ops::Range<u64>, back: impl Fn(Shot) -> Option<Shot>) -> Vec<Path> {
    let pair = |second: u64| {
        let ms = second * 1000;
        let reply = back(echo(ms + 1, true));
        std::iter::once(echo(ms, false).path()).chain(reply.map(Shot::path))
    };
    times.flat_map(pair).collect()
}

#[test]
fn reply_that_is_lost_is_told_from_a_request_that_is() {
    let no_way_back = |facts: &mut Vec<crate::model::facts::NodeFacts>| {
        facts[1].spaces[0]
            .tables
            .routes
            .retain(|route| route.destination.to_string() != "10.244.1.0" && route.len != 0);
    };
    let reply_lost = pings(0..3, |reply| Some(reply.lost(3)));
    let request_lost = [0, 1, 2].map(|second| echo(second * 1000, false).lost(3).path());
    let mut broken = facts();
    no_way_back(&mut broken);
    insta::assert_snapshot!(shown(&reply_lost, broken, 3000));
    insta::assert_snapshot!(shown(&request_lost, facts(), 3000));
    let answered = pings(0..3, Some);
    assert_eq!(kinds(&answered, 3000), []);
}

#[test]
fn a_direction_that_worked_dies_after_three_in_a_row() {
    for (dead, expected) in [(2, &[][..]), (3, &[Kind::ReplyLost])] {
        let mut paths = pings(0..5, Some);
        paths.extend(pings(5..5 + dead, |reply| Some(reply.lost(4))));
        assert_eq!(kinds(&paths, 9000), expected);
    }
}

/// Random loss comes in short bursts, also in one at the end of the trace; and who is lost is known
/// later than who arrives.
#[test]
fn burst_of_losses_is_not_the_end() {
    let lost = |number: u64| matches!(number % 20, 4..=6 | 11 | 17..=19);
    let pair = |second: u64| {
        let reply = |reply: Shot| if lost(second) { reply.lost(4) } else { reply };
        pings(second..second + 1, |one| Some(reply(one)))
    };
    let mut paths: Vec<_> = (0..60).flat_map(pair).collect();
    let dead = |paths: &[Path], ms| {
        let kinds = kinds(paths, ms);
        kinds.contains(&Kind::ReplyLost) || kinds.contains(&Kind::RequestLost)
    };
    assert!(!dead(&paths, 70_000));
    let of_losses = |path: &Path| path.outcome == Outcome::NotSeenFurther;
    paths.sort_by_key(|path| (of_losses(path), path.id));
    assert!(!dead(&paths, 70_000));
    // Nothing arrives from then on.
    paths.extend(pings(60..80, |reply| Some(reply.lost(4))));
    assert!(dead(&paths, 90_000));
}

#[test]
fn echo_without_a_reply_is_one_way_once_the_time_is_over() {
    let asked: Vec<_> = [echo(0, false).path()].into();
    assert_eq!(kinds(&asked, 900), []);
    assert_eq!(kinds(&asked, 1100), [Kind::OneWay]);
    // Sampled, filtered, or not all interfaces.
    let mut findings = found(&asked, facts(), 1100);
    let world = fixture::world_of(facts());
    assert!(findings.found(Some("a sample"), &world).findings.is_empty());
    findings.note_loss(LostSpan {
        from_ns: 500_000_000,
        to_ns: 600_000_000,
        events: 1,
    });
    assert!(findings.found(None, &world).findings.is_empty());
}

#[test]
fn one_way_datagrams_are_no_fault_and_refused_ones_are() {
    let syslog: Vec<_> = (0..5).map(|ms| udp(ms, false, 514).path()).collect();
    assert_eq!(kinds(&syslog, 60_000), []);
    let refused: Vec<_> = (0..5)
        .map(|ms| udp(ms, false, 514).unreachable().path())
        .collect();
    insta::assert_snapshot!(shown(&refused, facts(), 1000));
    let traceroute: Vec<_> = (0..5)
        .map(|ms| udp(ms, false, 33_434 + ms as u16).unreachable().path())
        .collect();
    assert_eq!(kinds(&traceroute, 1000), []);
}

#[test]
fn reply_that_is_not_translated_back() {
    let ends = |from: (&str, u16), to: (&str, u16)| Ends {
        source: from.0.parse().unwrap(),
        destination: to.0.parse().unwrap(),
        ports: Some((from.1, to.1)),
    };
    let (client, service, pod) = ((CLIENT, 5000), ("10.96.0.1", 80), (SERVER, 80));
    let asked = |ms| {
        udp(ms, false, 80)
            .to("10.96.0.1")
            .translated(ends(client, service), ends(client, pod))
    };
    let strange = [asked(0).path(), udp(1, true, 80).path()];
    insta::assert_snapshot!(shown(&strange, facts(), 1000));
    let proper = udp(1, true, 80).translated(ends(pod, client), ends(service, client));
    assert_eq!(kinds(&[asked(0).path(), proper.path()], 1000), []);
}

/// Its destination is a node's, which stands for the client.
#[test]
fn answer_that_is_not_translated_back_is_no_request() {
    let ends = |from: (&str, u16), to: (&str, u16)| Ends {
        source: from.0.parse().unwrap(),
        destination: to.0.parse().unwrap(),
        ports: Some((from.1, to.1)),
    };
    let (client, service) = ((CLIENT, 5000), ("10.96.0.1", 80));
    let (node, pod) = (("10.244.2.1", 6000), (SERVER, 80));
    let asked = |ms| {
        syn(ms)
            .to("10.96.0.1")
            .translated(ends(client, service), ends(node, pod))
    };
    let answer = |ms| {
        let shot = syn_ack(ms).to("10.244.2.1").port(6000);
        shot.dropped(2, "NETFILTER_DROP", "nft_do_chain")
    };
    let syns = (0..4).map(|n| asked(1000 * n).path());
    let answers = (0..6).map(|n| answer(1000 * n + 1).path());
    let mut paths: Vec<_> = syns.chain(answers).collect();
    paths.sort_by_key(Path::first_ns);
    insta::assert_snapshot!(shown(&paths, facts(), 9000));
    // A SYN that died before it was translated shows nothing of where the others went.
    let early = syn(4000).to("10.96.0.1").lost(1).path();
    paths.push(early);
    paths.push(answer(4001).path());
    let told = shown(&paths, facts(), 9000);
    assert!(told.starts_with("reply_lost"), "{told}");
}

#[test]
fn late_news_takes_a_loss_back() {
    let lost = echo(0, false).lost(3).path();
    let late = echo(0, false).corrects(&lost).path();
    assert_eq!(kinds(std::slice::from_ref(&lost), 500), [Kind::RequestLost]);
    assert_eq!(kinds(&[lost, late, echo(1, true).path()], 5000), []);
}

#[test]
fn conversations_are_bounded_and_what_they_showed_stays() {
    let world = fixture::world_of(facts());
    let mut findings = Findings::default();
    for number in 0..2 * CONVERSATIONS_MAX as u64 {
        let mut shot = udp(number, false, 514).port(number as u16);
        if number < 10 {
            shot = shot.lost(3);
        }
        findings.add(&shot.path(), &world);
    }
    assert!(findings.table.conversations().len() <= CONVERSATIONS_MAX);
    let found = findings.found(None, &world);
    assert!(found.forgotten >= CONVERSATIONS_MAX as u64);
    let [finding] = &found.findings[..] else {
        panic!("{:?}", found.findings);
    };
    assert_eq!(
        (finding.kind, finding.conversations),
        (Kind::RequestLost, 10)
    );
}

#[test]
fn doubtful_paths_prove_nothing() {
    for outcome in [
        Outcome::EventsLost,
        Outcome::GivenUp,
        Outcome::InFlight,
        Outcome::Unknown,
        Outcome::NoReceiver,
    ] {
        let paths: Vec<_> = (0..5)
            .map(|second| echo(second * 1000, false).ended(outcome).path())
            .collect();
        assert_eq!(kinds(&paths, 9000), [], "{outcome:?}");
    }
    let mut ambiguous = echo(0, false).lost(3).path();
    ambiguous.ambiguous = true;
    assert_eq!(kinds(&[ambiguous], 9000), []);
}

#[test]
fn reply_that_a_router_refuses_is_lost_and_one_that_nobody_waits_for_is_not() {
    let refused = |code| pings(0..2, |reply| Some(reply.icmp(3, code, 0)));
    assert_eq!(kinds(&refused(1), 3000), [Kind::ReplyLost]);
    assert_eq!(kinds(&refused(3), 3000), []);
}
