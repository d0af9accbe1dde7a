//! How other tools' captures frame packets.
use podtrace_ebpf::{parse::ETHERNET_LEN, record::Direction};

use crate::{
    model::left_out::Reason,
    packet::{DecodeOptions, Framing, Packet, link},
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
        let ethertype = data.get(14..).and_then(|rest| rest.first_chunk().copied());
        (big.u16(data, 0), data.get(6..12), ethertype, 16)
    } else {
        let kind = data.get(10).map(|kind| u16::from(*kind));
        (kind, data.get(12..18), data.first_chunk().copied(), 20)
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
    let wire_len = content_len.saturating_add(ETHERNET_LEN as u32);
    let mut packet = Packet::decode(&frame, wire_len, Framing::Ethernet, options);
    if let (Some(link), Some(ethertype)) = (&mut packet.link, ethertype)
        && link.ethertype == link::NO_IP
    {
        // A number that no Ethernet frame can have.
        link.ethertype = u16::from_be_bytes(ethertype);
    }
    (packet, direction)
}

/// A frame of which `data` was captured, without the check sequence behind it, and its
/// length: what passes an interface has none.
pub(super) fn without_check(data: &[u8], wire_len: u32, fcs: u32) -> (&[u8], u32) {
    if fcs == 0 {
        return (data, wire_len);
    }
    let wire_len = wire_len.saturating_sub(fcs);
    (&data[..data.len().min(wire_len as usize)], wire_len)
}
