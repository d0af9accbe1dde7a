//! Events that podtrace could not deliver.
use podtrace_ebpf::record::Direction;
use serde::{Deserialize, Serialize};

/// Events lost since the last report of losses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Time of the report, nanoseconds of the clock of the events.
    pub ts_ns: u64,
    /// Events lost since the session began, these included.
    pub total: u64,
    /// Losses by tap, the most first.
    pub taps: Vec<TapLoss>,
}

/// The losses at one tap.
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
    /// The sum of both.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost_ring.saturating_add(self.undecodable)
    }
}

impl Loss {
    /// The tap's lost events.
    #[must_use]
    pub fn lost(&self) -> u64 {
        sum(&self.taps)
    }
}

/// Events lost at some taps.
#[must_use]
pub fn sum(taps: &[TapLoss]) -> u64 {
    taps.iter().map(TapLoss::lost).fold(0, u64::saturating_add)
}

/// How many records the kernel side has lost until a time; times are nanoseconds of
/// CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostBy {
    /// All losses until this time are among them.
    pub until_ns: u64,
    /// No loss after this time is among them.
    pub read_ns: u64,
    /// Number of records.
    pub records: u64,
}

/// Events that are missing since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Lost events.
    pub lost: u64,
    /// Events that a recording does not hold.
    pub not_recorded: u64,
}

/// Events lost between two times, nanoseconds of the clock of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostSpan {
    /// No event was lost before this time.
    pub from_ns: u64,
    /// No event was lost after this time.
    pub to_ns: u64,
    /// Number of events, 0 where that is not known.
    pub events: u64,
}

impl LostSpan {
    /// Changes both times.
    pub fn map_times(&mut self, map: impl Fn(u64) -> u64) {
        (self.from_ns, self.to_ns) = (map(self.from_ns), map(self.to_ns));
    }
}

/// A direction as its name.
mod by_name {
    use podtrace_ebpf::record::Direction;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::model::direction::direction_named;

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
    use super::*;

    #[test]
    fn recorded_losses_read_back_and_no_direction_is_made_up() {
        let loss = Loss {
            ts_ns: 7,
            total: 3,
            taps: vec![TapLoss {
                interface: 4,
                direction: Direction::Egress,
                lost_ring: 3,
                undecodable: 0,
            }],
        };
        let json = serde_json::to_string(&loss).unwrap();
        assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), loss);
        let other = json.replace("egress", "sideways");
        assert!(serde_json::from_str::<Loss>(&other).is_err());
    }
}
