//! Messages of nfnetlink (linux/netfilter/nfnetlink.h) for nf_tables.
use rtnetlink::packet_core::{NLM_F_DUMP_INTR, NetlinkBuffer};

/// Length of `struct nlmsghdr` and of `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const NETFILTER_HEADER: usize = 4;
/// `NFNL_SUBSYS_NFTABLES`, in the types of its messages.
const NFTABLES: u16 = 10 << 8;
/// Answers that are no messages of a subsystem (linux/netlink.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NFNL_MSG_BATCH_BEGIN` and `_END`, around messages that take effect at once.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// Length of `struct nlattr`, `NLA_TYPE_MASK`, `NLA_F_NESTED`.
const ATTRIBUTE_HEADER: usize = 4;
const KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 1 << 15;

/// What a message of nf_tables is about (`enum nf_tables_msg_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NewTable,
    GetTable,
    NewChain,
    GetChain,
    NewRule,
    GetRule,
    NewGeneration,
    GetGeneration,
    Trace,
}

/// The kinds with their numbers.
const KINDS: [(Kind, u16); 9] = [
    (Kind::NewTable, 0),
    (Kind::GetTable, 1),
    (Kind::NewChain, 3),
    (Kind::GetChain, 4),
    (Kind::NewRule, 6),
    (Kind::GetRule, 7),
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
    let mut rest = datagram;
    let whole = std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        // Messages are aligned to 4 bytes.
        let length = (message.length() as usize).next_multiple_of(4);
        let one = rest;
        rest = rest.get(length..).unwrap_or_default();
        Some(one)
    });
    whole.filter_map(message)
}

fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let message = NetlinkBuffer::new_checked(bytes).ok()?;
    let payload = bytes.get(HEADER..message.length() as usize)?;
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

/// The kinds and values of attributes, as far as they can be read.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [a, b, c, d] = *rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
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
    /// `flags` of linux/netlink.h.
    pub(crate) fn new(kind: Kind, family: u8, flags: u16) -> Self {
        let known = KINDS.iter().find(|(one, _)| *one == kind);
        let number = known.map_or(0, |(_, number)| *number);
        Self::of(NFTABLES | number, family, flags, 0)
    }

    fn of(kind: u16, family: u8, flags: u16, resource: u16) -> Self {
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
    pub(crate) fn with_nested(self, kind: u16, attributes: &[u8]) -> Self {
        self.with(kind | NESTED, attributes)
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or_default();
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }

    /// All requests in one datagram: the kernel does all that they ask for, or nothing.
    pub(crate) fn batch(requests: impl IntoIterator<Item = Self>) -> Vec<u8> {
        let frame = |kind| Self::of(kind, 0, 1, NFTABLES >> 8);
        let inner = requests.into_iter();
        let all = [frame(BATCH_BEGIN)].into_iter().chain(inner);
        let all = all.chain([frame(BATCH_END)]);
        all.flat_map(Self::bytes).collect()
    }
}

/// Appends an attribute.
pub(crate) fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Appends an attribute that holds others.
pub(crate) fn put_nested(out: &mut Vec<u8>, kind: u16, attributes: &[u8]) {
    put(out, kind | NESTED, attributes);
}
