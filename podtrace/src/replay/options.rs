//! The selected part of the files.
use std::{path::PathBuf, time::Duration};

use crate::packet::VxlanPorts;

/// The files to read, and the part of them.
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
    /// How far nodes' clocks are ahead of the reference, in nanoseconds, as given by the
    /// user.
    pub(crate) clock_offset: Vec<(String, i64)>,
    /// How long a packet may stay between two hops; by default as recorded.
    pub(crate) hop_timeout: Option<Duration>,
    /// UDP ports of VXLAN, given by the user.
    pub(crate) vxlan_ports: VxlanPorts,
}

/// A point in time of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nanoseconds since 1970 (UTC).
    Utc(u64),
    /// A time of the day, local, on the day of the first packet, or on the next
    /// if it is more than half a day earlier than that.
    OfDay(jiff::civil::Time),
    /// That long after the first packet.
    AfterBegin(Duration),
}

/// A part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// This many packets.
    Packets(u64),
    /// This long.
    Time(Duration),
}
