//! Events and paths.
use std::{net::IpAddr, sync::Arc};

use super::{
    headers::{DnsObject, HeadersObject, HttpObject},
    hop::{HopObject, SocketObject},
    verdict::VerdictObject,
};
use crate::{
    field::{TimeNs, object},
    model::{drop::KernelDrop, event::Event},
    packet::{IcmpError, Packet},
    path::{
        Hop, Outcome, Path, RoundTrip,
        clocks::{ClockNote, clocks},
        dropped::Dropped,
        ends::{End, Who, ends, refuser, sending},
        flood::Copies,
        refusal::{Reason, Refusal},
        service::service_behind,
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
        /// how many segments a packet stands for that the network card splits
        gso_segments: Option<u16>,
        /// the message of DNS or mDNS that it carries
        dns: Option<DnsObject>,
        /// the first line of a message of HTTP/1 that it carries
        http: Option<HttpObject>,
        then headers: HeadersObject,
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
        /// the packet that it is a part of, and that went on without it
        part_of: Option<u64>,
        /// how many segments of that packet it is, if that is known
        part_segments: Option<u16>,
        /// of a later fragment: the packet that it belongs to, of one in a tunnel the inner one
        fragment_of: Option<u64>,
        /// whether neither it nor the first fragment went on
        lost_with_first: Option<bool>,
        /// whether other fragments of its packet were not seen where it was last, or those of several
        /// packets were mixed there: who puts them together waits for the others
        lacks_fragments: Option<bool>,
        /// the packet with some of the same bytes that was under way when it was sent
        copy_of: Option<u64>,
        /// the Service that it is for or answers, `namespace/name`, by the pod behind it where nothing
        /// on its path was translated
        behind_service: Option<Arc<str>>,
        /// the number under which its path was shown before, and is corrected: it was slow, or
        /// it was refused later
        late_of: Option<u64>,
        /// at how many ports of bridges copies for others were seen, or all copies if they have more
        /// than four receivers
        also_seen_by: Option<usize>,
        /// how often it came by the same tap in the same direction, if it went in a circle
        rounds: Option<u32>,
        /// the answer that refuses it, or that advises another way
        refusal: Option<Box<RefusalObject>>,
        /// what a kernel says that has dropped it
        dropped: Option<Box<DropObject>>,
        /// why it did not arrive, if the tables of its nodes are known
        verdict: Option<Box<VerdictObject>>,
        /// of an ICMP error that quotes a packet, or a reset that answers a SYN: that packet
        about: Option<u64>,
        /// nanoseconds from the first hop to the last that is not a copy for somebody else
        duration_ns: u64,
        /// the taps that saw it, in order
        hops: Vec<HopObject<'a>>,
        /// of an echo reply that is not ambiguous and came back to the tap point that was the first
        /// to see the request: nanoseconds since then
        rtt_ns: Option<u64>,
        /// of any echo reply: the same for each tap point that saw both
        rtt_at: Option<Vec<RoundTripObject<'a>>>,
        /// the clocks of its times, if there are several
        clocks: Option<Vec<ClockObject>>,
        /// the message of DNS or mDNS that it carries
        dns: Option<DnsObject>,
        /// the first line of a message of HTTP/1 that it carries
        http: Option<HttpObject>,
        then headers: HeadersObject,
    }
}

object! {
    /// An answer that refuses a packet: an ICMP error, or a TCP reset.
    pub(crate) RefusalObject as "refusal" {
        /// number of the packet that says so
        packet: u64,
        /// what it says, in words: `connection refused` of a reset
        reason: String,
        /// type of an ICMP or ICMPv6 error
        icmp_type: Option<u8>,
        /// its code
        icmp_code: Option<u8>,
        /// how large a packet may be, if the error tells
        mtu: Option<u32>,
        /// the router that a redirect names
        gateway: Option<IpAddr>,
        /// the kind of the tunnel, if the answer is about the packet that carries this one
        tunnel: Option<&'static str>,
        /// UDP port of that tunnel
        tunnel_port: Option<u16>,
        /// address that it comes from
        address: IpAddr,
        /// pod that sends it, `namespace/name`
        pod: Option<Arc<str>>,
        /// node that sends it
        node: Option<Arc<str>>,
    }
}

object! {
    /// What a kernel says of a packet that it has dropped.
    pub(crate) DropObject as "drop" {
        /// its reason as the kernel names it, without `SKB_DROP_REASON_`: `NETFILTER_DROP`
        reason: Option<String>,
        /// the function that dropped it
        function: Option<String>,
        /// the rule of a firewall that dropped it, if rules were traced
        rule: Option<String>,
        /// the device that the packet was at, which may be the next one on its way already
        device: Option<Arc<str>>,
        /// pod of that device, `namespace/name`
        pod: Option<Arc<str>>,
        /// node of that device
        node: Option<Arc<str>>,
        /// when that was, in nanoseconds since 1970 (UTC)
        time_ns: TimeNs,
    }
}

object! {
    /// A tap point that saw an echo request and its reply.
    pub(crate) RoundTripObject<'a> as "round trip" {
        /// node of the tap point
        node: &'a str,
        /// pod of the tap point, `namespace/name`
        pod: Option<Arc<str>>,
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
            gso_segments: (event.gso_segments > 0).then_some(event.gso_segments),
            dns: DnsObject::of(event.payload.as_deref()),
            http: HttpObject::of(event.payload.as_deref()),
            headers: HeadersObject::of(&event.packet),
            hop: HopObject::new(&Hop::of(event), None, world, epoch_ns),
        }
    }
}

impl<'a> PathObject<'a> {
    pub(crate) fn new(path: &Path, world: &'a World, epoch_ns: i128) -> Self {
        let (from, to) = ends(path, world);
        let [source_pod, source_node, source_on] = names(&from);
        let [destination_pod, destination_node, destination_on] = names(&to);
        let copies = Copies::of(path, world);
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
            outcome: path.outcome.name(),
            vtep: match path.outcome {
                Outcome::LeftForVtep(vtep) => Some(vtep),
                _ => None,
            },
            ambiguous: path.ambiguous,
            incomplete: path.incomplete,
            part_of: path.part_of.map(|of| of.packet),
            part_segments: path.part_of.and_then(|of| Some(of.segments?.0)),
            fragment_of: path.fragment_of.map(|of| of.packet),
            lost_with_first: lost_with_first(path),
            lacks_fragments: path.lacks_fragments.then_some(true),
            copy_of: path.copy_of,
            behind_service: service_behind(path, world).map(|of| of.port.service().into()),
            late_of: path.late_of.map(|before| before.id),
            also_seen_by: (copies.count() > 0).then(|| copies.count()),
            rounds: path.circle.map(|circle| circle.times),
            refusal: path
                .refusal
                .as_deref()
                .map(|refusal| Box::new(RefusalObject::new(refusal, world))),
            dropped: path
                .dropped
                .as_deref()
                .map(|dropped| Box::new(DropObject::new(dropped, world, epoch_ns))),
            verdict: VerdictObject::of(path, world),
            about: path.about,
            duration_ns: path.duration_ns(),
            hops: path
                .shown_hops()
                .map(|(number, hop)| HopObject::new(hop, Some((path, number)), world, epoch_ns))
                .collect(),
            rtt_ns: path.measured_trip().map(RoundTrip::total_ns),
            rtt_at: round_trips(path, world),
            clocks: some(clocks(path, world).into_iter().map(Into::into).collect()),
            dns: DnsObject::of(path.payload.as_deref()),
            http: HttpObject::of(path.payload.as_deref()),
            headers: HeadersObject::of(&path.packet),
        }
    }
}

impl RefusalObject {
    fn new(refusal: &Refusal, world: &World) -> Self {
        let error = match refusal.reason {
            Reason::Icmp(error) => Some(error),
            Reason::Reset | Reason::Aborted => None,
        };
        let [pod, node, _] = names(&refuser(refusal, world));
        Self {
            packet: refusal.packet,
            reason: refusal.reason.to_string(),
            icmp_type: error.map(|error| error.kind),
            icmp_code: error.map(|error| error.code),
            mtu: error.and_then(IcmpError::mtu),
            gateway: error.and_then(IcmpError::gateway).map(Into::into),
            tunnel: refusal.carried.map(|carried| carried.by.as_str()),
            tunnel_port: refusal.carried.and_then(|carried| carried.port),
            address: refusal.by,
            pod,
            node,
        }
    }
}

impl DropObject {
    fn new(dropped: &Dropped, world: &World, epoch_ns: i128) -> Self {
        let device = dropped.device(world);
        let KernelDrop {
            reason,
            function,
            rule,
            ts_ns,
            ..
        } = &dropped.by;
        Self {
            reason: reason.clone(),
            function: function.clone(),
            rule: rule.as_ref().map(ToString::to_string),
            device: device.map(|device| Arc::clone(&device.name)),
            pod: device.and_then(|device| world.pod_of(device)),
            node: device.map(|device| Arc::clone(&device.node_name)),
            time_ns: TimeNs::new(epoch_ns, *ts_ns),
        }
    }
}

/// Only of what is a later fragment that was lost.
fn lost_with_first(path: &Path) -> Option<bool> {
    path.fragment_of
        .and_then(|of| of.is_lost_with_it.then_some(true))
}

fn round_trips<'a>(path: &Path, world: &'a World) -> Option<Vec<RoundTripObject<'a>>> {
    let at = path.round_trip.iter().flat_map(|trip| &trip.at);
    let at = at.map(|(interface, ns)| {
        let point = world.tap_points.get(*interface);
        RoundTripObject {
            node: point.map_or("", |point| point.node_name.as_ref()),
            pod: point.and_then(|point| world.pod_of(point)),
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
