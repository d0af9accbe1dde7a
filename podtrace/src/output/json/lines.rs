//! The objects, as they are written.
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{model::tap::TapCount, pipeline::consumer::NotShown, projection::SocketLine};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Start {
        nodes: &'a [String],
        interfaces: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        attaching: Option<usize>,
        pods: usize,
        namespaces: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        attach: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        replay: Option<&'a str>,
    },
    Event(EventLine<'a>),
    Path(PathLine<'a>),
    Loss {
        time_ns: u64,
        lost: u64,
        total: u64,
        taps: Vec<TapLine<'a, LossCount>>,
    },
    Notice {
        text: &'a str,
    },
    Summary {
        packets: u64,
        outcomes: BTreeMap<&'a str, u64>,
        incomplete: u64,
        unreadable: u64,
        duration_ns: u64,
        total: TapCount,
        taps: Vec<TapLine<'a, TapCount>>,
        #[serde(skip_serializing_if = "NotShown::is_nothing")]
        not_shown: NotShown,
    },
}

#[derive(Serialize)]
pub(super) struct EventLine<'a> {
    pub(super) packet: u64,
    pub(super) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vlan: Option<u16>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) gso_segments: u16,
    #[serde(flatten)]
    pub(super) hop: HopLine<'a>,
}

#[derive(Serialize)]
pub(super) struct HopLine<'a> {
    pub(super) time_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delta_ns: Option<u64>,
    pub(super) node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Arc<str>>,
    pub(super) interface: &'a str,
    pub(super) ifindex: u32,
    pub(super) direction: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) socket: Option<SocketLine>,
    pub(super) bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tunnel: Option<TunnelLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<u8>,
}

#[derive(Serialize)]
pub(super) struct TunnelLine {
    pub(super) vni: u32,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

#[derive(Serialize)]
pub(super) struct PathLine<'a> {
    pub(super) packet: u64,
    pub(super) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_pod: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_container: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_node: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_on: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sender: Option<SocketLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_pod: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_container: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_node: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_on: Option<Arc<str>>,
    pub(super) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vtep: Option<IpAddr>,
    pub(super) ambiguous: bool,
    pub(super) incomplete: bool,
    pub(super) duration_ns: u64,
    pub(super) hops: Vec<HopLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rtt_ns: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rtt_at: Vec<RttLine<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) clocks: Vec<ClockLine>,
}

#[derive(Serialize)]
pub(super) struct ClockLine {
    pub(super) node: Arc<str>,
    pub(super) offset_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uncertainty_ns: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct RttLine<'a> {
    pub(super) interface: &'a str,
    pub(super) ns: u64,
}

/// What was counted at one tap; of interfaces that are known no more, together,
/// node and interface are empty.
#[derive(Serialize)]
pub(super) struct TapLine<'a, C> {
    pub(super) node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Arc<str>>,
    pub(super) interface: &'a str,
    pub(super) direction: &'a str,
    #[serde(flatten)]
    pub(super) count: C,
}

#[derive(Serialize)]
pub(super) struct LossCount {
    pub(super) lost_ring: u64,
    pub(super) undecodable: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_zero(number: &u16) -> bool {
    *number == 0
}
