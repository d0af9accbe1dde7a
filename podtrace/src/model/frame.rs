//! The bytes of a packet at one hop.
use bytes::Bytes;
use podtrace_ebpf::parse::ETHERNET_LEN;

use super::event::Event;
use crate::packet::{Mac, link};

/// EtherTypes of VLAN tags: 802.1Q, 802.1ad, and what came before it.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Bytes of a VLAN tag.
const VLAN_LEN: usize = 4;

/// A frame as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The captured bytes.
    pub captured: Bytes,
    /// Its length on the wire.
    pub wire_len: u32,
    /// Link layer of the captured bytes, by its LINKTYPE_ number.
    pub link: u16,
    /// Tag control information of a VLAN tag kept outside of the frame.
    pub vlan_tci: Option<u16>,
}

impl Frame {
    /// The frame of an event, which shares its bytes.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            captured: event.captured.clone(),
            wire_len: event.wire_len,
            link: event.link,
            vlan_tci: event.vlan_tci,
        }
    }

    /// The same with bytes of its own: those of an event keep a whole batch in memory.
    #[must_use]
    pub fn kept(event: &Event) -> Self {
        Self {
            captured: Bytes::copy_from_slice(&event.captured),
            ..Self::of(event)
        }
    }

    /// Its size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.captured.len()
    }

    /// How many bytes were not captured.
    #[must_use]
    pub fn missing(&self) -> u32 {
        let captured = u32::try_from(self.captured.len()).unwrap_or(u32::MAX);
        self.wire_len.saturating_sub(captured)
    }

    /// Source and destination of its Ethernet header, if it has one.
    #[must_use]
    pub fn macs(&self) -> Option<(Mac, Mac)> {
        let header = self.captured.first_chunk::<12>();
        let [a, b, c, d, e, f, source @ ..] = *header.filter(|_| self.link == link::ETHERNET)?;
        Some((Mac(source), Mac([a, b, c, d, e, f])))
    }

    /// The tag control information of its VLAN tags, the outermost first.
    pub fn vlans(&self) -> impl Iterator<Item = u16> {
        let tags = (0..self.tags()).filter_map(|number| {
            let at = ETHERNET_LEN + number * VLAN_LEN;
            self.word(at)
        });
        self.vlan_tci.into_iter().chain(tags)
    }

    /// The bytes from the network header on.
    #[must_use]
    pub fn network(&self) -> &[u8] {
        let len = match self.link {
            link::ETHERNET => ETHERNET_LEN + self.tags() * VLAN_LEN,
            other => link::Layer::of(other).map_or(0, link::Layer::header_len),
        };
        self.captured.get(len..).unwrap_or_default()
    }

    /// How many VLAN tags the frame has.
    fn tags(&self) -> usize {
        if self.link != link::ETHERNET {
            return 0;
        }
        let types = (0..).map(|number| self.word(ETHERNET_LEN - 2 + number * VLAN_LEN));
        types
            .take_while(|word| word.is_some_and(|word| VLAN_TAGS.contains(&word)))
            .count()
    }

    /// Two bytes in network order.
    fn word(&self, at: usize) -> Option<u16> {
        let bytes = self.captured.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(link: u16, bytes: &[u8]) -> Frame {
        Frame {
            captured: Bytes::copy_from_slice(bytes),
            wire_len: 100,
            link,
            vlan_tci: Some(0x2005),
        }
    }

    #[test]
    fn headers_in_front_of_the_network_layer_are_known() {
        let mut bytes = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        bytes.extend([0x88, 0xa8, 0, 7, 0x81, 0, 0x60, 9, 0x08, 0, 0x45, 0]);
        let tagged = frame(link::ETHERNET, &bytes);
        let macs = (Mac([7, 8, 9, 10, 11, 12]), Mac([1, 2, 3, 4, 5, 6]));
        assert_eq!(tagged.macs(), Some(macs));
        assert_eq!(tagged.vlans().collect::<Vec<_>>(), [0x2005, 7, 0x6009]);
        assert_eq!(tagged.network(), [0x45, 0]);
        assert_eq!(tagged.missing(), 76);
        let raw = frame(link::RAW, &[0x45, 0]);
        assert_eq!((raw.macs(), raw.network()), (None, &[0x45, 0][..]));
        assert_eq!(frame(113, &bytes).network().len(), 8);
        // Cut anywhere.
        for len in 0..bytes.len() {
            let cut = frame(link::ETHERNET, &bytes[..len]);
            assert_eq!(cut.macs().is_some(), len >= 12);
            assert!(cut.network().is_empty() || len > 14);
            assert!(cut.vlans().count() <= 3);
        }
    }
}
