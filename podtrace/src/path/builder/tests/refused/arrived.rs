//! Receivers that refuse what has reached them, where no tap tells of sockets.
use super::*;
use crate::{path::summary::Summary, world::fixture::leave_sockets};

/// A world in which no sockets are watched.
fn blind() -> World {
    let mut world = world();
    leave_sockets(&mut world);
    world
}

/// A datagram that the second pod refuses once its path has ended, and was shown or not.
#[test]
fn datagram_that_is_refused_after_it_has_arrived_says_so() {
    let world = blind();
    for is_shown in [false, true] {
        let datagram = packet("10.244.1.3");
        let mut builder = Builder::new(TIMEOUT_NS);
        push(&mut builder, &world, &datagram, 1000, &THROUGH);
        let mut path = builder.take_only_finished().unwrap();
        assert_eq!(path.outcome, Outcome::Delivered);
        let mut summary = Summary::default();
        if is_shown {
            builder.amend(&mut path, &world);
            summary.count(&path, None);
            builder.keep(path.clone());
        }
        let answer = error("10.244.1.3", NO_PORT, &datagram);
        push(&mut builder, &world, &answer, 2000, &BACK);
        builder.expire(SECOND);
        let paths = finished(&mut builder);
        assert!(paths.iter().any(|path| path.about == Some(1)));
        let refused = if is_shown {
            paths
                .into_iter()
                .find(|path| path.late_of.is_some())
                .unwrap()
        } else {
            builder.amend(&mut path, &world);
            *path
        };
        summary.count(&refused, refused.late_of);
        assert_eq!((summary.packets, summary.outcomes[0]), (1, 1));
        assert_eq!(
            (refused.outcome, refused.hops.len()),
            (Outcome::Delivered, 4)
        );
        let refusal = refused.refusal.as_deref().unwrap();
        assert_eq!(refusal.reason, Reason::Icmp(NO_PORT));
        assert_eq!(
            refused.late_of.map(|before| before.id),
            is_shown.then_some(1)
        );
        // Once is enough.
        push(&mut builder, &world, &answer, 3000, &BACK);
        builder.expire(2 * SECOND);
        assert!(
            finished(&mut builder)
                .iter()
                .all(|path| path.late_of.is_none())
        );
    }
}

/// A socket took it, or the answer is of another.
#[test]
fn datagram_that_was_taken_is_not_refused_once_it_was_shown() {
    let there = [&THROUGH[..], &[(POD2, Socket)]].concat();
    for (world, taps, back) in [
        (world(), &there[..], &BACK[..]),
        (blind(), &THROUGH[..], &TO_POD1[..]),
    ] {
        let datagram = packet("10.244.1.3");
        let mut builder = Builder::new(TIMEOUT_NS);
        push(&mut builder, &world, &datagram, 1000, taps);
        let path = builder.take_only_finished().unwrap();
        assert_eq!(path.outcome, Outcome::Delivered);
        builder.keep(path);
        let answer = error("10.244.1.3", NO_PORT, &datagram);
        push(&mut builder, &world, &answer, 2000, back);
        builder.expire(SECOND);
        assert!(
            finished(&mut builder)
                .iter()
                .all(|path| path.late_of.is_none())
        );
    }
}
