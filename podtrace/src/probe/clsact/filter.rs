//! Filters of a clsact qdisc: what is there, what of it is ours, where ours goes.
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

/// How the names of our filters begin.
pub(super) const NAME: &str = "podtrace/";
/// How our handles begin.
const HANDLE: u32 = 0x7074_0000;
/// In our handles: podtrace has made the qdisc.
const MADE: u32 = 0x8000;
/// In our handles: something to tell them apart.
const NUMBER: u32 = 0x7fff;
/// Our place where there is nobody before: a number that nobody else is likely to use,
/// as another kind of filter could not have it then.
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

/// Where filters of a direction are.
pub(super) fn hook(direction: Direction) -> TcHandle {
    TcHandle {
        major: TcHandle::CLSACT.major,
        minor: match direction {
            Direction::Egress => TcHandle::MIN_EGRESS,
            _ => TcHandle::MIN_INGRESS,
        },
    }
}

/// A handle for one of ours.
pub(super) fn handle(made: bool, number: u32) -> u32 {
    HANDLE | if made { MADE } else { 0 } | number & NUMBER
}

/// A filter that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Those with lower ones come first.
    pub(super) priority: u16,
    /// Which packets, in network byte order.
    pub(super) protocol: u16,
    /// Zero for what holds the filters of a priority together.
    pub(super) handle: u32,
    /// Packets begin in chain 0, where ours are.
    pub(super) chain: u32,
    /// For example `bpf`.
    pub(super) kind: String,
    name: String,
    /// Its program, by the kernel's number.
    program: u32,
}

/// Whose a filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A podtrace's that runs.
    Alive,
    /// One's that is gone.
    Dead,
    Other,
}

impl Filter {
    /// Reads one from the kernel's answer; attributes that are not known are passed over.
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

    /// Whether it is one and not what holds those of a priority together.
    pub(super) fn is_filter(&self) -> bool {
        self.handle != 0
    }

    /// Whether it may keep packets from filters behind it: it is another tool's, and packets
    /// come to it before they were in another chain.
    pub(super) fn is_in_way(&self) -> bool {
        self.is_filter() && self.chain == 0 && !self.looks_ours()
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

    /// Whether it was made as one of ours is.
    pub(super) fn looks_ours(&self) -> bool {
        self.name.starts_with(NAME) && self.handle & !(MADE | NUMBER) == HANDLE
    }

    /// Whether it tells that podtrace has made the qdisc.
    pub(super) fn tells_made(&self) -> bool {
        self.looks_ours() && self.handle & MADE != 0
    }

    /// Whose it is.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn owner(&self) -> io::Result<Owner> {
        if !self.looks_ours() {
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

fn text(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The priority of ours among others: the first one that takes nobody's place.
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

/// Those that packets come to before they come to a new one of that priority.
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
        assert!(!ours.looks_ours());
        ours.handle = handle(false, 0xffff_1234);
        assert!(ours.looks_ours() && !ours.tells_made() && !ours.is_in_way());
        ours.handle = handle(true, 5);
        assert!(ours.looks_ours() && ours.tells_made());
        ours.name = "cil_from_netdev".into();
        assert!(!ours.looks_ours() && !ours.tells_made() && ours.is_in_way());
        assert!(matches!(ours.owner(), Ok(Owner::Other)));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Filter::parse(&message);
        }
    }
}
