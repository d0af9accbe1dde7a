//! Messages of nfnetlink (linux/netfilter/nfnetlink.h), which subsystems of netfilter share: the
//! firewall's rules, and connection tracking.
use std::iter;

use rtnetlink::packet_core::NetlinkBuffer;

/// Length of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
const HEADER: usize = 16;
pub(crate) const NETFILTER_HEADER: usize = 4;
/// Length of `struct nlattr`, and what attributes and messages are aligned to.
const ATTRIBUTE_HEADER: usize = 4;
const ALIGN: usize = 4;
/// `NLA_TYPE_MASK`, `NLA_F_NESTED`.
const KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 1 << 15;

/// The messages in a datagram, as far as it can be read.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = datagram;
    iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = (message.length() as usize).next_multiple_of(ALIGN);
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
}

/// The kinds and values of attributes, as far as they can be read.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    iter::from_fn(move || {
        let [a, b, c, d] = *rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & KIND_MASK, value))
    })
}

/// The value of the first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(one, value)| (one == kind).then_some(value))
}

/// A number in the order of the network.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// A larger number, in the same order.
pub(crate) fn long_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// A text, which ends by a zero.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// A message to the kernel.
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// `kind`: the subsystem in the upper byte, and its type of message; `flags` of
    /// linux/netlink.h; `resource`: an id that some messages have.
    pub(crate) fn new(kind: u16, family: u8, flags: u16, resource: u16) -> Self {
        let mut bytes = vec![0; HEADER + NETFILTER_HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[HEADER] = family;
        bytes[HEADER + 2..HEADER + 4].copy_from_slice(&resource.to_be_bytes());
        Self(bytes)
    }

    /// Adds an attribute.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        put(&mut self.0, kind, value);
        self
    }

    /// Adds a text.
    pub(crate) fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), b"\0"].concat())
    }

    /// Adds an attribute that holds others.
    pub(crate) fn with_nested(mut self, kind: u16, attributes: &[u8]) -> Self {
        put_nested(&mut self.0, kind, attributes);
        self
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or_default();
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// Appends an attribute.
pub(crate) fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or_default();
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// Appends an attribute that holds others.
pub(crate) fn put_nested(out: &mut Vec<u8>, kind: u16, attributes: &[u8]) {
    put(out, kind | NESTED, attributes);
}
