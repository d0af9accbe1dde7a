//! Refused packets, and questions without an answer.
use super::*;

#[test]
fn answers_name_the_cause_where_facts_do() {
    let icmp = |kind, code, value| {
        let error = IcmpError {
            is_v4: true,
            kind,
            code,
            value,
        };
        Refusal {
            packet: 7,
            by: ip("10.244.1.1"),
            at: None,
            ts_ns: 0,
            reason: Reason::Icmp(error),
            carried: None,
            hops: 3,
        }
    };
    let reset = Refusal {
        reason: Reason::Reset,
        by: ip("10.244.2.2"),
        ..icmp(0, 0, 0)
    };
    let cases: &[Case] = &[
        (
            "fragmentation needed",
            |all| device(pod(all, 1, 1), POD).mtu = 1500,
            road(3).long(1500).refused(icmp(3, 4, 1450)),
        ),
        ("TTL", nothing, road(3).ttl(1).refused(icmp(11, 0, 0))),
        (
            "network unreachable",
            |all| {
                node(all, 1)
                    .tables
                    .routes
                    .retain(|route| route.ifindex != Some(FLANNEL))
            },
            road(3).refused(icmp(3, 0, 0)),
        ),
        (
            "prohibited by a route",
            |all| blackhole(node(all, 1), RouteKind::Prohibit),
            road(3).refused(icmp(3, 13, 0)),
        ),
        (
            "prohibited by a firewall",
            nothing,
            road(3).refused(icmp(3, 13, 0)),
        ),
        (
            "host unreachable",
            nothing,
            road(3).to("10.244.1.77").refused(icmp(3, 1, 0)),
        ),
        (
            "host unreachable, whose owner is silent",
            |all| {
                let neighbours = &mut node(all, 2).tables.neighbours;
                neighbours.retain(|known| known.address != ip("10.244.2.2"));
            },
            road(7).refused(icmp(3, 1, 0)),
        ),
        ("port unreachable", nothing, road(10).refused(icmp(3, 3, 0))),
        ("reset", nothing, road(10).refused(reset)),
        ("loop", nothing, road(5).ended(Outcome::Loop)),
        (
            "loop by its own VTEP",
            |all| set_vtep(all, "192.168.77.11"),
            road(5).ended(Outcome::Loop),
        ),
        (
            "ARP of a pod whose veth is down",
            |all| device(node(all, 1), VETH1).up = false,
            local(1).asks(Ipv4Addr::new(10, 244, 1, 3)),
        ),
        (
            "ARP in the tunnel",
            nothing,
            road(4).asks(Ipv4Addr::new(10, 244, 2, 0)),
        ),
        (
            "ARP for nobody",
            nothing,
            local(2).asks(Ipv4Addr::new(10, 244, 1, 77)),
        ),
        (
            "ARP for a pod that is down",
            |all| device(node(all, 1), VETH2).up = false,
            local(2).asks(Ipv4Addr::new(10, 244, 1, 3)),
        ),
        (
            "ARP for a pod",
            nothing,
            local(2).asks(Ipv4Addr::new(10, 244, 1, 3)),
        ),
        (
            "ARP on the underlay",
            nothing,
            road(5).asks(Ipv4Addr::new(192, 168, 77, 99)),
        ),
    ];
    insta::assert_snapshot!(table(cases));
}
