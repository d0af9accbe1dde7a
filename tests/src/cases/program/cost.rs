//! What a packet costs in the kernel, beside a bare tap that takes the time,
//! reserves 128 bytes, copies 96 and submits.
//!
//! Ratios of medians of one run, in turns: what a busy machine does to one
//! program it does to the others.

use podtrace::lab::plan::VXLAN_PORT;
use podtrace_ebpf::config::{PROGRAM_BARE, PROGRAM_INGRESS, PROGRAM_NOOP};

use super::{Bench, sampling::numbered};
use crate::{
    frames::in_vxlan,
    yardstick::{BARE_BYTES, Yardsticks},
};

const ROUNDS: usize = 15;
const RUNS: u32 = 10_000;

/// Of what a bare tap takes over a program that does nothing, in percent.
const CAPTURED_MAX: u128 = 150;
const REFUSED_MAX: u128 = 50;

/// What our program takes for each frame, in percent of the bare tap.
fn measure(bench: &mut Bench, frames: &[(&str, &[u8])]) -> Vec<u128> {
    let _yardsticks = Yardsticks::load(&mut bench.probe).unwrap();
    let first = frames[0].1;
    let mut rows = vec![
        ("no-op", PROGRAM_NOOP, first),
        ("bare tap", PROGRAM_BARE, first),
    ];
    let ours = frames
        .iter()
        .map(|(name, frame)| (*name, PROGRAM_INGRESS, *frame));
    rows.extend(ours);
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for ((_, program, frame), times) in rows.iter().zip(&mut times) {
            times.push(bench.run(program, frame, RUNS).as_nanos());
        }
    }
    let medians: Vec<_> = times.iter_mut().map(|times| median(times)).collect();
    let over = |ns: u128| ns.saturating_sub(medians[0]);
    let bare = over(medians[1]).max(1);
    let percent: Vec<_> = medians.iter().map(|ns| over(*ns) * 100 / bare).collect();
    for ((name, ..), (ns, percent)) in rows.iter().zip(medians.iter().zip(&percent)) {
        eprintln!("{name}: {ns} ns a packet, {percent}% of the bare tap over no-op");
    }
    percent[2..].to_vec()
}

fn median(times: &mut [u128]) -> u128 {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn captured_packet_costs_little_more_than_a_bare_tap() {
    let mut bench = Bench::new(160, 2 * BARE_BYTES);
    let short = numbered(1);
    let percent = measure(&mut bench, &[("captured", &short)]);
    assert!(percent[0] <= CAPTURED_MAX, "{percent:?}");
    let (_, [ingress, ..]) = bench.finish();
    assert_eq!(ingress.seen, ROUNDS as u64 * u64::from(RUNS));
    assert_eq!(ingress.lost, 0);
}

#[test]
fn refused_packet_costs_half_a_bare_tap_at_most() {
    let mut bench = Bench::new(160, 2 * BARE_BYTES);
    bench.probe.set_vxlan_ports(&[VXLAN_PORT]).unwrap();
    bench.probe.sample(0).unwrap();
    let plain = numbered(1);
    let inside = in_vxlan(&plain);
    let frames: [(_, &[u8]); 2] = [("refused", &plain), ("refused in a tunnel", &inside)];
    let percent = measure(&mut bench, &frames);
    assert!(
        percent.iter().all(|percent| *percent <= REFUSED_MAX),
        "{percent:?}"
    );
    let (_, [ingress, ..]) = bench.finish();
    assert_eq!(ingress.seen, 2 * ROUNDS as u64 * u64::from(RUNS));
    assert_eq!(ingress.filtered, ingress.seen);
}
