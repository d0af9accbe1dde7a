//! Only paths that may lack hops are marked.
use super::*;

const MS: u64 = 1_000_000;

/// The hops of a packet to the other pod, begun at that time.
fn to_pod2(begin_ns: u64) -> [(u64, u32, Direction); 5] {
    TO_POD2.map(|(ts, interface, direction)| (begin_ns + ts, interface, direction))
}

#[test]
fn absent_packet_is_missing_only_if_no_event_was_lost() {
    let seen = &to_pod2(100 * MS)[..2];
    for (lost, expected) in [
        (None, Outcome::NotSeenFurther),
        (Some((10 * MS, 70 * MS)), Outcome::NotSeenFurther),
        // Its first hops may be missing.
        (Some((10 * MS, 99 * MS)), Outcome::EventsLost),
        (Some((101 * MS, 101 * MS)), Outcome::EventsLost),
        (Some((550 * MS, 560 * MS)), Outcome::EventsLost),
        (Some((650 * MS, 660 * MS)), Outcome::NotSeenFurther),
    ] {
        let mut builder = join_hops("10.244.1.3", seen);
        builder.expire(400 * MS);
        assert!(finished(&mut builder).is_empty());
        if let Some((from_ns, to_ns)) = lost {
            builder.record_loss(from_ns, to_ns);
        }
        builder.expire(610 * MS);
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.outcome, expected, "{lost:?}");
        assert_eq!(path.incomplete, expected == Outcome::EventsLost);
    }
}

/// The lost event may be that of the socket.
#[test]
fn packet_that_arrived_while_events_were_lost_may_have_reached_its_socket() {
    for (lost, outcome) in [
        ((10 * MS, 20 * MS), Outcome::NoSocket),
        ((101 * MS, 102 * MS), Outcome::EventsLost),
    ] {
        let mut builder = join_hops("10.244.1.3", &to_pod2(100 * MS)[..4]);
        builder.record_loss(lost.0, lost.1);
        builder.expire(130 * MS);
        assert_eq!(finished(&mut builder)[0].outcome, outcome, "{lost:?}");
    }
}

#[test]
fn packet_that_arrives_while_events_are_lost_may_lack_hops() {
    for (lost, lacks) in [
        ((50 * MS, 70 * MS), false),
        ((50 * MS, 95 * MS), true),
        ((100 * MS + 2500, 100 * MS + 2600), true),
        ((101 * MS, 102 * MS), false),
    ] {
        // The loss may become known only later.
        let mut builder = join_hops("10.244.1.3", &to_pod2(100 * MS));
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.outcome, Outcome::Delivered);
        assert!(!builder.may_lack(&path));
        builder.record_loss(lost.0, lost.1);
        assert_eq!(builder.may_lack(&path), lacks, "{lost:?}");
        // Expiring paths does not forget it too early.
        builder.expire(200 * MS);
        assert_eq!(builder.may_lack(&path), lacks);
    }
}
