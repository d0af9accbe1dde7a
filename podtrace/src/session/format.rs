//! The numbers and contents specific to podtrace in a session file.
use std::collections::BTreeMap;

use podtrace_ebpf::record::Direction;
use serde::{Deserialize, Serialize};

use crate::{
    clock::nodes::CorrectedClock,
    model::{
        direction::direction_named,
        loss::LostSpan,
        origin::Origin,
        snapshot::SnapshotTime,
        tap::{TapCount, is_zero},
        tap_point::TapPoint,
        topology::RecordedTopology,
    },
    update::Update,
};

/// Version of the format in this module.
pub const FORMAT: u32 = 1;
/// Private enterprise number of podtrace's custom options: the one for documentation (RFC
/// 5612), as podtrace has none of its own; the `pdt` that follows identifies them.
pub const ENTERPRISE: u32 = 32_473;
/// Beginning of a custom option that holds JSON.
pub const MAGIC_JSON: [u8; 4] = *b"pdtJ";
/// Beginning of a custom option that holds a [`PacketInfo`].
pub const MAGIC_PACKET: [u8; 4] = *b"pdtP";
/// Type of podtrace's own blocks, in the range for local use; its bytes are `pdt\x80`. The
/// body is [`ENTRY_MAGIC`], a 32-bit length, that many bytes of JSON, padding to 32 bits,
/// and a CRC-32 of the block up to there.
pub const ENTRY_BLOCK: u32 = 0x8074_6470;
/// Beginning of the body of an [`ENTRY_BLOCK`].
pub const ENTRY_MAGIC: [u8; 8] = *b"podtrace";

/// Section header block.
pub const SECTION_HEADER: u32 = 0x0a0d_0d0a;
/// Byte-order magic of a section header.
pub const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Interface description block.
pub const INTERFACE_DESCRIPTION: u32 = 1;
/// Name resolution block.
pub const NAME_RESOLUTION: u32 = 4;
/// Interface statistics block.
pub const INTERFACE_STATISTICS: u32 = 5;
/// Enhanced packet block.
pub const ENHANCED_PACKET: u32 = 6;

/// End of a block's options.
pub const OPT_END: u16 = 0;
/// A comment.
pub const OPT_COMMENT: u16 = 1;
/// A binary custom option that must not be copied to another file.
pub const OPT_CUSTOM: u16 = 19_373;
/// `epb_flags`: the two lowest bits are the direction.
pub const EPB_FLAGS: u16 = 2;
/// `epb_dropcount`: packets lost before this one.
pub const EPB_DROPCOUNT: u16 = 4;
/// `epb_packetid`: the same for the same packet seen by several interfaces.
pub const EPB_PACKETID: u16 = 5;
/// Direction in `epb_flags`: received.
pub const FLAG_INBOUND: u32 = 1;
/// Direction in `epb_flags`: sent.
pub const FLAG_OUTBOUND: u32 = 2;

/// The data of a section header in addition to the standard options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SectionInfo {
    /// [`FORMAT`].
    pub format: u32,
    /// Random name of the session: the same in all its sections.
    pub session: String,
    /// Number of the section in the session, from 0.
    pub section: u64,
    /// How many sessions were merged into this one, including itself.
    pub sessions: usize,
    /// Names of the nodes, by number.
    pub nodes: Vec<String>,
    /// UTC nanoseconds at zero of the clock of the JSON's times.
    pub epoch_ns: i64,
    /// Upper bound of the bytes captured of each packet.
    pub snaplen: u32,
    /// At most one in this many packets was traced; 0 and 1 mean all.
    pub sample: u32,
    /// The share was lowered to stay below this many events a second.
    pub max_rate: Option<u64>,
    /// Whether sessions with different sampling were merged into this one.
    pub mixed_sampling: bool,
    /// Whether only headers were captured, and some bytes behind them.
    pub headers_only: bool,
    /// Whether only some packets were asked for, or those of a part of the time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub selected: bool,
    /// Whether it tells when its taps began to take packets ([`crate::update::Update::Start`]), as
    /// a trace does; what is exported leaves that out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tells_start: bool,
    /// How long a packet may stay between two hops.
    pub hop_timeout_ns: u64,
    /// The requested interfaces; empty for the usual ones.
    pub interfaces: Vec<String>,
    /// UDP ports of VXLAN in addition to the usual one and to those of the snapshots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vxlan_ports: Vec<u16>,
    /// The target of a recorder that keeps or rotates files, by which its next run recognises
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder: Option<String>,
    /// The sessions that this one was made of; none if it was recorded live.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub made_of: Box<[SourceSession]>,
    /// How the clocks of its nodes were corrected, but for that of the first: its times are those
    /// of one clock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<CorrectedClock>,
    /// Packets of the session before the section.
    pub packets: u64,
    /// Events lost or not recorded before the section.
    pub lost: u64,
    /// How many of these were not recorded.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_recorded: u64,
}

/// How the name of a source begins that is a capture of another tool; its length and a hash of
/// its bytes follow, or a random name if it was a stream.
pub const CAPTURE: &str = "capture:";

/// A session that another one was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceSession {
    /// Its name.
    pub session: String,
    /// The sessions recorded live that it was made of, if it was not itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<String>,
    /// UTC nanoseconds at zero of its nodes' clock; 0 if unknown or if they have several.
    #[serde(skip_serializing_if = "is_unknown")]
    pub boot_ns: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_unknown(ns: &i64) -> bool {
    *ns == 0
}

impl SectionInfo {
    /// Whether captures of other tools are among what this one was made of.
    #[must_use]
    pub fn holds_captures(&self) -> bool {
        self.live().iter().any(|name| name.starts_with(CAPTURE))
    }

    /// The sessions recorded live that this one holds.
    #[must_use]
    pub fn live(&self) -> Vec<String> {
        if self.made_of.is_empty() {
            return vec![self.session.clone()];
        }
        let of = |source: &SourceSession| match &source.live[..] {
            [] => vec![source.session.clone()],
            live => live.to_vec(),
        };
        self.made_of.iter().flat_map(of).collect()
    }
}

/// The data of an interface description in addition to the standard options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterfaceInfo {
    /// Number of the description in its section: shows whether an earlier one is missing.
    pub index: u32,
    /// Number of the tap point in the session.
    pub number: u32,
    /// Whether it describes the tap point's sockets.
    pub sockets: bool,
    /// Whether podtrace added an Ethernet header to each packet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub added_header: bool,
    /// The tap point.
    #[serde(rename = "place")]
    pub point: TapPoint,
}

/// The counts of an interface since the section began, by direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceCounts {
    /// Number of the tap point in the session.
    pub number: u32,
    /// By name of the direction.
    pub counts: BTreeMap<String, TapCount>,
}

impl InterfaceCounts {
    /// The counts by tap, without those of unknown directions.
    pub fn taps(&self) -> impl Iterator<Item = ((u32, Direction), TapCount)> {
        let counts = self.counts.iter();
        counts.filter_map(|(name, count)| Some(((self.number, direction_named(name)?), *count)))
    }
}

/// Data without a block of its own in pcapng.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// An update of the session.
    #[serde(rename = "news")]
    Update(Update),
    /// An update of one of several merged sessions.
    #[serde(rename = "news_of")]
    UpdateOf {
        /// The session.
        origin: Origin,
        /// The update.
        #[serde(rename = "news")]
        update: Update,
    },
    /// A snapshot with the same content as the one before, at another time.
    #[serde(rename = "look_again")]
    SnapshotAgain {
        /// The origin of the snapshot.
        origin: Origin,
        /// The time.
        time: SnapshotTime,
    },
    /// The end of what the section repeats from earlier ones.
    Ready,
    /// All packets until 1 ms before this time are in the file, except for lost ones.
    Tick(Tick),
    /// Events were lost; [`Entry::Tick`] counts them too.
    Loss(LostSpan),
    /// Events before the next one were not recorded; [`Entry::Tick`] counts them too.
    NotRecorded(LostSpan),
    /// The readings of both clocks at one moment.
    Clock {
        /// CLOCK_MONOTONIC.
        monotonic_ns: u64,
        /// UTC.
        utc_ns: i64,
    },
    /// The output of `podtrace topology`.
    Topology(Box<RecordedTopology>),
    /// The section is complete.
    End(SectionEnd),
}

/// A time until which the recording is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The time.
    pub now_ns: u64,
    /// Events lost or not recorded since the session began.
    pub lost: u64,
    /// How many of these were not recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_recorded: u64,
}

/// The end of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionEnd {
    /// Whether the session continues in another section.
    pub continues: bool,
    /// Nanoseconds since the session began.
    pub duration_ns: u64,
}

/// The data of a packet block in addition to the standard options; 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketInfo {
    /// Cgroup id of the socket, as in the kernel's record.
    pub cgroup: u64,
    /// Segments of a GSO packet, else 0.
    pub gso_segments: u16,
    /// A VLAN tag that the kernel removed from the frame.
    pub vlan_tci: Option<u16>,
}

impl PacketInfo {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Encodes cgroup (64 bits), GSO segments, 1 if there is a tag, the tag, zero (16 bits
    /// each).
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.cgroup.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.gso_segments.to_le_bytes());
        bytes[10] = self.vlan_tci.is_some().into();
        bytes[12..14].copy_from_slice(&self.vlan_tci.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// Decodes what [`Self::to_bytes`] encodes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [
            c0,
            c1,
            c2,
            c3,
            c4,
            c5,
            c6,
            c7,
            g0,
            g1,
            tagged,
            _,
            t0,
            t1,
            ..,
        ] = *bytes;
        Self {
            cgroup: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            gso_segments: u16::from_le_bytes([g0, g1]),
            vlan_tci: (tagged != 0).then(|| u16::from_le_bytes([t0, t1])),
        }
    }
}
