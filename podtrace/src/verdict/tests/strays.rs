//! Frames that get to another interface than the one that should have them.
use super::*;
use crate::rules::fixture::{netns_of_pod, pod_with_port};

/// The hops of a frame that a bridge sends to a third pod, which has no part in it.
const BYSTANDER: usize = 4;

/// Adds a third pod to the first node.
fn third(all: &mut [NodeFacts]) {
    pod_with_port(&mut all[0], 3);
}

fn bystander_mac() -> Mac {
    mac(netns_of_pod(1, 3), POD)
}

fn forward_nothing(all: &mut [NodeFacts]) {
    let space = pod(all, 1, 3);
    space.settings.ipv4_forward = Some(false);
    device(space, POD).settings.ipv4_forward = Some(false);
}

/// What a pod that forwards nothing gets by a wrong entry.
#[test]
fn wrong_neighbour_entry_leads_to_a_bystander() {
    let cases: &[Case] = &[
        (
            "gateway",
            |all| {
                third(all);
                forward_nothing(all);
                set_neighbour(pod(all, 1, 1), "10.244.1.1", |known| {
                    known.mac = Some(bystander_mac());
                });
            },
            stray(BYSTANDER)
                .to("10.244.2.2")
                .for_mac(bystander_mac())
                .dropped("IP_INADDRERRORS", Some("ip_error")),
        ),
        (
            "gateway, no drop told",
            |all| {
                third(all);
                forward_nothing(all);
            },
            stray(BYSTANDER).to("10.244.2.2").for_mac(bystander_mac()),
        ),
        (
            "gateway, rp_filter",
            |all| {
                third(all);
                let space = pod(all, 1, 3);
                space.settings.rp_filter = Some(1);
                space.tables.routes.clear();
            },
            stray(BYSTANDER)
                .to("10.244.2.2")
                .for_mac(bystander_mac())
                .dropped("IP_RPFILTER", Some("fib_validate_source")),
        ),
        (
            "another pod",
            |all| {
                third(all);
                forward_nothing(all);
            },
            stray(BYSTANDER)
                .to("10.244.1.3")
                .for_mac(bystander_mac())
                .dropped("IP_INADDRERRORS", Some("ip_error")),
        ),
        (
            "another pod, entry of the bridge",
            |all| {
                third(all);
                forward_nothing(all);
                set_neighbour(node(all, 1), "10.244.1.3", |known| {
                    known.mac = Some(bystander_mac());
                });
            },
            stray_from_bridge(3)
                .to("10.244.1.3")
                .dropped("IP_INADDRERRORS", Some("ip_error")),
        ),
        (
            "gateway, and the bystander itself should forward",
            |all| {
                third(all);
                forward_nothing(all);
                let taken = std::mem::take(&mut device(node(all, 1), CNI0).addresses);
                device(pod(all, 1, 3), POD).addresses.extend(taken);
            },
            stray(BYSTANDER)
                .to("10.244.2.2")
                .for_mac(bystander_mac())
                .dropped("IP_INADDRERRORS", Some("ip_error")),
        ),
    ];
    insta::assert_snapshot!(table(cases));
}

fn take_out(all: &mut [NodeFacts], ifindex: u32) {
    let host = node(all, 1);
    let veth = device(host, ifindex);
    (veth.master, veth.port) = (None, None);
    host.tables.fdb.retain(|entry| entry.ifindex != ifindex);
}

/// The bridge sends a frame to all ports, but for that of its receiver, which has none.
#[test]
fn copy_for_a_bystander_is_not_what_is_lost() {
    let other_host = |hops| stray(hops).dropped("OTHERHOST", Some("ip_rcv_core"));
    let no_target = |hops| stray(hops).dropped("NO_TX_TARGET", Some("br_flood"));
    let out: Fault = |all| {
        third(all);
        take_out(all, VETH2);
    };
    let sender_out: Fault = |all| take_out(all, VETH1);
    let cases: &[Case] = &[
        ("receiver in no bridge", out, other_host(BYSTANDER)),
        ("seen at the port", out, other_host(3)),
        ("no drop told", out, stray(BYSTANDER)),
        ("no bystander", out, no_target(2)),
        (
            "bystander down",
            |all| {
                third(all);
                take_out(all, VETH2);
                device(node(all, 1), VETH3).up = false;
            },
            stray(3),
        ),
        (
            "from the bridge",
            out,
            stray_from_bridge(3)
                .to("10.244.1.3")
                .for_mac(mac(netns_of_pod(1, 2), POD))
                .dropped("OTHERHOST", Some("ip_rcv_core")),
        ),
        (
            "the bridge is promiscuous",
            out,
            road(3)
                .to("10.244.1.3")
                .for_mac(mac(netns_of_pod(1, 2), POD))
                .dropped("OTHERHOST", Some("ip_rcv_core")),
        ),
        (
            "receiver's port down",
            |all| {
                third(all);
                device(node(all, 1), VETH2).up = false;
            },
            other_host(BYSTANDER),
        ),
        (
            "forwarding entry of the bystander's port",
            |all| {
                third(all);
                let mut entries = node(all, 1).tables.fdb.iter_mut();
                entries.find(|one| one.ifindex == VETH2).unwrap().ifindex = VETH3;
            },
            other_host(BYSTANDER),
        ),
        ("nothing shows", |all| third(all), other_host(BYSTANDER)),
        (
            "sender in no bridge, to the gateway",
            sender_out,
            road(2).dropped("OTHERHOST", Some("ip_rcv_core")),
        ),
        (
            "sender in no bridge, to a pod",
            sender_out,
            local(2).dropped("OTHERHOST", Some("ip_rcv_core")),
        ),
    ];
    insta::assert_snapshot!(table(cases));
}

/// Without ARP, an interface sends all frames to its own MAC address.
#[test]
fn frame_for_its_sender_has_a_wrong_entry() {
    let own = mac(netns_of_pod(1, 1), POD);
    let cases: &[Case] = &[
        (
            "to the gateway",
            nothing,
            road(2)
                .for_mac(own)
                .dropped("NO_TX_TARGET", Some("br_flood")),
        ),
        ("to a pod", nothing, local(2).for_mac(own)),
        (
            "to an interface that has none",
            nothing,
            local(2)
                .for_mac(Mac::default())
                .dropped("NO_TX_TARGET", Some("br_flood")),
        ),
        (
            "to nobody known",
            |all| device(pod(all, 1, 2), POD).addresses.clear(),
            local(2).for_mac(own),
        ),
    ];
    insta::assert_snapshot!(table(cases));
}
