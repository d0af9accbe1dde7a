//! Datagrams for many: they are for the sockets that want them, if any does.
use super::{
    dropped::drop_at,
    flood::{PORTS, flood, for_group},
    *,
};
use crate::{
    model::origin::Origin, packet::Fragment, path::flood::Copies, world::fixture::leave_sockets,
};

/// From the first pod to the second, and to its socket.
const THROUGH: [(u32, Direction); 5] = [
    (POD1, Egress),
    (VETH1, Ingress),
    (VETH2, Egress),
    (POD2, Ingress),
    (POD2, Socket),
];
/// From the first pod to the node.
const TO_NODE: [(u32, Direction); 3] = [(POD1, Egress), (VETH1, Ingress), (CNI0, Ingress)];
const GROUPS: [&str; 5] = [
    "239.1.2.3",
    "224.0.0.251",
    "255.255.255.255",
    "ff02::fb",
    "ff05::1:3",
];

/// A datagram for a group.
fn datagram(to: &str) -> Packet {
    let mut datagram = for_group(packet(to));
    if let (Network::Ip(ip), true) = (&mut datagram.network, to.contains(':')) {
        ip.source = "fd00::2".parse().unwrap();
    }
    datagram
}

fn push(builder: &mut Builder, world: &World, packet: &Packet, taps: &[(u32, Direction)]) {
    for (ts_ns, (interface, direction)) in (1000..).zip(taps) {
        let mut packet = packet.clone();
        if *direction == Socket {
            packet.link = None;
        }
        builder.push(&event(ts_ns, *interface, *direction, &packet), world);
    }
}

/// The path of a packet by these taps once its time is over.
fn seen(world: &World, packet: &Packet, taps: &[(u32, Direction)]) -> Path {
    let mut builder = Builder::new(TIMEOUT_NS);
    push(&mut builder, world, packet, taps);
    builder.expire(1_000_000_000);
    let mut paths = finished(&mut builder);
    assert_eq!(paths.len(), 1);
    paths.remove(0)
}

#[test]
fn datagram_is_delivered_to_the_sockets_that_take_it() {
    let world = world();
    for to in GROUPS {
        let path = seen(&world, &datagram(to), &THROUGH);
        assert_eq!((path.outcome, path.is_untaken), (Outcome::Delivered, false));
        let path = seen(&world, &datagram(to), &THROUGH[..4]);
        assert_eq!((path.outcome, path.is_untaken), (Outcome::NoReceiver, true));
        assert!(!path.incomplete, "{to}");
    }
}

/// Sockets of the node are not watched, nor are those of cgroups v1.
#[test]
fn nothing_shows_who_takes_it_where_no_sockets_are_watched() {
    let mut unwatched = world();
    leave_sockets(&mut unwatched);
    for to in GROUPS {
        for (world, taps) in [
            (&unwatched, &THROUGH[..4]),
            (&world(), &TO_NODE[..]),
            (&world(), &[(UPLINK, Ingress)][..]),
        ] {
            let path = seen(world, &datagram(to), taps);
            assert_eq!((path.outcome, path.is_untaken), (Outcome::Unknown, true));
            let mut builder = Builder::new(TIMEOUT_NS);
            push(&mut builder, world, &datagram(to), taps);
            builder.finish();
            let path = finished(&mut builder).remove(0);
            assert_eq!((path.outcome, path.incomplete), (Outcome::Unknown, false));
        }
    }
}

/// Kernels ignore it by default.
#[test]
fn ping_for_many_is_not_delivered() {
    let mut ping = for_group(packet("10.244.1.255"));
    if let Network::Ip(ip) = &mut ping.network {
        ip.protocol = 1;
    }
    ping.transport = Transport::Echo {
        reply: false,
        id: 7,
        sequence: 1,
    };
    for taps in [&THROUGH[..4], &TO_NODE] {
        let path = seen(&world(), &ping, taps);
        assert_eq!((path.outcome, path.is_untaken), (Outcome::Unknown, true));
    }
}

/// A pod that shares the node's network has a socket there.
#[test]
fn socket_of_the_node_that_is_seen_takes_it() {
    let taps = [&TO_NODE[..], &[(CNI0, Socket)]].concat();
    let path = seen(&world(), &datagram("239.1.2.3"), &taps);
    assert_eq!(path.outcome, Outcome::Delivered);
}

/// Copies go to the node and to all pods, in any order.
#[test]
fn one_socket_of_many_pods_is_enough() {
    let group = datagram("239.1.2.3");
    for (has_socket, outcome) in [(true, Outcome::Delivered), (false, Outcome::NoReceiver)] {
        let (paths, world) = flood(&group, true, has_socket);
        assert_eq!((paths.len(), paths[0].outcome), (1, outcome));
        assert_eq!(Copies::of(&paths[0], &world).count(), PORTS as usize + 1);
    }
    for node_first in [true, false] {
        let there = [&THROUGH[2..4], &[(CNI0, Ingress)]].concat();
        let mut taps = THROUGH[..2].to_vec();
        taps.extend(&there);
        if node_first {
            taps[2..].rotate_right(1);
        }
        let path = seen(&world(), &group, &taps);
        assert_eq!((path.outcome, path.hops.len()), (Outcome::NoReceiver, 5));
        taps.push((POD2, Socket));
        let path = seen(&world(), &group, &taps);
        assert_eq!((path.outcome, path.hops.len()), (Outcome::Delivered, 6));
    }
}

/// By a frame or by an address for all: the sockets see no frame.
#[test]
fn all_sockets_of_a_pod_are_of_one_path() {
    let world = world();
    for to in ["239.1.2.3", "10.244.1.255"] {
        let mut builder = Builder::new(TIMEOUT_NS);
        push(&mut builder, &world, &datagram(to), &THROUGH);
        let mut copy = event(2000, POD2, Socket, &datagram(to));
        (copy.packet.link, copy.cgroup) = (None, CGROUP1);
        builder.push(&copy, &world);
        builder.expire(1_000_000_000);
        let paths = finished(&mut builder);
        assert_eq!((paths.len(), paths[0].sockets().count()), (1, 2), "{to}");
    }
}

/// The socket's event may have been lost, or be still to come.
#[test]
fn datagram_whose_socket_may_not_have_been_seen_is_undecided() {
    let (world, group) = (world(), datagram("239.1.2.3"));
    for (is_lossy, is_cut, outcome, incomplete) in [
        (true, false, Outcome::EventsLost, true),
        (false, true, Outcome::Unknown, true),
        (false, false, Outcome::NoReceiver, false),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        push(&mut builder, &world, &group, &THROUGH[..4]);
        if is_lossy {
            builder.record_loss(1500, 2000);
        }
        if is_cut {
            builder.finish();
        }
        builder.expire(1_000_000_000);
        let path = finished(&mut builder).remove(0);
        assert_eq!((path.outcome, path.incomplete), (outcome, incomplete));
    }
}

/// The kernel takes what tells of groups and routers.
#[test]
fn control_packets_are_for_the_kernel() {
    let solicitation = Transport::Icmp { kind: 133, code: 0 };
    for (to, protocol, transport) in [
        ("224.0.0.22", 2, Transport::Other),
        ("ff02::16", 58, Transport::Icmp { kind: 143, code: 0 }),
        ("ff02::2", 58, solicitation),
        ("224.0.0.5", 89, Transport::Other),
    ] {
        let mut control = datagram(to);
        control.transport = transport;
        if let Network::Ip(ip) = &mut control.network {
            ip.protocol = protocol;
        }
        let path = seen(&world(), &control, &THROUGH[..4]);
        assert_eq!((path.outcome, path.is_untaken), (Outcome::Delivered, false));
    }
}

/// A socket gets the whole, and nothing of it if a fragment is missing.
#[test]
fn fragments_that_no_socket_takes_are_undecided() {
    let (world, whole) = (world(), datagram("239.1.2.3"));
    for is_taken in [true, false] {
        let mut builder = Builder::new(TIMEOUT_NS);
        for offset in [0, 8] {
            let mut fragment = whole.clone();
            fragment.length = if offset == 0 { 28 } else { 24 };
            if offset > 0 {
                fragment.transport = Transport::Fragment;
            }
            if let Network::Ip(ip) = &mut fragment.network {
                ip.fragment = Some(Fragment {
                    id: 0,
                    offset,
                    more: offset == 0,
                });
            }
            push(&mut builder, &world, &fragment, &THROUGH[..4]);
        }
        if is_taken {
            push(&mut builder, &world, &whole, &THROUGH[4..]);
        }
        builder.expire(1_000_000_000);
        let paths = finished(&mut builder);
        let outcome = match is_taken {
            true => Outcome::Delivered,
            false => Outcome::Unknown,
        };
        assert_eq!(paths.len(), 2);
        assert!(paths.iter().all(|path| path.outcome == outcome));
    }
}

/// Whoever does not want a broadcast drops its copy. A firewall may drop it on its way to all.
#[test]
fn copy_that_a_pod_drops_is_not_the_datagram() {
    let (mut blind, broadcast) = (world(), datagram("10.244.1.255"));
    leave_sockets(&mut blind);
    for (world, taps, netns, outcome) in [
        (world(), &THROUGH[..4], NETNS2, Outcome::NoReceiver),
        (blind, &THROUGH[..4], NETNS2, Outcome::Unknown),
        (world(), &THROUGH[..2], NODE, Outcome::Dropped),
    ] {
        let mut builder = Builder::new(TIMEOUT_NS);
        push(&mut builder, &world, &broadcast, taps);
        let drop = drop_at(1100, netns, "NOT_SPECIFIED");
        builder.drop_packet(&Origin::default(), &drop, &broadcast);
        builder.join_drops(2000, &world);
        builder.expire(1_000_000_000);
        assert_eq!(finished(&mut builder)[0].outcome, outcome);
    }
}
