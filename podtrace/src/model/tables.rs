//! The tables by which a network namespace sends packets: rules, routes, neighbours, bridge
//! forwarding.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::subnet::AddressPrefix;
use crate::packet::{Mac, covers};

/// Number of the routing table that is asked without policy rules.
pub const MAIN_TABLE: u32 = 254;
/// Number of the kernel's table of the node's own addresses.
pub const LOCAL_TABLE: u32 = 255;

/// The effect of a route on its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// It forwards them.
    Unicast,
    /// It delivers them to the node itself.
    Local,
    /// It drops them without an answer.
    Blackhole,
    /// It refuses them as unreachable.
    Unreachable,
    /// It refuses them as prohibited.
    Prohibit,
    /// It ends the search of its table.
    Throw,
    /// Broadcast, multicast and others.
    Other,
}

/// One route, or one next hop of a route that has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The subnet's first address; `0.0.0.0` or `::` for the default route.
    pub destination: IpAddr,
    /// Length of the prefix in bits.
    pub len: u8,
    /// The next hop; none if the destination is on the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Index of the interface; none for a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// Number of the routing table, [`MAIN_TABLE`] as a rule.
    pub table: u32,
    /// Its effect on packets.
    pub kind: RouteKind,
    /// Preference among equal prefixes: less is better.
    pub metric: u32,
    /// Source address for the node's own packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

/// The state of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeighbourState {
    /// Written by an administrator or by flannel.
    Permanent,
    /// Found by ARP or NDP.
    Known,
    /// Requested, not answered yet.
    Incomplete,
    /// Requested without an answer.
    Failed,
}

/// The MAC address of a neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Index of the interface it is behind.
    pub ifindex: u32,
    /// Its MAC address; none while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its state.
    pub state: NeighbourState,
}

/// An entry of the forwarding database of a VXLAN interface or a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbEntry {
    /// The MAC address; all zero for addresses without an entry of their own.
    pub mac: Mac,
    /// Index of the VXLAN interface, or of the bridge's port.
    pub ifindex: u32,
    /// The VTEP that frames for `mac` go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vtep: Option<IpAddr>,
    /// Index of the bridge, for an entry of a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<u32>,
    /// Whether it is an entry of the interface itself (`self`), not of the
    /// bridge that it is a port of (`master`).
    pub own: bool,
    /// Whether it stays until it is deleted.
    pub permanent: bool,
}

/// All tables of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tables {
    /// Routes of all tables, both families.
    pub routes: Vec<Route>,
    /// Neighbours, both families.
    pub neighbours: Vec<Neighbour>,
    /// Forwarding entries of VXLAN interfaces and bridges.
    pub fdb: Vec<FdbEntry>,
}

/// Where a next hop behind a VXLAN interface leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// No neighbour entry, or one without a MAC address.
    NoNeighbour,
    /// The neighbour's MAC address has no forwarding entry.
    NoFdb(Mac),
    /// It leads to this VTEP.
    Vtep(Mac, IpAddr),
}

impl RouteKind {
    /// Whether it refuses its packets.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Blackhole | Self::Unreachable | Self::Prohibit)
    }
}

impl Route {
    /// Whether the route's prefix covers an address.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        covers(self.destination, self.len, address)
    }
}

impl Tables {
    /// Where a next hop behind a VXLAN interface leads.
    #[must_use]
    pub fn next_hop(&self, ifindex: u32, gateway: IpAddr) -> NextHop {
        let neighbour = self
            .neighbours
            .iter()
            .filter(|neighbour| neighbour.ifindex == ifindex && neighbour.address == gateway);
        let Some(mac) = neighbour.filter_map(|neighbour| neighbour.mac).next() else {
            return NextHop::NoNeighbour;
        };
        let entry = |wanted: Mac| {
            self.fdb
                .iter()
                .filter(|entry| entry.ifindex == ifindex && entry.own && entry.mac == wanted)
                .find_map(|entry| entry.vtep)
        };
        entry(mac)
            .or_else(|| entry(Mac::default()))
            .map_or(NextHop::NoFdb(mac), |vtep| NextHop::Vtep(mac, vtep))
    }
}

/// A policy rule: which packets ask which routing table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its place: less comes first.
    pub priority: u32,
    /// Whether it is for IPv4.
    pub is_ipv4: bool,
    /// The sources it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressPrefix>,
    /// The destinations it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<AddressPrefix>,
    /// Name of the interface by which the packets come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Whether it depends on what is not known of a packet: marks, ports, users, VRFs.
    #[serde(default)]
    pub is_conditional: bool,
    /// What it does.
    pub action: RuleAction,
}

/// The effect of a policy rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// It asks a routing table.
    Table(u32),
    /// It refuses the packets.
    Refuse(RouteKind),
    /// Another.
    Other,
}
