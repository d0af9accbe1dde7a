//! Steps through a bridge.
use podtrace_ebpf::record::Direction;

use super::{FORWARDED, Filtered, State, Step};
use crate::{
    model::{facts::DeviceKind, ruleset::Hook},
    rules::{
        At, Cause, View,
        link::{self, Forwarded},
        route, tunnel,
    },
};

impl<'a> Step<'a> {
    /// A bridge may ask the hooks of IP about what passes it.
    fn filtered_by_bridge(self, bridge: At<'a>, hooks: &'static [Hook]) -> Self {
        if bridge.space.settings.bridge_calls_iptables != Some(true) {
            return self;
        }
        let name = Some(bridge.device.name.as_str());
        self.filtered(Filtered {
            at: bridge,
            hooks,
            input: name,
            output: name,
            outer: None,
        })
    }
}

impl<'a> State<'a> {
    /// What comes in by a port of a bridge, a bond or a VRF.
    pub(super) fn enter_master(self, view: View<'a>, master: At<'a>) -> Step<'a> {
        match master.device.kind {
            DeviceKind::Bridge => self.enter_port(view, master),
            DeviceKind::Internal => Step::open(vec![format!(
                "the routing table of VRF {}",
                master.device.name
            )]),
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
        let candidates = filters(view, bridge);
        let Some(mac) = self.mac else {
            return Step::open(candidates);
        };
        match link::forward(view, bridge, Some(self.at), mac, self.length) {
            Ok(Forwarded::Up(bridge)) => {
                Step::to(self.move_to(bridge, Direction::Ingress), candidates)
                    .filtered_by_bridge(bridge, &FORWARDED[..1])
            }
            Ok(Forwarded::Port(port)) => {
                Step::to(self.move_to(port, Direction::Egress), candidates)
                    .filtered_by_bridge(bridge, FORWARDED)
            }
            Ok(Forwarded::Flood) => self.flood(view, candidates),
            Err(cause) => Step::stopped(self.to_owner(view), self.with_sender(view, cause)),
        }
    }

    /// What the bridge itself sends.
    pub(super) fn leave_bridge(self, view: View<'a>) -> Step<'a> {
        let Some(mac) = self.mac else {
            return Step::open(filters(view, self.at));
        };
        match link::forward(view, self.at, None, mac, self.length) {
            Ok(Forwarded::Port(port)) => {
                let next = self.move_to(port, Direction::Egress);
                match self.stale_mac(view) {
                    Some(cause) => Step::stopped(Some(next), cause),
                    None => Step::to(next, filters(view, self.at)),
                }
            }
            Ok(Forwarded::Up(_)) => Step::open(Vec::new()),
            Ok(Forwarded::Flood) => self.flood(view, filters(view, self.at)),
            Err(cause) => Step::stopped(self.to_owner(view), self.with_sender(view, cause)),
        }
    }

    /// A frame for a MAC address that no port is known to have.
    fn flood(self, view: View<'a>, candidates: Vec<String>) -> Step<'a> {
        let Some(mac) = self.mac else {
            return Step::open(candidates);
        };
        let is_group = mac.0[0] & 1 == 1;
        let stale = self.stale_mac(view);
        let has_owner = view.all().any(|at| at.has_mac(mac));
        if is_group || stale.is_none() && (has_owner || !view.is_whole()) {
            return Step::open(candidates);
        }
        let nobody = view.owners(self.destination).next().is_none();
        let bridge = self.at.bridge().unwrap_or(self.at);
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
        };
        // Behind a port that is no pod's there may be others.
        let leads_out = link::ports(bridge).any(|port| port.device.peer.is_none());
        let is_sure = stale.is_some() || !leads_out;
        Step::stopped(self.to_owner(view), stale.unwrap_or_else(wrong)).doubtful(!is_sure)
    }

    /// The port of the bridge that the next hop is behind.
    fn to_owner(self, view: View<'a>) -> Option<Self> {
        let bridge = self.at.bridge().unwrap_or(self.at);
        let next = self.mac_from.map_or(self.destination, |(_, next)| next);
        let mut ports = view.owners(next).filter_map(|owner| view.peer(owner));
        let port = ports.find(|port| port.bridge().is_some_and(|theirs| theirs.is(bridge)))?;
        Some(self.move_to(port, Direction::Egress))
    }

    /// Whether the neighbour entry that the frame was addressed by is wrong.
    pub(super) fn stale_mac(self, view: View<'a>) -> Option<Cause> {
        let (at, next) = self.mac_from?;
        let mac = self.mac?;
        link::stale_mac(view, at, next, mac)
            .or_else(|| tunnel::stale_mac(view, at, next, mac, self.destination))
    }
}

/// What may filter frames in a bridge.
fn filters(view: View<'_>, bridge: At<'_>) -> Vec<String> {
    let name = &bridge.device.name;
    let mut candidates = vec![format!("nftables rules of family bridge for {name}")];
    if bridge.space.settings.bridge_calls_iptables == Some(true) {
        candidates.push(format!(
            "firewall rules of hook FORWARD of {} (bridge-nf-call-iptables is on)",
            view.owner(bridge)
        ));
    }
    candidates
}
