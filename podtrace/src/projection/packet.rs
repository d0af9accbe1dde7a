//! Events and paths.
use std::{net::IpAddr, sync::Arc};

use super::hop::{HopObject, SocketObject};
use crate::{
    field::object,
    model::event::Event,
    packet::Packet,
    path::{
        Hop, Outcome, Path,
        clocks::{ClockNote, clocks},
        ends::{End, Who, ends, sending},
    },
    world::World,
};

object! {
    /// A packet at one tap, as soon as it is seen.
    pub(crate) EventObject<'a> as "event" {
        /// number of the packet in this session, from 1
        packet: u64,
        /// the packet in words
        what: String,
        /// length of the packet, from its IP header on: the same at each hop
        length: u32,
        /// source address
        source: Option<IpAddr>,
        /// destination address
        destination: Option<IpAddr>,
        /// VLAN id
        vlan: Option<u16>,
        /// how many segments a packet stands for that the network card splits
        gso_segments: Option<u16>,
        then hop: HopObject<'a>,
    }
}

object! {
    /// The path of a packet, once it has ended.
    pub(crate) PathObject<'a> as "path" {
        /// number of the packet in this session, from 1
        packet: u64,
        /// the packet in words
        what: String,
        /// length of the packet, from its IP header on: the same at each hop
        length: u32,
        /// source address
        source: Option<IpAddr>,
        /// pod that sends, `namespace/name`
        source_pod: Option<Arc<str>>,
        /// container that sends
        source_container: Option<Arc<str>>,
        /// node that sends
        source_node: Option<Arc<str>>,
        /// node that the sender is on, if its pod is not known
        source_on: Option<Arc<str>>,
        /// owner of the socket that sends
        sender: Option<SocketObject>,
        /// destination address
        destination: Option<IpAddr>,
        /// pod that it is for
        destination_pod: Option<Arc<str>>,
        /// container that it is for
        destination_container: Option<Arc<str>>,
        /// node that it is for
        destination_node: Option<Arc<str>>,
        /// node that the receiver is on, if its pod is not known
        destination_on: Option<Arc<str>>,
        /// how the path ended
        outcome: &'static str,
        /// address of the node that it left for in a tunnel
        vtep: Option<IpAddr>,
        /// whether equal packets were under way at once: a hop may belong to another
        ambiguous: bool,
        /// whether hops may be missing
        incomplete: bool,
        /// the packet that it is the rest of, whose other segments went on
        part_of: Option<u64>,
        /// the packet with some of the same bytes that was under way when it was sent
        copy_of: Option<u64>,
        /// the number under which it was said before not to be seen further: it was slow
        late_of: Option<u64>,
        /// nanoseconds from the first hop to the last
        duration_ns: u64,
        /// the taps that saw it, in order
        hops: Vec<HopObject<'a>>,
        /// of an echo reply: nanoseconds since the request, at the first tap point that saw both
        rtt_ns: Option<u64>,
        /// the same for each tap point that saw both
        rtt_at: Option<Vec<RoundTripObject<'a>>>,
        /// the clocks of its times, if there are several
        clocks: Option<Vec<ClockObject>>,
    }
}

object! {
    /// A tap point that saw an echo request and its reply.
    pub(crate) RoundTripObject<'a> as "round trip" {
        /// interface of the tap point
        interface: &'a str,
        /// nanoseconds from the request to the reply
        ns: u64,
    }
}

object! {
    /// How the clock of a node was corrected.
    pub(crate) ClockObject as "clock" {
        /// the node
        node: Arc<str>,
        /// how far its clock was ahead, in nanoseconds
        offset_ns: i64,
        /// uncertainty of the offset; none if the clock is not known
        uncertainty_ns: Option<u64>,
    }
}

impl<'a> EventObject<'a> {
    pub(crate) fn new(event: &Event, packet: u64, world: &'a World, epoch_ns: i128) -> Self {
        Self {
            packet,
            what: describe(&event.packet),
            length: event.packet.length,
            source: event.packet.source(),
            destination: event.packet.destination(),
            vlan: event.packet.vlan,
            gso_segments: (event.gso_segments > 0).then_some(event.gso_segments),
            hop: HopObject::new(&Hop::of(event), None, world, epoch_ns),
        }
    }
}

impl<'a> PathObject<'a> {
    pub(crate) fn new(path: &Path, world: &'a World, epoch_ns: i128) -> Self {
        let (from, to) = ends(path, world);
        let [source_pod, source_node, source_on] = names(&from);
        let [destination_pod, destination_node, destination_on] = names(&to);
        let hops = path.hops.iter().enumerate();
        Self {
            packet: path.id,
            what: describe(&path.packet),
            length: path.packet.length,
            source: from.address,
            source_pod,
            source_container: from.container,
            source_node,
            source_on,
            sender: sending(path, world).map(Into::into),
            destination: to.address,
            destination_pod,
            destination_container: to.container,
            destination_node,
            destination_on,
            outcome: Outcome::NAMES[path.outcome.index()],
            vtep: match path.outcome {
                Outcome::LeftForVtep(vtep) => Some(vtep),
                _ => None,
            },
            ambiguous: path.ambiguous,
            incomplete: path.incomplete,
            part_of: path.part_of,
            copy_of: path.copy_of,
            late_of: path.late_of.map(|before| before.id),
            duration_ns: path.duration_ns(),
            hops: hops
                .map(|(number, hop)| HopObject::new(hop, Some((path, number)), world, epoch_ns))
                .collect(),
            rtt_ns: path.round_trip.as_ref().map(|trip| trip.total_ns()),
            rtt_at: round_trips(path, world),
            clocks: some(clocks(path, world).into_iter().map(Into::into).collect()),
        }
    }
}

fn round_trips<'a>(path: &Path, world: &'a World) -> Option<Vec<RoundTripObject<'a>>> {
    let at = path.round_trip.iter().flat_map(|trip| &trip.at);
    let at = at.map(|(interface, ns)| {
        let point = world.tap_points.get(*interface);
        RoundTripObject {
            interface: point.map_or("", |point| point.name.as_ref()),
            ns: *ns,
        }
    });
    some(at.collect())
}

impl From<ClockNote> for ClockObject {
    fn from(note: ClockNote) -> Self {
        Self {
            node: note.node,
            offset_ns: i64::try_from(note.offset_ns).unwrap_or(i64::MAX),
            uncertainty_ns: note.uncertainty_ns,
        }
    }
}

/// The pod that an end is, the node that it is, and the node that it is on.
fn names(end: &End) -> [Option<Arc<str>>; 3] {
    match &end.who {
        Who::Pod(pod) => [Some(Arc::clone(pod)), None, None],
        Who::Node(node) => [None, Some(Arc::clone(node)), None],
        Who::On(node) => [None, None, Some(Arc::clone(node))],
        Who::Unknown => [None, None, None],
    }
}

/// A packet in words, without its addresses.
fn describe(packet: &Packet) -> String {
    let mut what = String::new();
    packet.describe(&mut what);
    what
}

/// A list, unless it is empty.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
