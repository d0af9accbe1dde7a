use super::{
    super::*,
    fixture::{Shot, arp, found, kinds, kinds_by, shown, syn, syn_ack, tcp},
};
use crate::{
    model::{
        facts::NodeFacts,
        hook::Hook,
        ruleset::{Action, Family},
    },
    packet::{Mac, TCP_ACK},
    path::Outcome,
    rules::fixture::{UPLINK, healthy as facts, netns_of},
    update::Update,
    verdict::tests::firewall::acting,
};

#[test]
fn neighbour_that_nobody_is() {
    let asked: Vec<_> = [0, 1000, 2000]
        .map(|ms| arp(ms, None).ended(Outcome::Unanswered).path())
        .into();
    insta::assert_snapshot!(shown(&asked, facts(), 3000));
    // Once may be chance, and an answer at last is one.
    assert_eq!(kinds(&asked[..1], 3000), []);
    let mut answered = asked.clone();
    answered.extend([arp(2500, None).path(), arp(2501, Some(1)).path()]);
    assert_eq!(kinds(&answered, 3000), []);
}

/// An answer is a packet of its own: that the question arrives is none.
#[test]
fn neighbour_that_is_asked_and_is_silent() {
    let asked: Vec<_> = [0, 1000].map(|ms| arp(ms, None).path()).into();
    insta::assert_snapshot!(shown(&asked, facts(), 3000));
    let mut answered = asked.clone();
    answered.push(arp(1001, Some(1)).path());
    assert_eq!(kinds(&answered, 3000), []);
    // Not all taps see all answers.
    let findings = found(&asked, facts(), 3000);
    let found = findings.found(Some("some"), &super::fixture::world_of(facts()));
    assert!(found.findings.is_empty());
}

#[test]
fn rule_that_stops_a_question_is_told() {
    let mut world = acting(Hook::Forward, Vec::new(), Action::Drop);
    let mut ruleset = world.rulesets[&netns_of(1)].as_ref().clone();
    ruleset.chains[0].family = Family::Bridge;
    world.apply(&Default::default(), &Update::Ruleset(ruleset.into()));
    let mut findings = Findings::default();
    for ms in [0, 1000] {
        let mut path = arp(ms, None)
            .dropped(2, "NETFILTER_DROP", "nft_do_chain_bridge")
            .path();
        let by = &mut path.dropped.as_mut().unwrap().by;
        (by.netns, by.hook) = (netns_of(1), Some(Hook::Forward.of_bridge()));
        findings.add(&path, &world);
    }
    findings.tick(3_000_000_000);
    let found = findings.found(None, &world).findings;
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.kind, one.rules.len()))
        .collect();
    assert_eq!(told, [(Kind::NeighbourUnanswered, 1)]);
}

#[test]
fn what_waits_for_a_neighbour_is_told_with_it() {
    let mut paths: Vec<_> = [0, 1000, 2000]
        .map(|ms| arp(ms, None).ended(Outcome::Unanswered).path())
        .into();
    let waits = |ms| syn(ms).to("10.244.1.77").icmp(3, 1, 0).path();
    paths.extend([waits(3000), waits(3001)]);
    insta::assert_snapshot!(shown(&paths, facts(), 4000));
}

#[test]
fn address_that_two_have() {
    let answers = |macs: &[(u64, u8)]| -> Vec<Path> {
        let each = |(ms, mac): &(u64, u8)| [arp(*ms, None).path(), arp(ms + 1, Some(*mac)).path()];
        macs.iter().flat_map(each).collect()
    };
    let mut both = answers(&[(0, 1)]);
    both.push(arp(3, Some(2)).path());
    insta::assert_snapshot!(shown(&both, facts(), 1000));
    // The question is for all ports of a bridge, and ends last.
    both.rotate_left(1);
    assert_eq!(kinds(&both, 1000), [Kind::DuplicateAddress]);
    // Each has answered for itself, as of an address that moves: by questions of their own.
    let moved = answers(&[(0, 1), (400, 1), (900, 2), (1300, 2)]);
    assert_eq!(kinds(&moved, 9999), []);
    let later: Vec<_> = (2..20).map(|second| (1000 * second, 2)).collect();
    let moved = [moved, answers(&later)].concat();
    assert_eq!(kinds(&moved, 30_000), []);
    // By turns, both have it for sure.
    insta::assert_snapshot!(shown(
        &answers(&[(0, 1), (100, 2), (200, 1), (300, 2)]),
        facts(),
        1000
    ));
    // The address moves to another pod.
    assert_eq!(kinds(&answers(&[(0, 1), (5000, 2), (9000, 2)]), 9999), []);
    assert_eq!(kinds(&answers(&[(0, 1), (100, 1), (200, 1)]), 9999), []);
}

/// Linux answers for each of its addresses by all of its interfaces (`arp_ignore`).
#[test]
fn address_that_one_answers_for_by_two_interfaces() {
    let answers = [arp(1, Some(1)), arp(2, Some(2))].map(Shot::path);
    let kinds_if_of = |devices: [(usize, usize); 2]| {
        let mut all = facts();
        for (number, (space, device)) in (1..).zip(devices) {
            all[1].spaces[space].devices[device].mac = Some(Mac([4, 0, 0, 0, 0, number]));
        }
        kinds_by(&answers, all, 1000)
    };
    assert_eq!(kinds_if_of([(0, 1), (0, 2)]), []);
    assert_eq!(kinds_if_of([(0, 1), (1, 0)]), [Kind::DuplicateAddress]);
}

/// The answers come by another interface of the first node.
fn by_another_uplink(facts: &mut [NodeFacts], master: Option<u32>) {
    let devices = &mut facts[0].spaces[0].devices;
    let uplink = devices.iter_mut().find(|device| device.ifindex == UPLINK);
    uplink.unwrap().master = master;
}

#[test]
fn answers_by_another_uplink() {
    let talk = [syn(0), syn_ack(1), tcp(2, false, TCP_ACK, 101, 0)].map(Shot::path);
    assert_eq!(kinds(&talk, 1000), []);
    let shown = |master| {
        let mut all = facts();
        by_another_uplink(&mut all, master);
        let mut world = super::fixture::world_of(all);
        let mut second = world.tap_points.get(4).unwrap().clone();
        let number = world.tap_points.next_number();
        (second.name, second.ifindex) = ("eth1".into(), 3);
        world.tap_points.set(number, second);
        let mut findings = Findings::default();
        for path in &talk {
            let mut path = path.clone();
            let came = path.hops.iter_mut().find(|hop| {
                hop.interface == 4 && hop.direction == podtrace_ebpf::record::Direction::Ingress
            });
            if let Some(hop) = came {
                hop.interface = number;
            }
            findings.add(&path, &world);
        }
        let found = findings.found(None, &world).findings;
        found
            .into_iter()
            .map(|finding| finding.sentence)
            .collect::<Vec<_>>()
    };
    insta::assert_snapshot!(shown(None).join("\n"));
    // Both are ports of a bond.
    assert!(shown(Some(9)).is_empty());
}
