use super::*;
use crate::{
    model::{loss::Missing, tap::TapCounts},
    path::{LateOf, Outcome},
    rules::fixture::healthy,
    verdict::tests::roads::{road, world},
};

fn tick(metrics: &mut Metrics, now_ns: u64, world: &World) -> String {
    let mut taps = TapCounts::new();
    let tap = taps.entry((0, Direction::Egress)).or_default();
    (tap.seen, tap.emitted) = (9, 9);
    let tick = Tick {
        now_ns,
        missing: Missing::default(),
        taps: &taps,
    };
    assert!(metrics.on_tick(&tick, world).is_empty());
    metrics.source(None).text()
}

#[test]
fn paths_are_counted_by_outcome_and_cause() {
    let mut facts = healthy();
    facts[0].spaces[0].tables.fdb.clear();
    let (world, mut metrics) = (world(facts), Metrics::default());
    let lost = road(4).path();
    metrics.on_path(&lost, &world);
    let again = Path {
        late_of: Some(LateOf::of(&lost)),
        outcome: Outcome::Delivered,
        ..road(10).path()
    };
    metrics.on_path(&again, &world);
    let page = tick(&mut metrics, SECOND_NS, &world);
    for line in [
        "podtrace_paths_total{outcome=\"not_seen_further\",cause=\"no_forwarding_entry\"} 1\n",
        "podtrace_paths_corrected_total{outcome=\"not_seen_further\"} 1\n",
        "podtrace_paths_total{outcome=\"delivered\",cause=\"\"} 1\n",
        "podtrace_events_seen_total 9\n",
    ] {
        assert!(page.contains(line), "{line}{page}");
    }
    // Each hop is measured once.
    let hops = metrics.counts.hops.each();
    let measured: u64 = hops.map(|(_, histogram)| histogram.count()).sum();
    assert_eq!(measured, 9);
    assert!(page.contains("namespace=\"default\",workload=\"\",from=\"pod\",to=\"veth\""));
}

#[test]
fn causes_are_bounded_by_second() {
    let (world, mut metrics) = (world(healthy()), Metrics::default());
    let more = 3;
    let lose = |metrics: &mut Metrics| {
        for _ in 0..VERDICTS + more {
            metrics.on_path(&road(4).path(), &world);
        }
    };
    let not_judged = |metrics: &Metrics| {
        let caused = metrics.counts.caused.iter();
        let caused = caused.filter(|((_, cause), _)| *cause == NOT_JUDGED);
        caused.map(|(_, count)| *count).sum::<u64>()
    };
    lose(&mut metrics);
    assert_eq!(not_judged(&metrics), u64::from(more));
    tick(&mut metrics, SECOND_NS, &world);
    lose(&mut metrics);
    assert_eq!(not_judged(&metrics), u64::from(2 * more));
}

/// What has left for another node is judged where that node is known, and else takes no time from
/// what is.
#[test]
fn only_what_facts_can_explain_is_judged() {
    let mut facts = healthy();
    for entry in &mut facts[0].spaces[0].tables.fdb {
        entry.vtep = entry.vtep.map(|_| [192, 168, 77, 99].into());
    }
    let known = world(facts.clone());
    facts.truncate(1);
    let alone = world(facts);
    let lost = road(5).left("192.168.77.99").path();
    for (world, spent, cause) in [(&known, 1, "wrong_vtep"), (&alone, 0, "")] {
        let mut metrics = Metrics::default();
        metrics.on_path(&lost, world);
        assert_eq!(VERDICTS - metrics.verdicts, spent);
        let page = tick(&mut metrics, SECOND_NS, world);
        let line = format!("{{outcome=\"left_for_vtep\",cause=\"{cause}\"}} 1\n");
        assert!(page.contains(&line), "{line}{page}");
    }
}

#[test]
fn others_see_states_of_ticks() {
    let (world, mut metrics) = (world(healthy()), Metrics::default());
    let before = tick(&mut metrics, SECOND_NS, &world);
    metrics.on_path(&road(5).path(), &world);
    assert_eq!(tick(&mut metrics, SECOND_NS + 1, &world), before);
    assert_ne!(tick(&mut metrics, SECOND_NS + PUBLISH_NS, &world), before);
}
