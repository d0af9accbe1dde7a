//! The kernel's reasons for drops (include/net/dropreason-core.h), and what they mean.

use crate::{
    model::drop::KernelDrop,
    rules::{Candidate, Cause, Owner, advice::each_inside},
};

/// What a reason means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its name in the kernel, without `SKB_DROP_REASON_`.
    pub name: &'static str,
    /// What it means, in words.
    pub meaning: &'static str,
    /// The names of the causes that may be behind it, where facts show them.
    causes: &'static str,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

impl Reason {
    /// Whether a cause of this name may be behind it.
    #[must_use]
    pub fn may_be(&self, cause: &str) -> bool {
        self.causes.split(',').any(|name| name == cause)
    }
}

/// What a reason means, by its name in the kernel; none of those that are not in the table, which
/// pass through as they are.
#[must_use]
pub fn reason(name: &str) -> Option<Reason> {
    let name = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name);
    reasons().find(|reason| reason.name == name)
}

/// What a kernel says of a drop as a cause. `rules`: those of firewalls that could have dropped it.
#[must_use]
pub fn cause(drop: &KernelDrop, rules: Vec<Candidate>) -> Cause {
    let meaning = match drop.telling_reason() {
        Some(name) => reason(name).map(|reason| reason.meaning),
        None => drop.function.as_deref().and_then(of_function),
    };
    Cause::Kernel {
        reason: drop.reason.clone().unwrap_or_default(),
        function: drop.function.clone(),
        meaning,
        rules,
    }
}

/// What to do about a drop. `owner`: who has its namespace; `values`: what stands for words in angle
/// brackets.
#[must_use]
pub fn advice(
    drop: &KernelDrop,
    owner: &Owner,
    values: &[(&str, Option<String>)],
) -> Option<String> {
    let meaning = drop.telling_reason().and_then(reason)?;
    let fill = |text: String, (name, value): &(&str, Option<String>)| match value {
        Some(value) => text.replace(name, value),
        None => text,
    };
    let commands = values.iter().fold(meaning.advice?.to_owned(), fill);
    Some(each_inside(owner, &commands))
}

/// What it means that a function drops packets for which the kernel names no reason: of the longest
/// begin of its name that is known.
fn of_function(name: &str) -> Option<&'static str> {
    let known = FUNCTIONS
        .iter()
        .filter(|(begin, _)| name.starts_with(begin));
    let known = known.max_by_key(|(begin, _)| begin.len());
    known.map(|(_, meaning)| *meaning)
}

/// What the names of functions begin with, and why they drop packets.
const FUNCTIONS: [(&str, &str); 28] = [
    (
        "__rtnl_unlock",
        "its queue was emptied, as the interface or its queueing discipline was changed",
    ),
    (
        "rtnl_kfree_skbs",
        "its queue was emptied, as the interface or its queueing discipline was changed",
    ),
    (
        "__skb_queue_purge",
        "its queue was emptied, as when an interface or a socket goes",
    ),
    (
        "skb_queue_purge",
        "its queue was emptied, as when an interface or a socket goes",
    ),
    (
        "skb_rbtree_purge",
        "its queue was emptied, as when an interface or a socket goes",
    ),
    ("flush_backlog", "the interface is gone"),
    ("ip_error", "a route that refuses it, or forwarding is off"),
    ("ip6_pkt_drop", "a route that refuses it, or none"),
    ("ip6_pkt_discard", "no route, or one that refuses it"),
    ("ip_forward", "it could not be forwarded"),
    ("ip6_forward", "it could not be forwarded"),
    ("ip_fragment", "larger than the MTU"),
    ("ip6_fragment", "larger than the MTU"),
    ("inet_frag", "a fragment was missing for too long"),
    ("ip_expire", "a fragment was missing for too long"),
    ("ip6_frag_expire", "a fragment was missing for too long"),
    ("ip_defrag", "a fragment that does not fit the others"),
    ("nf_ct_frag6", "a fragment that does not fit the others"),
    ("neigh_", "the neighbour does not answer"),
    ("__neigh_", "the neighbour does not answer"),
    (
        "br_dev_queue_push_xmit",
        "larger than the MTU of the bridge's port",
    ),
    ("br_", "the bridge does not forward it"),
    ("vxlan_", "VXLAN could not send it, or does not take it"),
    ("veth_xmit", "the other end of the veth does not take it"),
    (
        "dev_hard_start_xmit",
        "the interface is down, or its driver does not take it",
    ),
    ("nf_", "a firewall"),
    ("nft_", "a firewall rule"),
    ("ip6t_do_table", "a firewall rule"),
];

fn reasons() -> impl Iterator<Item = Reason> {
    TABLE.lines().filter_map(|line| {
        let mut columns = line.split('|');
        Some(Reason {
            name: columns.next()?,
            meaning: columns.next()?,
            causes: columns.next()?,
            advice: columns.next().filter(|advice| !advice.is_empty()),
        })
    })
}

/// Name, meaning, causes and advice of each: of IP, TCP, UDP, sockets, neighbours, netfilter,
/// queues, tunnels and bridges.
const TABLE: &str = "\
IP_CSUM|a wrong checksum of IP||
IP_INHDR|an IP header that the kernel refuses|ttl_expired,forwarding_off|
IP_RPFILTER|rp_filter|reverse_path,wrong_mac,arp_off|ip route get <source>; sysctl net.ipv4.conf.all.rp_filter
IP_LOCAL_SOURCE|the source is an address of this node|duplicate_address|ip -br addr show to <source>; the sender has an address of this node
IP_INVALID_SOURCE|an invalid source address||
IP_INVALID_DEST|an invalid destination address||
IP_LOCALNET|a loopback address from outside||sysctl net.ipv4.conf.all.route_localnet
IP_INNOROUTES|no route for what came in|address_missing,no_route,refused_by_route,forwarding_off,device_down,wrong_mac,arp_off|ip route get <destination>
IP_OUTNOROUTES|no route for what is sent|no_route,refused_by_route,device_down,address_missing|ip route get <destination>
IP_INADDRERRORS|an address that it does not forward to|address_missing,forwarding_off,refused_by_route,no_route,wrong_mac,arp_off|sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding
PKT_TOO_BIG|larger than the MTU|mtu_exceeded|tracepath <destination>
FRAG_REASM_TIMEOUT|a fragment was missing for too long||
FRAG_TOO_FAR|fragments too far apart||sysctl net.ipv4.ipfrag_max_dist
DUP_FRAG|a fragment came twice||
UNICAST_IN_L2_MULTICAST|a unicast packet in a group frame|wrong_mac|
IPV6DISABLED|IPv6 is disabled on the interface||sysctl net.ipv6.conf.all.disable_ipv6
IPV6_BAD_EXTHDR|an extension header that IPv6 refuses||
IPV6_NDISC_FRAG|a message of neighbour discovery in fragments||
IPV6_NDISC_HOP_LIMIT|a message of neighbour discovery from beyond the link||
IPV6_NDISC_BAD_CODE|a message of neighbour discovery that IPv6 refuses||
IPV6_NDISC_BAD_OPTIONS|a message of neighbour discovery that IPv6 refuses||
IPV6_NDISC_NS_OTHERHOST|a neighbour solicitation for somebody else|wrong_mac|
ICMP_CSUM|a wrong checksum of ICMP||
INVALID_PROTO|nobody takes this protocol||
IP_NOPROTO|nobody takes this protocol|no_listener|
OTHERHOST|a frame for another MAC address|wrong_mac,wrong_port,device_down,port_blocked,no_bridge,ports_isolated,mtu_exceeded,no_owner,arp_off,flood_off|ip neigh show
DEV_HDR|a header that the driver refuses||
QUEUE_PURGE|its queue was emptied, as when an interface goes|device_down|ip link show
RECURSION_LIMIT|devices on top of each other in a circle|loop|ip -d link show
DEV_READY|the interface is not up|device_down|ip link show
FULL_RING|a ring of the interface was full|device_down|
TTL_EXPIRED|the TTL has expired|ttl_expired|
NOMEM|no memory||free; dmesg
PFMEMALLOC|a reserve of memory that is not for it||free; dmesg
SECURITY_HOOK|a security module||
HDR_TRUNC|shorter than its headers say||
PKT_TOO_SMALL|shorter than its headers say||
SKB_CSUM|a wrong checksum||ethtool -K <interface> tx off
SKB_GSO_SEG|it could not be segmented||ethtool -K <interface> tso off gso off
SKB_UCOPY_FAULT|memory of a program that could not be read||
PSP_INPUT|PSP, the encryption of connections||
PSP_OUTPUT|PSP, the encryption of connections||
TCP_CSUM|a wrong checksum of TCP||ethtool -K <interface> tx off
TCP_FLAGS|flags that TCP refuses||
TCP_OLD_DATA|data that was received before||
TCP_OFOMERGE|data that was received before||
TCP_OLD_SEQUENCE|data that was received before||
TCP_OFO_DROP|no room for data out of order||sysctl net.ipv4.tcp_rmem
TCP_OFO_QUEUE_PRUNE|no room for data out of order||sysctl net.ipv4.tcp_rmem
TCP_INVALID_END_SEQUENCE|data beyond the window||
TCP_OLD_ACK|an old acknowledgment||
TCP_TOO_OLD_ACK|an acknowledgment that is too old||
TCP_ACK_UNSENT_DATA|an acknowledgment of what was not sent||
TCP_ABORT_ON_DATA|data for a socket that was closed|no_listener|
TCP_FASTOPEN|TCP Fast Open refuses it||
TCP_MINTTL|a TTL below the socket's minimum||
TCP_MD5NOTFOUND|no TCP MD5 signature||
TCP_MD5UNEXPECTED|an unexpected TCP MD5 signature||
TCP_AUTH_HDR|a wrong authentication option of TCP||
TCP_AONOTFOUND|no authentication option of TCP||
TCP_AOUNEXPECTED|an unexpected authentication option of TCP||
TCP_AOKEYNOTFOUND|an unknown key of the authentication option of TCP||
TCP_AOFAILURE|a wrong authentication option of TCP||
TCP_RFC7323_PAWS_ACK|an old timestamp (PAWS)||
TCP_RFC7323_TW_PAWS|an old timestamp (PAWS)||
TCP_RFC7323_TSECR|a timestamp that was not sent||
TCP_OVERWINDOW|data beyond the window||
TCP_INVALID_SEQUENCE|a sequence number outside the window||
TCP_INVALID_ACK_SEQUENCE|an acknowledgment of what was not sent||
TCP_RESET|the connection was reset||
TCP_INVALID_SYN|a SYN within a connection||
TCP_CLOSE|the socket is closed|no_listener|
TCP_LISTEN_OVERFLOW|the accept queue is full||ss -ltn; the server accepts too slowly, or its backlog is too small
TCP_REQQFULLDROP|the queue of SYNs is full||sysctl net.ipv4.tcp_max_syn_backlog
TCP_MD5FAILURE|a wrong TCP MD5 signature||
TCP_RFC7323_PAWS|an old timestamp (PAWS)||
TCP_ZEROWINDOW|the window is zero||
UDP_CSUM|a wrong checksum of UDP||ethtool -K <interface> tx off
NO_SOCKET|no socket takes it|no_listener|ss -lntu
SOCKET_FILTER|a filter of the socket, or a BPF program of its cgroup, refuses it||
SOCKET_RCVBUFF|the receive buffer of the socket is full||ss -unapm; the program reads too slowly, or its buffer is too small (SO_RCVBUF, net.core.rmem_default, net.core.rmem_max)
SOCKET_BACKLOG|the backlog of the socket is full||
SOCKET_CLOSE|the socket is closed|no_listener|
SOCKET_DESTROYED|the socket is gone|no_listener|
PROTO_MEM|the memory of the protocol is used up||sysctl net.ipv4.udp_mem net.ipv4.tcp_mem
XFRM_POLICY|an IPsec policy||ip xfrm policy
TAP_TXFILTER|a filter of a tap interface||
TAP_FILTER|a filter of a tap interface||
PACKET_SOCK_ERROR|a packet socket could not take it||
NEIGH_CREATEFAIL|no room for a neighbour entry||sysctl net.ipv4.neigh.default.gc_thresh3
NEIGH_FAILED|the neighbour does not answer|no_bridge,reverse_path,refused_by_route,route_astray,neighbour_failed,off_link,neighbour_missing,no_owner,device_down,arp_off|ip neigh show
NEIGH_QUEUEFULL|too many packets wait for the neighbour|no_bridge,reverse_path,refused_by_route,route_astray,neighbour_failed,off_link,neighbour_missing,no_owner,arp_off|ip neigh show
NEIGH_DEAD|the neighbour entry is gone|device_down,neighbour_failed|ip neigh show
NEIGH_HH_FILLFAIL|the frame's header could not be made||
NETFILTER_DROP|a firewall rule||nft list ruleset; iptables-save -c
BPF_CGROUP_EGRESS|a BPF program of the cgroup||bpftool cgroup tree
TC_INGRESS|a tc filter at the ingress||tc filter show dev <interface> ingress
TC_EGRESS|a tc filter at the egress||tc filter show dev <interface> egress
TC_RECLASSIFY_LOOP|tc filters in a loop||tc filter show
TC_COOKIE_ERROR|tc lost its data between two steps||
TC_CHAIN_NOTFOUND|a tc chain that does not exist||tc filter show
QDISC_DROP|the queueing discipline||tc -s qdisc show
QDISC_OVERLIMIT|the queueing discipline is full||tc -s qdisc show
FQ_BAND_LIMIT|the queueing discipline fq is full||tc -s qdisc show
FQ_FLOW_LIMIT|too many packets of one flow wait in fq||tc -s qdisc show
FQ_HORIZON_LIMIT|it is to be sent too far in the future||tc -s qdisc show
CAKE_FLOOD|the queueing discipline cake takes it for a flood||tc -s qdisc show
DUALPI2_STEP_DROP|the queueing discipline dualpi2 avoids congestion||tc -s qdisc show
QDISC_CONGESTED|the queueing discipline avoids congestion||tc -s qdisc show
CPU_BACKLOG|the backlog of the CPU is full||sysctl net.core.netdev_max_backlog
XDP|an XDP program||ip link show; bpftool net
UNHANDLED_PROTO|nobody takes this protocol||
VXLAN_INVALID_HDR|a VXLAN header that the kernel refuses||
VXLAN_VNI_NOT_FOUND|no VXLAN interface has the VNI|vni_differs|ip -d link show type vxlan
VXLAN_ENTRY_EXISTS|a VXLAN entry that leads elsewhere|wrong_vtep|bridge fdb show
VXLAN_NO_REMOTE|no VXLAN forwarding entry|no_forwarding_entry|bridge fdb show
IP_TUNNEL_ECN|marks of congestion that contradict each other||
TUNNEL_TXINFO|a tunnel without its data||
LOCAL_MAC|its source MAC address is this node's own|wrong_vtep,loop|bridge fdb show
NO_TX_TARGET|nowhere to send it|no_forwarding_entry,no_bridge,wrong_mac,wrong_port,ports_isolated,hairpin_off,port_blocked,device_down,no_owner,arp_off,flood_off|bridge fdb show
BRIDGE_NON_FORWARDING_STATE|the bridge's port does not forward|port_blocked|bridge link show
BRIDGE_INGRESS_STP_STATE|the bridge's port does not forward|port_blocked|bridge link show
BRIDGE_INGRESS_NON_FORWARDING_STATE|the bridge's port does not forward|port_blocked|bridge link show
BRIDGE_NOT_ALLOWED|the bridge's port does not take it|port_blocked|bridge link show
MAC_INVALID_SOURCE|an invalid source MAC address|wrong_mac|
ARP_PVLAN_DISABLE|the bridge answers in another's name||
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_tells_what_no_reason_does() {
        let words = |reason: Option<&str>, function: Option<&str>| {
            let drop = KernelDrop {
                reason: reason.map(Into::into),
                function: function.map(Into::into),
                ..KernelDrop::default()
            };
            cause(&drop, Vec::new()).to_string()
        };
        let none = Some("NOT_SPECIFIED");
        for (reason, function, expected) in [
            (
                none,
                Some("__rtnl_unlock"),
                "its queue was emptied, as the interface or its queueing discipline was changed, \
                 dropped by the kernel in __rtnl_unlock",
            ),
            (
                none,
                Some("br_dev_queue_push_xmit"),
                "larger than the MTU of the bridge's port, dropped by the kernel in \
                 br_dev_queue_push_xmit",
            ),
            (
                none,
                Some("foo_xmit"),
                "dropped by the kernel in foo_xmit, which names no reason",
            ),
            (None, None, "dropped by the kernel, which names no reason"),
            (
                Some("TTL_EXPIRED"),
                Some("ip_forward"),
                "the TTL has expired, dropped by the kernel as TTL_EXPIRED in ip_forward",
            ),
        ] {
            assert_eq!(words(reason, function), expected);
        }
    }

    #[test]
    fn each_reason_stands_once_and_its_causes_exist() {
        let mut names: Vec<_> = reasons().map(|reason| reason.name).collect();
        assert_eq!(names.len(), TABLE.lines().count());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.lines().count());
        for reason in reasons() {
            let causes = reason.causes.split(',').filter(|name| !name.is_empty());
            let unknown: Vec<_> = causes.filter(|name| !Cause::NAMES.contains(name)).collect();
            assert_eq!(unknown, [""; 0], "{}", reason.name);
        }
        assert!(reason("SKB_DROP_REASON_NETFILTER_DROP").is_some());
        assert_eq!(reason("NO_SUCH_REASON"), None);
    }
}
