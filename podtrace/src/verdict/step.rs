//! The next step of a packet, as the kernel would take it by the facts.
//!
//! A tap at an egress sees a packet before its interface does; one at an ingress before bridge
//! and IP do. So what stops a packet after its last hop is between that tap and the next.
mod hooks;
mod l2;
mod l3;

use std::net::IpAddr;

use podtrace_ebpf::record::Direction;

pub(super) use hooks::Filtered;

use crate::{
    model::facts::DeviceKind,
    packet::Mac,
    rules::{At, Candidate, Cause, View, link, link::Length, route, tunnel},
};

/// A packet at a tap.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    pub(super) at: At<'a>,
    pub(super) direction: Direction,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Whether it is an IP packet, not a question or answer of ARP.
    pub(super) is_ip: bool,
    pub(super) length: Length,
    pub(super) ttl: Option<u8>,
    /// The MAC address that its frame is for, if it is known.
    pub(super) mac: Option<Mac>,
    /// The interface whose neighbour entry gave it that, and the next hop there.
    pub(super) mac_from: Option<(At<'a>, IpAddr)>,
    /// Whether its destination is translated between this tap and the next.
    pub(super) is_translated: bool,
    /// Of what a bridge sends itself: the port that it came in by, if it was not routed.
    pub(super) came_by: Option<At<'a>>,
    pub(super) outer: Option<Outer>,
}

/// The tunnel that a packet is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    pub(super) destination: IpAddr,
    /// The VNI, of VXLAN.
    pub(super) vni: Option<u32>,
    /// The UDP port, if the sender's settings tell.
    pub(super) port: Option<u16>,
}

/// Where a packet goes next, or why nowhere.
#[derive(Debug, Default)]
pub(super) struct Step<'a> {
    /// The next tap, whether it is reached or not.
    pub(super) next: Option<State<'a>>,
    /// Why it is not reached.
    pub(super) cause: Option<Cause>,
    /// Whether the facts allow another way too.
    pub(super) is_doubtful: bool,
    /// What could stop it unseen, beside firewalls.
    pub(super) candidates: Vec<Candidate>,
    /// Whether it is a copy of a frame for another known interface: that it is dropped says nothing.
    pub(super) is_stray: bool,
    /// The hooks that it passes.
    pub(super) filtered: Vec<Filtered<'a>>,
}

impl<'a> Step<'a> {
    /// It goes on.
    fn to(next: State<'a>, candidates: Vec<Candidate>) -> Self {
        Self {
            next: Some(next),
            candidates,
            ..Self::default()
        }
    }

    /// It would go on, but for the cause.
    fn stopped(next: Option<State<'a>>, cause: Cause) -> Self {
        Self {
            next,
            cause: Some(cause),
            ..Self::default()
        }
    }

    /// Where it goes is not known.
    fn open(candidates: Vec<Candidate>) -> Self {
        Self {
            candidates,
            ..Self::default()
        }
    }

    fn filtered(mut self, filtered: Filtered<'a>) -> Self {
        self.filtered.push(filtered);
        self
    }

    fn doubtful(mut self, is_doubtful: bool) -> Self {
        self.is_doubtful |= is_doubtful;
        self
    }
}

impl<'a> State<'a> {
    /// The same packet at another tap.
    fn move_to(self, at: At<'a>, direction: Direction) -> Self {
        Self {
            at,
            direction,
            came_by: None,
            ..self
        }
    }

    /// The next step.
    pub(super) fn step(self, view: View<'a>) -> Step<'a> {
        match self.direction {
            Direction::Egress => self.leave(view),
            Direction::Ingress => self.enter(view),
            Direction::Socket | Direction::Unknown => Step::default(),
        }
    }

    /// Its queueing disciplines come behind the tap, whatever it is.
    fn leave(self, view: View<'a>) -> Step<'a> {
        let mut step = self.leave_by(view);
        step.candidates.splice(..0, queues(view, self.at));
        step
    }

    fn leave_by(self, view: View<'a>) -> Step<'a> {
        let device = self.at.device;
        if let Some(peer) = view.peer(self.at) {
            return self.cross(view, peer);
        }
        match device.kind {
            DeviceKind::Bridge => self.leave_bridge(view),
            DeviceKind::Vxlan => self.encapsulate(view),
            DeviceKind::Loopback => Step::to(self.move_to(self.at, Direction::Ingress), Vec::new()),
            _ => self.leave_node(view),
        }
    }

    /// To the other end of a veth.
    fn cross(self, view: View<'a>, peer: At<'a>) -> Step<'a> {
        let next = self.move_to(peer, Direction::Ingress);
        if let Some(stray) = self.stray(view, peer) {
            return stray;
        }
        // Of two ends, the one that was set down takes the carrier of the other.
        let set_down = |at: At<'a>| link::down(view, at).filter(|_| !at.device.up);
        let down = set_down(peer)
            .or_else(|| set_down(self.at))
            .or_else(|| link::down(view, peer));
        if let Some(cause) = down {
            return Step::stopped(Some(next), cause);
        }
        if let Some(cause) = link::frame_mtu(view, peer, self.length) {
            return Step::stopped(Some(next), self.with_sender(view, cause));
        }
        let programs = Candidate::Programs(view.place(peer).to_string());
        Step::to(next, vec![programs])
    }

    /// Into VXLAN: forwarding entry, route to the VTEP, interface below.
    fn encapsulate(self, view: View<'a>) -> Step<'a> {
        let Some(mac) = self.mac else {
            let words = "the MAC address of the next hop".to_owned();
            return Step::open(vec![Candidate::Unseen(words)]);
        };
        let vtep = match tunnel::vtep(view, self.at, mac, self.destination) {
            Ok(vtep) => vtep,
            Err(cause) => return Step::stopped(self.next_uplink(view, None), cause),
        };
        let next = self.next_uplink(view, Some(vtep));
        let to = Some(self.destination);
        let wrong = tunnel::wrong_vtep(view, self.at, vtep, Some(mac), to);
        if let Some(cause) = wrong {
            // It would leave the node all the same, unless it is for the node itself.
            let is_lost_here = matches!(cause, Cause::WrongVtep { is_own: true, .. });
            return Step::stopped(next, cause).doubtful(!is_lost_here);
        }
        let settings = self.at.device.vxlan.as_ref();
        if let Some(cause) = tunnel::foreign_source(view, self.at) {
            return Step::stopped(next, cause);
        }
        let wanted = route::Wanted {
            to: vtep,
            from: settings.and_then(|own| own.local),
            input: None,
        };
        let onward = match route::onward(view, self.at, wanted) {
            Ok(onward) => onward,
            Err(nowhere) => return self.nowhere(view, nowhere),
        };
        let Some(by) = onward.by else {
            return Step::open(Vec::new());
        };
        let outer = Length {
            bytes: self.length.bytes + tunnel::overhead(vtep.is_ipv4()),
            ..self.length
        };
        let cause = link::down(view, by)
            .or_else(|| link::routed_mtu(view, by, outer))
            .or_else(|| route::neighbour(view, by, onward.next));
        if let Some(cause) = cause {
            // Without DF of its own, an outer packet may be fragmented.
            let is_length = matches!(cause, Cause::MtuExceeded { .. });
            return Step::stopped(next, cause).doubtful(onward.is_doubtful || is_length);
        }
        let port = settings.map_or(0, |own| own.port);
        let outer = (settings.and_then(|own| own.local), vtep, port);
        let filtered = Filtered::sent(by).in_tunnel(outer);
        let unresolved = route::unresolved(view, by, onward.next);
        Step::to(next.unwrap_or(self), unresolved.into_iter().collect())
            .doubtful(onward.is_doubtful)
            .filtered(filtered)
    }

    /// The tap of the interface below a tunnel.
    fn next_uplink(self, view: View<'a>, vtep: Option<IpAddr>) -> Option<Self> {
        let vxlan = self.at.device.vxlan.as_ref()?;
        let vtep = vtep.or_else(|| tunnel::right_vtep(view, self.at, self.destination))?;
        let wanted = route::Wanted {
            to: vtep,
            from: vxlan.local,
            input: None,
        };
        let by = route::onward(view, self.at, wanted).ok()?.by?;
        let outer = Outer {
            destination: vtep,
            vni: Some(vxlan.vni),
            port: Some(vxlan.port),
        };
        Some(Self {
            outer: Some(outer),
            ..self.move_to(by, Direction::Egress)
        })
    }

    /// To another node, if it is known.
    fn leave_node(self, view: View<'a>) -> Step<'a> {
        let target = match self.outer {
            Some(outer) => Some(outer.destination),
            None => self.next_hop(view),
        };
        if let Some(cause) = self.wrong_vtep(view) {
            return Step::stopped(None, cause);
        }
        let is_other = |at: &At<'a>| at.node.node != self.at.node.node && !at.space.in_pod;
        let receiver = target.and_then(|target| view.owners(target).find(is_other));
        let Some(receiver) = receiver else {
            let words = format!("the network beyond {}", view.place(self.at));
            return Step::open(vec![Candidate::Unseen(words)]);
        };
        let next = self.move_to(receiver, Direction::Ingress);
        if let Some(cause) = link::down(view, receiver) {
            return Step::stopped(Some(next), cause);
        }
        let words = format!(
            "the network between {} and {}",
            self.at.node.name, receiver.node.name
        );
        Step::to(next, vec![Candidate::Unseen(words)])
    }

    /// Whether the tunnel that it is in leads to the wrong node.
    pub(super) fn wrong_vtep(self, view: View<'a>) -> Option<Cause> {
        let outer = self.outer?;
        let mut tunnels = tunnel::tunnels(view, self.at.node.node);
        let at = tunnels.find(|at| {
            let vni = tunnel::settings(*at).map(|own| own.vni);
            vni == outer.vni
        })?;
        let to = Some(self.destination);
        tunnel::wrong_vtep(view, at, outer.destination, self.mac, to)
    }

    /// The next hop of a packet that its namespace sends by this interface.
    fn next_hop(self, view: View<'a>) -> Option<IpAddr> {
        let wanted = route::Wanted {
            to: self.destination,
            from: Some(self.source),
            input: None,
        };
        let onward = route::onward(view, self.at, wanted).ok()?;
        onward
            .by
            .is_some_and(|by| by.is(self.at))
            .then_some(onward.next)
    }

    /// Adds the pod whose MTU is larger than what the way allows.
    fn with_sender(self, view: View<'a>, cause: Cause) -> Cause {
        match cause {
            Cause::MtuExceeded {
                at, mtu, length, ..
            } => Cause::MtuExceeded {
                sender: link::larger_sender(view, self.source, mtu),
                at,
                mtu,
                length,
            },
            cause => cause,
        }
    }
}

/// The queueing disciplines of an interface that have dropped packets, or could.
fn queues(view: View<'_>, at: At<'_>) -> Vec<Candidate> {
    let qdiscs = at.device.qdiscs.iter();
    let queue = |qdisc: &crate::model::facts::Qdisc| Candidate::Queue {
        at: view.place(at).to_string(),
        kind: qdisc.kind.clone(),
        drops: qdisc.drops,
    };
    qdiscs.map(queue).collect()
}
