use super::*;
use crate::session::format::Tick;

const BEGIN_NS: u64 = 1_790_000_000_000_000_000;
const AHEAD_NS: u64 = 5_000_000;

/// Something goes there and back, each in so many nanoseconds.
fn tell(clocks: &Clocks, at_ns: u64, takes_ns: u64) {
    let there = at_ns + takes_ns;
    let messages = clocks.messages();
    messages.record((0, 1), [at_ns, there + AHEAD_NS]);
    messages.record((1, 0), [there + AHEAD_NS, there + takes_ns]);
}

#[test]
fn what_does_not_fit_is_measured_at_once() {
    let mut clocks = Clocks::live(2);
    tell(&clocks, BEGIN_NS, 100_000);
    assert!(clocks.solve_if_due().is_some());
    assert!(clocks.solve_if_due().is_none());
    // A burst, more than what settles the clocks.
    for number in 0..SETTLED {
        tell(&clocks, BEGIN_NS + (1 + number) * 1_000_000, 10_000);
    }
    assert!(clocks.solve_if_due().is_some());
    // What the clocks fit can wait.
    tell(&clocks, BEGIN_NS + 500_000_000, 50_000);
    assert!(clocks.solve_if_due().is_none());
    // The other clock goes faster: what comes from there arrives too early by this one.
    let messages = clocks.messages();
    let now_ns = BEGIN_NS + 2_000_000_000;
    messages.record((1, 0), [now_ns + AHEAD_NS + 300_000, now_ns + 1_000]);
    assert!(clocks.solve_if_due().is_some());
}

fn tick(now_ns: u64) -> Item {
    Item::Tick(Tick {
        now_ns,
        lost: 0,
        not_recorded: 0,
    })
}

const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn clock_of_a_session_that_is_read_late_does_not_contradict_it() {
    let clocks = Clocks::live(1);
    assert!(!clocks.contradicts(0, BEGIN_NS));
    let mut watch = clocks.watch(0);
    watch(&tick(BEGIN_NS), None);
    // Nothing more was taken meanwhile.
    assert!(!clocks.contradicts(0, BEGIN_NS + 30 * SECOND_NS));
    assert!(clocks.contradicts(0, BEGIN_NS + 90 * SECOND_NS));
    watch(&tick(BEGIN_NS + 20 * SECOND_NS), None);
    assert!(!clocks.contradicts(0, BEGIN_NS + 15 * SECOND_NS));
    assert!(clocks.contradicts(0, BEGIN_NS + 5 * SECOND_NS));
    assert!(!clocks.is_ahead(0));
}

#[test]
fn times_that_have_not_come_are_told() {
    let clocks = Clocks::live(1);
    let mut watch = clocks.watch(0);
    watch(&tick(BEGIN_NS), None);
    watch(&tick(BEGIN_NS + 90 * SECOND_NS), None);
    assert!(clocks.is_ahead(0));
    assert_eq!(clocks.reached(), [BEGIN_NS]);
}

#[cfg(feature = "cluster")]
#[test]
fn what_has_waited_is_read_at_once() {
    let clocks = Clocks::queued(1);
    let mut watch = clocks.watch(0);
    watch(&tick(BEGIN_NS), None);
    watch(&tick(BEGIN_NS + 3600 * SECOND_NS), None);
    assert!(!clocks.is_ahead(0));
}
