//! The link layer: Ethernet, and the headers between it and the network layer.
use super::{Load, WalkError, byte, half};

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherTypes of MPLS (RFC 3032, RFC 5332).
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_UPSTREAM: u16 = 0x8848;
/// EtherType of PPPoE's discovery stage (RFC 2516).
pub const ETHERTYPE_PPPOE_DISCOVERY: u16 = 0x8863;
/// EtherType of PPPoE's session stage.
const ETHERTYPE_PPPOE: u16 = 0x8864;
/// EtherType of an 802.1Q tag.
const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad tag.
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// EtherType of outer tags before 802.1ad.
const ETHERTYPE_OLD_SERVICE_VLAN: u16 = 0x9100;
/// A smaller number in place of an EtherType is the length of the content (IEEE 802.3).
pub const ETHERTYPE_MIN: u16 = 0x0600;
/// Length of an Ethernet header without tags.
pub const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;
/// Upper bound of the VLAN tags that are followed.
const TAGS_MAX: usize = 3;
const LABEL_LEN: usize = 4;
/// Upper bound of the MPLS labels that are followed.
const LABELS_MAX: usize = 4;
/// Length of PPPoE's header and of PPP's protocol number.
const PPPOE_LEN: usize = 8;
/// PPP's numbers of IPv4 and IPv6.
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// Length of an LLC header with the SNAP header behind it.
const SNAP_LEN: usize = 8;
/// The begin of such an LLC header: both SAPs, and "unnumbered information".
const SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];
/// Organisations whose SNAP protocols are EtherTypes (RFC 1042, IEEE 802.1H).
const RFC_1042: [u8; 3] = [0, 0, 0];
const BRIDGE_TUNNEL: [u8; 3] = [0, 0, 0xf8];

/// The content of an Ethernet header and of all headers before the network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLayer {
    /// EtherType of the header at `next`: behind tags, MPLS, PPPoE and SNAP if that is known.
    pub ethertype: u16,
    /// VLAN id of the innermost tag.
    pub vlan: Option<u16>,
    /// MPLS or PPPoE.
    pub shim: Option<Shim>,
    /// The LLC header, if no EtherType represents it.
    pub llc: Option<Llc>,
    /// Where the next header starts.
    pub next: usize,
    /// Where the frame's content ends, if the header states it: padding may follow.
    pub end: Option<usize>,
}

/// A header between the Ethernet header and the network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shim {
    /// MPLS, by the label on top.
    Mpls(u32),
    /// A PPPoE session, and the PPP protocol in it.
    Pppoe {
        /// The session's number.
        session: u16,
        /// The protocol's number.
        protocol: u16,
    },
}

/// An LLC header (IEEE 802.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Llc {
    /// Destination service access point.
    pub dsap: u8,
    /// Source service access point.
    pub ssap: u8,
    /// Organisation and protocol of a SNAP header.
    pub snap: Option<(u32, u16)>,
}

/// Reads an Ethernet header, up to three VLAN tags, and LLC, MPLS or PPPoE behind them.
///
/// # Errors
/// When the frame ends within them.
#[inline(always)]
pub fn link<L: Load + ?Sized>(frame: &L, start: usize) -> Result<LinkLayer, WalkError> {
    let ethertype = half(frame, start + 12)?;
    let layer = LinkLayer {
        ethertype,
        vlan: None,
        shim: None,
        llc: None,
        next: start + ETHERNET_LEN,
        end: None,
    };
    // Most frames have nothing more.
    if is_plain(ethertype) {
        Ok(layer)
    } else {
        layer.walk(frame)
    }
}

/// The EtherType of IP or ARP directly behind an Ethernet header, as in most frames.
#[inline]
pub fn plain<L: Load + ?Sized>(frame: &L, start: usize) -> Option<u16> {
    let ethertype = half(frame, start + 12).ok()?;
    is_plain(ethertype).then_some(ethertype)
}

/// Whether nothing stands between the link layer and IP or ARP.
#[inline(always)]
pub fn is_plain(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6 | ETHERTYPE_ARP)
}

impl LinkLayer {
    #[inline(always)]
    fn walk<L: Load + ?Sized>(mut self, frame: &L) -> Result<Self, WalkError> {
        self.tags(frame)?;
        match self.ethertype {
            ETHERTYPE_MPLS | ETHERTYPE_MPLS_UPSTREAM => self.mpls(frame)?,
            ETHERTYPE_PPPOE => self.pppoe(frame)?,
            length if length < ETHERTYPE_MIN => self.llc(frame, length)?,
            _ => {}
        }
        Ok(self)
    }

    #[inline(always)]
    fn tags<L: Load + ?Sized>(&mut self, frame: &L) -> Result<(), WalkError> {
        for _ in 0..TAGS_MAX {
            if !matches!(
                self.ethertype,
                ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_SERVICE_VLAN
            ) {
                break;
            }
            self.vlan = Some(half(frame, self.next)? & 0x0fff);
            self.ethertype = half(frame, self.next + 2)?;
            self.next = frame.forget(self.next + VLAN_LEN);
        }
        Ok(())
    }

    /// Labels do not state what follows them: it is IP if it begins like IP.
    #[inline(always)]
    fn mpls<L: Load + ?Sized>(&mut self, frame: &L) -> Result<(), WalkError> {
        for _ in 0..LABELS_MAX {
            let [high, middle, low, _] = frame.load(self.next).ok_or(WalkError::TooShort)?;
            let label = u32::from_be_bytes([0, high, middle, low]) >> 4;
            self.shim.get_or_insert(Shim::Mpls(label));
            self.next = frame.forget(self.next + LABEL_LEN);
            let is_last = low & 1 == 1;
            if is_last {
                match byte(frame, self.next)? >> 4 {
                    4 => self.ethertype = ETHERTYPE_IPV4,
                    6 => self.ethertype = ETHERTYPE_IPV6,
                    _ => {}
                }
                break;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn pppoe<L: Load + ?Sized>(&mut self, frame: &L) -> Result<(), WalkError> {
        let [_, _, s0, s1, l0, l1, p0, p1] = frame
            .load::<PPPOE_LEN>(self.next)
            .ok_or(WalkError::TooShort)?;
        let protocol = u16::from_be_bytes([p0, p1]);
        self.shim = Some(Shim::Pppoe {
            session: u16::from_be_bytes([s0, s1]),
            protocol,
        });
        // The length covers the protocol number and the content.
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        self.end = Some(self.next + PPPOE_LEN - 2 + length);
        self.next += PPPOE_LEN;
        match protocol {
            PPP_IPV4 => self.ethertype = ETHERTYPE_IPV4,
            PPP_IPV6 => self.ethertype = ETHERTYPE_IPV6,
            _ => {}
        }
        Ok(())
    }

    #[inline(always)]
    fn llc<L: Load + ?Sized>(&mut self, frame: &L, length: u16) -> Result<(), WalkError> {
        let llc @ [dsap, ssap, _] = frame.load(self.next).ok_or(WalkError::TooShort)?;
        self.end = Some(self.next + usize::from(length));
        let mut snap = None;
        if llc == SNAP {
            let [_, _, _, organisation @ .., p0, p1] = frame
                .load::<SNAP_LEN>(self.next)
                .ok_or(WalkError::TooShort)?;
            let protocol = u16::from_be_bytes([p0, p1]);
            if matches!(organisation, RFC_1042 | BRIDGE_TUNNEL) {
                self.ethertype = protocol;
                self.next += SNAP_LEN;
                return Ok(());
            }
            let [o0, o1, o2] = organisation;
            snap = Some((u32::from_be_bytes([0, o0, o1, o2]), protocol));
        }
        self.llc = Some(Llc { dsap, ssap, snap });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(ethertype: u16, behind: &[u8]) -> LinkLayer {
        let mut frame = vec![0; 12];
        frame.extend(ethertype.to_be_bytes());
        frame.extend(behind);
        link(frame.as_slice(), 0).unwrap()
    }

    #[test]
    fn tags_are_walked() {
        let behind = [0, 7, 0x81, 0, 0x20, 9, 0x91, 0, 0, 3, 0x08, 0, 0];
        let of = |ethertype, from: usize| {
            let layer = walked(ethertype, &behind[from..]);
            (layer.ethertype, layer.vlan, layer.next)
        };
        assert_eq!(of(0x9100, 8), (ETHERTYPE_IPV4, Some(3), 18));
        assert_eq!(of(0x8100, 4), (ETHERTYPE_IPV4, Some(3), 22));
        assert_eq!(of(0x88a8, 0), (ETHERTYPE_IPV4, Some(3), 26));
        // A fourth tag is not followed.
        let four = [&[0, 1, 0x81, 0][..], &behind].concat();
        let layer = walked(0x8100, &four);
        assert_eq!((layer.ethertype, layer.next), (0x9100, 26));
    }

    #[test]
    fn a_length_is_no_ethertype() {
        let layer = walked(38, &[0x42, 0x42, 3, 0, 0]);
        let stp = Llc {
            dsap: 0x42,
            ssap: 0x42,
            snap: None,
        };
        assert_eq!((layer.llc, layer.end), (Some(stp), Some(52)));
        let layer = walked(0x05ff, &[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0]);
        assert_eq!(layer.llc.unwrap().snap, Some((0x0c, 0x2000)));
        for organisation in [RFC_1042, BRIDGE_TUNNEL] {
            let snap = [&SNAP[..], &organisation, &[0x08, 0x06]].concat();
            let layer = walked(36, &snap);
            let seen = (layer.ethertype, layer.llc, layer.next, layer.end);
            assert_eq!(seen, (ETHERTYPE_ARP, None, 22, Some(50)));
        }
        // It may follow a tag.
        let layer = walked(0x8100, &[0, 7, 0, 38, 0x42, 0x42, 3]);
        assert_eq!((layer.vlan, layer.llc), (Some(7), Some(stp)));
        assert_eq!(walked(0x0600, &[]).llc, None);
        let short = [&[0; 12][..], &[0, 2, 0x42, 0x42]].concat();
        assert_eq!(link(short.as_slice(), 0), Err(WalkError::TooShort));
    }

    #[test]
    fn labels_are_walked() {
        let label = |label: u32, is_last| (label << 12 | u32::from(is_last) << 8).to_be_bytes();
        let stack = |labels: u32, first| {
            let labels = (1..=labels).map(|n| label(16 + n, n == labels));
            [labels.flatten().collect(), vec![first]].concat()
        };
        for (labels, first, ethertype) in [
            (1, 0x45, ETHERTYPE_IPV4),
            (4, 0x60, ETHERTYPE_IPV6),
            (2, 0x00, ETHERTYPE_MPLS),
            (5, 0x45, ETHERTYPE_MPLS),
        ] {
            let layer = walked(ETHERTYPE_MPLS, &stack(labels, first));
            assert_eq!(layer.ethertype, ethertype);
            assert_eq!(layer.shim, Some(Shim::Mpls(17)));
        }
    }

    #[test]
    fn sessions_of_pppoe_are_walked() {
        let layer = walked(ETHERTYPE_PPPOE, &[0x11, 0, 0, 5, 0, 30, 0, 0x57]);
        assert_eq!((layer.ethertype, layer.next), (ETHERTYPE_IPV6, 22));
        assert_eq!(layer.end, Some(50));
        let shim = |protocol| {
            Some(Shim::Pppoe {
                session: 5,
                protocol,
            })
        };
        assert_eq!(layer.shim, shim(PPP_IPV6));
        let layer = walked(ETHERTYPE_PPPOE, &[0x11, 0, 0, 5, 0, 30, 0xc0, 0x21]);
        assert_eq!(
            (layer.ethertype, layer.shim),
            (ETHERTYPE_PPPOE, shim(0xc021))
        );
    }
}
