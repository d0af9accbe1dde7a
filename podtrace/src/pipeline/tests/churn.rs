//! A long day: pods come and go by the tens of thousands.
use std::collections::BTreeMap;

use podtrace_ebpf::{
    config::{Counters, TapCounters},
    record::Direction,
};

use super::{pipeline, point};
use crate::{
    model::{tap::TapCount, tap_point::Role},
    pipeline::{OTHERS, removed::REMOVED_MAX},
    update::Update,
};

/// Pods that come and go.
const PODS: u32 = 20_000;

fn counted() -> TapCounters {
    let mut counters = TapCounters::default();
    counters[Direction::Ingress as usize] = Counters {
        seen: 5,
        filtered: 3,
        lost: 2,
    };
    counters
}

#[test]
fn retired_interfaces_leave_sums_only() {
    let (mut pipeline, origin) = pipeline();
    let there = pipeline.world().tap_points.next_number();
    let uplink = point("eth0", Role::Uplink);
    let update = |number, point| Update::TapPoint { number, point };
    pipeline.apply(&origin, &update(there, uplink));
    for pod in 0..PODS {
        let number = pipeline.world().tap_points.next_number();
        pipeline.apply(&origin, &update(number, point("veth1", Role::Veth)));
        pipeline.apply(&origin, &Update::Removed { number });
        // The counters come once more after its removal.
        let counters = BTreeMap::from([(there, counted()), (number, counted())]);
        let now_ns = u64::from(pod) * 1_000_000;
        pipeline.count(&counters);
        pipeline.tick(now_ns);
        assert!(pipeline.taps.len() <= 4 * (REMOVED_MAX + 2));
    }
    let tap_points = &pipeline.world().tap_points;
    let named = (0..tap_points.next_number()).filter(|number| tap_points.get(*number).is_some());
    assert_eq!(named.count(), REMOVED_MAX + 1);
    assert!(tap_points.get(there).is_some());
    let expected = u64::from(PODS) - REMOVED_MAX as u64;
    let others = pipeline.taps[&(OTHERS, Direction::Ingress)];
    let sums = TapCount {
        seen: 5 * expected,
        filtered: 3 * expected,
        lost_ring: 2 * expected,
        ..TapCount::default()
    };
    assert_eq!(others, sums);
    // Counters of a retired interface do not count twice.
    let late = BTreeMap::from([(there + 1, counted())]);
    pipeline.count(&late);
    pipeline.tick(u64::MAX / 2);
    let total = pipeline.finish(&late, 1).total();
    assert_eq!(total.seen, 5 * u64::from(PODS + 1));
    assert!(total.is_conserved());
}
