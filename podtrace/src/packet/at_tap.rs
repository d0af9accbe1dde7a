//! A packet as a tap sees it: its headers, what its payload says, and whether it is one that the
//! user asked for.
use podtrace_ebpf::parse::ETHERNET_LEN;

use super::{DecodeOptions, Framing, Packet, Payload, decode::Places};
use crate::filter::{Begin, Seen};

/// What a tap tells beside the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside<'a> {
    /// Whether the packet leaves by the interface.
    pub(crate) is_outgoing: bool,
    /// Tag control information of a VLAN tag kept outside of the frame.
    pub(crate) vlan_tci: Option<u16>,
    /// What was captured, if the frame was made of it.
    pub(crate) captured: Option<Captured<'a>>,
}

/// A packet of a capture, which became an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captured<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its length on the wire.
    pub(crate) length: u32,
    pub(crate) begin: Begin,
    /// Length of the header in place of Ethernet's.
    pub(crate) header: usize,
}

/// What a tap shows beside a packet's headers.
pub(crate) struct AtTap {
    /// Whether the packet matches the filter; always if there is none.
    pub(crate) matches: bool,
    /// What its payload says.
    pub(crate) payload: Option<Box<Payload>>,
}

impl From<Framing> for Begin {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Ethernet => Self::Ethernet,
            Framing::Ip => Self::Ip,
        }
    }
}

impl Packet {
    /// [`Self::decode`], with what the payload says.
    #[must_use]
    pub fn decode_with_payload(
        frame: &[u8],
        wire_len: u32,
        framing: Framing,
        options: &DecodeOptions,
    ) -> (Self, Option<Box<Payload>>) {
        let mut packet = Self::unread();
        let seen = packet.read_at_tap(frame, wire_len, framing, options, Beside::default());
        (packet, seen.payload)
    }

    /// [`Self::read_all`], with all else that a tap shows. A tag beside the frame is the packet's,
    /// unless it is in a tunnel.
    #[inline]
    pub(crate) fn read_at_tap(
        &mut self,
        frame: &[u8],
        wire_len: u32,
        framing: Framing,
        options: &DecodeOptions,
        beside: Beside<'_>,
    ) -> AtTap {
        let places = self.read_all(frame, wire_len, framing, options);
        let matches = match &options.filter {
            None => true,
            Some(filter) => filter.matches(&seen(frame, wire_len, framing, places, beside)),
        };
        let payload = Payload::of(self, frame, places.transport, options);
        if let (None, None, Some(tci)) = (self.tunnel, self.vlan, beside.vlan_tci) {
            self.vlan = Some(tci & 0x0fff);
        }
        AtTap { matches, payload }
    }
}

fn seen<'a>(
    bytes: &'a [u8],
    length: u32,
    framing: Framing,
    places: Places,
    beside: Beside<'a>,
) -> Seen<'a> {
    let inner = places.inner.map(|(start, framing)| (start, framing.into()));
    let seen = Seen {
        bytes,
        length,
        begin: framing.into(),
        is_outgoing: beside.is_outgoing,
        tag: beside.vlan_tci,
        inner,
    };
    match beside.captured {
        None => seen,
        Some(captured) => Seen {
            bytes: captured.bytes,
            length: captured.length,
            begin: captured.begin,
            inner: inner.map(|(start, begin)| {
                let behind = start.saturating_sub(ETHERNET_LEN);
                (captured.header + behind, begin)
            }),
            ..seen
        },
    }
}
