//! The selection of files and parts of them.
use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{filter::Filter, model::tap_name::TapName, packet::VxlanPorts, select::Selector};

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
    /// How long a packet may stay between two hops; by default as recorded.
    pub(crate) hop_timeout: Option<Duration>,
    /// UDP ports of VXLAN, given by the user.
    pub(crate) vxlan_ports: VxlanPorts,
    /// What packets have to match.
    pub(crate) filter: Option<Arc<Filter>>,
    /// Whether of these only the hops are shown that match.
    pub(crate) only_matching: bool,
    /// Whether control traffic is filtered.
    pub(crate) no_control: bool,
    /// Which packets are shown beside that.
    pub(crate) selector: Option<Arc<Selector>>,
}

impl PlayerOptions {
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
    OfDay(jiff::civil::Time),
    /// A time after the first packet.
    AfterBegin(Duration),
}

/// A part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// A number of packets.
    Packets(u64),
    /// A duration.
    Time(Duration),
}
