//! Losses as they happen: how many events, and where.
use std::fmt::Write as _;

use podtrace_ebpf::record::Direction;
use serde::{Deserialize, Serialize};

use crate::{text::sanitize::sanitize, world::World};

/// Taps named in one line at most.
const TAPS_NAMED: usize = 3;

/// Events lost since losses were last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// When it was told, nanoseconds of the clock of the events.
    pub ts_ns: u64,
    /// Events lost since the session began, these included.
    pub total: u64,
    /// Where, the most first.
    pub taps: Vec<TapLoss>,
}

/// What was lost at one tap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapLoss {
    /// Number of the interface.
    pub interface: u32,
    /// Direction of the tap.
    #[serde(with = "by_name")]
    pub direction: Direction,
    /// Packets for which their CPU's ring had no room.
    pub lost_ring: u64,
    /// Records that could not be read.
    pub undecodable: u64,
}

impl TapLoss {
    /// Both.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost_ring.saturating_add(self.undecodable)
    }
}

impl Loss {
    /// Its events.
    #[must_use]
    pub fn lost(&self) -> u64 {
        sum(&self.taps)
    }

    /// In one line: how many, why, and where most.
    #[must_use]
    pub fn in_words(&self, world: &World) -> String {
        let undecodable: u64 = self.taps.iter().map(|tap| tap.undecodable).sum();
        let why = match undecodable {
            0 => "a CPU's ring was full (--buffer makes it larger)".to_owned(),
            all if all == self.lost() => "their records could not be read".to_owned(),
            some => format!("a CPU's ring was full, and {some} records could not be read"),
        };
        let mut words = format!("{} events lost, {why}: ", self.lost());
        let (named, others) = self.taps.split_at(self.taps.len().min(TAPS_NAMED));
        for (number, tap) in named.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(words, "{comma}{} at {}", tap.lost(), place(tap, world));
        }
        if !others.is_empty() {
            let _ = write!(words, ", {} at {} others", sum(others), others.len());
        }
        let _ = write!(words, "; {} in all", self.total);
        sanitize(&words)
    }
}

fn sum(taps: &[TapLoss]) -> u64 {
    taps.iter().map(TapLoss::lost).fold(0, u64::saturating_add)
}

/// `default/mypod1 eth0 egress`
fn place(tap: &TapLoss, world: &World) -> String {
    match world.places.get(tap.interface) {
        Some(place) => {
            let owner = place.owner(&world.directory);
            format!("{owner} {} {}", place.name, tap.direction.as_str())
        }
        None => "an unknown interface".to_owned(),
    }
}

/// A direction as its name.
mod by_name {
    use podtrace_ebpf::record::Direction;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::session::format::direction_named;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature serde asks for"
    )]
    pub(super) fn serialize<S: Serializer>(
        direction: &Direction,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(direction.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Direction, D::Error> {
        let name = String::deserialize(deserializer)?;
        direction_named(&name).ok_or_else(|| D::Error::custom("no such direction"))
    }
}

#[cfg(test)]
mod tests {
    use podtrace_ebpf::record::Direction::{Egress, Ingress};

    use super::*;
    use crate::path::builder::tests::world;

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
        insta::assert_snapshot!(loss.in_words(&world()), @"100 events lost, a CPU's ring was full (--buffer makes it larger): 40 at default/mypod1 eth0 egress, 30 at worker1 veth1 ingress, 20 at an unknown interface, 10 at 2 others; 250 in all");
        loss.taps.truncate(1);
        loss.taps[0].undecodable = 2;
        insta::assert_snapshot!(loss.in_words(&world()), @"42 events lost, a CPU's ring was full, and 2 records could not be read: 42 at default/mypod1 eth0 egress; 250 in all");
    }

    #[test]
    fn recorded_losses_read_back_and_no_direction_is_made_up() {
        let loss = Loss {
            ts_ns: 7,
            total: 3,
            taps: vec![tap(4, Egress, 3)],
        };
        let json = serde_json::to_string(&loss).unwrap();
        assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), loss);
        let other = json.replace("egress", "sideways");
        assert!(serde_json::from_str::<Loss>(&other).is_err());
    }
}
