//! Link layers, by their LINKTYPE_ numbers.
use podtrace_ebpf::record::Direction;

use crate::{
    model::left_out::Reason,
    packet::{DecodeOptions, Framing, Packet},
    session::input::Endian,
};

/// In place of the index of an interface that is not told apart; none has it.
pub(super) const OTHERS: u32 = 0;

/// How an interface frames packets, by its LINKTYPE_ number.
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

    /// Whether each packet says at which interface it was seen.
    pub(super) fn names_places(self) -> bool {
        self == Self::Cooked2
    }

    /// Index of the interface at which the packet was seen, where the packet says so.
    pub(super) fn place_of(self, data: &[u8]) -> Option<u32> {
        let index = || Endian::Big.u32(data, 4).unwrap_or(OTHERS);
        self.names_places().then(index)
    }

    /// The packet, and the direction if the link layer has it.
    pub(super) fn decode(
        self,
        data: &[u8],
        wire_len: u32,
        options: &DecodeOptions,
    ) -> (Packet, Direction) {
        let shorter = |by: u32| wire_len.saturating_sub(by);
        let framed = match self {
            Self::Framed(framing) => Packet::decode(data, wire_len, framing, options),
            Self::Loopback => {
                let data = data.get(4..).unwrap_or_default();
                Packet::decode(data, shorter(4), Framing::Ip, options)
            }
            Self::Cooked | Self::Cooked2 => return cooked(self, data, wire_len, options),
        };
        (framed, Direction::Unknown)
    }
}

/// A cooked header has the type of the packet, one address and the EtherType.
fn cooked(
    link: LinkType,
    data: &[u8],
    wire_len: u32,
    options: &DecodeOptions,
) -> (Packet, Direction) {
    let big = Endian::Big;
    let (kind, address, ethertype, len) = if link == LinkType::Cooked {
        (big.u16(data, 0), data.get(6..12), data.get(14..16), 16)
    } else {
        let kind = data.get(10).map(|kind| u16::from(*kind));
        (kind, data.get(12..18), data.get(0..2), 20)
    };
    let direction = match kind {
        Some(4) => Direction::Egress,
        Some(0..=3) => Direction::Ingress,
        _ => Direction::Unknown,
    };
    // Rebuilds the Ethernet frame, without the receiver's address.
    let mut frame = vec![0; 6];
    for part in [address, ethertype, data.get(len..)] {
        frame.extend_from_slice(part.unwrap_or_default());
    }
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    let wire_len = wire_len.saturating_sub(len).saturating_add(14);
    let packet = Packet::decode(&frame, wire_len, Framing::Ethernet, options);
    (packet, direction)
}
