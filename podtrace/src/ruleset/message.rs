//! Messages of nf_tables (linux/netfilter/nf_tables.h).
use rtnetlink::packet_core::{NLM_F_DUMP_INTR, NetlinkBuffer};

use crate::{
    model::ruleset::Family,
    nfnetlink::{self, NETFILTER_HEADER, Request},
};

/// `NFNL_SUBSYS_NFTABLES`, in the types of its messages.
const NFTABLES: u16 = 10 << 8;
/// Answers that are no messages of a subsystem (linux/netlink.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NFNL_MSG_BATCH_BEGIN` and `_END`, around messages that take effect at once.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

/// The families by their numbers, `enum nfproto`.
pub(crate) const FAMILIES: [(Family, u8); 6] = [
    (Family::Inet, 1),
    (Family::Ip, 2),
    (Family::Arp, 3),
    (Family::Netdev, 5),
    (Family::Bridge, 7),
    (Family::Ip6, 10),
];

/// The family with a number.
pub(crate) fn family(number: u8) -> Option<Family> {
    let known = FAMILIES.iter().find(|(_, known)| *known == number);
    known.map(|(family, _)| *family)
}

/// The number of a family.
pub(super) fn number_of(family: Family) -> u8 {
    let known = FAMILIES.iter().find(|(one, _)| *one == family);
    known.map_or(0, |(_, number)| *number)
}

/// What a message of nf_tables is about (`enum nf_tables_msg_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NewTable,
    GetTable,
    NewChain,
    GetChain,
    NewRule,
    GetRule,
    NewSet,
    GetSet,
    NewElements,
    GetElements,
    NewGeneration,
    GetGeneration,
    Trace,
}

/// The kinds with their numbers.
const KINDS: [(Kind, u16); 13] = [
    (Kind::NewTable, 0),
    (Kind::GetTable, 1),
    (Kind::NewChain, 3),
    (Kind::GetChain, 4),
    (Kind::NewRule, 6),
    (Kind::GetRule, 7),
    (Kind::NewSet, 9),
    (Kind::GetSet, 10),
    (Kind::NewElements, 12),
    (Kind::GetElements, 13),
    (Kind::NewGeneration, 15),
    (Kind::GetGeneration, 16),
    (Kind::Trace, 17),
];

/// A message of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message<'a> {
    /// About an object: its kind, the family, and the attributes.
    Object(Kind, u8, &'a [u8]),
    /// The answer to a request: an error number of the system, or 0.
    Answer(i32),
    /// The end of a list, and whether it is whole: nothing changed meanwhile.
    Done(bool),
}

/// The messages in a datagram, as far as it can be read.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    nfnetlink::messages(datagram).filter_map(|message| self::message(&message))
}

fn message<'a>(message: &NetlinkBuffer<&'a [u8]>) -> Option<Message<'a>> {
    let payload = message.payload();
    let number = |at: usize| Some(i32::from_ne_bytes(*payload.get(at..)?.first_chunk()?));
    Some(match message.message_type() {
        ERROR => Message::Answer(number(0)?.saturating_neg()),
        DONE => Message::Done(message.flags() & NLM_F_DUMP_INTR == 0),
        kind => {
            let known = KINDS.iter().find(|(_, number)| NFTABLES | number == kind);
            let (family, attributes) = payload.split_at_checked(NETFILTER_HEADER)?;
            Message::Object(known?.0, *family.first()?, attributes)
        }
    })
}

/// A message to the kernel. `flags` of linux/netlink.h.
pub(crate) fn request(kind: Kind, family: u8, flags: u16) -> Request {
    let known = KINDS.iter().find(|(one, _)| *one == kind);
    let number = known.map_or(0, |(_, number)| *number);
    Request::new(NFTABLES | number, family, flags, 0)
}

/// All requests in one datagram: the kernel does all that they ask for, or nothing.
pub(crate) fn batch(requests: impl IntoIterator<Item = Request>) -> Vec<u8> {
    let frame = |kind| Request::new(kind, 0, 1, NFTABLES >> 8);
    let inner = requests.into_iter();
    let all = [frame(BATCH_BEGIN)].into_iter().chain(inner);
    let all = all.chain([frame(BATCH_END)]);
    all.flat_map(Request::bytes).collect()
}
