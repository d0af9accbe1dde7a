//! Interfaces and the packets seen at them.
use std::sync::Arc;

use bytes::Bytes;
use podtrace_ebpf::{
    parse::ETHERNET_LEN,
    record::{CGROUP_NONE, Direction},
};

use super::{
    Wrong,
    items::own_json,
    link_type::{Decoded, LinkType, without_check},
    options::{options, ours},
    passed_over::Tap,
};
use crate::{
    filter::Protocols,
    model::{
        event::Event,
        left_out::Reason,
        tap_point::{Role, TapPoint},
    },
    packet::{Beside, DecodeOptions, Framing, link},
    session::{
        format::{
            ENHANCED_PACKET, EPB_FLAGS, FLAG_INBOUND, FLAG_OUTBOUND, InterfaceInfo, PacketInfo,
        },
        input::{Endian, Frame},
    },
    text::escape::escape_bytes,
};

/// Options of an interface description, and where they begin.
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_FCSLEN: u16 = 13;
const IF_TSOFFSET: u16 = 14;
const IDB_OPTIONS: usize = 16;
/// The bit offset of the check sequence's length in the flags of a packet.
const FCS_SHIFT: u32 = 5;
const FCS_MASK: u32 = 0xf;
/// Where the data of an enhanced packet begins.
const EPB_DATA: usize = 28;
/// First number for tap points of other tools: the same file may also have podtrace's
/// sections.
const FOREIGN: u32 = 1 << 31;
/// Upper bound of the interfaces of a section.
const INTERFACES_MAX: u32 = 1 << 20;

/// An interface of the section.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    /// Number of its tap point in the session.
    pub(super) number: u32,
    link: Result<LinkType, Reason>,
    /// The link layer's number.
    pub(super) link_number: u16,
    /// Bytes of the header that podtrace added before each packet.
    added: usize,
    /// Length of the check sequence behind each packet.
    fcs: u32,
    /// Whether its packets state the interface that they were seen at.
    pub(super) names_interfaces: bool,
    sockets: bool,
    resolution: Resolution,
}

/// The unit of an interface's times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolution {
    /// Units per second; none if there are too many for a number.
    per_second: Option<u128>,
    offset_s: i64,
}

impl Resolution {
    /// `resolution`: as in `if_tsresol`, a power of ten or, with the highest
    /// bit, of two.
    fn new(resolution: u8, offset_s: i64) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
        Self {
            per_second: base.checked_pow(exponent),
            offset_s,
        }
    }

    /// Nanoseconds since 1970, limited to the representable range.
    fn ns(self, units: u64) -> u64 {
        const SECOND: u128 = 1_000_000_000;
        if self.per_second == Some(SECOND) && self.offset_s == 0 {
            return units;
        }
        // All times of so small a unit are less than a nanosecond.
        let since = self
            .per_second
            .map_or(0, |per_second| u128::from(units) * SECOND / per_second);
        let offset = i128::from(self.offset_s) * 1_000_000_000;
        let ns = since.saturating_add_signed(offset);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// Puts an interface at its number, or behind the others; missing ones before it were damaged.
pub(super) fn put(
    interfaces: &mut Vec<Option<Interface>>,
    index: Option<u32>,
    interface: Option<Interface>,
) {
    let index = index.map_or(interfaces.len(), |index| index as usize);
    if index >= interfaces.len() {
        interfaces.resize(index + 1, None);
    }
    interfaces[index] = interface;
}

/// The number in the section if it is recorded, the interface, the tap point and its number
/// in the session.
pub(super) type Described = (Option<u32>, Interface, (u32, TapPoint));

/// Reads an interface description; none if it stands for no interface. `node`: the node's name for an interface that another tool
/// captured; `captures`: the number of those so far; `is_own`: whether podtrace wrote the
/// section.
pub(super) fn interface(
    frame: &Frame<'_>,
    node: Arc<str>,
    captures: &mut u32,
    is_own: bool,
) -> Result<Option<Described>, Wrong> {
    const SHORT: Wrong = "an interface description that is too short";
    // Its options, and its length again.
    if frame.bytes.len() < IDB_OPTIONS + 4 {
        return Err(SHORT);
    }
    let link_number = frame.endian.u16(frame.bytes, 8).ok_or(SHORT)?;
    let link = LinkType::of(link_number.into());
    let link_number = link::canonical(link_number);
    let resolution = resolution(frame);
    if let Some(info) = own_json::<Option<InterfaceInfo>>(frame, IDB_OPTIONS, is_own)? {
        let Some(info) = info else {
            return Ok(None);
        };
        if info.index >= INTERFACES_MAX {
            return Err("an interface of an impossible number");
        }
        let (link, link_number, added) = if info.added_header {
            let link = LinkType::Framed(Framing::Ip);
            (Ok(link), link::RAW, ETHERNET_LEN)
        } else {
            (link, link_number, 0)
        };
        let interface = Interface {
            number: info.number,
            link,
            link_number,
            added,
            fcs: 0,
            names_interfaces: false,
            sockets: info.sockets,
            resolution,
        };
        let point = (info.number, info.point);
        return Ok(Some((Some(info.index), interface, point)));
    }
    let number = next_number(captures);
    let mut named = options(frame, IDB_OPTIONS).filter(|(code, _)| *code == IF_NAME);
    let name = named.next().map_or_else(
        || format!("if{}", number - FOREIGN),
        |(_, name)| escape_bytes(name).into_owned(),
    );
    let interface = Interface {
        number,
        link,
        link_number,
        added: 0,
        fcs: check_len(frame),
        names_interfaces: link.is_ok_and(LinkType::names_interfaces),
        sockets: false,
        resolution,
    };
    let captured_link = link.is_ok().then_some(link_number);
    let point = captured_at(node, &name, number - FOREIGN, captured_link);
    Ok(Some((None, interface, (number, point))))
}

/// The number of the next tap point of another tool's capture.
pub(super) fn next_number(captures: &mut u32) -> u32 {
    let number = FOREIGN + *captures;
    *captures += 1;
    number
}

/// The tap point of another tool's capture. `captured_link`: its link layer, if that is decoded.
pub(super) fn captured_at(
    node: Arc<str>,
    name: &str,
    number: u32,
    captured_link: Option<u16>,
) -> TapPoint {
    TapPoint {
        node: 0,
        node_name: node,
        in_pod: false,
        leads_to: None,
        peer_name: None,
        netns_id: 0,
        ifindex: number,
        name: name.into(),
        role: Role::Capture,
        framing: Framing::Ethernet,
        captured_link,
        is_port: false,
        mac: None,
    }
}

/// The length of the check sequence behind the interface's frames.
fn check_len(frame: &Frame<'_>) -> u32 {
    let mut lengths = options(frame, IDB_OPTIONS).filter(|(code, _)| *code == IF_FCSLEN);
    let length = lengths.next().and_then(|(_, value)| value.first().copied());
    length.map_or(0, u32::from)
}

fn resolution(frame: &Frame<'_>) -> Resolution {
    let (mut resolution, mut offset) = (6, 0);
    for (code, value) in options(frame, IDB_OPTIONS) {
        match (code, value) {
            (IF_TSRESOL, [value, ..]) => resolution = *value,
            (IF_TSOFFSET, value) => {
                if let Some(bytes) = value.first_chunk() {
                    offset = match frame.endian {
                        Endian::Little => i64::from_le_bytes(*bytes),
                        Endian::Big => i64::from_be_bytes(*bytes),
                    };
                }
            }
            _ => {}
        }
    }
    Resolution::new(resolution, offset)
}

/// The result of a packet block.
pub(super) enum Seen {
    /// An event, with the index of the interface if the packet itself states it.
    Event(Option<u32>),
    /// A packet that is passed over: its time and its tap.
    PassedOver(u64, Tap),
    /// The reason why there is no event.
    LeftOut(Reason),
}

/// How packet blocks are read.
pub(super) struct Reading<'a> {
    pub(super) decode: &'a DecodeOptions,
    /// Whether events keep the captured bytes.
    pub(super) keep: bool,
    /// Whether podtrace wrote them.
    pub(super) is_own: bool,
    /// Of these protocols a packet has to be one, or it is passed over.
    pub(super) wanted: Option<Protocols>,
}

/// Writes the packet of an enhanced block, or of a block of the older kind, to `event`, as it
/// is large to move.
pub(super) fn read_event(
    frame: &Frame<'_>,
    interfaces: &[Option<Interface>],
    reading: &Reading<'_>,
    event: &mut Option<Event>,
) -> Result<Seen, Wrong> {
    const SHORT: Wrong = "a packet block shorter than its packet";
    let field = |at| frame.endian.u32(frame.bytes, at).ok_or(SHORT);
    let index = if frame.kind == ENHANCED_PACKET {
        field(8)?
    } else {
        // Two bytes count the packets lost before it.
        frame.endian.u16(frame.bytes, 8).ok_or(SHORT)?.into()
    };
    let (high, low) = (field(12)?, field(16)?);
    let (captured, wire_len) = (field(20)? as usize, field(24)?);
    let end = EPB_DATA.saturating_add(captured);
    if end > frame.bytes.len() - 4 {
        return Err(SHORT);
    }
    let data = &frame.bytes[EPB_DATA..end];
    let (mut flags, mut info, mut is_sealed) = (0, PacketInfo::default(), false);
    for (code, value) in options(frame, end.next_multiple_of(4)) {
        if code == EPB_FLAGS {
            flags = frame.endian.u32(value, 0).unwrap_or(0);
        } else if let Some(ours) = ours(code, value, frame.endian) {
            if !ours.is_intact(frame) {
                return Err("a packet block that its checksum does not fit");
            }
            if let (b'P', Some(bytes)) = (ours.letter, ours.value.first_chunk()) {
                info = PacketInfo::from_bytes(bytes);
                is_sealed = true;
            }
        }
    }
    if reading.is_own && !is_sealed {
        return Err("a packet block without its checksum");
    }
    let Some(Some(interface)) = interfaces.get(index as usize) else {
        return Ok(Seen::LeftOut(Reason::NoInterface));
    };
    let link = match interface.link {
        Ok(link) => link,
        Err(reason) => return Ok(Seen::LeftOut(reason)),
    };
    let data = data.get(interface.added..).unwrap_or_default();
    let wire_len = wire_len.saturating_sub(interface.added as u32);
    let fcs = match flags >> FCS_SHIFT & FCS_MASK {
        0 => interface.fcs,
        fcs => fcs,
    };
    let (data, wire_len) = without_check(data, wire_len, fcs);
    let given = match flags & (FLAG_INBOUND | FLAG_OUTBOUND) {
        _ if interface.sockets => Some(Direction::Socket),
        FLAG_INBOUND => Some(Direction::Ingress),
        FLAG_OUTBOUND => Some(Direction::Egress),
        _ => None,
    };
    let units = u64::from(high) << 32 | u64::from(low);
    let ts_ns = interface.resolution.ns(units);
    if link.rules_out(data, reading.decode, reading.wanted) {
        let direction = given.unwrap_or(Direction::Unknown);
        return Ok(Seen::PassedOver(ts_ns, (interface.number, direction)));
    }
    let beside = Beside {
        is_outgoing: given == Some(Direction::Egress),
        vlan_tci: info.vlan_tci,
        captured: None,
    };
    let decoded = link.decode(data, wire_len, reading.decode, beside);
    let direction = given.unwrap_or(decoded.direction);
    *event = Some(Event {
        ts_ns,
        interface: interface.number,
        direction,
        wire_len,
        gso_segments: info.gso_segments,
        cgroup: info.cgroup,
        packet: decoded.packet,
        payload: decoded.seen.payload,
        vlan_tci: info.vlan_tci,
        matches: decoded.seen.matches,
        captured: if reading.keep {
            Bytes::copy_from_slice(data)
        } else {
            Bytes::new()
        },
        link: interface.link_number,
        number: 0,
    });
    let ifindex = link.interface_of(data);
    let ifindex = ifindex.filter(|_| interface.names_interfaces);
    Ok(Seen::Event(ifindex))
}

/// An event of a capture with nothing but the packet.
pub(super) fn bare_event(
    number: u32,
    ts_ns: u64,
    decoded: Decoded,
    wire_len: u32,
    (captured, link): (Bytes, u16),
) -> Event {
    Event {
        ts_ns,
        interface: number,
        direction: decoded.direction,
        wire_len,
        gso_segments: 0,
        cgroup: CGROUP_NONE,
        packet: decoded.packet,
        payload: decoded.seen.payload,
        vlan_tci: None,
        matches: decoded.seen.matches,
        captured,
        link,
        number: 0,
    }
}
