//! What to do about a cause: a command with true values where there is one.
use super::{Cause, Place};
use crate::model::tables::RouteKind;

impl Cause {
    /// The command or the words that check or mend it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::DeviceDown { at, is_set: true } => {
                ip(at, &format!("link set {} up", at.interface))
            }
            Self::DeviceDown { at, .. } => {
                format!("see to the other end of {}, or its cable", at.interface)
            }
            Self::MtuExceeded {
                mtu,
                sender: Some(sender),
                ..
            } => {
                let place = &sender.0;
                ip(place, &format!("link set {} mtu {mtu}", place.interface))
            }
            Self::MtuExceeded { mtu, .. } => {
                format!("give the sender MTU {mtu} at most, by the settings of the CNI plugin")
            }
            Self::NoRoute { to, .. } => format!("ip route get {to}"),
            Self::RouteAstray { to, right, .. } => {
                format!("ip route get {to}; it should say dev {right}")
            }
            Self::RefusedByRoute {
                subnet: Some(subnet),
                kind,
                ..
            } => {
                let kind = match kind {
                    RouteKind::Blackhole => "blackhole",
                    RouteKind::Unreachable => "unreachable",
                    _ => "prohibit",
                };
                format!("ip route del {kind} {subnet}")
            }
            Self::RefusedByRoute { .. } => "ip rule".to_owned(),
            Self::ReversePath { at, source, .. } => format!(
                "ip route get {source}; or sysctl -w net.ipv4.conf.{}.rp_filter=2, of all too",
                at.interface
            ),
            Self::ForwardingOff {
                at,
                is_all,
                is_ipv4,
            } => forwarding(at, *is_all, *is_ipv4),
            Self::NeighbourMissing { at, address, right } => {
                let interface = &at.interface;
                let unknown = || format!("<MAC of the other node's {interface}>");
                let mac = right.map_or_else(unknown, |mac| mac.to_string());
                let entry = format!("{address} lladdr {mac} dev {interface} nud permanent");
                ip(at, &format!("neigh replace {entry}"))
            }
            Self::NeighbourFailed { at, address } => {
                ip(at, &format!("neigh show {address} dev {}", at.interface))
            }
            Self::WrongMac {
                at,
                address: Some(address),
                right: Some(right),
                ..
            } => ip(
                at,
                &format!(
                    "neigh replace {address} lladdr {right} dev {}",
                    at.interface
                ),
            ),
            Self::NoForwardingEntry { at, mac, vtep } => forwarding_entry(at, mac, vtep.as_ref()),
            Self::WrongVtep {
                at,
                mac: Some(mac),
                right,
                ..
            } => forwarding_entry(at, mac, right.as_ref()),
            Self::VniDiffers { at, vni, .. } => {
                format!(
                    "give the VXLAN interface of {} VNI {vni}, as on the other nodes",
                    at.node
                )
            }
            Self::PortDiffers { at, port, .. } => format!(
                "give {} of {} UDP port {port}, as on the other nodes",
                at.interface, at.node
            ),
            Self::PortBlocked { at } => {
                format!("bridge link set dev {} state forwarding", at.interface)
            }
            Self::PortsIsolated { at } => {
                format!("bridge link set dev {} isolated off", at.interface)
            }
            Self::HairpinOff { at } => format!("bridge link set dev {} hairpin on", at.interface),
            Self::DuplicateAddress { .. } => {
                "delete one of the pods, and see to the node's address management".to_owned()
            }
            Self::NoOwner {
                behind: Some(service),
                ..
            } => format!("see to the endpoints of {service}: kube-proxy may be behind"),
            Self::NoOwner { address, .. } => {
                format!("is {address} still in use? whoever had it may be gone")
            }
            Self::FirewallRule { owner, rule } => {
                let (family, table, chain) = (rule.family.as_str(), &rule.table, &rule.chain);
                format!("nft -a list chain {family} {table} {chain} (in {owner})")
            }
            Self::NoListener { owner } => format!("ss -lntu in {owner}"),
            Self::TtlExpired { .. }
            | Self::WrongMac { .. }
            | Self::WrongVtep { .. }
            | Self::Refused { .. }
            | Self::Loop
            | Self::Kernel { .. }
            | Self::Unknown { .. } => return None,
        })
    }
}

/// A command of ip, in the pod's namespace where it is for one.
fn ip(at: &Place, command: &str) -> String {
    match at.pod {
        Some(_) => format!("ip -n <its namespace> {command}"),
        None => format!("ip {command}"),
    }
}

fn forwarding_entry(at: &Place, mac: &impl ToString, vtep: Option<&impl ToString>) -> String {
    let vtep = vtep.map_or(
        "<address of the other node>".to_owned(),
        ToString::to_string,
    );
    format!(
        "bridge fdb replace {} dev {} dst {vtep}",
        mac.to_string(),
        at.interface
    )
}

fn forwarding(at: &Place, is_all: bool, is_ipv4: bool) -> String {
    match (is_all, is_ipv4) {
        (true, true) => "sysctl -w net.ipv4.ip_forward=1".to_owned(),
        (_, false) => "sysctl -w net.ipv6.conf.all.forwarding=1".to_owned(),
        (false, true) => format!(
            "echo 1 > /proc/sys/net/ipv4/conf/{}/forwarding",
            at.interface
        ),
    }
}
