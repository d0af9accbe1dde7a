//! A path as a question: where its packet was last, and in what state.
use std::net::IpAddr;

use podtrace_ebpf::{parse::Carrier, record::Direction};

use super::{
    Tap,
    step::{Outer, State},
};
use crate::{
    model::{facts::DeviceKind, tap_point::TapPoint},
    packet::{Ends, Mac, Network, Packet},
    path::{Hop, PartOf, Path, flood::Copies},
    rules::{
        At, Cause, View,
        link::{self, Length},
        route::{self, NextMac, Wanted},
        tunnel,
    },
    world::World,
};

/// Length of the headers of IPv4 and TCP, without options.
const HEADERS: u32 = 40;

/// The MAC address that a frame is for, and the interface whose neighbour entry says so with the next
/// hop there.
type Addressed<'a> = (Option<Mac>, Option<(At<'a>, IpAddr)>);

/// A path whose packet is to be followed on.
pub(super) struct Question<'a> {
    pub(super) path: &'a Path,
    pub(super) world: &'a World,
    pub(super) view: View<'a>,
    /// Number of the last hop on its way.
    last: Option<usize>,
    pub(super) last_tap: Option<Tap>,
    /// Its state there, if the facts have the interface.
    pub(super) state: Option<State<'a>>,
}

impl<'a> Question<'a> {
    pub(super) fn of(path: &'a Path, view: View<'a>, world: &'a World) -> Self {
        let copies = Copies::of(path, world);
        let is_main = |number: usize, hop: &Hop| {
            !hop.aside && !copies.has(number) && hop.direction != Direction::Socket
        };
        let mut hops = path.hops.iter().take(path.hops_until_lost()).enumerate();
        let last = hops.rfind(|(number, hop)| is_main(*number, hop));
        let last = last.map(|(number, _)| number);
        let mut question = Self {
            path,
            world,
            view,
            last,
            last_tap: None,
            state: None,
        };
        question.last_tap = question.find_last_tap();
        question.state = last.and_then(|last| question.state_at(last));
        question
    }

    fn hop(&self, number: usize) -> Option<(&'a Hop, &'a TapPoint)> {
        let hop = self.path.hops.get(number)?;
        Some((hop, self.world.tap_points.get(hop.interface)?))
    }

    /// Number of the node where the packet was last.
    pub(super) fn last_node(&self) -> Option<usize> {
        Some(self.hop(self.last?)?.1.node)
    }

    fn at(&self, number: usize) -> Option<At<'a>> {
        let (_, point) = self.hop(number)?;
        self.view.find(point.node, point.netns_id, point.ifindex)
    }

    fn find_last_tap(&self) -> Option<Tap> {
        let (hop, point) = self.hop(self.last?)?;
        Some(Tap::of(hop, point, self.world))
    }

    /// Its state at a hop.
    fn state_at(&self, number: usize) -> Option<State<'a>> {
        let (hop, _) = self.hop(number)?;
        let packet = &self.path.packet;
        let (source, destination) = self.ends_at(number)?;
        // Of what is translated behind it, the destination is before routing, the source after.
        let unseen = self
            .translated_unseen()
            .filter(|_| Some(number) == self.last);
        let destination = unseen.map_or(destination, |ends| ends.destination);
        let (mac, mac_from) = self.mac(number);
        Some(State {
            at: self.at(number)?,
            direction: hop.direction,
            source,
            destination,
            is_ip: matches!(packet.network, Network::Ip(_)),
            length: length(self.path, packet),
            ttl: hop.ttl,
            mac,
            mac_from,
            is_translated: unseen.is_some(),
            came_by: self.port_before(number),
            outer: self.outer(hop),
        })
    }

    /// Why a packet went in a circle: a tunnel that leads back to its own node.
    pub(super) fn circle(&self) -> Cause {
        let numbers = 0..self.path.hops.len();
        let mut states = numbers.filter_map(|number| self.state_at(number));
        let own = states.find_map(|state| {
            let is_tunnel = state.at.device.kind == DeviceKind::Vxlan;
            let is_sent = is_tunnel && state.direction == Direction::Egress;
            let cause = is_sent.then(|| state.step(self.view).cause).flatten();
            cause.filter(|cause| matches!(cause, Cause::WrongVtep { is_own: true, .. }))
        });
        own.unwrap_or(Cause::Loop)
    }

    /// The source and destination where the packet was last.
    pub(super) fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        let packet = &self.path.packet;
        match self.translated() {
            Some(ends) => Some((ends.source, ends.destination)),
            None => Some((packet.source()?, packet.destination()?)),
        }
    }

    /// The source and destination at a hop.
    fn ends_at(&self, number: usize) -> Option<(IpAddr, IpAddr)> {
        let packet = &self.path.packet;
        let mut translations = self.path.translations.iter();
        match translations.rfind(|one| one.hop <= number) {
            Some(one) => Some((one.after.source, one.after.destination)),
            None => Some((packet.source()?, packet.destination()?)),
        }
    }

    /// Its ends where it was last, if they were translated by then.
    pub(super) fn translated(&self) -> Option<Ends> {
        let seen = self.path.translations.last().map(|last| last.after);
        self.translated_unseen().or(seen)
    }

    /// The same if they were translated after its last hop.
    fn translated_unseen(&self) -> Option<Ends> {
        self.path.dropped.as_ref()?.translated
    }

    /// The MAC address that the frame is for at a hop, and whose neighbour entry says so: that
    /// of the last interface before which has sent the packet by IP.
    fn mac(&self, last: usize) -> Addressed<'a> {
        let sent = (0..=last).rev().find_map(|number| {
            let at = self.at(number)?;
            self.is_sent_by_ip(number, at).then_some((number, at))
        });
        let first = self.path.packet.link.map(|link| link.destination);
        let sent_by = sent.map_or(0, |(number, _)| number);
        if let Some(bridge) = self.readdressed(sent_by, last) {
            return bridge.unwrap_or_default();
        }
        let Some((number, at)) = sent else {
            return (first, None);
        };
        let next = self.next_hop(number, at);
        let mac = match next.map(|next| route::next_mac(at, next)) {
            _ if number == 0 => first,
            Some(NextMac::Known(mac)) => Some(mac),
            _ => None,
        };
        (mac, next.map(|next| (at, next)))
    }

    /// The port of a bridge by which a packet has come to what the bridge itself sends: it has
    /// translated the address, and asked for the neighbour.
    fn port_before(&self, number: usize) -> Option<At<'a>> {
        let before = number.checked_sub(1)?;
        let (hop, _) = self.hop(before)?;
        let port = self
            .at(before)
            .filter(|_| hop.direction == Direction::Ingress)?;
        let bridge = self.at(number)?;
        port.bridge().filter(|own| own.is(bridge)).map(|_| port)
    }

    fn is_sent_by_ip(&self, number: usize, at: At<'a>) -> bool {
        let Some((hop, _)) = self.hop(number) else {
            return false;
        };
        let is_outer = hop.tunnel.is_some() && at.device.kind != DeviceKind::Vxlan;
        hop.direction == Direction::Egress && at.bridge().is_none() && !is_outer
    }

    /// The MAC address that a bridge has given a frame whose destination it has translated between
    /// two hops (`bridge-nf-call-iptables`), and whose entry says so, as far as that is known; none
    /// if no bridge has.
    fn readdressed(&self, sent: usize, last: usize) -> Option<Option<Addressed<'a>>> {
        let mut translations = self.path.translations.iter();
        let is_between = |hop: usize| sent < hop && hop <= last;
        let one = translations.rfind(|one| one.is_of_destination() && is_between(one.hop))?;
        let bridge = self
            .at(one.hop)
            .and_then(|at| link::bridge_of(self.view, at));
        let next = |bridge| self.next_hop(one.hop, bridge);
        let next = bridge.and_then(|bridge| Some((bridge, next(bridge)?)));
        Some(
            next.map(|(bridge, next)| match route::next_mac(bridge, next) {
                NextMac::Known(mac) => (Some(mac), Some((bridge, next))),
                _ => (None, Some((bridge, next))),
            }),
        )
    }

    /// The next hop of what is sent by IP at a hop.
    fn next_hop(&self, number: usize, at: At<'a>) -> Option<IpAddr> {
        let (source, to) = self.ends_at(number)?;
        let wanted = Wanted {
            to,
            from: Some(source),
            input: None,
        };
        let onward = route::onward(self.view, at, wanted).ok()?;
        let is_it = onward.by.is_some_and(|by| by.is(at));
        is_it.then_some(onward.next)
    }

    fn outer(&self, hop: &Hop) -> Option<Outer> {
        let tunnel = hop.tunnel.as_deref()?;
        let vni = match tunnel.carrier {
            Carrier::Vxlan(vni) => Some(vni),
            _ => None,
        };
        let mut senders = self.view.all();
        let sender = senders.find_map(|at| {
            let own = tunnel::settings(at)?;
            (Some(own.vni) == vni && own.local == Some(tunnel.source)).then_some(own)
        });
        Some(Outer {
            destination: tunnel.destination,
            vni,
            port: sender.map(|own| own.port),
        })
    }

    /// Whether a tap should see the packet there.
    pub(super) fn is_tapped(&self, state: &State<'_>) -> bool {
        let points = &self.world.tap_points;
        let mut known = (0..points.next_number()).filter_map(|number| points.get(number));
        known.any(|point| {
            let key = (point.node, point.netns_id, point.ifindex);
            let at = (state.at.node.node, state.at.space.netns);
            key == (at.0, at.1, state.at.device.ifindex)
        })
    }

    /// Why the facts do not help.
    pub(super) fn lacking(&self) -> Option<&'static str> {
        if self.state.is_some() {
            return None;
        }
        let point = self.last.and_then(|last| self.hop(last)).map(|(_, at)| at);
        let node = point.map(|point| point.node);
        let is_known = node.is_some_and(|node| self.world.facts.contains_key(&node));
        Some(match (is_known, self.ends()) {
            (_, None) => "it is not an IP packet",
            (true, _) => "the tables of its node do not have the interface, which is new or gone",
            (false, _) => "the tables of its node are not known",
        })
    }

    /// Adds what an address without owner stands for.
    pub(super) fn with_translation(&self, cause: Cause) -> Cause {
        let translation = self.path.translations.iter();
        let mut before = translation
            .filter(|translation| translation.is_of_destination())
            .map(|translation| translation.before.destination);
        match cause {
            Cause::NoOwner { address, .. } => Cause::NoOwner {
                address,
                behind: before.next_back().filter(|behind| *behind != address),
            },
            cause => cause,
        }
    }
}

/// The length of the longest packets that it is sent in, at least.
fn length(path: &Path, packet: &Packet) -> Length {
    let segments = match path.part_of {
        Some(PartOf {
            segments: Some((lost, _)),
            ..
        }) => lost.into(),
        _ => u32::from(path.gso_segments),
    };
    let bytes = match segments {
        0 | 1 => packet.length,
        _ => packet.length.saturating_sub(HEADERS).div_ceil(segments) + HEADERS,
    };
    let may_fragment = match &packet.network {
        Network::Ip(ip) => ip.may_fragment || ip.fragment.is_some(),
        _ => false,
    };
    Length {
        bytes,
        may_fragment,
    }
}
