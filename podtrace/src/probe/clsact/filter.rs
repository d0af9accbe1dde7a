//! Filters of a clsact qdisc: which exist, which are ours, and where ours go.
use std::io;

use aya::{
    maps::{MapInfo, MapType},
    programs::loaded_programs,
};
use podtrace_ebpf::record::Direction;
use rtnetlink::{
    packet_core::NlasIterator,
    packet_route::tc::{TcHandle, TcHeader},
};

use crate::{probe::sys, text::sanitize::sanitize};

/// The prefix of our filters' names.
pub(super) const NAME: &str = "podtrace/";
/// The prefix of our handles.
const HANDLE: u32 = 0x7074_0000;
/// In our handles: podtrace added the qdisc.
const MADE: u32 = 0x8000;
/// In our handles: a number that distinguishes them.
const NUMBER: u32 = 0x7fff;
/// Our priority if no other filter comes first: another tool is unlikely to use it, which
/// matters as a priority has one kind of filter only.
const PRIORITY: u16 = 73;
/// `ETH_P_ALL`, linux/if_ether.h, in network byte order.
pub(super) const ALL_PROTOCOLS: u16 = 0x0003_u16.to_be();

/// Attributes, linux/rtnetlink.h and linux/pkt_cls.h.
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;
/// Length of `struct tcmsg`.
const HEADER_LEN: usize = 20;

/// The hook of a direction.
pub(super) fn hook(direction: Direction) -> TcHandle {
    TcHandle {
        major: TcHandle::CLSACT.major,
        minor: match direction {
            Direction::Egress => TcHandle::MIN_EGRESS,
            _ => TcHandle::MIN_INGRESS,
        },
    }
}

/// A handle for a filter of ours.
pub(super) fn handle(made: bool, number: u32) -> u32 {
    HANDLE | if made { MADE } else { 0 } | number & NUMBER
}

/// An existing filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Lower priorities come first.
    pub(super) priority: u16,
    /// The protocol of its packets, in network byte order.
    pub(super) protocol: u16,
    /// Zero for the entry that stands for all filters of a priority.
    pub(super) handle: u32,
    /// Packets begin in chain 0, where ours are.
    pub(super) chain: u32,
    /// For example `bpf`.
    pub(super) kind: String,
    name: String,
    /// Its program, by the kernel's number.
    program: u32,
}

/// The owner of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A running podtrace.
    Alive,
    /// A podtrace that has ended.
    Dead,
    Other,
}

impl Filter {
    /// Parses a filter in the kernel's answer; skips unknown attributes.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let header = TcHeader::parse(message).ok()?;
        let mut filter = Self {
            priority: (header.info >> 16) as u16,
            protocol: header.info as u16,
            handle: header.handle.into(),
            ..Self::default()
        };
        for attribute in NlasIterator::new(message.get(HEADER_LEN..)?).map_while(Result::ok) {
            match attribute.kind() {
                TCA_KIND => filter.kind = text(attribute.value()),
                TCA_OPTIONS => filter.set_options(attribute.value()),
                TCA_CHAIN => {
                    let chain = attribute.value().first_chunk().copied();
                    filter.chain = chain.map_or(0, u32::from_ne_bytes);
                }
                _ => {}
            }
        }
        Some(filter)
    }

    fn set_options(&mut self, options: &[u8]) {
        if self.kind != "bpf" {
            return;
        }
        for option in NlasIterator::new(options).map_while(Result::ok) {
            match (option.kind(), option.value().first_chunk()) {
                (TCA_BPF_NAME, _) => self.name = text(option.value()),
                (TCA_BPF_ID, Some(id)) => self.program = u32::from_ne_bytes(*id),
                _ => {}
            }
        }
    }

    /// Whether it is a filter, not the entry of a priority.
    pub(super) fn is_filter(&self) -> bool {
        self.handle != 0
    }

    /// Whether it may keep packets from the filters behind it: another tool's, in the chain
    /// where packets begin.
    pub(super) fn is_in_way(&self) -> bool {
        self.is_filter() && self.chain == 0 && !self.is_ours()
    }

    /// `flower filter of priority 1, ingress`
    pub(super) fn in_words(&self, hook: TcHandle) -> String {
        let name = match &*self.name {
            "" => String::new(),
            name => format!(" {name}"),
        };
        let direction = match hook.minor {
            TcHandle::MIN_EGRESS => "egress",
            _ => "ingress",
        };
        let Self { kind, priority, .. } = self;
        sanitize(&format!(
            "{kind} filter{name} of priority {priority}, {direction}"
        ))
    }

    /// Whether its name and handle are those of a filter of ours.
    pub(super) fn is_ours(&self) -> bool {
        self.name.starts_with(NAME) && self.handle & !(MADE | NUMBER) == HANDLE
    }

    /// Whether it marks the qdisc as made by podtrace.
    pub(super) fn marks_own_qdisc(&self) -> bool {
        self.is_ours() && self.handle & MADE != 0
    }

    /// The owner of the filter.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub(super) fn owner(&self) -> io::Result<Owner> {
        if !self.is_ours() {
            return Ok(Owner::Other);
        }
        for program in loaded_programs() {
            let program = program.map_err(io::Error::other)?;
            if program.id() != self.program {
                continue;
            }
            let maps = program.map_ids().map_err(io::Error::other)?;
            for map in maps.unwrap_or_default() {
                let map = MapInfo::from_id(map).map_err(io::Error::other)?;
                if matches!(map.map_type(), Ok(MapType::ProgramArray)) {
                    let map = map.fd().map_err(io::Error::other)?;
                    let is_alive = sys::has_program(&map, 0)?;
                    return Ok(if is_alive { Owner::Alive } else { Owner::Dead });
                }
            }
        }
        Ok(Owner::Other)
    }
}

/// Whether the filter in an answer of the kernel has the name and handle of ours; none if it
/// cannot be parsed. For fuzz targets.
#[must_use]
pub fn is_ours(message: &[u8]) -> Option<bool> {
    Filter::parse(message).map(|filter| filter.is_ours())
}

fn text(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The priority of ours among other filters: the first one that displaces none.
pub(super) fn priority_among(filters: &[Filter]) -> u16 {
    // Each chain has priorities of its own.
    let chain = || filters.iter().filter(|filter| filter.chain == 0);
    let first = chain().map(|filter| filter.priority).min();
    let can_join = |priority| {
        let mut there = chain().filter(|filter| filter.priority == priority);
        there.all(|filter| filter.kind == "bpf" && filter.protocol == ALL_PROTOCOLS)
    };
    match first {
        None => PRIORITY,
        // The kernel puts the newest of a priority's programs first.
        Some(1) if can_join(1) => 1,
        Some(1) => (2..=u16::MAX).find(|at| can_join(*at)).unwrap_or(u16::MAX),
        Some(first) => PRIORITY.min(first - 1),
    }
}

/// The filters that packets reach before a new one of that priority.
pub(super) fn in_way_before(filters: &[Filter], priority: u16) -> impl Iterator<Item = &Filter> {
    let in_way = filters.iter().filter(|filter| filter.is_in_way());
    in_way.filter(move |filter| filter.priority < priority)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(priority: u16, kind: &str) -> Filter {
        Filter {
            priority,
            kind: kind.into(),
            protocol: ALL_PROTOCOLS,
            handle: 1,
            ..Filter::default()
        }
    }

    fn position(filters: &[(u16, &str)]) -> (u16, bool) {
        let filters: Vec<_> = filters.iter().map(|(at, kind)| filter(*at, kind)).collect();
        let priority = priority_among(&filters);
        let is_behind = in_way_before(&filters, priority).next().is_some();
        (priority, !is_behind)
    }

    #[test]
    fn ours_goes_first_and_takes_nobodys_place() {
        assert_eq!(position(&[]), (73, true));
        assert_eq!(position(&[(49152, "flower")]), (73, true));
        assert_eq!(position(&[(10, "u32"), (20, "bpf")]), (9, true));
        assert_eq!(position(&[(73, "bpf")]), (72, true));
        assert_eq!(position(&[(1, "bpf"), (2, "flower")]), (1, true));
        assert_eq!(position(&[(1, "matchall")]), (2, false));
        let elsewhere = Filter {
            chain: 7,
            ..filter(1, "matchall")
        };
        assert!(!elsewhere.is_in_way());
        assert_eq!(
            position(&[(1, "matchall"), (2, "u32"), (3, "bpf")]),
            (3, false)
        );
    }

    #[test]
    fn filters_are_named_with_their_place() {
        let mut other = filter(1, "bpf");
        other.name = "block\u{1b}".into();
        let words = other.in_words(hook(Direction::Egress));
        assert_eq!(words, "bpf filter block\u{fffd} of priority 1, egress");
    }

    #[test]
    fn ours_are_known_by_name_and_handle() {
        let mut ours = filter(73, "bpf");
        ours.name = format!("{NAME}pt_stub_in");
        assert!(!ours.is_ours());
        ours.handle = handle(false, 0xffff_1234);
        assert!(ours.is_ours() && !ours.marks_own_qdisc() && !ours.is_in_way());
        ours.handle = handle(true, 5);
        assert!(ours.is_ours() && ours.marks_own_qdisc());
        ours.name = "cil_from_netdev".into();
        assert!(!ours.is_ours() && !ours.marks_own_qdisc() && ours.is_in_way());
        assert!(matches!(ours.owner(), Ok(Owner::Other)));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Filter::parse(&message);
        }
    }
}
