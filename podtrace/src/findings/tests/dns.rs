use super::{
    super::*,
    fixture::{CLIENT, SERVER, Shot, dns, kinds, shown},
};
use crate::{packet::Ends, path::Outcome, rules::fixture::healthy as facts};

const A: u16 = 1;
const AAAA: u16 = 28;

fn translated(shot: Shot) -> Shot {
    let ends = |to: &str| Ends {
        source: CLIENT.parse().unwrap(),
        destination: to.parse().unwrap(),
        ports: Some((5000, 53)),
    };
    shot.to("10.96.0.10")
        .translated(ends("10.96.0.10"), ends(SERVER))
}

#[test]
fn query_without_an_answer_tells_its_end() {
    let lost = dns(0, false, 1, A).dropped(8, "NETFILTER_DROP", "nft_do_chain");
    insta::assert_snapshot!(shown(&[lost.path()], facts(), 1000));
    let left = dns(0, false, 1, A).ended(Outcome::LeftNode).path();
    insta::assert_snapshot!(shown(std::slice::from_ref(&left), facts(), 6000));
    assert_eq!(kinds(&[left], 4000), []);
    let answer_lost = [dns(0, false, 1, A), dns(1, true, 1, A).lost(3)];
    insta::assert_snapshot!(shown(&answer_lost.map(Shot::path), facts(), 1000));
}

#[test]
fn slow_and_repeated_answers_are_answers() {
    let slow = [dns(0, false, 1, A), dns(4900, true, 1, A)];
    assert_eq!(kinds(&slow.map(Shot::path), 9000), []);
    let repeated = [
        dns(0, false, 1, A).lost(3),
        dns(5000, false, 1, A),
        dns(5001, true, 1, A),
    ];
    assert_eq!(kinds(&repeated.map(Shot::path), 9000), []);
}

#[test]
fn race_of_connection_tracking_is_told_from_a_rule() {
    let asked = |function: &str| {
        let lost = dns(1, false, 2, AAAA).dropped(3, "NETFILTER_DROP", function);
        [
            translated(dns(0, false, 1, A)).path(),
            lost.to("10.96.0.10").path(),
        ]
    };
    insta::assert_snapshot!(shown(&asked("__nf_conntrack_confirm"), facts(), 1000));
    insta::assert_snapshot!(shown(&asked("nf_hook_slow"), facts(), 1000));
    assert_eq!(kinds(&asked("nft_do_chain"), 1000), [Kind::DnsUnanswered]);
}
