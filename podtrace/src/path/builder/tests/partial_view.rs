//! Packets that disappear while not everything is seen.
use super::*;

#[test]
fn absent_packet_is_not_missing_in_a_partial_view() {
    let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
    builder.set_partial_view();
    builder.expire(600_000_000);
    assert_eq!(finished(&mut builder)[0].outcome, Outcome::Unknown);
}

#[test]
fn absent_packet_is_not_missing_while_attaching() {
    const MS: u64 = 1_000_000;
    for (from_ns, until_ns, outcome, incomplete) in [
        (0, None, Outcome::Unknown, true),
        (0, Some(MS), Outcome::Unknown, true),
        (400 * MS, None, Outcome::Unknown, true),
        (400 * MS, Some(500 * MS), Outcome::Unknown, true),
        (700 * MS, None, Outcome::NotSeenFurther, false),
        (700 * MS, Some(900 * MS), Outcome::NotSeenFurther, false),
    ] {
        let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
        builder.begin_partial_view(7, from_ns, false);
        if let Some(until_ns) = until_ns {
            builder.end_partial_view(7, until_ns);
        }
        builder.expire(600 * MS);
        let path = finished(&mut builder).remove(0);
        assert_eq!((path.outcome, path.incomplete), (outcome, incomplete));
    }
}

/// Its socket may not have been watched.
#[test]
fn packet_that_arrived_is_refused_by_no_socket_in_a_blind_view() {
    const MS: u64 = 1_000_000;
    for (is_blind, until_ns, outcome) in [
        (true, None, Outcome::Unknown),
        (true, Some(MS), Outcome::Unknown),
        (false, None, Outcome::NoSocket),
    ] {
        let mut builder = join_hops("10.244.1.3", &TO_POD2[..4]);
        builder.begin_partial_view(7, 0, is_blind);
        if let Some(until_ns) = until_ns {
            builder.end_blind_view(7, until_ns);
        }
        builder.expire(600 * MS);
        let path = finished(&mut builder).remove(0);
        assert_eq!((path.outcome, path.incomplete), (outcome, true));
    }
}

#[test]
fn absent_packet_is_not_missing_if_events_came_too_late() {
    let begin_ns = TO_POD2[0].0;
    let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
    builder.record_late(begin_ns, begin_ns + 2_000_000);
    builder.expire(600_000_000);
    let path = finished(&mut builder).remove(0);
    assert_eq!((path.outcome, path.incomplete), (Outcome::Unknown, true));
}

#[test]
fn packet_under_way_at_the_end_is_in_flight() {
    let mut builder = join_hops("10.244.1.3", &TO_POD2[..3]);
    builder.finish();
    assert_eq!(finished(&mut builder)[0].outcome, Outcome::InFlight);
}

/// No interface of another tool's capture shows where a packet ends, at its end no less than
/// before.
#[test]
fn end_of_a_capture_makes_nothing_incomplete() {
    let mut world = world();
    let mut point = world.tap_points.get(CNI0).unwrap().clone();
    point.role = Role::Capture;
    world.tap_points.set(CNI0, point);
    let mut builder = Builder::new(TIMEOUT_NS);
    for (ts_ns, reply) in [(1_000, false), (64_000, true)] {
        let mut packet = packet("10.244.1.3");
        packet.transport = Transport::Echo {
            reply,
            id: 1,
            sequence: 1,
        };
        if let (true, Network::Ip(ip)) = (reply, &mut packet.network) {
            std::mem::swap(&mut ip.source, &mut ip.destination);
        }
        builder.push(&event(ts_ns, CNI0, Direction::Unknown, &packet), &world);
    }
    builder.finish();
    let paths = finished(&mut builder);
    let ends = paths.iter().map(|path| (path.outcome, path.incomplete));
    assert_eq!(ends.collect::<Vec<_>>(), [(Outcome::Unknown, false); 2]);
    let trip = paths[1].round_trip.as_ref().unwrap();
    assert_eq!((trip.total_ns(), trip.is_whole), (63_000, true));
}

/// Of several recordings, one has only some packets: what left for its node may be none of them.
#[test]
fn path_is_unrecorded_where_nothing_else_hides_its_hops() {
    for (is_selected, is_unwatched) in [(true, false), (true, true), (false, false)] {
        let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
        builder.set_partial_view();
        if is_selected {
            builder.set_selected();
        }
        if is_unwatched {
            builder.begin_partial_view(7, 0, false);
        }
        builder.expire(600_000_000);
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.outcome, Outcome::Unknown);
        assert_eq!(path.is_unrecorded, is_selected && !is_unwatched);
    }
}

/// What is wrong with a path for several reasons is so for each of them.
#[test]
fn path_is_unwatched_where_nothing_else_hides_its_hops() {
    let begin_ns = TO_POD2[0].0;
    let is_unwatched = |change: fn(&mut Builder, u64)| {
        let mut builder = join_hops("10.244.1.3", &TO_POD2[..2]);
        change(&mut builder, begin_ns);
        builder.expire(600_000_000);
        let path = finished(&mut builder).remove(0);
        assert_eq!(path.outcome, Outcome::Unknown);
        path.is_unwatched
    };
    assert!(is_unwatched(|builder, _| {
        builder.begin_partial_view(7, 0, false);
    }));
    assert!(!is_unwatched(|builder, begin_ns| {
        builder.begin_partial_view(7, 0, false);
        builder.record_late(begin_ns, begin_ns + 2_000_000);
    }));
    assert!(!is_unwatched(|builder, _| builder.set_partial_view()));
}
