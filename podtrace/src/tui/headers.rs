//! The headers of the packets that are listed, for a filter that is typed later.
//!
//! Of each packet, the begin of the frame is kept as its first hop saw it, and of each hop where
//! its addresses, its ports or its tunnel are others.
use std::{collections::VecDeque, sync::Arc};

use podtrace_ebpf::record::Direction;

use super::entry::{ALLOCATED, allocated};
use crate::{
    filter::Filter,
    map::Map,
    model::event::Event,
    packet::{Beside, DecodeOptions, Ends, FLANNEL_PORT, Framing, Packet, Tunnel, VXLAN_PORT},
};

/// Bytes kept of a frame: those of an IPv6 packet with TCP in VXLAN over IPv6.
pub(super) const FRAME_BYTES: usize = 160;
/// Upper bound of the frames of a packet.
const FRAMES_MAX: usize = 6;

/// Headers by the numbers of their packets.
pub(super) struct Headers {
    frames: Map<u64, Vec<Frame>>,
    /// The packets in the order in which they came.
    order: VecDeque<u64>,
    bytes: usize,
    limit: usize,
    ports: Vec<u16>,
}

struct Frame {
    bytes: Box<[u8]>,
    wire_len: u32,
    framing: Framing,
    /// Whether hops have seen it come in, and go out.
    ways: [bool; 2],
    vlan_tci: Option<u16>,
    looks: Looks,
}

/// What of a packet filters look at, and hops change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Looks {
    ends: Option<Ends>,
    tunnel: Option<Tunnel>,
}

impl Headers {
    /// Keeps this many bytes at most; the oldest are dropped. `ports`: UDP ports of VXLAN that
    /// the user named.
    pub(super) fn new(limit: usize, ports: &[u16]) -> Self {
        Self {
            frames: Map::default(),
            order: VecDeque::new(),
            bytes: 0,
            limit,
            ports: [&[VXLAN_PORT, FLANNEL_PORT], ports].concat(),
        }
    }

    /// Forgets all packets.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.order.clear();
        self.bytes = 0;
    }

    /// More UDP ports of VXLAN.
    pub(super) fn learn_ports(&mut self, ports: &[u16]) {
        for port in ports {
            if !self.ports.contains(port) {
                self.ports.push(*port);
            }
        }
    }

    /// Keeps an event's headers, unless its packet has them already.
    pub(super) fn take(&mut self, event: &Event, packet: u64) {
        let Some(framing) = framing(event) else {
            return;
        };
        let looks = Looks {
            ends: event.packet.ends(),
            tunnel: event.packet.tunnel,
        };
        let way = usize::from(event.direction == Direction::Egress);
        let frames = self.frames.entry(packet).or_default();
        if let Some(frame) = frames.iter_mut().find(|frame| frame.looks == looks) {
            frame.ways[way] = true;
            return;
        }
        if frames.len() >= FRAMES_MAX {
            return;
        }
        let is_new = frames.is_empty();
        let length = event.captured.len().min(FRAME_BYTES);
        // Most packets have one: a vector takes room for four at once.
        frames.reserve_exact(1);
        frames.push(Frame {
            bytes: event.captured[..length].into(),
            wire_len: event.wire_len,
            framing,
            ways: std::array::from_fn(|n| n == way),
            vlan_tci: event.vlan_tci,
            looks,
        });
        self.bytes += frames.last().map_or(0, Frame::size);
        if is_new {
            self.bytes += ENTRY;
            self.order.push_back(packet);
        }
        while self.bytes > self.limit {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(packet) = self.order.pop_front() else {
            self.bytes = 0;
            return;
        };
        let frames = self.frames.remove(&packet).unwrap_or_default();
        let bytes: usize = frames.iter().map(Frame::size).sum();
        self.bytes = self.bytes.saturating_sub(ENTRY + bytes);
    }

    /// Whether nothing has room for more than is counted.
    #[cfg(test)]
    pub(super) fn is_exact(&self) -> bool {
        let mut all = self.frames.values();
        all.all(|frames| frames.capacity() == frames.len())
    }

    /// Whether a packet matches at one of its hops; none if its headers are not there.
    pub(super) fn matches(&self, packet: u64, filter: &Arc<Filter>) -> Option<bool> {
        let frames = self.frames.get(&packet)?;
        Some(
            frames
                .iter()
                .any(|frame| frame.matches(filter, &self.ports)),
        )
    }
}

/// What a packet's entries in the tables take.
const ENTRY: usize = 4 * size_of::<(u64, Vec<Frame>)>() + ALLOCATED;

impl Frame {
    fn size(&self) -> usize {
        size_of::<Self>() + allocated(self.bytes.len())
    }

    fn matches(&self, filter: &Arc<Filter>, ports: &[u16]) -> bool {
        let options = DecodeOptions {
            // Where no tunnel was found, none is to be found now.
            vxlan_ports: match self.looks.tunnel {
                Some(_) => ports.to_vec(),
                None => Vec::new(),
            },
            key_payload: 0,
            filter: Some(Arc::clone(filter)),
        };
        let mut packet = Packet::unread();
        [false, true]
            .into_iter()
            .zip(self.ways)
            .any(|(is_outgoing, was_seen)| {
                let beside = Beside {
                    is_outgoing,
                    vlan_tci: self.vlan_tci,
                    captured: None,
                };
                let (bytes, wire_len, framing) = (&self.bytes, self.wire_len, self.framing);
                was_seen
                    && packet
                        .read_at_tap(bytes, wire_len, framing, &options, beside)
                        .matches
            })
    }
}

/// What the captured bytes begin with; none where they are of another link layer, or not there.
fn framing(event: &Event) -> Option<Framing> {
    if event.captured.is_empty() {
        return None;
    }
    [Framing::Ethernet, Framing::Ip]
        .into_iter()
        .find(|framing| framing.link() == event.link)
}
