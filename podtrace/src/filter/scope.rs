//! Which of a packet's frames an expression looks at.
use std::borrow::Cow;

use super::{Begin, Expression, Frame};

/// Bytes of both addresses of an Ethernet header; a tag comes behind them.
const ADDRESSES: usize = 12;
/// EtherType of an 802.1Q tag.
const TAG: [u8; 2] = [0x81, 0];

/// The frames of a packet that are looked at. A packet in no tunnel has one, which is both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The outer and the innermost: one match is enough.
    #[default]
    Both,
    /// The frame as it is at the tap.
    Outer,
    /// The innermost.
    Inner,
}

/// An expression, and what it looks at.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The expression.
    pub expression: Expression,
    /// What it looks at.
    pub scope: Scope,
}

/// A packet as a tap has seen it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Length of the packet on the wire.
    pub length: u32,
    /// What the bytes begin with.
    pub begin: Begin,
    /// Whether it leaves by the interface.
    pub is_outgoing: bool,
    /// Tag control information of a VLAN tag that is not in the bytes.
    pub tag: Option<u16>,
    /// Of a packet in a tunnel: where the innermost frame begins, and with what.
    pub inner: Option<(usize, Begin)>,
}

impl Filter {
    /// Whether the packet matches.
    #[must_use]
    pub fn matches(&self, seen: &Seen<'_>) -> bool {
        match (self.scope, seen.inner) {
            (Scope::Both, Some(_)) => self.outer(seen) || self.inner(seen),
            (Scope::Inner, Some(_)) => self.inner(seen),
            (Scope::Outer, _) | (_, None) => self.outer(seen),
        }
    }

    fn outer(&self, seen: &Seen<'_>) -> bool {
        let bytes = match (seen.tag, seen.begin) {
            (Some(tag), Begin::Ethernet) => tagged(seen.bytes, tag),
            _ => Cow::Borrowed(seen.bytes),
        };
        let more = bytes.len().saturating_sub(seen.bytes.len());
        let frame = Frame {
            bytes: &bytes,
            length: seen.length.saturating_add(u32::try_from(more).unwrap_or(0)),
            is_outgoing: seen.is_outgoing,
        };
        self.expression.matches(seen.begin, frame)
    }

    fn inner(&self, seen: &Seen<'_>) -> bool {
        let Some((start, begin)) = seen.inner else {
            return false;
        };
        let frame = Frame {
            bytes: seen.bytes.get(start..).unwrap_or_default(),
            length: seen
                .length
                .saturating_sub(u32::try_from(start).unwrap_or(u32::MAX)),
            is_outgoing: seen.is_outgoing,
        };
        self.expression.matches(begin, frame)
    }
}

/// The frame with a tag where it was on the wire.
fn tagged(bytes: &[u8], tag: u16) -> Cow<'_, [u8]> {
    let Some((addresses, rest)) = bytes.split_at_checked(ADDRESSES) else {
        return Cow::Borrowed(bytes);
    };
    Cow::Owned([addresses, &TAG, &tag.to_be_bytes(), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str, scope: Scope) -> Filter {
        let expression = Expression::compile(text).unwrap();
        Filter { expression, scope }
    }

    /// An ICMP packet between two addresses, 34 bytes with its Ethernet header.
    fn icmp(last: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 20];
        frame.extend([0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, last]);
        frame
    }

    fn seen(bytes: &[u8]) -> Seen<'_> {
        Seen {
            bytes,
            length: u32::try_from(bytes.len()).unwrap(),
            begin: Begin::Ethernet,
            is_outgoing: false,
            tag: None,
            inner: None,
        }
    }

    #[test]
    fn tag_beside_the_frame_is_in_it() {
        let frame = icmp(9);
        let with = |text, tag| {
            let seen = Seen {
                tag,
                ..seen(&frame)
            };
            filter(text, Scope::Both).matches(&seen)
        };
        assert!(with("vlan 5 and icmp", Some(5)));
        assert!(with("len = 38", Some(5)));
        assert!(!with("vlan 6", Some(5)));
        assert!(!with("vlan", None));
        assert!(with("icmp", None));
        let short = Seen {
            tag: Some(5),
            ..seen(&frame[..7])
        };
        assert!(!filter("vlan", Scope::Both).matches(&short));
    }

    #[test]
    fn inner_and_outer_frames_are_looked_at() {
        // IP in IP, and the same with a whole frame inside.
        let mut ip_in_ip = icmp(1);
        ip_in_ip.extend(&icmp(2)[14..]);
        let mut in_vxlan = icmp(1);
        in_vxlan.extend(icmp(2));
        for (frame, begin) in [(ip_in_ip, Begin::Ip), (in_vxlan, Begin::Ethernet)] {
            let seen = Seen {
                inner: Some((34, begin)),
                ..seen(&frame)
            };
            let matches = |text, scope| filter(text, scope).matches(&seen);
            for (text, outer, inner) in [
                ("dst host 10.0.0.1", true, false),
                ("dst host 10.0.0.2", false, true),
                ("icmp", true, true),
                ("udp", false, false),
            ] {
                assert_eq!(matches(text, Scope::Outer), outer, "{text}");
                assert_eq!(matches(text, Scope::Inner), inner, "{text}");
                assert_eq!(matches(text, Scope::Both), outer || inner, "{text}");
            }
        }
        // In no tunnel, the frame is both.
        let plain = icmp(1);
        for scope in [Scope::Outer, Scope::Inner, Scope::Both] {
            assert!(filter("icmp", scope).matches(&seen(&plain)));
        }
    }
}
