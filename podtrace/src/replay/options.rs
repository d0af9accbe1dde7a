//! What of the files is wanted.
use std::{path::PathBuf, time::Duration};

/// What is read, and which part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlayerOptions {
    /// Files, directories, or standard input.
    pub(crate) files: Vec<PathBuf>,
    /// Names of the interfaces; none for all.
    pub(crate) interfaces: Vec<String>,
    pub(crate) since: Option<Moment>,
    pub(crate) until: Option<Moment>,
    pub(crate) first: Option<Span>,
    pub(crate) last: Option<Span>,
    /// How far nodes' clocks are ahead of the reference, in nanoseconds, where the
    /// user says so.
    pub(crate) clock_offset: Vec<(String, i64)>,
    /// How long a packet may stay between two hops; else as recorded.
    pub(crate) hop_timeout: Option<Duration>,
}

/// A point in time of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nanoseconds since 1970 (UTC).
    Utc(u64),
    /// A time of the day, local, on the day of the first packet, or on the next
    /// if it is more than half a day earlier than that.
    OfDay(jiff::civil::Time),
    /// After the first packet.
    AfterBegin(Duration),
}

/// A part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// So many packets.
    Packets(u64),
    /// So long.
    Time(Duration),
}

/// One tap place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vantage {
    /// The node or the pod, if it was named.
    pub owner: Option<String>,
    /// The interface.
    pub interface: String,
}
