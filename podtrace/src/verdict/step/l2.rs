//! Steps through a bridge.
use podtrace_ebpf::record::Direction;

use super::{Filtered, State, Step, hooks::asks_ip};
use crate::{
    model::facts::DeviceKind,
    packet::Mac,
    rules::{
        At, Candidate, Cause, Entry, View, all_of,
        link::{self, Forwarded},
        route, tunnel,
    },
};

impl<'a> State<'a> {
    /// What comes in by a port of a bridge, a bond or a VRF.
    pub(super) fn enter_master(self, view: View<'a>, master: At<'a>) -> Step<'a> {
        match master.device.kind {
            DeviceKind::Bridge => self.enter_port(view, master),
            DeviceKind::Internal => {
                let words = format!("the routing table of VRF {}", master.device.name);
                Step::open(vec![Candidate::Unseen(words)])
            }
            _ => Step::to(self.move_to(master, Direction::Ingress), Vec::new()),
        }
    }

    fn enter_port(self, view: View<'a>, bridge: At<'a>) -> Step<'a> {
        let up = || self.move_to(bridge, Direction::Ingress);
        if let Some(cause) = link::down(view, bridge).filter(|_| !bridge.device.up) {
            return Step::stopped(Some(up()), cause);
        }
        if let Some(cause) = link::from_port(view, self.at) {
            return Step::stopped(Some(up()), cause);
        }
        let up_filtered = Filtered::handed_up(self.at, bridge);
        let Some(mac) = self.mac else {
            return Step::default().filtered(up_filtered);
        };
        let mac = self.bridged_anew(view, bridge).unwrap_or(mac);
        match link::forward(view, bridge, Some(self.at), mac, self.length) {
            Ok(Forwarded::Up(bridge)) => {
                Step::to(self.move_to(bridge, Direction::Ingress), Vec::new()).filtered(up_filtered)
            }
            Ok(Forwarded::Port(port)) => {
                let next = self.move_to(port, Direction::Egress);
                match self
                    .stale_mac(view)
                    .filter(|_| !self.is_routed_by(view, mac))
                {
                    Some(cause) => Step::stopped(self.to_owner(view).or(Some(next)), cause),
                    None => Step::to(next, Vec::new())
                        .filtered(Filtered::bridged(self.at, bridge, port)),
                }
            }
            Ok(Forwarded::Flood) => self.flood(view, up_filtered),
            // Who has sent it to its own port has a wrong entry, unless the bridge has translated it.
            Err(Cause::HairpinOff { .. })
                if self.mac == Some(mac)
                    && let Some(cause) = self.misled(view) =>
            {
                Step::stopped(self.to_owner(view), cause)
            }
            Err(cause) => self.refused_by_bridge(view, cause),
        }
    }

    /// A bridge sends it nowhere.
    fn refused_by_bridge(self, view: View<'a>, cause: Cause) -> Step<'a> {
        // It may have learned the address since.
        let is_doubtful = matches!(cause, Cause::FloodOff { learns: true, .. });
        Step::stopped(self.to_owner(view), self.with_sender(view, cause)).doubtful(is_doubtful)
    }

    /// Why a frame comes back to the port of who has sent it.
    fn misled(self, view: View<'a>) -> Option<Cause> {
        let (at, next) = self.mac_from?;
        let own = || link::own_mac(view, at, next, self.mac?);
        self.stale_mac(view).or_else(own)
    }

    /// The MAC address that a bridge gives a frame whose destination it has translated to one behind
    /// itself (`bridge-nf-call-iptables`): the frame does not go up to be routed.
    fn bridged_anew(self, view: View<'a>, bridge: At<'a>) -> Option<Mac> {
        if !self.is_translated || !asks_ip(bridge) {
            return None;
        }
        let mut owners = view.owners(self.destination);
        let is_behind = |owner: &At<'a>| {
            let bridged = view.peer(*owner).and_then(|port| port.bridge());
            bridged.is_some_and(|theirs| theirs.is(bridge))
        };
        owners.find(is_behind)?.device.mac
    }

    /// What the bridge itself sends.
    pub(super) fn leave_bridge(self, view: View<'a>) -> Step<'a> {
        let filtered = |to| Filtered::sent_by_bridge(self.at, to);
        let Some(mac) = self.mac else {
            return Step::default().filtered(filtered(self.at));
        };
        match link::forward(view, self.at, self.came_by, mac, self.length) {
            Ok(Forwarded::Port(port)) => {
                let next = self.move_to(port, Direction::Egress);
                match self.stale_mac(view) {
                    Some(cause) => Step::stopped(Some(next), cause),
                    None => Step::to(next, Vec::new()).filtered(filtered(port)),
                }
            }
            Ok(Forwarded::Up(_)) => Step::open(Vec::new()),
            Ok(Forwarded::Flood) => self.flood(view, filtered(self.at)),
            Err(cause) => self.refused_by_bridge(view, cause),
        }
    }

    /// A frame for a MAC address that no port is known to have.
    fn flood(self, view: View<'a>, filtered: Filtered<'a>) -> Step<'a> {
        let Some(mac) = self.mac else {
            return Step::default().filtered(filtered);
        };
        let is_group = mac.0[0] & 1 == 1;
        let stale = self.stale_mac(view);
        let bridge = self.at.bridge().unwrap_or(self.at);
        let cut_off = || link::cut_off(view, bridge, mac);
        if let Some(cause) = stale.is_none().then(cut_off).flatten() {
            return Step::stopped(None, cause);
        }
        let has_owner = view.all().any(|at| at.has_mac(mac));
        if is_group || stale.is_none() && (has_owner || !view.is_whole()) {
            return Step::default().filtered(filtered);
        }
        let nobody = view.owners(self.destination).next().is_none();
        if nobody && route::is_of_pods(bridge, self.destination) {
            return Step::stopped(
                None,
                Cause::NoOwner {
                    address: self.destination,
                    behind: None,
                },
            );
        }
        let wrong = || Cause::WrongMac {
            at: view.place(self.mac_from.map_or(self.at, |(at, _)| at)),
            address: self.mac_from.map(|(_, next)| next),
            mac,
            right: None,
            is_own: false,
            entry: Entry::Asked,
        };
        // Behind a port that is no pod's there may be others.
        let leads_out = link::ports(bridge).any(|port| port.device.peer.is_none());
        let is_sure = stale.is_some() || !leads_out;
        Step::stopped(self.to_owner(view), stale.unwrap_or_else(wrong)).doubtful(!is_sure)
    }

    /// A copy that a bridge has sent to an interface beside the one that has the MAC address: what is
    /// lost is lost at that one, whatever becomes of the copy.
    pub(super) fn stray(self, view: View<'a>, to: At<'a>) -> Option<Step<'a>> {
        let mac = self.mac?;
        let wanted = self.mac_from.map_or(self.destination, |(_, next)| next);
        let bridge = link::bridge_of(view, to)?;
        let is_meant = to.is_local(wanted) || to.is_local(self.destination);
        let is_known = all_of(to.node).any(|at| at.has_mac(mac));
        if to.has_mac(mac) || is_meant || !is_known || to.master().is_some() {
            return None;
        }
        let sender = self.mac_from.map(|(at, _)| at);
        let from = sender.and_then(|at| view.peer(at));
        let from = from.filter(|port| port.bridge().is_some_and(|own| own.is(bridge)));
        let cause = self
            .stale_mac(view)
            .or_else(|| link::unreached(view, bridge, from, mac, self.length));
        let unseen = format!("what kept {} from sending it to {mac}", view.place(bridge));
        Some(Step {
            cause,
            is_stray: true,
            ..Step::open(vec![Candidate::Unseen(unseen)])
        })
    }

    /// The port of the bridge that the next hop is behind.
    fn to_owner(self, view: View<'a>) -> Option<Self> {
        let bridge = self.at.bridge().unwrap_or(self.at);
        let next = self.mac_from.map_or(self.destination, |(_, next)| next);
        let mut ports = view.owners(next).filter_map(|owner| view.peer(owner));
        let port = ports.find(|port| port.bridge().is_some_and(|theirs| theirs.is(bridge)))?;
        Some(self.move_to(port, Direction::Egress))
    }

    /// Whether who has a MAC address forwards what is not for itself: a wrong one may lead there all
    /// the same.
    fn is_routed_by(self, view: View<'a>, mac: Mac) -> bool {
        let mut owners = view.all().filter(|at| at.has_mac(mac));
        owners.any(|at| route::forwarding(view, at, self.destination.is_ipv4()).is_none())
    }

    /// Whether the neighbour entry that the frame was addressed by is wrong.
    pub(super) fn stale_mac(self, view: View<'a>) -> Option<Cause> {
        let (at, next) = self.mac_from?;
        let mac = self.mac?;
        link::stale_mac(view, at, next, mac)
            .or_else(|| tunnel::stale_mac(view, at, next, mac, self.destination))
    }
}
