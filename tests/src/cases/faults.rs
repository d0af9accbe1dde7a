//! The catalogue of faults: each breaks a healthy network, and a trace, live and from its
//! recording, names the last hop, the cause and what to do.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::thread;

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabPod};
use podtrace::netns::NetNs;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::on;
use super::scenarios::lab;
use super::tracer::{Tracer, place, replayed};

/// How many faults are tried at once, each in a lab of its own.
const AT_ONCE: usize = 6;
/// Nobody listens there.
const PORT: u16 = 7999;
/// Larger than the overlay's MTU, smaller than the underlay's.
const LARGE: usize = 1440;

/// Namespaces of a lab.
#[derive(Clone, Copy, Debug)]
enum At {
    /// The first node, where the client is.
    Near,
    /// The second node.
    Far,
    /// The client: the first pod of the first node.
    Client,
    /// The first pod of the second node.
    Server,
}

/// Who the packets are for.
#[derive(Clone, Copy, Debug)]
enum To {
    /// The first pod of the second node, by IPv4 and IPv6.
    Server,
    /// The same by IPv4 only.
    Server4,
    /// The second pod of the first node, by IPv4.
    Neighbour,
    /// An address on the second node that no pod has.
    Nobody,
    /// A Service.
    Service,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    Echo,
    Udp,
    Tcp,
}

const ALL: &[Sent] = &[Sent::Echo, Sent::Udp, Sent::Tcp];

/// A fault, and what is to be said of it.
struct Fault {
    /// Commands, one a line.
    breaks: &'static [(At, &'static str)],
    to: To,
    sends: &'static [Sent],
    payload: usize,
    ttl: Option<u32>,
    last: &'static str,
    cause: &'static str,
    /// A part of what to do.
    advice: &'static str,
}

impl Fault {
    const fn new(
        breaks: &'static [(At, &'static str)],
        last: &'static str,
        cause: &'static str,
        advice: &'static str,
    ) -> Self {
        Self {
            breaks,
            to: To::Server,
            sends: ALL,
            payload: 8,
            ttl: None,
            last,
            cause,
            advice,
        }
    }

    const fn to(self, to: To) -> Self {
        Self { to, ..self }
    }

    const fn sends(self, sends: &'static [Sent]) -> Self {
        Self { sends, ..self }
    }
}

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 9);
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 244, 2, 99);
const NEAR_PORT: &str = "1/veth0101 ingress";
const NEAR_BRIDGE: &str = "1/cni0 ingress";
const NEAR_TUNNEL: &str = "1/flannel.1 egress";
const FAR_UPLINK: &str = "2/eth0 ingress";
const FAR_TUNNEL: &str = "2/flannel.1 ingress";
const FAR_BRIDGE: &str = "2/cni0 egress";
const FAR_PORT: &str = "2/veth0201 egress";
const SERVER: &str = "mypod3/eth0 ingress";

const FAULTS: &[Fault] = &[
    Fault {
        sends: &[Sent::Echo, Sent::Udp],
        payload: LARGE,
        ..Fault::new(
            &[(At::Client, "ip link set eth0 mtu 1500")],
            "mypod1/eth0 egress",
            "mtu_exceeded",
            "link set eth0 mtu 1450",
        )
    },
    Fault::new(
        &[(At::Far, "ip link set veth0201 down")],
        FAR_BRIDGE,
        "device_down",
        "ip link set veth0201 up",
    ),
    Fault::new(
        &[(At::Near, "ip link set veth0102 down")],
        NEAR_PORT,
        "device_down",
        "ip link set veth0102 up",
    )
    .to(To::Neighbour),
    Fault::new(
        &[(
            At::Near,
            "bridge link set dev veth0101 isolated on
             bridge link set dev veth0102 isolated on",
        )],
        NEAR_PORT,
        "ports_isolated",
        "isolated off",
    )
    .to(To::Neighbour),
    Fault {
        sends: &[Sent::Udp, Sent::Tcp],
        ttl: Some(1),
        ..Fault::new(&[], NEAR_BRIDGE, "ttl_expired", "")
    },
    Fault {
        sends: &[Sent::Udp, Sent::Tcp],
        ttl: Some(2),
        ..Fault::new(&[], FAR_TUNNEL, "ttl_expired", "")
    },
    Fault::new(
        &[(
            At::Server,
            "nft add table inet f
             nft add chain inet f c { type filter hook input priority 0 ; policy accept ; }
             nft add rule inet f c meta l4proto { icmp, tcp, udp } drop
             nft add rule inet f c icmpv6 type echo-request drop",
        )],
        SERVER,
        "kernel_drop",
        "nft list ruleset",
    ),
    Fault::new(
        &[(
            At::Far,
            "nft add table inet f
             nft add chain inet f c { type filter hook forward priority 0 ; policy drop ; }",
        )],
        FAR_TUNNEL,
        "kernel_drop",
        "nft list ruleset",
    ),
    Fault::new(
        &[(
            At::Near,
            "iptables -w -P FORWARD DROP
             ip6tables -w -P FORWARD DROP",
        )],
        NEAR_BRIDGE,
        "kernel_drop",
        "nft list ruleset",
    ),
    Fault::new(
        &[(At::Near, "bridge fdb del 0e:f1:00:00:00:02 dev flannel.1")],
        NEAR_TUNNEL,
        "no_forwarding_entry",
        "bridge fdb replace 0e:f1:00:00:00:02 dev flannel.1 dst 192.168.77.12",
    ),
    Fault::new(
        &[(
            At::Near,
            "ip neigh del 10.244.2.0 dev flannel.1
             ip neigh del fd00:10:244:2:: dev flannel.1",
        )],
        NEAR_BRIDGE,
        "neighbour_missing",
        "lladdr 0e:f1:00:00:00:02 dev flannel.1 nud permanent",
    ),
    Fault::new(
        &[(
            At::Near,
            "ip neigh replace 10.244.2.0 lladdr 0e:f1:00:00:00:99 dev flannel.1 nud permanent
             ip neigh replace fd00:10:244:2:: lladdr 0e:f1:00:00:00:99 dev flannel.1 nud permanent
             bridge fdb append 0e:f1:00:00:00:99 dev flannel.1 dst 192.168.77.12",
        )],
        FAR_TUNNEL,
        "wrong_mac",
        "lladdr 0e:f1:00:00:00:02 dev flannel.1 nud permanent",
    ),
    Fault::new(
        &[(
            At::Far,
            "ip neigh replace 10.244.2.2 lladdr 0e:aa:bb:cc:dd:ee dev cni0 nud permanent
             ip neigh replace fd00:10:244:2::2 lladdr 0e:aa:bb:cc:dd:ee dev cni0 nud permanent",
        )],
        FAR_BRIDGE,
        "wrong_mac",
        "ip neigh del ",
    ),
    Fault::new(
        &[(
            At::Near,
            "ip route del 10.244.2.0/24
             ip route del fd00:10:244:2::/64",
        )],
        NEAR_BRIDGE,
        "no_route",
        "ip route get",
    ),
    Fault::new(
        &[(
            At::Near,
            "ip route add blackhole 10.244.2.2/32
             ip route add blackhole fd00:10:244:2::2/128",
        )],
        NEAR_BRIDGE,
        "refused_by_route",
        "ip route del blackhole",
    ),
    Fault::new(
        &[(
            At::Near,
            "iptables -w -A OUTPUT -p udp --dport 8472 -j DROP",
        )],
        NEAR_TUNNEL,
        "kernel_drop",
        "nft list ruleset",
    ),
    Fault::new(
        &[(At::Far, "iptables -w -A INPUT -p udp --dport 8472 -j DROP")],
        FAR_UPLINK,
        "kernel_drop",
        "nft list ruleset",
    ),
    Fault::new(
        &[(
            At::Far,
            "ip link del flannel.1
             ip link add flannel.1 type vxlan id 2 dstport 8472 local 192.168.77.12 dev eth0
             ip link set flannel.1 up",
        )],
        FAR_UPLINK,
        "vni_differs",
        "VNI 1",
    ),
    Fault::new(
        &[(
            At::Far,
            "sysctl -qw net.ipv4.conf.all.rp_filter=1
             ip route replace 10.244.1.0/24 via 192.168.77.11 dev eth0",
        )],
        FAR_TUNNEL,
        "reverse_path",
        "ip route get 10.244.1.2",
    )
    .to(To::Server4),
    Fault::new(
        &[
            (
                At::Near,
                "iptables -w -t nat -A POSTROUTING -s 10.244.1.2 -d 10.244.2.2 -j MASQUERADE",
            ),
            (
                At::Far,
                "iptables -w -A FORWARD -s 10.244.1.0/32 -d 10.244.2.2 -j DROP",
            ),
        ],
        FAR_TUNNEL,
        "kernel_drop",
        "nft list ruleset",
    )
    .to(To::Server4),
    Fault::new(
        &[(
            At::Near,
            "iptables -w -t nat -A PREROUTING -d 10.96.0.9 -j DNAT --to 10.244.2.77",
        )],
        FAR_TUNNEL,
        "no_owner",
        "endpoints of 10.96.0.9",
    )
    .to(To::Service),
    Fault::new(
        &[(
            At::Near,
            "sysctl -qw net.ipv4.ip_forward=0
             sysctl -qw net.ipv6.conf.all.forwarding=0",
        )],
        NEAR_BRIDGE,
        "forwarding_off",
        "sysctl -w net.",
    ),
    Fault::new(
        &[(
            At::Far,
            "sysctl -qw net.ipv4.ip_forward=0
             sysctl -qw net.ipv6.conf.all.forwarding=0",
        )],
        FAR_TUNNEL,
        "forwarding_off",
        "sysctl -w net.",
    ),
    Fault::new(&[], SERVER, "refused", "").sends(&[Sent::Udp, Sent::Tcp]),
    Fault::new(&[], FAR_TUNNEL, "no_owner", "still in use").to(To::Nobody),
    Fault::new(
        &[(At::Near, "ip link set eth0 down")],
        NEAR_TUNNEL,
        "device_down",
        "ip link set eth0 up",
    ),
    Fault::new(
        &[(At::Far, "ip link set flannel.1 down")],
        FAR_UPLINK,
        "device_down",
        "ip link set flannel.1 up",
    ),
    Fault::new(
        &[(
            At::Far,
            "tc qdisc add dev veth0201 root tbf rate 8kbit burst 20 limit 20",
        )],
        FAR_PORT,
        "kernel_drop",
        "tc -s qdisc show",
    ),
];

#[test]
fn each_fault_is_named_with_its_last_hop_cause_and_advice() {
    let faults = Mutex::new(FAULTS.iter().collect::<VecDeque<_>>());
    let next = || {
        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.pop_front()
    };
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(fault) = next() {
                    // Its name is in the message of a panic.
                    let named = thread::Builder::new().name(format!("{:?}", fault.breaks));
                    let checked = named.spawn_scoped(scope, || check(fault)).unwrap();
                    failed
                        .lock()
                        .unwrap()
                        .extend(checked.join().err().map(|_| fault.breaks));
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Injects a fault, sends, and compares what is said of each packet.
fn check(fault: &Fault) {
    let lab = lab();
    let client = &lab.nodes[0].pods[0];
    let destinations = destinations(&lab, fault.to);
    warm(&lab);
    for (at, commands) in fault.breaks {
        on(netns(&lab, *at), commands);
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("fault.pcapng");
    let mut tracer = Tracer::start(&lab, &[0, 1], &["-w", file.to_str().unwrap()]);
    let mut missing = BTreeSet::new();
    for to in &destinations {
        missing.extend(fault.sends.iter().map(|sent| (*sent, *to)));
    }
    let expected = missing.clone();
    thread::scope(|scope| {
        for (sent, to) in &expected {
            scope.spawn(|| send(client, *to, *sent, fault));
        }
    });
    while !missing.is_empty() {
        let path = tracer.wait_for(|value| {
            let is_ours = missing.iter().any(|(sent, to)| is_of(value, *sent, *to));
            if is_ours && !is_named(value, fault) {
                // One may be corrected; of use where none is.
                println!("{:?}: {value}", fault.breaks);
            }
            is_named(value, fault)
        });
        missing.retain(|(sent, to)| !is_of(&path, *sent, *to));
    }
    tracer.finish();
    let paths = replayed(&file);
    for (sent, to) in expected {
        // The last one corrects those before it.
        let path = paths.iter().rfind(|path| is_of(path, sent, to));
        let path = path.unwrap_or_else(|| panic!("{:?}: {sent:?} to {to}", fault.breaks));
        assert!(is_named(path, fault), "{:?}: {path}", fault.breaks);
    }
}

/// Makes all neighbours known.
fn warm(lab: &Lab) {
    let client = &lab.nodes[0].pods[0].netns;
    for pod in [&lab.nodes[0].pods[1], &lab.nodes[1].pods[0]] {
        for to in [IpAddr::from(pod.ipv4), pod.ipv6.into()] {
            ping(client, to, 1, 1, 8).unwrap();
        }
    }
}

fn netns(lab: &Lab, at: At) -> &NetNs {
    match at {
        At::Near => &lab.nodes[0].netns,
        At::Far => &lab.nodes[1].netns,
        At::Client => &lab.nodes[0].pods[0].netns,
        At::Server => &lab.nodes[1].pods[0].netns,
    }
}

fn destinations(lab: &Lab, to: To) -> Vec<IpAddr> {
    let server = &lab.nodes[1].pods[0];
    match to {
        To::Server => vec![server.ipv4.into(), server.ipv6.into()],
        To::Server4 => vec![server.ipv4.into()],
        To::Neighbour => vec![lab.nodes[0].pods[1].ipv4.into()],
        To::Nobody => vec![NOBODY.into()],
        To::Service => vec![SERVICE.into()],
    }
}

/// Sends one packet; the kernel may send more of them.
fn send(client: &LabPod, to: IpAddr, sent: Sent, fault: &Fault) {
    let address = SocketAddr::new(to, PORT);
    let open = |kind| {
        let socket = client
            .netns
            .run(|| Socket::new(Domain::for_address(address), kind, None));
        let socket = socket.unwrap().unwrap();
        if let Some(ttl) = fault.ttl {
            match to {
                IpAddr::V4(_) => socket.set_ttl_v4(ttl).unwrap(),
                IpAddr::V6(_) => socket.set_unicast_hops_v6(ttl).unwrap(),
            }
        }
        socket
    };
    match sent {
        // Nobody answers, or a router refuses.
        Sent::Echo => drop(ping(&client.netns, to, 79, 1, fault.payload)),
        Sent::Udp => {
            let socket = UdpSocket::from(open(Type::DGRAM));
            socket.send_to(&vec![7; fault.payload], address).unwrap();
        }
        Sent::Tcp => {
            let socket = open(Type::STREAM);
            socket.set_nonblocking(true).unwrap();
            // It is in progress, or was refused at once.
            let _ = socket.connect(&address.into());
        }
    }
}

/// Whether the path is of such a packet to this address.
fn is_of(path: &Value, sent: Sent, to: IpAddr) -> bool {
    let what = path["what"].as_str().unwrap_or_default();
    let is_it = match sent {
        Sent::Echo => what.contains("echo request"),
        Sent::Udp => what.starts_with("UDP"),
        Sent::Tcp => what.starts_with("TCP") && what.contains("[SYN]"),
    };
    path["type"] == "path" && is_it && path["destination"] == to.to_string()
}

/// Whether a path has the verdict that the fault is to have.
fn is_named(path: &Value, fault: &Fault) -> bool {
    let verdict = &path["verdict"];
    let advice = verdict["advice"].as_str().unwrap_or_default();
    verdict["cause"] == fault.cause
        && verdict["confidence"] == "sure"
        && verdict["last_hop"].is_object()
        && place(&verdict["last_hop"]) == fault.last
        && advice.contains(fault.advice)
}
