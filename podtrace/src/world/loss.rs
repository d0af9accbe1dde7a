//! Describes losses in words: how many events, and where.
use std::fmt::Write as _;

use super::World;
use crate::{
    model::loss::{Loss, TapLoss, sum},
    text::{count::counted, sanitize::sanitize},
};

/// Upper bound of the taps named in one line.
const TAPS_NAMED: usize = 3;

impl World {
    /// A loss in one line: how many events, why, and where most.
    #[must_use]
    pub fn loss_in_words(&self, loss: &Loss) -> String {
        let undecodable: u64 = loss.taps.iter().map(|tap| tap.undecodable).sum();
        let why = match undecodable {
            0 => "a CPU's ring was full (--buffer makes it larger)".to_owned(),
            all if all == loss.lost() => "their records could not be read".to_owned(),
            some => format!("a CPU's ring was full, and {some} records could not be read"),
        };
        let mut words = format!("{} lost, {why}: ", counted(loss.lost(), "event"));
        let (named, others) = loss.taps.split_at(loss.taps.len().min(TAPS_NAMED));
        for (number, tap) in named.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(words, "{comma}{} at {}", tap.lost(), point(tap, self));
        }
        if !others.is_empty() {
            let _ = write!(words, ", {} at {} others", sum(others), others.len());
        }
        let _ = write!(words, "; {} in all", loss.total);
        sanitize(&words)
    }
}

/// `default/mypod1 eth0 egress`
fn point(tap: &TapLoss, world: &World) -> String {
    match world.tap_points.get(tap.interface) {
        Some(point) => {
            let owner = world.owner_of(point);
            format!("{owner} {} {}", point.name, tap.direction.as_str())
        }
        None => "an unknown interface".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use podtrace_ebpf::record::Direction::{self, Egress, Ingress};

    use super::*;
    use crate::world::fixture::world;

    fn tap(interface: u32, direction: Direction, lost_ring: u64) -> TapLoss {
        TapLoss {
            interface,
            direction,
            lost_ring,
            undecodable: 0,
        }
    }

    #[test]
    fn most_lossy_taps_are_named_and_the_others_added_up() {
        let taps = vec![
            tap(0, Egress, 40),
            tap(1, Ingress, 30),
            tap(9, Ingress, 20),
            tap(2, Egress, 7),
            tap(3, Ingress, 3),
        ];
        let mut loss = Loss {
            ts_ns: 1,
            total: 250,
            taps,
        };
        insta::assert_snapshot!(world().loss_in_words(&loss), @"100 events lost, a CPU's ring was full (--buffer makes it larger): 40 at default/mypod1 eth0 egress, 30 at worker1 veth1 ingress, 20 at an unknown interface, 10 at 2 others; 250 in all");
        loss.taps.truncate(1);
        loss.taps[0].undecodable = 2;
        insta::assert_snapshot!(world().loss_in_words(&loss), @"42 events lost, a CPU's ring was full, and 2 records could not be read: 42 at default/mypod1 eth0 egress; 250 in all");
    }
}
