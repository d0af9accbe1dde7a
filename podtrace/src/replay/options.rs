//! The selection of files and parts of them.
use std::{path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp, civil::Time, tz::TimeZone};

use crate::{clock::nanos, model::tap_name::TapName, packet::VxlanPorts, pipeline::Asked};

/// The files to read, and the part of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlayerOptions {
    /// Files, directories, or standard input.
    pub(crate) files: Vec<PathBuf>,
    /// Patterns of the interfaces; none for all.
    pub(crate) interfaces: Vec<TapName>,
    pub(crate) since: Option<Moment>,
    pub(crate) until: Option<Moment>,
    pub(crate) first: Option<Span>,
    pub(crate) last: Option<Span>,
    /// How far nodes' clocks are ahead of the reference, in nanoseconds, as given by the user.
    pub(crate) clock_offset: Vec<(String, i64)>,
    /// Whether each capture of another tool stands for a node of its own.
    pub(crate) each_file: bool,
    /// How long a packet may stay between two hops; by default as recorded.
    pub(crate) hop_timeout: Option<Duration>,
    /// UDP ports of VXLAN, given by the user.
    pub(crate) vxlan_ports: VxlanPorts,
    /// Which packets are shown.
    pub(crate) asked: Asked,
}

impl PlayerOptions {
    /// Whether only some packets are shown.
    pub(crate) fn is_part(&self) -> bool {
        self.asked.is_part() || self.limits_time() || self.first.is_some()
    }

    /// Whether only a part of the recorded time is read or shown.
    pub(super) fn limits_time(&self) -> bool {
        let is_span = matches!(self.first, Some(Span::Time(_)));
        self.since.is_some() || self.until.is_some() || is_span || self.last.is_some()
    }
}

/// A point in time of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nanoseconds since 1970 (UTC).
    Utc(u64),
    /// A local time of day, on the day of the first packet, or on the next day if it is more
    /// than half a day before that packet.
    OfDay(Time),
    /// A time after the first packet.
    AfterBegin(Duration),
}

impl Moment {
    /// Nanoseconds since 1970 of the moment, in a recording that begins at `begin_ns`.
    pub(crate) fn absolute_ns(self, begin_ns: u64) -> u64 {
        match self {
            Self::Utc(ns) => ns,
            Self::AfterBegin(after) => begin_ns.saturating_add(nanos(after)),
            Self::OfDay(time) => of_day(time, begin_ns),
        }
    }
}

/// A time of day in a recording that begins at `begin_ns`: on that day, or on the next one if
/// it would be more than half a day before the begin.
fn of_day(time: Time, begin_ns: u64) -> u64 {
    let begin = Timestamp::from_nanosecond(begin_ns.into()).unwrap_or(Timestamp::MAX);
    let begin = begin.to_zoned(TimeZone::system());
    let day = begin.date();
    let is_next = begin.time().duration_since(time) > SignedDuration::from_hours(12);
    let day = if is_next {
        day.tomorrow().unwrap_or(day)
    } else {
        day
    };
    let moment = day.to_datetime(time).to_zoned(TimeZone::system());
    let ns = moment.map(|moment| moment.timestamp().as_nanosecond());
    ns.ok()
        .and_then(|ns| u64::try_from(ns).ok())
        .unwrap_or(u64::MAX)
}

/// A part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// A number of packets.
    Packets(u64),
    /// A duration.
    Time(Duration),
}
