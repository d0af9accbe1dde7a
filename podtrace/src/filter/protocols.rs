//! IP protocols.

/// Protocols as libpcap names them, with their numbers (IANA).
const NAMES: [(&str, u8); 6] = [
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("icmp6", 58),
    ("sctp", 132),
];

/// Some of the IP protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols([u128; 2]);

impl Protocols {
    /// Those of these names; none if one is not known.
    pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut protocols = Self::default();
        for name in names {
            let (_, number) = NAMES.iter().find(|(known, _)| *known == name)?;
            protocols.0[usize::from(number >> 7)] |= 1 << (number & 0x7f);
        }
        Some(protocols)
    }

    /// Whether a protocol of this number is among them.
    #[must_use]
    pub fn has(&self, number: u8) -> bool {
        self.0[usize::from(number >> 7)] >> (number & 0x7f) & 1 != 0
    }
}
