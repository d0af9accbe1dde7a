//! The kernel's reasons for drops (include/net/dropreason-core.h), and what they mean.

/// The rule behind a reason, where facts can confirm it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The names of the causes that may be behind it.
    Causes(&'static [&'static str]),
    /// None of those that facts show.
    Other,
}

/// What a reason means.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    /// Its name in the kernel, without `SKB_DROP_REASON_`.
    pub name: &'static str,
    /// What it means, in words.
    pub meaning: &'static str,
    /// The rule behind it.
    pub kind: Kind,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

impl Reason {
    /// Whether a rule of a firewall is behind it.
    #[must_use]
    pub fn is_firewall(&self) -> bool {
        self.name == "NETFILTER_DROP"
    }
}

/// A row of the table.
const fn row(
    name: &'static str,
    meaning: &'static str,
    causes: &'static [&'static str],
    advice: &'static str,
) -> Reason {
    Reason {
        name,
        meaning,
        kind: match causes {
            [] => Kind::Other,
            causes => Kind::Causes(causes),
        },
        advice: match advice.as_bytes() {
            [] => None,
            _ => Some(advice),
        },
    }
}

/// The known reasons. Others pass through as they are.
const REASONS: &[Reason] = &[
    // IP.
    row("IP_CSUM", "a wrong checksum of IP", &[], ""),
    row(
        "IP_INHDR",
        "an IP header that the kernel refuses",
        &["ttl_expired", "forwarding_off"],
        "",
    ),
    row(
        "IP_RPFILTER",
        "rp_filter",
        &["reverse_path"],
        "ip route get <source>; sysctl net.ipv4.conf.all.rp_filter",
    ),
    row(
        "IP_LOCAL_SOURCE",
        "the source is an address of this node",
        &["duplicate_address"],
        "",
    ),
    row("IP_INVALID_SOURCE", "an invalid source address", &[], ""),
    row("IP_INVALID_DEST", "an invalid destination address", &[], ""),
    row(
        "IP_LOCALNET",
        "a loopback address from outside",
        &[],
        "sysctl net.ipv4.conf.all.route_localnet",
    ),
    row(
        "IP_INNOROUTES",
        "no route for what came in",
        &["no_route", "refused_by_route", "forwarding_off"],
        "ip route get <destination>",
    ),
    row(
        "IP_OUTNOROUTES",
        "no route for what is sent",
        &["no_route", "refused_by_route"],
        "ip route get <destination>",
    ),
    row(
        "PKT_TOO_BIG",
        "larger than the MTU",
        &["mtu_exceeded"],
        "tracepath <destination>",
    ),
    row(
        "FRAG_REASM_TIMEOUT",
        "a fragment was missing for too long",
        &[],
        "",
    ),
    row("DUP_FRAG", "a fragment came twice", &[], ""),
    row(
        "UNICAST_IN_L2_MULTICAST",
        "a unicast packet in a group frame",
        &["wrong_mac"],
        "",
    ),
    row(
        "IPV6DISABLED",
        "IPv6 is disabled on the interface",
        &[],
        "sysctl net.ipv6.conf.all.disable_ipv6",
    ),
    row(
        "IPV6_NDISC_NS_OTHERHOST",
        "a neighbour solicitation for somebody else",
        &["wrong_mac"],
        "",
    ),
    row(
        "IP_NOPROTO",
        "nobody takes this protocol",
        &["no_listener"],
        "",
    ),
    row(
        "OTHERHOST",
        "a frame for another MAC address",
        &["wrong_mac"],
        "ip neigh show",
    ),
    row(
        "DEV_READY",
        "the interface is not up",
        &["device_down"],
        "ip link show",
    ),
    row(
        "FULL_RING",
        "a ring of the interface was full",
        &["device_down"],
        "",
    ),
    row("TTL_EXPIRED", "the TTL has expired", &["ttl_expired"], ""),
    // TCP.
    row(
        "TCP_CSUM",
        "a wrong checksum of TCP",
        &[],
        "ethtool -K <interface> tx off",
    ),
    row("TCP_FLAGS", "flags that TCP refuses", &[], ""),
    row("TCP_OLD_DATA", "data that was received before", &[], ""),
    row("TCP_OFOMERGE", "data that was received before", &[], ""),
    row("TCP_OVERWINDOW", "data beyond the window", &[], ""),
    row(
        "TCP_INVALID_SEQUENCE",
        "a sequence number outside the window",
        &[],
        "",
    ),
    row(
        "TCP_INVALID_ACK_SEQUENCE",
        "an acknowledgment of what was not sent",
        &[],
        "",
    ),
    row("TCP_RESET", "the connection was reset", &[], ""),
    row("TCP_INVALID_SYN", "a SYN within a connection", &[], ""),
    row("TCP_CLOSE", "the socket is closed", &["no_listener"], ""),
    row(
        "TCP_LISTEN_OVERFLOW",
        "the accept queue is full",
        &[],
        "ss -ltn; the server accepts too slowly, or its backlog is too small",
    ),
    row(
        "TCP_REQQFULLDROP",
        "the queue of SYNs is full",
        &[],
        "sysctl net.ipv4.tcp_max_syn_backlog",
    ),
    row("TCP_MD5FAILURE", "a wrong TCP MD5 signature", &[], ""),
    row("TCP_RFC7323_PAWS", "an old timestamp (PAWS)", &[], ""),
    row("TCP_ZEROWINDOW", "the window is zero", &[], ""),
    // UDP.
    row(
        "UDP_CSUM",
        "a wrong checksum of UDP",
        &[],
        "ethtool -K <interface> tx off",
    ),
    // Sockets.
    row(
        "NO_SOCKET",
        "no socket takes it",
        &["no_listener"],
        "ss -lntu",
    ),
    row(
        "SOCKET_FILTER",
        "a filter of the socket refuses it",
        &[],
        "",
    ),
    row(
        "SOCKET_RCVBUFF",
        "the receive buffer of the socket is full",
        &[],
        "ss -unap; the program reads too slowly, or its buffer is too small",
    ),
    row(
        "SOCKET_BACKLOG",
        "the backlog of the socket is full",
        &[],
        "",
    ),
    row("SOCKET_CLOSE", "the socket is closed", &["no_listener"], ""),
    row(
        "SOCKET_DESTROYED",
        "the socket is gone",
        &["no_listener"],
        "",
    ),
    row(
        "PROTO_MEM",
        "the memory of the protocol is used up",
        &[],
        "sysctl net.ipv4.udp_mem net.ipv4.tcp_mem",
    ),
    row("XFRM_POLICY", "an IPsec policy", &[], "ip xfrm policy"),
    row("TAP_FILTER", "a filter of a tap interface", &[], ""),
    row(
        "PACKET_SOCK_ERROR",
        "a packet socket could not take it",
        &[],
        "",
    ),
    // Neighbours.
    row(
        "NEIGH_CREATEFAIL",
        "no room for a neighbour entry",
        &[],
        "sysctl net.ipv4.neigh.default.gc_thresh3",
    ),
    row(
        "NEIGH_FAILED",
        "the neighbour does not answer",
        &[
            "neighbour_failed",
            "neighbour_missing",
            "no_owner",
            "device_down",
        ],
        "ip neigh show",
    ),
    row(
        "NEIGH_QUEUEFULL",
        "too many packets wait for the neighbour",
        &["neighbour_failed", "neighbour_missing", "no_owner"],
        "ip neigh show",
    ),
    row(
        "NEIGH_DEAD",
        "the neighbour entry is gone",
        &["device_down", "neighbour_failed"],
        "ip neigh show",
    ),
    row(
        "NEIGH_HH_FILLFAIL",
        "the frame's header could not be made",
        &[],
        "",
    ),
    // Netfilter.
    row(
        "NETFILTER_DROP",
        "a firewall rule",
        &[],
        "nft list ruleset; iptables-save -c",
    ),
    row(
        "BPF_CGROUP_EGRESS",
        "a BPF program of the cgroup",
        &[],
        "bpftool cgroup tree",
    ),
    // tc and queues.
    row(
        "TC_INGRESS",
        "a tc filter at the ingress",
        &[],
        "tc filter show dev <interface> ingress",
    ),
    row(
        "TC_EGRESS",
        "a tc filter at the egress",
        &[],
        "tc filter show dev <interface> egress",
    ),
    row(
        "TC_RECLASSIFY_LOOP",
        "tc filters in a loop",
        &[],
        "tc filter show",
    ),
    row(
        "TC_CHAIN_NOTFOUND",
        "a tc chain that does not exist",
        &[],
        "tc filter show",
    ),
    row(
        "QDISC_DROP",
        "the queueing discipline",
        &[],
        "tc -s qdisc show",
    ),
    row(
        "QDISC_OVERLIMIT",
        "the queueing discipline is full",
        &[],
        "tc -s qdisc show",
    ),
    row(
        "QDISC_CONGESTED",
        "the queueing discipline avoids congestion",
        &[],
        "tc -s qdisc show",
    ),
    row(
        "CPU_BACKLOG",
        "the backlog of the CPU is full",
        &[],
        "sysctl net.core.netdev_max_backlog",
    ),
    row("XDP", "an XDP program", &[], "ip link show; bpftool net"),
    row("UNHANDLED_PROTO", "nobody takes this protocol", &[], ""),
    // VXLAN and tunnels.
    row(
        "VXLAN_INVALID_HDR",
        "a VXLAN header that the kernel refuses",
        &[],
        "",
    ),
    row(
        "VXLAN_VNI_NOT_FOUND",
        "no VXLAN interface has the VNI",
        &["vni_differs"],
        "ip -d link show type vxlan",
    ),
    row(
        "VXLAN_ENTRY_EXISTS",
        "a VXLAN entry that leads elsewhere",
        &["wrong_vtep"],
        "bridge fdb show",
    ),
    row(
        "VXLAN_NO_REMOTE",
        "no VXLAN forwarding entry",
        &["no_forwarding_entry"],
        "bridge fdb show",
    ),
    row(
        "IP_TUNNEL_ECN",
        "marks of congestion that contradict each other",
        &[],
        "",
    ),
    row("TUNNEL_TXINFO", "a tunnel without its data", &[], ""),
    row(
        "LOCAL_MAC",
        "its source MAC address is this node's own",
        &["wrong_vtep", "loop"],
        "bridge fdb show",
    ),
    row(
        "NO_TX_TARGET",
        "nowhere to send it",
        &[
            "no_forwarding_entry",
            "ports_isolated",
            "hairpin_off",
            "port_blocked",
        ],
        "bridge fdb show",
    ),
    // Bridges.
    row(
        "BRIDGE_NON_FORWARDING_STATE",
        "the bridge's port does not forward",
        &["port_blocked"],
        "bridge link show",
    ),
    row(
        "BRIDGE_INGRESS_STP_STATE",
        "the bridge's port does not forward",
        &["port_blocked"],
        "bridge link show",
    ),
    row(
        "BRIDGE_INGRESS_NON_FORWARDING_STATE",
        "the bridge's port does not forward",
        &["port_blocked"],
        "bridge link show",
    ),
    row(
        "BRIDGE_NOT_ALLOWED",
        "the bridge's port does not take it",
        &["port_blocked"],
        "bridge link show",
    ),
    row(
        "MAC_INVALID_SOURCE",
        "an invalid source MAC address",
        &["wrong_mac"],
        "",
    ),
    row(
        "ARP_PVLAN_DISABLE",
        "the bridge answers in another's name",
        &[],
        "",
    ),
];

/// What a reason means, by its name in the kernel.
#[must_use]
pub fn reason(name: &str) -> Option<&'static Reason> {
    let name = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name);
    REASONS.iter().find(|reason| reason.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_once_and_its_causes_exist() {
        let known = crate::rules::Cause::NAMES;
        for (number, reason) in REASONS.iter().enumerate() {
            let more = REASONS.iter().skip(number + 1);
            assert!(!more.clone().any(|other| other.name == reason.name));
            if let Kind::Causes(names) = reason.kind {
                assert!(
                    names.iter().all(|name| known.contains(name)),
                    "{}",
                    reason.name
                );
            }
        }
        assert!(reason("SKB_DROP_REASON_NETFILTER_DROP").is_some());
        assert!(reason("NO_SUCH_REASON").is_none());
    }
}
