//! TCP's numbers, counted from the begin of their flow.
use super::Text;
use crate::{
    map::Map,
    packet::{Ends, Packet, TCP_ACK, TCP_SYN, TcpWords, Transport},
    path::Path,
};

/// Directions of flows that are known at once: so many, and those that were seen before them.
const KNOWN_MAX: usize = 8192;

/// How TCP's numbers are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcpNumbers {
    /// From the first that was seen of the flow.
    #[default]
    Relative,
    /// As they are.
    Absolute,
    /// Not at all, and no flags.
    None,
}

/// The first number of each direction of a flow: that of its SYN, or of the first packet that
/// was seen. The flows seen longest ago are forgotten, and begin anew when they are seen again.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    new: Map<Ends, u32>,
    old: Map<Ends, u32>,
}

impl Sequences {
    /// What a packet's numbers are counted from: its sequence number, and what it acknowledges.
    /// `translated`: its ends on the other side of address translation.
    fn take(&mut self, packet: &Packet, translated: Option<Ends>) -> Option<(u32, u32)> {
        let Transport::Tcp {
            sequence,
            acknowledgment,
            flags,
            ..
        } = packet.transport
        else {
            return None;
        };
        let ends = packet.ends()?;
        let is_begin = flags & TCP_SYN != 0;
        let known = self.get(ends).filter(|base| !is_begin || *base == sequence);
        let base = known.unwrap_or_else(|| {
            if is_begin && flags & TCP_ACK == 0 {
                // The ports are used again: what was said before is another flow's.
                self.forget(ends.reversed());
            }
            self.set(ends, sequence);
            sequence
        });
        if let Some(translated) = translated.filter(|other| *other != ends) {
            self.set(translated, base);
        }
        if flags & TCP_ACK == 0 {
            return Some((base, 0));
        }
        let answers = ends.reversed();
        let other = self.get(answers).unwrap_or_else(|| {
            // A SYN takes a number of its own, which the answer acknowledges.
            let begin = acknowledgment.wrapping_sub(u32::from(is_begin));
            self.set(answers, begin);
            begin
        });
        Some((base, other))
    }

    fn get(&mut self, ends: Ends) -> Option<u32> {
        let known = self.new.get(&ends).copied();
        known.or_else(|| {
            let base = self.old.remove(&ends)?;
            self.set(ends, base);
            Some(base)
        })
    }

    fn set(&mut self, ends: Ends, base: u32) {
        if self.new.len() >= KNOWN_MAX && !self.new.contains_key(&ends) {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(ends, base);
    }

    fn forget(&mut self, ends: Ends) {
        self.new.remove(&ends);
        self.old.remove(&ends);
    }
}

impl Text {
    /// Counts the numbers of its flow's packets from it if it is the first, though it is not shown.
    pub(crate) fn pass_over(&mut self, path: &Path) {
        if self.options.tcp == TcpNumbers::Relative {
            self.sequences.take(&path.packet, path.ends());
        }
    }

    /// Appends what a packet is. `translated`: its ends behind address translation, if they are
    /// known.
    pub(crate) fn words(&mut self, out: &mut String, packet: &Packet, translated: Option<Ends>) {
        let words = match self.options.tcp {
            TcpNumbers::Absolute => TcpWords::From(0, 0),
            TcpNumbers::None => TcpWords::Short,
            TcpNumbers::Relative => match self.sequences.take(packet, translated) {
                Some((sequence, acknowledgment)) => TcpWords::From(sequence, acknowledgment),
                None => TcpWords::From(0, 0),
            },
        };
        packet.describe_as(out, words);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::packet::{Ip, Network};

    const SYN: u8 = TCP_SYN;
    const ACK: u8 = TCP_ACK;

    /// A segment between two hosts, named by the last byte of their addresses.
    fn segment((from, to): (u8, u8), flags: u8, numbers: (u32, u32), payload: u32) -> Packet {
        let mut packet = Packet::unread();
        packet.network = Network::Ip(Ip {
            source: Ipv4Addr::new(10, 0, 0, from).into(),
            destination: Ipv4Addr::new(10, 0, 0, to).into(),
            ttl: 64,
            protocol: 6,
            id: 0,
            may_fragment: true,
            fragment: None,
        });
        packet.transport = Transport::Tcp {
            source: from.into(),
            destination: to.into(),
            sequence: numbers.0,
            acknowledgment: numbers.1,
            flags,
            payload,
        };
        packet
    }

    fn words(text: &mut Text, packet: &Packet, translated: Option<&Packet>) -> String {
        let mut out = String::new();
        text.words(&mut out, packet, translated.and_then(Packet::ends));
        out.split_once("] ")
            .map_or(out.clone(), |(_, words)| words.to_owned())
    }

    #[test]
    fn numbers_count_from_the_syn() {
        let mut text = Text::new(Default::default(), jiff::tz::TimeZone::UTC);
        let (there, back) = ((1, 2), (2, 1));
        for (way, flags, numbers, payload, expected) in [
            (there, SYN, (u32::MAX, 0), 0, "seq 0 len 0"),
            (back, SYN | ACK, (500, 0), 0, "seq 0 ack 1 len 0"),
            (there, ACK, (0, 501), 29, "seq 1:30 ack 1 len 29"),
            (back, ACK, (501, 29), 40, "seq 1:41 ack 30 len 40"),
            // The same ports again, and the SYN twice.
            (there, SYN, (7000, 0), 0, "seq 0 len 0"),
            (there, SYN, (7000, 0), 0, "seq 0 len 0"),
            (back, SYN | ACK, (9000, 7001), 0, "seq 0 ack 1 len 0"),
            (there, ACK, (7001, 9001), 0, "seq 1 ack 1 len 0"),
        ] {
            let packet = segment(way, flags, numbers, payload);
            assert_eq!(words(&mut text, &packet, None), expected);
        }
    }

    #[test]
    fn numbers_count_from_the_first_that_was_seen() {
        let mut text = Text::new(Default::default(), jiff::tz::TimeZone::UTC);
        let first = segment((1, 2), ACK, (100, 5000), 10);
        assert_eq!(words(&mut text, &first, None), "seq 0:10 ack 0 len 10");
        let answer = segment((2, 1), ACK, (5000, 110), 0);
        assert_eq!(words(&mut text, &answer, None), "seq 0 ack 10 len 0");
    }

    #[test]
    fn numbers_count_on_through_translation() {
        let mut text = Text::new(Default::default(), jiff::tz::TimeZone::UTC);
        // 1 asks the Service 9, which is the pod 2.
        let (asked, taken) = (
            segment((1, 9), SYN, (100, 0), 0),
            segment((1, 2), SYN, (100, 0), 0),
        );
        assert_eq!(words(&mut text, &asked, Some(&taken)), "seq 0 len 0");
        let answer = |flags, numbers, payload| {
            let of = |ends| segment(ends, flags, numbers, payload);
            (of((2, 1)), of((9, 1)))
        };
        let (answered, seen) = answer(SYN | ACK, (700, 101), 0);
        assert_eq!(
            words(&mut text, &answered, Some(&seen)),
            "seq 0 ack 1 len 0"
        );
        let next = segment((1, 9), ACK, (101, 701), 5);
        let expected = "seq 1:6 ack 1 len 5";
        assert_eq!(
            words(&mut text, &next, Some(&segment((1, 2), ACK, (101, 701), 5))),
            expected
        );
    }

    #[test]
    fn other_styles_are_as_they_were_asked_for() {
        let packet = segment((1, 2), ACK, (100, 5000), 10);
        for (tcp, expected) in [
            (
                TcpNumbers::Absolute,
                "TCP 1 > 2 [ACK] seq 100:110 ack 5000 len 10",
            ),
            (TcpNumbers::None, "TCP 1 > 2 len 10"),
        ] {
            let options = super::super::TextOptions {
                tcp,
                ..Default::default()
            };
            let mut out = String::new();
            Text::new(options, jiff::tz::TimeZone::UTC).words(&mut out, &packet, None);
            assert_eq!(out, expected);
        }
    }

    proptest! {
        #[test]
        fn known_flows_are_bounded(flows in proptest::collection::vec(any::<[u8; 4]>(), 1..50)) {
            let mut sequences = Sequences::default();
            for number in 0..3 * KNOWN_MAX as u32 {
                let ends = Ends {
                    source: Ipv4Addr::from(number).into(),
                    destination: Ipv4Addr::from(flows[number as usize % flows.len()]).into(),
                    ports: None,
                };
                sequences.set(ends, number);
                prop_assert_eq!(sequences.get(ends), Some(number));
            }
            prop_assert!(sequences.new.len() <= KNOWN_MAX && sequences.old.len() <= KNOWN_MAX);
        }
    }
}
