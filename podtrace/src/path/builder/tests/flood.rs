//! Copies that a bridge sends to all its ports, and questions for a neighbour's address.
use super::*;
use crate::{packet::Arp, path::flood::Copies};

pub(super) const PORTS: u32 = 10;

/// A node with ten more pods; the interfaces of each at the node and in the pod.
fn many() -> (World, Vec<(u32, u32)>) {
    let mut world = world();
    let mut ports = Vec::new();
    for number in 0..PORTS {
        let netns = 100 + u64::from(number);
        let [veth, pod] = [(VETH2, false), (POD2, true)].map(|(like, in_pod)| {
            let interface = world.tap_points.next_number();
            let like = world.tap_points.get(like).unwrap().clone();
            let point = TapPoint {
                leads_to: (!in_pod).then_some(netns),
                netns_id: if in_pod { netns } else { like.netns_id },
                mac: Some(mac_of(netns)),
                ..like
            };
            world.tap_points.set(interface, point);
            interface
        });
        ports.push((veth, pod));
    }
    (world, ports)
}

/// Feeds a packet of the first pod that the bridge sends to the second pod and to all others,
/// and what the second pod's socket gets of it, before the others get theirs.
pub(super) fn flood(packet: &Packet, to_second: bool, has_socket: bool) -> (Vec<Path>, World) {
    let (world, ports) = many();
    let mut builder = Builder::new(TIMEOUT_NS);
    let mut taps = vec![(POD1, Egress), (VETH1, Ingress)];
    let second = [(VETH2, POD2)];
    let ports = || second.iter().filter(|_| to_second).chain(&ports);
    taps.extend(ports().map(|(veth, _)| (*veth, Egress)));
    for (_, pod) in ports() {
        taps.push((*pod, Ingress));
        if *pod == POD2 && has_socket {
            taps.push((POD2, Socket));
        }
    }
    for (ts_ns, (interface, direction)) in (1000..).zip(taps) {
        builder.push(&event(ts_ns, interface, direction, packet), &world);
    }
    builder.expire(1_000_000_000);
    (finished(&mut builder), world)
}

fn told(path: &Path, world: &World) -> Vec<u32> {
    let copies = Copies::of(path, world);
    let hops = path.hops.iter().enumerate();
    let told = hops.filter(|(number, _)| !copies.has(*number));
    told.map(|(_, hop)| hop.interface).collect()
}

#[test]
fn copies_of_an_unknown_unicast_are_side_branches() {
    let (paths, world) = flood(&packet("10.244.1.3"), true, true);
    let [path] = &paths[..] else {
        panic!("{} paths", paths.len());
    };
    assert_eq!(path.outcome, Outcome::Delivered);
    assert_eq!(path.hops.len(), 2 + 2 + 1 + 2 * PORTS as usize);
    assert_eq!(told(path, &world), [POD1, VETH1, VETH2, POD2, POD2]);
    assert_eq!(Copies::of(path, &world).count(), PORTS as usize);
}

/// Who gets only copies is not the receiver.
#[test]
fn flooded_packet_that_does_not_reach_its_receiver_is_not_delivered() {
    let (paths, world) = flood(&packet("10.244.1.3"), false, false);
    assert_eq!(paths[0].outcome, Outcome::NotSeenFurther);
    assert_eq!(Copies::of(&paths[0], &world).count(), PORTS as usize);
}

pub(super) fn for_group(mut packet: Packet) -> Packet {
    packet.link = packet.link.map(|link| Link {
        destination: Mac([0xff; 6]),
        ..link
    });
    packet
}

/// A broadcast of the first pod, which all others get.
pub(crate) fn broadcast() -> (Vec<Path>, World) {
    flood(&for_group(packet("10.244.1.255")), true, true)
}

#[test]
fn many_receivers_are_counted() {
    let (paths, world) = broadcast();
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Delivered));
    assert!(paths[0].hops.iter().all(|hop| !hop.aside));
    let copies = Copies::of(&paths[0], &world);
    assert_eq!(copies.count(), PORTS as usize + 1);
    assert_eq!(told(&paths[0], &world), [POD1, VETH1]);
    let behind: Vec<_> = copies.behind(&world).collect();
    assert_eq!(
        (&*behind[0], &*behind[1]),
        ("default/mypod2", "netns-id:100")
    );
    assert_eq!(behind.len(), copies.count());
}

fn question(target: &str) -> Packet {
    let mut question = for_group(packet("10.244.1.3"));
    question.network = Network::Arp(Arp {
        operation: 1,
        sender_mac: Mac([2; 6]),
        sender: "10.244.1.2".parse().unwrap(),
        target_mac: Mac([0; 6]),
        target: target.parse().unwrap(),
    });
    question.transport = Transport::None;
    question
}

#[test]
fn question_has_bystanders() {
    let (paths, world) = flood(&question("10.244.1.3"), true, false);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Delivered));
    assert_eq!(told(&paths[0], &world), [POD1, VETH1, VETH2, POD2]);
}

#[test]
fn question_that_nobody_answers_says_so() {
    let (paths, _) = flood(&question("10.244.1.9"), true, false);
    assert_eq!((paths.len(), paths[0].outcome), (1, Outcome::Unanswered));
}

/// Somebody answers in the name of another, as with proxy ARP.
#[test]
fn question_that_is_answered_has_arrived() {
    let (world, question) = (world(), question("10.244.1.9"));
    for (is_same, outcome) in [(true, Outcome::Delivered), (false, Outcome::Unanswered)] {
        let mut builder = Builder::new(TIMEOUT_NS);
        builder.push(&event(1, POD1, Egress, &question), &world);
        builder.push(&event(2, VETH1, Ingress, &question), &world);
        let mut answer = question.clone();
        if let Network::Arp(arp) = &mut answer.network {
            arp.operation = 2;
            std::mem::swap(&mut arp.sender, &mut arp.target);
            if !is_same {
                arp.sender = "10.244.1.8".parse().unwrap();
            }
        }
        builder.push(&event(3, VETH1, Egress, &answer), &world);
        builder.expire(1_000_000_000);
        let mut paths = finished(&mut builder);
        paths.sort_by_key(|path| path.id);
        assert_eq!(paths[0].outcome, outcome);
    }
}
