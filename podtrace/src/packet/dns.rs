//! Questions and answers of DNS (RFC 1035, over TCP RFC 7766) and mDNS (RFC 6762).
use std::{borrow::Cow, fmt::Write as _};

use podtrace_ebpf::parse::Load as _;

/// Ports of DNS and mDNS.
const PORTS: [u16; 2] = [53, 5353];
/// Length of a message's header.
const HEADER_LEN: usize = 12;
/// Upper bound of a name's bytes, by the RFC.
const NAME_MAX: usize = 255;
/// The two high bits of a length that is none.
const POINTER: u8 = 0xc0;
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;

/// The header of a message, and its first question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// What joins a response to its query.
    pub id: u16,
    /// Whether it is a response.
    pub is_response: bool,
    /// Whether the message says that it is cut.
    pub is_truncated: bool,
    /// The response code.
    pub rcode: u8,
    /// How many answers it has.
    pub answers: u16,
    /// The first question's name, as in zone files and without the last dot; it ends with `…`
    /// where its rest was not captured. None without a question.
    pub name: Option<Box<str>>,
    /// The first question's type, if it was captured.
    pub kind: Option<u16>,
}

/// Whether one of the ports is of DNS.
pub(super) fn is_dns(source: u16, destination: u16) -> bool {
    PORTS.contains(&source) || PORTS.contains(&destination)
}

impl Dns {
    /// Reads the payload of a UDP packet, as far as it was captured; none if it is no query or
    /// response.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        const QUERY: u16 = 0;
        let header: [u8; HEADER_LEN] = payload.load(0)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if flags >> 11 & 0xf != QUERY {
            return None;
        }
        let (name, kind) = match word(4) {
            0 if flags & RESPONSE == 0 => return None,
            // Responses of mDNS.
            0 => (None, None),
            _ => question(payload)?,
        };
        Some(Self {
            id: word(0),
            is_response: flags & RESPONSE != 0,
            is_truncated: flags & TRUNCATED != 0,
            rcode: (flags & 0xf) as u8,
            answers: word(6),
            name,
            kind,
        })
    }

    /// Reads the content of a TCP segment, as far as it was captured: the length of a message, then
    /// the message. None if another part of a stream is there.
    pub(super) fn read_segment(content: &[u8]) -> Option<Self> {
        let (length, message) = content.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let message = &message[..message.len().min(length)];
        // Only one question is in use; other bytes may look like more.
        let questions: [u8; 2] = message.load(4)?;
        (questions == [0, 1]).then(|| Self::read(message))?
    }

    /// Bytes that it takes beyond its own size.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.name.as_deref().map_or(0, str::len)
    }

    /// The name of its type: `AAAA`.
    #[must_use]
    pub fn kind_name(&self) -> Option<Cow<'static, str>> {
        let name = match self.kind? {
            1 => "A",
            2 => "NS",
            5 => "CNAME",
            6 => "SOA",
            12 => "PTR",
            15 => "MX",
            16 => "TXT",
            28 => "AAAA",
            33 => "SRV",
            64 => "SVCB",
            65 => "HTTPS",
            255 => "ANY",
            other => return Some(Cow::Owned(format!("TYPE{other}"))),
        };
        Some(Cow::Borrowed(name))
    }

    /// The name of its response code: `NXDOMAIN`.
    #[must_use]
    pub fn rcode_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self.rcode {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            other => return Cow::Owned(format!("RCODE{other}")),
        })
    }

    /// Appends it in words: `DNS query AAAA web.default.svc`, `DNS response A web, NXDOMAIN`.
    pub fn describe(&self, out: &mut String) {
        out.push_str(if self.is_response {
            "DNS response"
        } else {
            "DNS query"
        });
        let (kind, name) = (self.kind_name(), self.name.as_deref());
        for part in [kind.as_deref(), name].into_iter().flatten() {
            out.push(' ');
            out.push_str(part);
        }
        if self.is_response {
            // Writing to a String cannot fail.
            let _ = match (self.rcode, self.answers) {
                (0, 1) => write!(out, ", 1 answer"),
                (0, answers) => write!(out, ", {answers} answers"),
                _ => write!(out, ", {}", self.rcode_name()),
            };
        }
        if self.is_truncated {
            out.push_str(", truncated");
        }
    }
}

/// Name and type of the first question; none if the name is malformed. A first question has no
/// compressed name, as there is nothing before it.
fn question(payload: &[u8]) -> Option<(Option<Box<str>>, Option<u16>)> {
    let mut name = String::new();
    let mut at = HEADER_LEN;
    loop {
        let Some(length) = payload.get(at).copied() else {
            name.push('…');
            return Some((Some(name.into()), None));
        };
        if length & POINTER != 0 || at - HEADER_LEN > NAME_MAX {
            return None;
        }
        at += 1;
        if length == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let end = at + usize::from(length);
        let label = payload.get(at..end.min(payload.len()))?;
        label.iter().for_each(|byte| push(&mut name, *byte));
        at = end;
    }
    if name.is_empty() {
        name.push('.');
    }
    let kind = payload.load(at).map(u16::from_be_bytes);
    Some((Some(name.into()), kind))
}

/// Appends a byte of a label as zone files show it (RFC 1035, 5.1).
fn push(name: &mut String, byte: u8) {
    match byte {
        b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
            name.push('\\');
            name.push(byte.into());
        }
        0x21..=0x7e => name.push(byte.into()),
        // Writing to a String cannot fail.
        _ => drop(write!(name, "\\{byte:03}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(flags: u16, answers: u16, name: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34];
        bytes.extend(flags.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(answers.to_be_bytes());
        bytes.extend([0; 4]);
        for label in name {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(*label);
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    fn words(bytes: &[u8]) -> Option<String> {
        let mut out = String::new();
        Dns::read(bytes)?.describe(&mut out);
        Some(out)
    }

    #[test]
    fn queries_and_responses_are_named() {
        let web: &[&[u8]] = &[b"web", b"default", b"svc"];
        for (flags, answers, name, kind, expected) in [
            (0x0100, 0, web, 28, "DNS query AAAA web.default.svc"),
            (
                0x8180,
                1,
                web,
                1,
                "DNS response A web.default.svc, 1 answer",
            ),
            (
                0x8180,
                3,
                web,
                1,
                "DNS response A web.default.svc, 3 answers",
            ),
            (
                0x8183,
                0,
                web,
                33,
                "DNS response SRV web.default.svc, NXDOMAIN",
            ),
            (
                0x8389,
                0,
                web,
                999,
                "DNS response TYPE999 web.default.svc, RCODE9, truncated",
            ),
            (0x0100, 0, &[], 2, "DNS query NS ."),
        ] {
            let bytes = message(flags, answers, name, kind);
            assert_eq!(words(&bytes).as_deref(), Some(expected));
        }
    }

    #[test]
    fn labels_of_any_bytes_are_shown_as_in_zone_files() {
        let bytes = message(0, 0, &[b"a.b", b"\x1b[31m\xff", b"c d"], 1);
        assert_eq!(
            words(&bytes).as_deref(),
            Some(r"DNS query A a\.b.\027[31m\255.c\032d")
        );
    }

    #[test]
    fn what_was_not_captured_is_marked() {
        let bytes = message(0, 0, &[b"web", b"default"], 1);
        assert_eq!(words(&bytes[..12]).as_deref(), Some("DNS query …"));
        assert_eq!(words(&bytes[..20]).as_deref(), Some("DNS query web.def…"));
        assert_eq!(
            words(&bytes[..25]).as_deref(),
            Some("DNS query web.default")
        );
        assert_eq!(words(&bytes[..11]), None);
    }

    #[test]
    fn other_messages_are_none() {
        // A dynamic update, and a compressed name that nothing stands before.
        assert_eq!(words(&message(5 << 11, 0, &[b"web"], 1)), None);
        let mut pointer = message(0, 0, &[b"web"], 1);
        pointer[HEADER_LEN] = 0xc0;
        assert_eq!(words(&pointer), None);
    }

    #[test]
    fn segments_begin_with_a_length() {
        let message = message(0x8180, 1, &[b"web"], 1);
        let length = u16::try_from(message.len()).unwrap();
        let read = |length: u16, message: &[u8]| {
            let segment = [&length.to_be_bytes()[..], message].concat();
            let mut out = String::new();
            Dns::read_segment(&segment)?.describe(&mut out);
            Some(out)
        };
        let expected = Some("DNS response A web, 1 answer".to_owned());
        assert_eq!(read(length, &message), expected);
        // Another message follows, or only a part was captured.
        assert_eq!(read(length, &[&message[..], b"\0\x20"].concat()), expected);
        assert_eq!(
            read(length, &message[..14]),
            Some("DNS response w…, 1 answer".to_owned())
        );
        assert_eq!(read(3, &message), None);
        assert_eq!(read(length, &message[2..]), None);
        assert_eq!(Dns::read_segment(&[0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_short_printable_words(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            if let Some(words) = words(&bytes) {
                prop_assert!(words.len() < 5 * NAME_MAX + 100);
                prop_assert!(words.chars().all(|c| matches!(c, ' '..='~' | '…')));
            }
        }
    }
}
