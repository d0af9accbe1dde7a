//! Joins by the datagram of fragments: a socket receives it whole, and a router may have got it
//! whole.
use std::{net::IpAddr, ops::Range};

use podtrace_ebpf::record::Direction;

use super::{
    EQUAL_MAX, Join, Joined, Observation, Piece,
    content::{common_netns, may_be_forwarded, shows_translation},
    index::{Index, Slot},
    key::{can_come_from, part_can_come_from},
    known::Known,
};
use crate::{
    model::{event::Event, tap_point::Role},
    packet::{Network, Packet, Transport},
    path::{
        Hop, Path,
        builder::open::{Open, OpenPaths},
    },
    world::World,
};

/// Source, destination, protocol and, for IPv4, the identification: all fragments of a
/// datagram and the datagram itself share them.
pub(in crate::path::builder) type Datagram = (IpAddr, IpAddr, u8, u32);

/// The longest options of IPv4: later fragments lack some of them (RFC 791).
const OPTIONS_MAX: u32 = 40;

/// The paths of fragments, and of packets that may be cut into some.
#[derive(Default)]
pub(super) struct ByFragment {
    index: Index<Datagram>,
    wholes: Index<Datagram>,
}

impl ByFragment {
    /// The paths of fragments, the oldest first.
    pub(super) fn of(&self, datagram: &Datagram) -> impl Iterator<Item = Slot> + '_ {
        self.index.get(datagram)
    }

    /// The path of the packet that was cut on its way, and that the event is a fragment of; or the
    /// paths of the fragments that its packet was reassembled of.
    #[inline]
    pub(super) fn find_on_its_way(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        match seen.event.packet.is_fragment() {
            true if !self.wholes.is_empty() => self.find_whole(seen, open, world),
            false if !self.index.is_empty() => self.find_parts(seen, open, world),
            _ => None,
        }
    }

    /// Where several have its identification, nothing shows which, unless only one is in time.
    fn find_whole(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        let event = seen.event;
        let slots = self.wholes.get(&datagram(&event.packet)?).take(EQUAL_MAX);
        let pieces = slots.filter_map(|slot| {
            let path = open.get(slot)?;
            let is_possible = path.may_go_on(event.ts_ns, seen.timeout_ns)
                && part_can_come_from(&path.path, seen, world);
            let bytes = bytes_in(path, event).filter(|_| is_possible)?;
            Some(Piece {
                slot,
                bytes,
                is_translated: false,
            })
        });
        let mut pieces: Vec<_> = pieces.collect();
        if pieces.len() > 1 {
            mark_ambiguous(pieces.iter().map(|piece| piece.slot), open);
            // What is late is more likely lost than late.
            pieces.retain(|piece| open.get(piece.slot).is_some_and(|open| !open.late));
            return match pieces.len() {
                1 => pieces.pop().map(Joined::Piece),
                _ => Some(Joined::Undecided),
            };
        }
        pieces.pop().map(Joined::Piece)
    }

    /// A bridge or a router reassembles packets whose connection tracking looks at them, and sends
    /// fragments on. Nobody reassembles a packet that lacks a fragment: together they have each byte
    /// once. IPv6 shows no identification in a whole packet: where several may be it, none is.
    fn find_parts(
        &self,
        seen: &Observation<'_>,
        open: &OpenPaths,
        world: &World,
    ) -> Option<Joined> {
        let (event, whole) = (seen.event, &seen.event.packet);
        if whole.ipv4_id() == Some(0) {
            return None;
        }
        let slots = self.index.get(&datagram(whole)?);
        let parts = slots.filter_map(|slot| {
            let part = open.get(slot)?;
            let is_possible = may_be_of(&part.path, whole)
                && may_echo(&part.path.packet, whole)
                && part.may_go_on(event.ts_ns, seen.timeout_ns)
                && !part.has_passed(event)
                && !was_sent(part, event, world)
                && can_come_from(&part.path, seen, world);
            let (id, bytes, _) = part_of(&part.path.packet).filter(|_| is_possible)?;
            Some((id, bytes.start, bytes.end, slot))
        });
        let mut parts: Vec<_> = parts.collect();
        parts.sort_unstable();
        let mut all = parts
            .chunk_by(|one, other| one.0 == other.0)
            .filter(|parts| are_all_of(parts, whole));
        let parts = all.next().filter(|_| all.next().is_none())?;
        Some(Joined::Each(parts.iter().map(|part| part.3).collect()))
    }
}

impl ByFragment {
    /// The fragments of the first one's packet, if the event shows it whole, behind a translation.
    pub(super) fn translated_parts(
        &self,
        first: &Open,
        seen: &Observation<'_>,
        open: &OpenPaths,
        world: &World,
    ) -> Option<Vec<Slot>> {
        let (event, whole) = (seen.event, &seen.event.packet);
        let (id, ..) = part_of(&first.path.packet)?;
        let datagram = datagram_of(first)?;
        let is_its = whole.ip_protocol() == Some(datagram.2);
        if !is_its || !shows_translation(event, world) {
            return None;
        }
        let parts = self.index.get(&datagram).filter_map(|slot| {
            let part = open.get(slot)?;
            let is_possible = !part.arrived
                && part.may_go_on(event.ts_ns, seen.timeout_ns)
                && common_netns(part, seen, world).is_some()
                && may_be_forwarded(part, seen);
            let (of, bytes, _) = part_of(&part.path.packet).filter(|_| is_possible)?;
            (of == id).then_some((id, bytes.start, bytes.end, slot))
        });
        let mut parts: Vec<_> = parts.collect();
        parts.sort_unstable();
        let is_whole = are_all_of(&parts, whole);
        is_whole.then(|| parts.iter().map(|part| part.3).collect())
    }
}

/// Whether a fragment was sent from the namespace of the event before: it is not put together there
/// any more.
fn was_sent(part: &Open, event: &Event, world: &World) -> bool {
    let Some(last) = part.path.hops.last() else {
        return false;
    };
    let (here, there) = (event.interface, last.interface);
    let points = world.tap_points.get(here).zip(world.tap_points.get(there));
    last.direction == Direction::Egress
        && points.is_some_and(|(here, there)| {
            let is_inside = matches!(there.role, Role::Loopback | Role::Bridge);
            here.netns() == there.netns() && !is_inside
        })
}

/// Whether a packet of IPv6 may be the echo of which this is a fragment.
fn may_echo(part: &Packet, whole: &Packet) -> bool {
    let tells = whole.ipv4_id().is_none() && part.transport != Transport::Fragment;
    !tells || part.echo_pair() == whole.echo_pair()
}

/// Whether these fragments of one identification, in order, have each byte of a packet once.
fn are_all_of(parts: &[(u32, u32, u32, Slot)], whole: &Packet) -> bool {
    let end = parts.iter().try_fold(0, |at, (_, start, end, _)| {
        (*start == at && *end > at).then_some(*end)
    });
    end == Some(whole.behind_ip()) && parts.len() > 1
}

/// The identification of a fragment, which bytes behind the IP headers of its packet it has, and
/// whether it is the last one.
pub(in crate::path::builder) fn part_of(part: &Packet) -> Option<(u32, Range<u32>, bool)> {
    let Network::Ip(ip) = &part.network else {
        return None;
    };
    let fragment = ip.fragment?;
    let start = u32::from(fragment.offset);
    let bytes = start..start.checked_add(part.behind_ip())?;
    Some((fragment.id, bytes, !fragment.more))
}

/// Whether a packet may be reassembled of fragments with this one.
fn may_be_of(path: &Path, whole: &Packet) -> bool {
    let part = &path.packet;
    let Network::Ip(ip) = &part.network else {
        return false;
    };
    let ports = path.ends().and_then(|ends| ends.ports);
    let is_head = part.transport != Transport::Fragment;
    match ip.fragment {
        // Those of IPv6 have headers that the whole does not have.
        Some(fragment) if ip.source.is_ipv4() => {
            let (end, total) = (
                u32::from(fragment.offset) + part.behind_ipv4(),
                whole.behind_ipv4(),
            );
            let is_last = !fragment.more;
            end <= total
                && (!is_last || end + OPTIONS_MAX >= total)
                && (!is_head || ports == whole.ports())
        }
        _ => !is_head || ports == whole.ports(),
    }
}

/// Which bytes behind the IP header of the path's packet the event has, if it may be one of its
/// fragments, and the tap has not seen that one yet.
fn bytes_in(open: &Open, event: &Event) -> Option<Range<u32>> {
    let (path, part) = (&open.path, &event.packet);
    let Network::Ip(ip) = &part.network else {
        return None;
    };
    let (fragment, (_, bytes, _)) = (ip.fragment?, part_of(part)?);
    let total = path.packet.behind_ipv4();
    let fits = match fragment.more {
        true => bytes.end < total,
        false => bytes.end == total,
    };
    let is_head = part.transport != Transport::Fragment;
    let shows_another = is_head
        && (part.ports() != path.ends()?.ports || part.echo_pair() != path.packet.echo_pair());
    // The others of its fragments may be further by now.
    let before = path.hops.iter().find(|hop| hop.is_at(event));
    let is_behind = Hop::ttl_of(part) <= before.or(path.hops.last())?.ttl;
    let is_new = open.missing(open.hop_at(event), bytes.clone()) == Some(bytes.clone());
    (!bytes.is_empty() && fits && !shows_another && is_behind && is_new).then_some(bytes)
}

impl Join for ByFragment {
    /// The paths of all fragments of the datagram that a socket receives whole.
    fn find(
        &self,
        seen: &Observation<'_>,
        open: &mut OpenPaths,
        _: &World,
        _: &Known,
    ) -> Option<Joined> {
        let whole = &seen.event.packet;
        let slots = self.index.get(&datagram(whole)?).filter(|slot| {
            let part = open.get(*slot);
            part.is_some_and(|part| may_be_of(&part.path, whole))
        });
        let slots: Vec<_> = slots.collect();
        if slots.is_empty() {
            return None;
        }
        match have_rivals(&slots, open) {
            false => Some(Joined::Each(slots)),
            true => Some(one_of_several(&slots, seen.event, open)),
        }
    }

    #[inline]
    fn insert(&mut self, slot: Slot, open: &mut OpenPaths, _: &Known) -> Option<Slot> {
        let path = open.get(slot)?;
        if path.path.may_be_fragmented() {
            self.wholes.push(datagram_of(path)?, slot);
            return None;
        }
        let of = fragment_of(path)?;
        let is_full = self.index.push(of, slot) > EQUAL_MAX;
        is_full.then(|| self.index.get(&of).next()).flatten()
    }

    #[inline]
    fn remove(&mut self, slot: Slot, open: &Open) {
        if open.path.may_be_fragmented() {
            if let Some(of) = datagram_of(open) {
                self.wholes.remove(&of, slot);
            }
        } else if let Some(of) = fragment_of(open) {
            self.index.remove(&of, slot);
        }
    }
}

/// Which bytes of its packet a path's packet has, and the identification of that.
fn bytes_of(slot: Slot, open: &OpenPaths) -> Option<(u32, Range<u32>)> {
    let (id, bytes, _) = part_of(&open.get(slot)?.path.packet)?;
    Some((id, bytes))
}

/// Whether some of these fragments have the same bytes: they are of several packets.
fn have_rivals(slots: &[Slot], open: &OpenPaths) -> bool {
    let bytes = slots.iter().filter_map(|slot| bytes_of(*slot, open));
    let mut begins: Vec<_> = bytes.map(|(_, bytes)| (bytes.start, bytes.end)).collect();
    begins.sort_unstable();
    begins.windows(2).any(|pair| pair[1].0 < pair[0].1)
}

/// The fragments of the packet that a socket receives, where those of several may be it: the oldest
/// that the socket has not got, and in time.
#[inline(never)]
fn one_of_several(slots: &[Slot], event: &Event, open: &mut OpenPaths) -> Joined {
    let total = event.packet.behind_ip();
    let is_new = |slot: &Slot| {
        let part = open.get(*slot);
        part.is_some_and(|part| !part.has_passed(event))
    };
    let is_in_time = |slot: &Slot| open.get(*slot).is_some_and(|part| !part.late);
    let has_come = |slot: &Slot| open.get(*slot).is_some_and(|part| part.arrived);
    let new: Vec<_> = slots.iter().copied().filter(is_new).collect();
    let in_time: Vec<_> = new.iter().copied().filter(is_in_time).collect();
    // Those that were cut in other places on their way have not come as they were.
    let here: Vec<_> = new.iter().copied().filter(has_come).collect();
    let among: [(&[Slot], _); 4] = [
        (&here, &here),
        (&in_time, &new),
        (&new, &new),
        (slots, &new),
    ];
    let found = among
        .into_iter()
        .find_map(|(slots, rivals)| Some((one_packet(slots, total, open)?, rivals)));
    let Some((chosen, rivals)) = found else {
        mark_ambiguous(slots.iter().copied(), open);
        return Joined::Undecided;
    };
    // Others that the socket has not got may be it as well.
    if rivals.iter().any(|slot| !chosen.contains(slot)) {
        mark_ambiguous(rivals.iter().chain(&chosen).copied(), open);
    }
    Joined::Each(chosen)
}

/// The oldest fragments of one identification that have each byte of a packet once.
fn one_packet(slots: &[Slot], total: u32, open: &OpenPaths) -> Option<Vec<Slot>> {
    let bytes = slots
        .iter()
        .filter_map(|slot| Some((*slot, bytes_of(*slot, open)?)));
    let parts: Vec<_> = bytes.collect();
    let firsts = parts.iter().filter(|(_, (_, bytes))| bytes.start == 0);
    let ids = firsts.map(|(_, (id, _))| *id);
    let of = |id: u32| {
        let (mut chosen, mut at) = (Vec::new(), 0);
        while at < total {
            let mut next = parts
                .iter()
                .filter(|(_, (of, bytes))| *of == id && bytes.start == at && bytes.end > at);
            let (slot, (_, bytes)) = next.next()?;
            chosen.push(*slot);
            at = bytes.end;
        }
        (at == total).then_some(chosen)
    };
    ids.into_iter().find_map(of)
}

fn mark_ambiguous(slots: impl Iterator<Item = Slot>, open: &mut OpenPaths) {
    for slot in slots {
        if let Some(open) = open.get_mut(slot) {
            open.path.ambiguous = true;
        }
    }
}

/// The datagram that the packet is a fragment of.
fn fragment_of(open: &Open) -> Option<Datagram> {
    match open.path.packet.is_fragment() {
        true => datagram_of(open),
        false => None,
    }
}

/// The datagram with the ends that the packet has by now.
pub(in crate::path::builder) fn datagram_of(open: &Open) -> Option<Datagram> {
    let mut datagram = datagram(&open.path.packet)?;
    if let Some(ends) = open.path.ends() {
        (datagram.0, datagram.1) = (ends.source, ends.destination);
    }
    Some(datagram)
}

fn datagram(packet: &Packet) -> Option<Datagram> {
    let Network::Ip(ip) = &packet.network else {
        return None;
    };
    // IPv6 has its identification in the fragment header, which reassembly removes.
    let id = if ip.source.is_ipv4() { ip.id } else { 0 };
    Some((ip.source, ip.destination, ip.protocol, id))
}
