//! What to do about a cause: a command with true values where there is one.
use super::{
    Cause, Place,
    cause::{Entry, Owner, words::echo_sysctl},
};
use crate::model::tables::{MAIN_TABLE, RouteKind};

/// Programs that ask the network namespace in which they run.
const ASK_NAMESPACE: [&str; 9] = [
    "bridge",
    "ethtool",
    "ip",
    "iptables-save",
    "nft",
    "ss",
    "sysctl",
    "tc",
    "tracepath",
];

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
            Self::NoRoute { owner, to } => inside(owner, &format!("ip route get {to}")),
            Self::RouteAstray { to, right, .. } => {
                format!("ip route get {to}; it should say dev {right}")
            }
            Self::RefusedByRoute {
                owner,
                subnet: Some(subnet),
                kind,
                table,
            } => {
                let kind = match kind {
                    RouteKind::Blackhole => "blackhole",
                    RouteKind::Unreachable => "unreachable",
                    _ => "prohibit",
                };
                let table = match *table {
                    MAIN_TABLE => String::new(),
                    other => format!(" table {other}"),
                };
                inside(owner, &format!("ip route del {kind} {subnet}{table}"))
            }
            Self::RefusedByRoute { owner, .. } => inside(owner, "ip rule"),
            Self::ReversePath { at, source, .. } => {
                let owner = at.owned_by();
                let look = inside(&owner, &format!("ip route get {source}"));
                let loosen = format!("sysctl -w net/ipv4/conf/{}/rp_filter=2", at.interface);
                format!("{look}; or {}, of all too", inside(&owner, &loosen))
            }
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
            Self::NeighbourFailed {
                at,
                address,
                owner: Some(owner),
                ..
            } => {
                let is_here = at.node == owner.node;
                let look = ip(owner, &format!("link show dev {}", owner.interface));
                let sysctl = inside(&owner.owned_by(), "sysctl net.ipv4.conf.all.arp_ignore");
                let sysctl = match address.is_ipv4() {
                    true => format!("; {sysctl}"),
                    false => String::new(),
                };
                match is_here {
                    true => format!("{look} (NOARP?){sysctl}"),
                    false => format!("on {}: {look} (NOARP?){sysctl}", owner.node),
                }
            }
            Self::NeighbourFailed { at, address, .. } => {
                ip(at, &format!("neigh show {address} dev {}", at.interface))
            }
            Self::OffLink { at, address, .. } => {
                let look = ip(at, &format!("route get {address}"));
                format!("{look}; it should lead to a gateway: see to the prefix length, too")
            }
            Self::WrongPort { at, mac, ports } => {
                let (port, bridge) = (&ports.0, &at.interface);
                format!("bridge fdb del {mac} dev {port} master (of {bridge})")
            }
            Self::ArpOff { at } => ip(at, &format!("link set dev {} arp on", at.interface)),
            Self::FloodOff { at, learns, .. } => {
                let learning = if *learns { "" } else { " learning on" };
                let port = &at.interface;
                let set = format!("bridge link set dev {port} flood on{learning}");
                inside(&at.owned_by(), &set)
            }
            Self::WrongMac {
                at, is_own: true, ..
            } => {
                let device = &at.interface;
                let look = ip(at, &format!("link show dev {device}"));
                let set = ip(at, &format!("link set dev {device} arp on"));
                format!("{look} (NOARP?); {set}")
            }
            Self::WrongMac {
                at,
                address: Some(address),
                right,
                entry,
                ..
            } => {
                let device = &at.interface;
                match (entry, right) {
                    // It asks again then; a written entry would outlive the pod.
                    (Entry::Asked, _) => ip(at, &format!("neigh del {address} dev {device}")),
                    (Entry::Made, Some(right)) => {
                        let entry = format!("{address} lladdr {right} dev {device} nud permanent");
                        ip(at, &format!("neigh replace {entry}"))
                    }
                    (Entry::Made, None) => return None,
                    (Entry::Elsewhere, _) => {
                        format!("where it was sent: ip neigh show {address}, and ip neigh del")
                    }
                }
            }
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
            Self::NoBridge { at, bridge } => {
                let bridge = bridge.as_deref().unwrap_or("<bridge>");
                format!("ip link set {} master {bridge}", at.interface)
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
            Self::FirewallRule { owner, rule, .. } => {
                let (family, table, chain) = (rule.family.as_str(), &rule.table, &rule.chain);
                inside(
                    owner,
                    &format!("nft -a list chain {family} {table} {chain}"),
                )
            }
            Self::NoListener { owner } => inside(owner, "ss -lntu"),
            Self::EchoIgnored { owner, is_ipv4 } => {
                inside(owner, &format!("sysctl -w {}=0", echo_sysctl(*is_ipv4)))
            }
            Self::AcceptQueueFull { owner, port, .. } => {
                let look = inside(owner, &format!("ss -ltn sport = :{port}"));
                format!("{look}; the server accepts too slowly, or not at all")
            }
            Self::ServerSilent { owner, port } => {
                let look = inside(owner, &format!("ss -lunp sport = :{port}"));
                format!("{look}; see to the server's log")
            }
            Self::AddressMissing { at, .. } => {
                let interface = &at.interface;
                match at.pod {
                    Some(_) => {
                        let look = ip(at, &format!("addr show dev {interface}"));
                        format!("{look}; a new pod gets an address from the CNI plugin")
                    }
                    None => format!(
                        "ip -d link show dev {interface}: local has to be an address of the node"
                    ),
                }
            }
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
    inside(&at.owned_by(), &format!("ip {command}"))
}

/// A command in the namespace that it is for.
#[must_use]
pub fn inside(owner: &Owner, command: &str) -> String {
    match &owner.path {
        Some(path) => format!("{}{command}", enter(path)),
        None if owner.is_pod => format!("{command} (in {owner})"),
        None => command.to_owned(),
    }
}

/// Commands and words, each command in the namespace that it is for, if it asks that.
#[must_use]
pub(crate) fn each_inside(owner: &Owner, commands: &str) -> String {
    let each = commands.split("; ").map(|command| {
        let program = command.split(' ').next().unwrap_or_default();
        match ASK_NAMESPACE.contains(&program) {
            true => inside(owner, command),
            false => command.to_owned(),
        }
    });
    each.collect::<Vec<_>>().join("; ")
}

/// What stands before a command that is for the namespace that a path opens.
fn enter(path: &str) -> String {
    match path.strip_prefix("/run/netns/") {
        Some(name) => format!("ip netns exec {name} "),
        None => format!("nsenter --net={path} "),
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
    let command = match (is_all, is_ipv4) {
        (true, true) => "sysctl -w net.ipv4.ip_forward=1".to_owned(),
        (_, false) => "sysctl -w net.ipv6.conf.all.forwarding=1".to_owned(),
        (false, true) => format!("sysctl -w net/ipv4/conf/{}/forwarding=1", at.interface),
    };
    inside(&at.owned_by(), &command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_for_the_namespace_of_the_pod() {
        let of = |is_pod, path: Option<&str>| Owner {
            name: "default/web".into(),
            is_pod,
            path: path.map(Into::into),
        };
        let process = Some("/proc/77/ns/net");
        for (owner, command) in [
            (
                of(true, Some("/run/netns/cni-1")),
                "ip netns exec cni-1 ip link",
            ),
            (of(true, process), "nsenter --net=/proc/77/ns/net ip link"),
            (of(true, None), "ip link (in default/web)"),
            (of(false, None), "ip link"),
        ] {
            assert_eq!(inside(&owner, "ip link"), command);
        }
    }
}
