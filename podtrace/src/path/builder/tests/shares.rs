//! Sessions that trace different shares of the packets.
use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
/// How long the hops of a packet are looked at.
const END_NS: u64 = 600 * MS;

#[test]
fn absent_packet_is_not_missing_where_a_session_traced_less() {
    for (common, steps, outcome) in [
        (Some(1), &[(4, 0)][..], Outcome::Unknown),
        // It was under way when that changed.
        (Some(1), &[(4, 1300 * MS)], Outcome::EventsLost),
        (Some(1), &[(4, 0), (1, 1300 * MS)], Outcome::EventsLost),
        (Some(1), &[(4, 1700 * MS)], Outcome::NotSeenFurther),
        (Some(1), &[(4, 0), (1, 900 * MS)], Outcome::NotSeenFurther),
        (Some(4), &[(4, 0)], Outcome::NotSeenFurther),
        (Some(4), &[(5, 0)], Outcome::Unknown),
        // All taps of one session have the same share.
        (None, &[(4, 0)], Outcome::NotSeenFurther),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        if let Some(common) = common {
            builder.set_common_share(common);
        }
        for (share, ts_ns) in steps {
            builder.record_sampling(7, *share, (*ts_ns, *ts_ns));
        }
        let path = absent(&mut builder);
        assert_eq!(path.outcome, outcome, "{common:?} {steps:?}");
        // No interface was unwatched.
        assert!(!path.is_unwatched);
    }
}

/// The path of a packet that is seen for the last time a second after the begin.
fn absent(builder: &mut Builder) -> Path {
    let (world, packet) = (world(), packet("10.244.1.3"));
    for (ts_ns, interface, direction) in &TO_POD2[..2] {
        let event = event(1000 * MS + ts_ns, *interface, *direction, &packet);
        builder.push(&event, &world);
    }
    builder.expire(1000 * MS + END_NS);
    finished(builder).remove(0)
}

#[test]
fn verdicts_come_back_once_all_sessions_trace_all() {
    let back_ns = [300 * MS, 400 * MS];
    for (returning, outcome) in [
        (0..2, Outcome::NotSeenFurther),
        (0..1, Outcome::Unknown),
        (1..2, Outcome::Unknown),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.set_common_share(1);
        builder.record_sampling(0, 8, (MS, MS));
        builder.record_sampling(1, 2, (MS, MS));
        for session in returning {
            let ts_ns = back_ns[session];
            builder.record_sampling(session, 1, (ts_ns, ts_ns + MS));
        }
        let least = [0, 1, 2].map(|session| builder.least_share(session));
        assert_eq!(least, [8, 2, 1]);
        assert_eq!(absent(&mut builder).outcome, outcome);
    }
}

/// The share of a session at a time.
fn share_at(steps: &[(u32, u64)], ts_ns: u64) -> u32 {
    let before = steps.iter().rfind(|(_, from_ns)| *from_ns <= ts_ns);
    before.map_or(1, |(share, _)| *share)
}

fn steps() -> impl Strategy<Value = Vec<(u32, u64)>> {
    let step = (1u32..5, 0u64..8000);
    proptest::collection::vec(step, 0..4).prop_map(|mut steps| {
        steps.sort_by_key(|(_, from_ns)| *from_ns);
        steps
    })
}

proptest! {
    /// A packet that arrives, of which each of two sessions traces what its share takes.
    #[test]
    fn packets_that_one_session_passes_over_are_never_lost(
        digest in any::<u32>(), sessions in [steps(), steps()], cut in 0usize..=TO_POD2.len(),
    ) {
        let is_taken = |number: usize, ts_ns: u64| {
            let session = &sessions[usize::from(number >= cut)];
            digest <= u32::MAX / share_at(session, ts_ns)
        };
        let taken = TO_POD2.iter().enumerate();
        let taken: Vec<_> = taken
            .filter(|(number, (ts_ns, ..))| is_taken(*number, *ts_ns))
            .map(|(_, hop)| *hop)
            .collect();
        let mut builder = join_hops("10.244.1.3", &taken);
        builder.set_common_share(1);
        for (session, steps) in sessions.iter().enumerate() {
            for (share, ts_ns) in steps {
                builder.record_sampling(session, *share, (*ts_ns, *ts_ns));
            }
        }
        builder.expire(END_NS);
        for path in finished(&mut builder) {
            let is_whole = path.hops.len() == TO_POD2.len();
            let may_be = match path.outcome {
                Outcome::Delivered => true,
                Outcome::Unknown | Outcome::EventsLost => !is_whole,
                _ => false,
            };
            prop_assert!(may_be, "{:?} of {} hops", path.outcome, path.hops.len());
            prop_assert!(is_whole || path.incomplete || builder.may_lack(&path));
        }
    }
}
