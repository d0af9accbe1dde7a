//! Small sessions to record, and how to read them again.
mod items;
mod packets;
mod page;
mod replay;
mod tape;

use jiff::tz::TimeZone;

use self::page::Page;
pub(super) use self::{
    items::{Given, in_order, read},
    packets::{container, frame, mac, node_name, pod_address, tunnelled, uplink_address},
    replay::{chain, play, replay},
    tape::{How, Recorded, Tape},
};
use crate::{
    identity::kubernetes::{ClusterNode, ClusterPod, ClusterUpdate, Resource},
    model::tap::{TapCount, TapCounts},
    output::{
        json::Json,
        render::Render,
        text::{Text, TextOptions},
    },
    packet::{DecodeOptions, key_payload},
    path::summary::Summary,
    session::reader::ReaderOptions,
};

/// UTC at the zero of the sessions' clocks.
pub(super) const EPOCH_NS: i64 = 1_790_000_000_000_000_000;
/// When they begin.
pub(super) const BEGIN_NS: u64 = 5_000_000_000;
const TIMEOUT_NS: u64 = 500_000_000;
pub(super) const SNAPLEN: u32 = 256;

/// Interfaces of the first pod, in the order in which a packet passes them.
pub(super) const POD1: u32 = 0;
pub(super) const VETH1: u32 = 1;
pub(super) const VETH2: u32 = 2;
pub(super) const POD2: u32 = 3;
pub(super) const BRIDGE: u32 = 4;
pub(super) const UPLINK: u32 = 5;

pub(super) fn options() -> ReaderOptions {
    ReaderOptions {
        key_payload: key_payload(SNAPLEN),
        filter: None,
        keep_captured: true,
        ..ReaderOptions::default()
    }
}

pub(super) fn decode_options() -> DecodeOptions {
    DecodeOptions {
        vxlan_ports: vec![8472],
        key_payload: key_payload(SNAPLEN),
        filter: None,
    }
}

pub(super) fn text() -> Box<dyn Render> {
    text_since(0)
}

fn text_since(epoch_ns: i128) -> Box<dyn Render> {
    let options = TextOptions {
        epoch_ns,
        ..TextOptions::default()
    };
    Box::new(Text::new(options, TimeZone::UTC))
}

/// Both formats.
pub(super) fn outputs(epoch_ns: i64) -> [Box<dyn Render>; 2] {
    let epoch_ns = epoch_ns.into();
    [text_since(epoch_ns), Box::new(Json::new(epoch_ns))]
}

fn counted(summary: &Summary) -> TapCounts {
    let mut taps = summary.taps.clone();
    taps.retain(|_, count| *count != TapCount::default());
    taps
}

/// A small session of some packets that are delivered or die.
pub(super) fn small(how: How) -> Recorded {
    let mut tape = Tape::new(1, how, text());
    for number in 0..6 {
        tape.ping(number, if number == 3 { 2 } else { 5 });
        tape.tick(30_000_000);
    }
    tape.cluster(ClusterUpdate::Restart(Resource::Pods));
    tape.cluster(ClusterUpdate::Pod(cluster_pod("elsewhere", "10.244.9.2")));
    tape.cluster(ClusterUpdate::Node(ClusterNode {
        name: "worker9".into(),
        ..ClusterNode::default()
    }));
    tape.cluster(ClusterUpdate::Synced(Resource::Pods));
    tape.tick(1_000_000_000);
    tape.take_snapshot();
    tape.finish()
}

pub(super) fn cluster_pod(name: &str, address: &str) -> ClusterPod {
    ClusterPod {
        uid: format!("uid-{name}"),
        namespace: "default".into(),
        name: name.into(),
        node: Some("worker9".into()),
        addresses: vec![address.parse().unwrap()],
        phase_running: true,
        ..ClusterPod::default()
    }
}

/// Numbers as if random.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number).unwrap() % end.max(1)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256).to_le_bytes()[0]).collect()
    }
}
