//! Link layers by their LINKTYPE_ numbers, and Ethernet headers for packets without one.
use podtrace_ebpf::parse::{ETHERNET_LEN, ETHERTYPE_MIN};

use super::{Framing, Mac};

/// Ethernet frames.
pub const ETHERNET: u16 = 1;
/// IP packets; the version is in the first byte.
pub const RAW: u16 = 101;
/// Source address of the Ethernet headers that podtrace adds: locally administered, with `pdt`
/// in the middle.
pub const MADE: Mac = Mac([0x02, b'p', b'd', b't', 0, 0]);
/// EtherType for local experiments, used for packets that are not IP.
pub(crate) const NO_IP: u16 = 0x88b5;

/// The number for files of a link layer: IP packets have several, of which some stand for other
/// things on other systems.
#[must_use]
pub fn canonical(link: u16) -> u16 {
    match link {
        12 | 14 => RAW,
        link => link,
    }
}

impl Framing {
    /// The link layer of packets with this framing.
    #[must_use]
    pub fn link(self) -> u16 {
        match self {
            Self::Ethernet => ETHERNET,
            Self::Ip => RAW,
        }
    }
}

/// A link layer whose packets can become Ethernet frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// None: the IP header comes first.
    Ip,
    /// BSD loopback: four bytes, then IP.
    Loopback,
    /// Linux "cooked" capture: an EtherType and one address.
    Cooked,
    /// Linux "cooked" capture, version 2.
    Cooked2,
}

/// An Ethernet header that replaces another link header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The header.
    pub header: [u8; ETHERNET_LEN],
    /// How many bytes of the packet it replaces.
    pub len: usize,
}

impl Layer {
    /// The layer of that number; none for Ethernet and for layers that stay as they are.
    #[must_use]
    pub fn of(link: u16) -> Option<Self> {
        match link {
            12 | 14 | RAW | 228 | 229 => Some(Self::Ip),
            0 | 108 => Some(Self::Loopback),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }

    /// Whether the Ethernet header holds nothing of the packet, so that it can be removed
    /// again.
    #[must_use]
    pub fn is_bare(self) -> bool {
        matches!(self, Self::Ip | Self::Loopback)
    }

    /// The length of its header.
    #[must_use]
    pub fn header_len(self) -> usize {
        match self {
            Self::Ip => 0,
            Self::Loopback => 4,
            Self::Cooked => 16,
            Self::Cooked2 => 20,
        }
    }

    /// The Ethernet header for a packet of this layer. `receiver`: the address of the
    /// interface.
    #[must_use]
    pub fn ethernet(self, packet: &[u8], receiver: Option<Mac>) -> Replaced {
        let len = self.header_len().min(packet.len());
        let (cooked, payload) = packet.split_at(len);
        let (source, ethertype) = match self {
            Self::Ip | Self::Loopback => (MADE, of_ip(payload)),
            Self::Cooked => (
                address(cooked.get(4..)),
                of_cooked(cooked.get(14..), payload),
            ),
            Self::Cooked2 => (
                address(cooked.get(10..)),
                of_cooked(cooked.get(..2), payload),
            ),
        };
        let mut header = [0; ETHERNET_LEN];
        header[..6].copy_from_slice(&receiver.unwrap_or_default().0);
        header[6..12].copy_from_slice(&source.0);
        header[12..].copy_from_slice(&ethertype.to_be_bytes());
        Replaced { header, len }
    }
}

/// The EtherType of a packet that starts with an IP header.
fn of_ip(packet: &[u8]) -> u16 {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => 0x0800,
        Some(6) => 0x86dd,
        _ => NO_IP,
    }
}

/// The sender's address in a cooked header. Its length precedes it; both versions have the
/// lower byte of the length here.
fn address(field: Option<&[u8]>) -> Mac {
    match field {
        Some([_, 6, a, b, c, d, e, f, ..]) => Mac([*a, *b, *c, *d, *e, *f]),
        _ => MADE,
    }
}

fn of_cooked(field: Option<&[u8]>, payload: &[u8]) -> u16 {
    let field = field.and_then(<[u8]>::first_chunk);
    field.map_or(NO_IP, |field| ethertype(*field, payload.len()))
}

/// The EtherType for the protocol in a cooked header; IEEE 802.3 frames have their length
/// instead.
pub(crate) fn ethertype(protocol: [u8; 2], len: usize) -> u16 {
    match u16::from_be_bytes(protocol) {
        // LINUX_SLL_P_802_3 and LINUX_SLL_P_802_2.
        1 | 4 => u16::try_from(len).map_or(ETHERTYPE_MIN - 1, |len| len.min(ETHERTYPE_MIN - 1)),
        protocol @ ETHERTYPE_MIN.. => protocol,
        _ => NO_IP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVER: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn parts(replaced: Replaced) -> (Mac, u16, usize) {
        let header = replaced.header;
        assert_eq!(header[..6], RECEIVER.0);
        let source = Mac(*header[6..].first_chunk().unwrap());
        let ethertype = u16::from_be_bytes([header[12], header[13]]);
        (source, ethertype, replaced.len)
    }

    #[test]
    fn header_names_the_version_of_ip_and_is_marked() {
        for (link, packet, ethertype, len) in [
            (101, &[0x45, 0][..], 0x0800, 0),
            (12, &[0x60][..], 0x86dd, 0),
            (101, &[][..], NO_IP, 0),
            (101, &[0x15][..], NO_IP, 0),
            (0, &[2, 0, 0, 0, 0x45][..], 0x0800, 4),
            (108, &[0, 0, 0, 30, 0x60][..], 0x86dd, 4),
            (0, &[2, 0][..], NO_IP, 2),
        ] {
            let layer = Layer::of(link).unwrap();
            assert!(layer.is_bare());
            let made = parts(layer.ethernet(packet, Some(RECEIVER)));
            assert_eq!(made, (MADE, ethertype, len), "{packet:?}");
        }
    }

    #[test]
    fn cooked_header_keeps_its_sender_and_type() {
        let sender = [2, 0, 0, 0, 0, 1];
        let mut cooked = vec![0, 4, 0, 1, 0, 6];
        cooked.extend(sender);
        cooked.extend([0, 0, 0x08, 0x06, 0xff]);
        let mut cooked2 = vec![0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6];
        cooked2.extend(sender);
        cooked2.extend([0, 0, 0xff]);
        for (link, packet, ethertype, len) in
            [(113, cooked, 0x0806, 16), (276, cooked2, 0x86dd, 20)]
        {
            let layer = Layer::of(link).unwrap();
            assert!(!layer.is_bare());
            let made = parts(layer.ethernet(&packet, Some(RECEIVER)));
            assert_eq!(made, (Mac(sender), ethertype, len));
        }
    }

    #[test]
    fn cooked_header_that_is_no_ethernet_becomes_a_valid_frame() {
        // No address, and IEEE 802.2 (LLC) behind it.
        let mut cooked = vec![0, 0, 3, 4, 0, 0];
        cooked.extend([0; 8]);
        cooked.extend([0, 4, 0x42, 0x42, 3]);
        let made = parts(Layer::Cooked.ethernet(&cooked, Some(RECEIVER)));
        assert_eq!(made, (MADE, 3, 16));
        let made = parts(Layer::Cooked.ethernet(&cooked[..9], Some(RECEIVER)));
        assert_eq!(made, (MADE, NO_IP, 9));
    }
}
