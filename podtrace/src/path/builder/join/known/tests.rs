use super::*;

const UDP: Scope = Scope {
    netns: (0, 1),
    protocol: 17,
};

fn ends(from: u16, to: u16) -> Ends {
    Ends {
        source: "10.0.0.1".parse().unwrap(),
        destination: "10.0.0.2".parse().unwrap(),
        ports: Some((from, to)),
    }
}

/// The known translations, of ends.
#[derive(Default)]
struct OfEnds(Known);

impl OfEnds {
    fn learn(&mut self, before: Ends, after: Ends, ts_ns: u64) {
        let [before, after] = [before, after].map(|ends| self.0.flow(&ends));
        self.0.learn(UDP, before, after, ts_ns);
    }

    fn fit(&self, scope: Scope, before: Ends, after: Ends, now_ns: u64) -> Fit {
        let [before, after] = [before, after].map(|ends| self.0.flow(&ends));
        self.0.fit(scope, before, after, now_ns)
    }

    fn refute(&mut self, ends: Ends) {
        self.0.refute_flow(UDP, self.0.flow(&ends));
    }

    fn get(&self, ends: Ends, now_ns: u64) -> Option<&Translated> {
        self.0.get(UDP, self.0.flow(&ends), now_ns)
    }

    fn went_on(&self, ends: Ends, now_ns: u64) -> bool {
        self.get(ends, now_ns).is_some_and(|known| known.is_seen)
    }
}

#[test]
fn translation_stands_for_its_answers_too() {
    let mut known = OfEnds::default();
    known.learn(ends(1, 80), ends(1, 8080), 0);
    let fit = |scope, before, after| known.fit(scope, before, after, 1);
    assert!(fit(UDP, ends(1, 80), ends(1, 8080)) == Fit::Confirmed);
    let (answer, back) = (ends(1, 8080).reversed(), ends(1, 80).reversed());
    assert!(fit(UDP, answer, back) == Fit::Confirmed);
    assert!(fit(UDP, ends(1, 80), ends(1, 9090)) == Fit::Contradicted);
    assert!(fit(UDP, ends(2, 80), ends(1, 8080)) == Fit::Contradicted);
    assert!(fit(UDP, ends(2, 80), ends(2, 8080)) == Fit::Possible);
    let elsewhere = Scope {
        netns: (0, 2),
        ..UDP
    };
    let tcp = Scope { protocol: 6, ..UDP };
    for other in [elsewhere, tcp] {
        assert!(fit(other, ends(1, 80), ends(1, 8080)) == Fit::Possible);
    }
}

#[test]
fn translation_is_believed_for_a_while_after_its_last_packet() {
    let mut known = OfEnds::default();
    known.learn(ends(1, 80), ends(1, 8080), 0);
    known.learn(ends(1, 80), ends(1, 8080), 10);
    let is_known = |known: &OfEnds, ns| known.went_on(ends(1, 80), ns);
    // Events may come a little out of order.
    assert!(is_known(&known, 5));
    assert!(is_known(&known, BELIEVED_NS + 10));
    assert!(!is_known(&known, BELIEVED_NS + 11));
    let wrong = known.fit(UDP, ends(1, 80), ends(1, 9090), BELIEVED_NS + 11);
    assert!(wrong == Fit::Possible);
    // What is old makes room.
    known.learn(ends(2, 80), ends(2, 8080), BELIEVED_NS + 11);
    assert_eq!((known.0.translated.len(), known.0.order.len()), (2, 2));
}

#[test]
fn packet_that_was_not_translated_refutes_it_until_one_is_again() {
    let mut known = OfEnds::default();
    known.learn(ends(1, 80), ends(1, 8080), 0);
    known.refute(ends(1, 80));
    known.refute(ends(7, 7));
    assert!(!known.went_on(ends(1, 80), 1));
    known.learn(ends(1, 80), ends(1, 9090), 2);
    assert!(known.fit(UDP, ends(1, 80), ends(1, 9090), 3) == Fit::Confirmed);
    assert_eq!(known.0.order.len(), 3);
}

fn flow(before: Ends, after: Ends) -> TranslatedFlow {
    TranslatedFlow {
        protocol: UDP.protocol,
        before,
        after,
    }
}

#[test]
fn tracked_flow_is_known_by_each_of_its_steps_until_it_is_gone() {
    let mut known = OfEnds::default();
    let (before, after) = (ends(1, 80), ends(50, 8080));
    let between = ends(1, 8080);
    known.0.track(UDP.netns, &flow(before, after), 0);
    let fit = |known: &OfEnds, from, to| known.fit(UDP, from, to, 1);
    for (from, to) in [(before, after), (before, between), (between, after)] {
        assert!(fit(&known, from, to) == Fit::Confirmed);
        assert!(fit(&known, to.reversed(), from.reversed()) == Fit::Confirmed);
    }
    assert!(fit(&known, before, ends(1, 9090)) == Fit::Contradicted);
    // A process of the node may be the one that sends or receives.
    assert!(!known.went_on(after.reversed(), 1));
    // What was seen stays so.
    known.learn(before, after, 2);
    known.0.track(UDP.netns, &flow(before, after), 3);
    assert!(known.went_on(after.reversed(), 4));
    known.0.untrack(UDP.netns, &flow(before, after));
    assert!(fit(&known, before, after) == Fit::Possible);
    assert!(fit(&known, between, after) == Fit::Possible);
}

#[test]
fn flows_are_found_by_what_they_become_and_the_other_way_round() {
    let (before, after) = (ends(1, 80), ends(50, 8080));
    let between = ends(1, 8080);
    let mut tracked = OfEnds::default();
    tracked.0.track(UDP.netns, &flow(before, after), 0);
    let mut seen = OfEnds::default();
    seen.learn(before, between, 0);
    seen.learn(between, after, 0);
    for known in [tracked, seen] {
        let of = |ends: Ends| known.0.flow(&ends);
        let [before, between, after] = [before, between, after].map(of);
        let origins = |flow| known.0.origins(UDP, flow, 1);
        let targets = |flow| known.0.targets(UDP, flow, 1);
        assert_eq!(origins(after), [between, before]);
        assert_eq!(origins(between), [before]);
        assert_eq!(targets(before), [between, after]);
        assert_eq!(targets(between), [after]);
        let back = [between, after].map(Flow::reversed);
        assert_eq!(origins(before.reversed()), back);
        assert!(origins(before).is_empty() && targets(after).is_empty());
    }
}

#[test]
fn flow_that_has_taken_the_ports_is_not_gone_with_the_one_before() {
    let mut known = OfEnds::default();
    let (old, new) = (ends(1, 8080), ends(1, 9090));
    known.0.track(UDP.netns, &flow(ends(1, 80), old), 0);
    known.0.track(UDP.netns, &flow(ends(1, 80), new), 1);
    known.0.untrack(UDP.netns, &flow(ends(1, 80), old));
    assert!(known.fit(UDP, ends(1, 80), new, 2) == Fit::Confirmed);
    let answer = known.fit(UDP, old.reversed(), ends(1, 80).reversed(), 2);
    assert!(answer == Fit::Contradicted);
}

#[test]
fn the_one_translated_longest_ago_is_forgotten() {
    let mut known = OfEnds::default();
    for port in 0..=u16::MAX {
        known.learn(ends(port, 80), ends(port, 8080), u64::from(port));
    }
    assert_eq!(known.0.translated.len(), KNOWN_MAX);
    let now_ns = 1 << 16;
    known.learn(ends(0, 80), ends(0, 8080), now_ns);
    known.learn(ends(0, 90), ends(0, 9090), now_ns);
    assert_eq!(known.0.translated.len(), KNOWN_MAX);
    assert_eq!(known.0.order.len(), KNOWN_MAX);
    let is_known = |port| known.get(ends(port, 80), now_ns).is_some();
    assert_eq!([0, 1, 2].map(is_known), [true, false, true]);
}

/// The answers of what is translated at two hops are translated back at one.
#[test]
fn both_steps_stay_known_beside_the_answers_one() {
    let mut known = OfEnds::default();
    let (before, between, after) = (ends(1, 80), ends(1, 8080), ends(3, 8080));
    for round in 0..3 {
        known.learn(before, between, round * 10);
        known.learn(between, after, round * 10 + 1);
        known.learn(after.reversed(), before.reversed(), round * 10 + 2);
        let [before, between, after] = [before, between, after].map(|ends| known.0.flow(&ends));
        let origins = known.0.origins(UDP, after, round * 10 + 3);
        assert!(origins.contains(&between) && origins.contains(&before));
        let targets = known.0.targets(UDP, before, round * 10 + 3);
        assert!(targets.contains(&between) && targets.contains(&after));
    }
}
