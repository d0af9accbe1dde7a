//! Steps through IP: what comes in is delivered or routed.
use podtrace_ebpf::record::Direction;

use super::{Filtered, State, Step};
use crate::{
    model::{facts::DeviceKind, tables::RouteKind},
    packet::is_group_address,
    rules::{
        At, Candidate, Cause, View, link,
        route::{self, NextMac, Onward, Wanted},
        tunnel,
    },
};

impl<'a> State<'a> {
    pub(super) fn enter(self, view: View<'a>) -> Step<'a> {
        if let Some(master) = self.at.master() {
            return self.enter_master(view, master);
        }
        if self.outer.is_some() {
            return self.decapsulate(view);
        }
        if let Some(refused) = self.refused_frame(view) {
            return refused;
        }
        if !self.is_ip {
            let words = format!("arp_ignore of {}", view.owner(self.at));
            return Step::open(vec![Candidate::Unseen(words)]);
        }
        if is_group_address(self.destination) {
            return Step::open(Vec::new());
        }
        if self.at.is_local(self.destination) {
            return self.arrive(view);
        }
        match self.not_held(view) {
            Some(cause) => Step::stopped(None, cause),
            None => self.forward_or_stray(view),
        }
    }

    /// What is not for the namespace: if that stops it, a wrong neighbour entry of the sender is
    /// why, if that has led it there.
    fn forward_or_stray(self, view: View<'a>) -> Step<'a> {
        let step = self.forward(view);
        let is_next = |next| self.at.is_local(next);
        if step.cause.is_none() || self.mac_from.is_some_and(|(_, next)| is_next(next)) {
            return step;
        }
        match self.stale_mac(view) {
            Some(cause) => Step::stopped(None, cause),
            None => step,
        }
    }

    /// Whether the pod should have the address, and does not: a neighbour entry names it for that,
    /// or it forwards nothing.
    fn not_held(self, view: View<'a>) -> Option<Cause> {
        if !self.at.space.in_pod {
            return None;
        }
        let address = self.destination;
        let is_for_it = match self.mac_from {
            Some((_, next)) => next == address,
            None => route::forwarding(view, self.at, address.is_ipv4()).is_some(),
        };
        if !is_for_it {
            return None;
        }
        // Another has the address on this link.
        if let Some(cause) = self.stale_mac(view) {
            return Some(cause);
        }
        let found = self.at.space.look_up(self.wanted());
        // As transparent proxies have it.
        let is_taken = found
            .route
            .is_some_and(|route| route.kind == RouteKind::Local);
        if is_taken {
            return None;
        }
        let holder = view.owners(address).next();
        Some(Cause::AddressMissing {
            at: view.place(self.at),
            address,
            holder: holder.map(|at| view.owner(at).to_string()),
        })
    }

    /// A frame for another MAC address than the interface's. Who has the address of the next hop
    /// should have got it; others get copies, as beside the receiver, or in promiscuous mode.
    fn refused_frame(self, view: View<'a>) -> Option<Step<'a>> {
        let mac = self.mac?;
        // The bridge that should take it does not have the port.
        let unbridged = || link::unbridged(view, self.at);
        if let Some(cause) = (!self.at.has_mac(mac)).then(unbridged).flatten() {
            return Some(Step::stopped(None, cause));
        }
        if let Some(stray) = self.stray(view, self.at) {
            return Some(stray);
        }
        let refused = link::refuses_mac(view, self.at, mac, Some(self.destination))?;
        let wanted = self.mac_from.map_or(self.destination, |(_, next)| next);
        let is_receiver = self.at.is_local(wanted);
        let cause = match self.mac_from {
            // The sender's entry is what is wrong.
            Some((from, next)) if is_receiver => {
                Some(link::misnamed(view, from, next, mac, self.at.device.mac))
            }
            Some(_) => self.stale_mac(view),
            None => is_receiver.then_some(refused),
        };
        Some(match cause {
            Some(cause) => Step::stopped(self.routed(view), cause),
            None => {
                let words = format!("who has {mac}, which the frame is for");
                Step::open(vec![Candidate::Unseen(words)])
            }
        })
    }

    /// Out of VXLAN, by the interface with the VNI.
    fn decapsulate(self, view: View<'a>) -> Step<'a> {
        let Some((outer, vni)) = self.outer.and_then(|outer| Some((outer, outer.vni?))) else {
            return Step::open(Vec::new());
        };
        if !self.at.is_local(outer.destination) {
            let words = format!("who takes packets for {} there", outer.destination);
            return Step::open(vec![Candidate::Unseen(words)]);
        }
        let inside = |tunnel| Self {
            outer: None,
            ..self.move_to(tunnel, Direction::Ingress)
        };
        let tunnel = match tunnel::receiver(view, self.at, vni, outer.port) {
            Ok(tunnel) => tunnel,
            Err(cause) => {
                let next = tunnel::tunnels(view, self.at.node.node).next();
                return Step::stopped(next.map(inside), cause);
            }
        };
        let next = inside(tunnel);
        if let Some(cause) = link::down(view, tunnel) {
            return Step::stopped(Some(next), cause);
        }
        let port = tunnel::settings(tunnel).map_or(0, |own| own.port);
        let filtered = Filtered::arriving(self.at).in_tunnel((None, outer.destination, port));
        Step::to(next, Vec::new()).filtered(filtered)
    }

    /// What is for the namespace itself.
    fn arrive(self, view: View<'a>) -> Step<'a> {
        if let Some(forged) = self.forged(view) {
            return forged;
        }
        if let Some(cause) = route::reverse_path(view, self.at, self.source) {
            return Step::stopped(None, cause);
        }
        let sockets = Candidate::Unseen("its sockets and their buffers".to_owned());
        Step::open(vec![sockets]).filtered(Filtered::arriving(self.at))
    }

    /// What comes from outside with an address of the namespace itself, unless it is told to take
    /// that (`accept_local`).
    fn forged(self, view: View<'a>) -> Option<Step<'a>> {
        let is_outside = self.source.is_ipv4() && self.at.device.kind != DeviceKind::Loopback;
        let cause = is_outside.then(|| link::own_source(view, self.at, self.source));
        Some(Step::stopped(None, cause.flatten()?).doubtful(true))
    }

    fn forward(self, view: View<'a>) -> Step<'a> {
        if let Some(forged) = self.forged(view) {
            return forged;
        }
        let unchecked = route::reverse_path(view, self.at, self.source);
        if let Some(cause) = unchecked {
            return Step::stopped(self.routed(view), cause);
        }
        if let Some(cause) = route::forwarding(view, self.at, self.destination.is_ipv4()) {
            return Step::stopped(self.routed(view), cause);
        }
        let onward = match route::onward(view, self.at, self.wanted()) {
            Ok(onward) => onward,
            Err(nowhere) => return self.nowhere(view, nowhere),
        };
        let Some(by) = onward.by else {
            return self.arrive(view);
        };
        let next = self.sent_by(by, onward);
        if self.ttl.is_some_and(|ttl| ttl <= 1) {
            let at = view.place(self.at);
            return Step::stopped(Some(next), Cause::TtlExpired { at });
        }
        let cause = self
            .too_long(view, by)
            .or_else(|| link::down(view, by))
            .or_else(|| unasked(view, by, onward))
            .or_else(|| route::neighbour(view, by, onward.next));
        if let Some(cause) = cause {
            return Step::stopped(Some(next), cause).doubtful(onward.is_doubtful);
        }
        let unresolved = route::unresolved(view, by, onward.next);
        let candidates = unresolved.into_iter().chain(self.filters(by));
        Step::to(next, candidates.collect())
            .doubtful(onward.is_doubtful)
            .filtered(Filtered::forwarded(self.at, by))
    }

    /// No route: another rule than those that can be followed may have one.
    pub(super) fn nowhere(self, view: View<'a>, (cause, is_doubtful): (Cause, bool)) -> Step<'a> {
        if is_doubtful {
            let owner = view.owner(self.at);
            let words = format!("policy rules of {owner} by mark, port or user");
            return Step::open(vec![Candidate::Unseen(words)]);
        }
        Step::stopped(None, cause)
    }

    fn too_long(self, view: View<'a>, by: At<'a>) -> Option<Cause> {
        let cause = link::routed_mtu(view, by, self.length)?;
        Some(self.with_sender(view, cause))
    }

    fn wanted(&self) -> Wanted<'a> {
        Wanted {
            to: self.destination,
            from: Some(self.source),
            input: Some(&self.at.device.name),
        }
    }

    /// Where it would leave by.
    fn routed(self, view: View<'a>) -> Option<Self> {
        let onward = route::onward(view, self.at, self.wanted()).ok()?;
        Some(self.sent_by(onward.by?, onward))
    }

    fn sent_by(self, by: At<'a>, onward: Onward<'a>) -> Self {
        let mac = match route::next_mac(by, onward.next) {
            NextMac::Known(mac) => Some(mac),
            NextMac::Asked | NextMac::Failed | NextMac::Missing => None,
        };
        Self {
            mac,
            mac_from: Some((by, onward.next)),
            ..self.move_to(by, Direction::Egress)
        }
    }

    /// What may stop packets that are forwarded, beside firewalls.
    fn filters(self, by: At<'a>) -> Vec<Candidate> {
        let (from, to) = (&self.at.device.name, &by.device.name);
        let tracking = route::full_conntrack(self.at.space);
        let tracking = tracking.map(|(count, max)| Candidate::Tracking { count, max });
        let programs = Candidate::Programs(format!("{from} and {to}"));
        [Some(programs), tracking].into_iter().flatten().collect()
    }
}

/// Why a question for a next hop behind a bridge of pods has no answer: no pod has the address, or
/// its port is down.
fn unasked(view: View<'_>, by: At<'_>, onward: Onward<'_>) -> Option<Cause> {
    let is_known = matches!(route::next_mac(by, onward.next), NextMac::Known(_));
    if is_known || !route::is_of_pods(by, onward.next) {
        return None;
    }
    let address = onward.next;
    let Some(owner) = view.owners(address).next() else {
        let behind = None;
        return view
            .is_whole()
            .then_some(Cause::NoOwner { address, behind });
    };
    let port = view.peer(owner)?;
    let is_here = port.bridge().is_some_and(|bridge| bridge.is(by));
    let down = |at: At<'_>| link::down(view, at).filter(|_| !at.device.up);
    down(owner)
        .or_else(|| link::to_port(view, port, None))
        .filter(|_| is_here)
}
