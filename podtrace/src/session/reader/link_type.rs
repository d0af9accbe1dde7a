//! The framing of packets in other tools' captures.
use podtrace_ebpf::{parse::ETHERNET_LEN, record::Direction};

use crate::{
    filter::{Begin, Protocols},
    model::left_out::Reason,
    packet::{AtTap, Beside, Captured, DecodeOptions, Framing, Packet, link},
    session::input::Endian,
};

/// Stands in for the index of an undistinguished interface; no interface has it.
pub(super) const OTHERS: u32 = 0;

/// The framing of an interface, by its LINKTYPE_ number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkType {
    Framed(Framing),
    /// BSD loopback: four bytes, then IP.
    Loopback,
    /// Linux "cooked" capture, version 1 and 2.
    Cooked,
    Cooked2,
}

impl LinkType {
    /// The link layer of a LINKTYPE_ number, if it is decoded.
    pub(super) fn of(number: u32) -> Result<Self, Reason> {
        Ok(match number {
            1 => Self::Framed(Framing::Ethernet),
            12 | 14 | 101 | 228 | 229 => Self::Framed(Framing::Ip),
            0 | 108 => Self::Loopback,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            _ => return Err(Reason::LinkType(number)),
        })
    }

    /// Whether a packet is of none of these protocols, if some are wanted.
    #[inline]
    pub(super) fn rules_out(
        self,
        data: &[u8],
        decode: &DecodeOptions,
        wanted: Option<Protocols>,
    ) -> bool {
        let (Self::Framed(framing), Some(wanted)) = (self, wanted) else {
            return false;
        };
        decode.rules_out(data, framing, wanted)
    }

    /// Whether each packet stores the interface that it was seen at.
    pub(super) fn names_interfaces(self) -> bool {
        self == Self::Cooked2
    }

    /// Index of the interface that the packet was seen at, if the packet stores it.
    pub(super) fn interface_of(self, data: &[u8]) -> Option<u32> {
        let index = || Endian::Big.u32(data, 4).unwrap_or(OTHERS);
        self.names_interfaces().then(index)
    }

    /// Bytes of a header that is none of [`Framing`]'s.
    fn header_len(self) -> usize {
        match self {
            Self::Framed(_) => 0,
            Self::Loopback => 4,
            Self::Cooked => 16,
            Self::Cooked2 => 20,
        }
    }

    /// The packet, its direction if the link layer has it, and what else the tap shows.
    pub(super) fn decode(
        self,
        data: &[u8],
        wire_len: u32,
        options: &DecodeOptions,
        beside: Beside<'_>,
    ) -> Decoded {
        let (data, wire_len, framing) = match self {
            Self::Framed(framing) => (data, wire_len, framing),
            Self::Loopback => {
                let data = data.get(self.header_len()..).unwrap_or_default();
                let wire_len = wire_len.saturating_sub(self.header_len() as u32);
                (data, wire_len, Framing::Ip)
            }
            Self::Cooked | Self::Cooked2 => return cooked(self, data, wire_len, options, beside),
        };
        let mut packet = Packet::unread();
        let seen = packet.read_at_tap(data, wire_len, framing, options, beside);
        Decoded {
            packet,
            direction: Direction::Unknown,
            seen,
        }
    }
}

/// What a frame says.
pub(super) struct Decoded {
    pub(super) packet: Packet,
    pub(super) direction: Direction,
    pub(super) seen: AtTap,
}

/// A cooked header has the type of the packet, one address and the EtherType.
fn cooked(
    link: LinkType,
    data: &[u8],
    wire_len: u32,
    options: &DecodeOptions,
    beside: Beside<'_>,
) -> Decoded {
    let big = Endian::Big;
    let len = link.header_len();
    let (kind, address, ethertype) = if link == LinkType::Cooked {
        let ethertype = data.get(14..).and_then(|rest| rest.first_chunk().copied());
        (big.u16(data, 0), data.get(6..12), ethertype)
    } else {
        let kind = data.get(10).map(|kind| u16::from(*kind));
        (kind, data.get(12..18), data.first_chunk().copied())
    };
    let direction = match kind {
        Some(4) => Direction::Egress,
        Some(0..=3) => Direction::Ingress,
        _ => Direction::Unknown,
    };
    let content_len = wire_len.saturating_sub(len as u32);
    let ethernet = ethertype.map(|field| link::ethertype(field, content_len as usize));
    let ethernet = ethernet.map(u16::to_be_bytes);
    // Rebuilds the Ethernet frame, without the receiver's address.
    let mut frame = vec![0; 6];
    for part in [
        address,
        ethernet.as_ref().map(<[u8; 2]>::as_slice),
        data.get(len..),
    ] {
        frame.extend_from_slice(part.unwrap_or_default());
    }
    let captured = Captured {
        bytes: data,
        length: wire_len,
        begin: match link {
            LinkType::Cooked2 => Begin::Cooked2,
            _ => Begin::Cooked,
        },
        header: len,
    };
    let wire_len = content_len.saturating_add(ETHERNET_LEN as u32);
    let beside = Beside {
        is_outgoing: beside.is_outgoing || direction == Direction::Egress,
        captured: Some(captured),
        ..beside
    };
    let mut packet = Packet::unread();
    let seen = packet.read_at_tap(&frame, wire_len, Framing::Ethernet, options, beside);
    if let (Some(link), Some(ethertype)) = (&mut packet.link, ethertype)
        && link.ethertype == link::NO_IP
    {
        // No Ethernet frame can have this EtherType.
        link.ethertype = u16::from_be_bytes(ethertype);
    }
    Decoded {
        packet,
        direction,
        seen,
    }
}

/// Removes the check sequence behind a frame of which `data` was captured, and its length:
/// frames at interfaces have none.
pub(super) fn without_check(data: &[u8], wire_len: u32, fcs: u32) -> (&[u8], u32) {
    if fcs == 0 {
        return (data, wire_len);
    }
    let wire_len = wire_len.saturating_sub(fcs);
    (&data[..data.len().min(wire_len as usize)], wire_len)
}
