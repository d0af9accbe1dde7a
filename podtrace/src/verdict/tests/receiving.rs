//! Faults of the node that receives, and within one.
use super::*;
use crate::path::Translation;

#[test]
fn faults_of_the_receiving_node() {
    let cases: &[Case] = &[
        (
            "stale MAC of the tunnel",
            |all| device(node(all, 2), FLANNEL).mac = Some(Mac([2, 9, 9, 9, 9, 9])),
            road(7),
        ),
        ("VNI", |all| vxlan(all, 2).vni = 7, road(6)),
        ("UDP port", |all| vxlan(all, 2).port = 4789, road(6)),
        (
            "tunnel down",
            |all| device(node(all, 2), FLANNEL).up = false,
            road(6),
        ),
        (
            "uplink down",
            |all| device(node(all, 2), UPLINK).up = false,
            road(5),
        ),
        (
            "rp_filter",
            |all| {
                node(all, 2).settings.rp_filter = Some(1);
                node(all, 2)
                    .tables
                    .routes
                    .retain(|route| route.ifindex != Some(FLANNEL));
            },
            road(7),
        ),
        (
            "ip_forward",
            |all| {
                node(all, 2).settings.ipv4_forward = Some(false);
                device(node(all, 2), FLANNEL).settings.ipv4_forward = Some(false);
            },
            road(7),
        ),
        (
            "address taken from the pod",
            |all| device(pod(all, 2, 1), POD).addresses.clear(),
            road(10).dropped("IP_INADDRERRORS", Some("ip_error")),
        ),
        (
            "address moved to another pod, old neighbour entry",
            |all| {
                pod(all, 2, 1).settings.ipv4_forward = Some(true);
                let moved = std::mem::take(&mut device(pod(all, 2, 1), POD).addresses);
                device(pod(all, 2, 2), POD).addresses.extend(moved);
            },
            road(10),
        ),
        (
            "pod does not answer ARP",
            |all| {
                let neighbours = &mut node(all, 2).tables.neighbours;
                neighbours.retain(|known| known.address != ip("10.244.2.2"));
            },
            road(7).dropped("NEIGH_FAILED", Some("__neigh_event_send")),
        ),
        (
            "wrong MAC of the pod",
            |all| {
                set_neighbour(node(all, 2), "10.244.2.2", |known| {
                    known.mac = Some(Mac([2, 9, 9, 9, 9, 9]))
                });
            },
            road(8),
        ),
        (
            "pod deleted",
            |all| {
                delete_pod(all);
                set_neighbour(node(all, 2), "10.244.2.2", |known| {
                    known.state = NeighbourState::Failed
                });
            },
            road(7),
        ),
        (
            "pod is being asked",
            |all| {
                set_neighbour(node(all, 2), "10.244.2.2", |known| {
                    known.state = NeighbourState::Incomplete
                });
            },
            road(7),
        ),
        (
            "kernel gives up",
            |all| {
                set_neighbour(node(all, 2), "10.244.2.2", |known| {
                    known.state = NeighbourState::Incomplete
                });
            },
            road(7).dropped("NEIGH_FAILED", None),
        ),
        (
            "forwarding entry of another port",
            |all| {
                let mut entries = node(all, 2).tables.fdb.iter_mut();
                let entry = entries.find(|entry| entry.ifindex == VETH1);
                entry.unwrap().ifindex = VETH2;
            },
            road(8).dropped("OTHERHOST", Some("ip_rcv_core")),
        ),
        ("pod just deleted", |all| delete_pod(all), road(8)),
        (
            "pod's veth down",
            |all| {
                device(node(all, 2), VETH1).up = false;
                set_neighbour(node(all, 2), "10.244.2.2", |known| {
                    known.state = NeighbourState::Failed
                });
            },
            road(7),
        ),
        (
            "pod's eth0 down",
            |all| device(pod(all, 2, 1), POD).up = false,
            road(9),
        ),
        (
            "port's MTU",
            |all| device(node(all, 2), VETH1).mtu = 1000,
            road(8).long(1400),
        ),
        (
            "two pods with the address",
            |all| {
                let second = device(pod(all, 1, 2), POD);
                second.addresses.push(prefix("10.244.2.2/24"));
            },
            road(5),
        ),
        (
            "no listener or a firewall in the pod",
            nothing,
            road(10).no_socket(),
        ),
    ];
    insta::assert_snapshot!(table(cases));
}

#[test]
fn faults_within_a_node() {
    let cases: &[Case] = &[
        (
            "isolated ports",
            |all| {
                port(all, VETH1).isolated = true;
                port(all, VETH2).isolated = true;
            },
            local(2),
        ),
        (
            "one isolated port",
            |all| port(all, VETH1).isolated = true,
            local(2),
        ),
        (
            "veth of the receiver down",
            |all| device(node(all, 1), VETH2).up = false,
            local(2),
        ),
        (
            "MAC address of nobody",
            nothing,
            local(2).for_mac(Mac([2, 9, 9, 9, 9, 9])),
        ),
        (
            "wrong neighbour in the pod",
            |all| {
                let wrong = neighbour("10.244.1.3", POD, Mac([2, 9, 9, 9, 9, 9]));
                pod(all, 1, 1).tables.neighbours.push(wrong);
            },
            local(2).for_mac(Mac([2, 9, 9, 9, 9, 9])),
        ),
        (
            "wrong MAC of a bystander's port",
            |all| {
                let wrong = Mac([2, 9, 9, 9, 9, 9]);
                let neighbours = &mut pod(all, 1, 1).tables.neighbours;
                neighbours
                    .iter_mut()
                    .for_each(|known| known.mac = Some(wrong));
                let fdb = &mut node(all, 1).tables.fdb;
                fdb.push(FdbEntry {
                    mac: wrong,
                    ifindex: VETH2,
                    ..fdb[1].clone()
                });
            },
            local(2)
                .to("10.244.1.1")
                .for_mac(Mac([2, 9, 9, 9, 9, 9]))
                .dropped("OTHERHOST", Some("ip_rcv_core")),
        ),
        (
            "wrong MAC, and the bridge is promiscuous",
            |all| {
                let wrong = neighbour("10.244.1.3", POD, Mac([2, 9, 9, 9, 9, 9]));
                pod(all, 1, 1).tables.neighbours.push(wrong);
            },
            road(3)
                .to("10.244.1.3")
                .for_mac(Mac([2, 9, 9, 9, 9, 9]))
                .dropped("OTHERHOST", Some("ip_rcv_core")),
        ),
        (
            "frame for nobody known, and the bridge is promiscuous",
            |all| device(pod(all, 1, 2), POD).addresses.clear(),
            road(3).to("10.244.1.3").for_mac(Mac([2, 9, 9, 9, 9, 9])),
        ),
        ("nobody has the address", nothing, road(3).to("10.244.1.77")),
        (
            "translated to nobody",
            nothing,
            road(3).translated("10.244.1.77"),
        ),
    ];
    insta::assert_snapshot!(table(cases));
}

/// The next hop of what a pod sends to a Service is its gateway, whatever a bridge translates it to.
#[test]
fn next_hop_before_a_translation_is_that_of_the_address_before_it() {
    let ends = |to: &str| crate::packet::Ends {
        source: ip("10.244.1.2"),
        destination: ip(to),
        ports: None,
    };
    let (service, pod) = (ends("10.96.0.10"), ends("10.244.1.3"));
    let gateway = mac(netns_of(1), CNI0);
    // Behind the translation, at the port to the pod and in the pod, and before it.
    for hops in [2, 3, 4] {
        let mut facts = healthy();
        node(&mut facts, 1).settings.bridge_calls_iptables = Some(true);
        let receiver = &mut facts[0].spaces[2];
        receiver.settings.ipv4_forward = Some(false);
        receiver.devices[0].settings.ipv4_forward = Some(false);
        let mut path = local(hops).to("10.96.0.10").for_mac(gateway).path();
        match hops {
            2 => {
                let road = local(2).to("10.96.0.10").for_mac(gateway);
                path = road.dropped("NOT_SPECIFIED", Some("br_forward")).path();
                path.dropped.as_mut().unwrap().translated = Some(pod);
            }
            _ => {
                path.translations = vec![Translation {
                    hop: 2,
                    before: service,
                    after: pod,
                }];
            }
        }
        let verdict = verdict(&path, &world(facts)).unwrap();
        let words = verdict.cause.to_string();
        assert!(!words.contains(&gateway.to_string()), "{hops}: {words}");
        let is_open = matches!(verdict.cause.name(), "unknown" | "kernel_drop");
        assert!(is_open, "{hops}: {words}");
    }
}

/// A pod calls its own Service, and the bridge translates the address itself.
#[test]
fn frame_for_its_own_port_needs_hairpin() {
    let own = crate::packet::Ends {
        source: ip("10.244.1.2"),
        destination: ip("10.244.1.2"),
        ports: None,
    };
    for (calls, hairpin, name) in [
        (true, false, "hairpin_off"),
        (true, true, "kernel_drop"),
        (false, false, "kernel_drop"),
    ] {
        let mut facts = healthy();
        node(&mut facts, 1).settings.bridge_calls_iptables = Some(calls);
        port(&mut facts, VETH1).hairpin = hairpin;
        let road = road(2).dropped("NOT_SPECIFIED", Some("br_handle_frame_finish"));
        let mut path = road.path();
        path.dropped.as_mut().unwrap().translated = Some(own);
        let verdict = verdict(&path, &world(facts)).unwrap();
        assert_eq!(verdict.cause.name(), name, "{calls} {hairpin}");
    }
}

/// Without flooding, a port gets only what is for addresses that were learned there.
#[test]
fn port_without_flooding_needs_its_address_to_be_learned() {
    let fault = |learning, is_learned| {
        let mut facts = healthy();
        let port = port(&mut facts, VETH2);
        (port.flood, port.learning) = (false, learning);
        let fdb = &mut node(&mut facts, 1).tables.fdb;
        fdb.retain(|entry| is_learned || entry.ifindex != VETH2);
        verdict(&local(2).path(), &world(facts)).unwrap()
    };
    for (learning, is_learned, name, confidence) in [
        (false, false, "flood_off", Confidence::Sure),
        (true, false, "flood_off", Confidence::Likely),
        (false, true, "unknown", Confidence::Unknown),
    ] {
        let verdict = fault(learning, is_learned);
        let found = (verdict.cause.name(), verdict.confidence);
        assert_eq!(found, (name, confidence), "{learning} {is_learned}");
    }
    let advice = fault(false, false).advice;
    assert_eq!(
        advice.as_deref(),
        Some("bridge link set dev veth2 flood on learning on")
    );
}

/// The flag of the interface says so, not the MAC address of the frame.
#[test]
fn arp_is_off_where_its_flag_says_so() {
    let own = mac(11, POD);
    for (flag, name) in [
        (Some(true), "arp_off"),
        (Some(false), "wrong_mac"),
        (None, "wrong_mac"),
    ] {
        let mut facts = healthy();
        device(pod(&mut facts, 1, 1), POD).no_arp = flag;
        let wrong = neighbour("10.244.1.3", POD, own);
        pod(&mut facts, 1, 1).tables.neighbours.push(wrong);
        let verdict = verdict(&local(2).for_mac(own).path(), &world(facts)).unwrap();
        assert_eq!(verdict.cause.name(), name, "{flag:?}");
        // Who does not answer.
        let mut facts = healthy();
        device(pod(&mut facts, 1, 2), POD).no_arp = flag;
        let asked = local(3).asks(Ipv4Addr::new(10, 244, 1, 3));
        let verdict = super::verdict(&asked.path(), &world(facts)).unwrap();
        let is_named = verdict.cause.name() == "arp_off";
        assert_eq!(is_named, flag == Some(true), "{}", verdict.cause);
    }
}

/// A shaper may hold a packet back behind any tap at an egress.
#[test]
fn queues_of_a_bridge_are_candidates() {
    let mut facts = healthy();
    device(node(&mut facts, 2), CNI0).qdiscs = vec![Qdisc {
        kind: "tbf".into(),
        ..Qdisc::default()
    }];
    let verdict = verdict(&road(8).path(), &world(facts)).unwrap();
    assert!(verdict.may_wait(), "{}", verdict.cause);
}
