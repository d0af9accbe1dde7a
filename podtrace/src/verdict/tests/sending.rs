//! Faults of the node that sends.
use super::*;

#[test]
fn faults_of_the_sending_node() {
    let cases: &[Case] = &[
        (
            "host veth down",
            |all| device(node(all, 1), VETH1).up = false,
            road(1),
        ),
        (
            "host veth without carrier",
            |all| device(pod(all, 1, 1), POD).carrier = false,
            road(1),
        ),
        (
            "bridge down",
            |all| device(node(all, 1), CNI0).up = false,
            road(2),
        ),
        (
            "port blocked",
            |all| port(all, VETH1).is_forwarding = false,
            road(2),
        ),
        (
            "pod MTU",
            |all| device(pod(all, 1, 1), POD).mtu = 1500,
            road(3).long(1500),
        ),
        (
            "may be fragmented",
            nothing,
            road(3).long(1500).without_df(),
        ),
        ("TTL", nothing, road(3).ttl(1)),
        (
            "no route",
            |all| {
                node(all, 1)
                    .tables
                    .routes
                    .retain(|route| route.ifindex != Some(FLANNEL))
            },
            road(3),
        ),
        (
            "blackhole",
            |all| blackhole(node(all, 1), RouteKind::Blackhole),
            road(3),
        ),
        (
            "prohibit",
            |all| blackhole(node(all, 1), RouteKind::Prohibit),
            road(3),
        ),
        (
            "ip_forward",
            |all| {
                node(all, 1).settings.ipv4_forward = Some(false);
                device(node(all, 1), CNI0).settings.ipv4_forward = Some(false);
            },
            road(3),
        ),
        (
            "forwarding of cni0",
            |all| device(node(all, 1), CNI0).settings.ipv4_forward = Some(false),
            road(3),
        ),
        (
            "rp_filter",
            |all| {
                node(all, 1).settings.rp_filter = Some(1);
                let back = route("10.244.1.2/32", None, UPLINK);
                node(all, 1).tables.routes.push(back);
            },
            road(3),
        ),
        (
            "loose rp_filter",
            |all| {
                node(all, 1).settings.rp_filter = Some(2);
                let back = route("10.244.1.2/32", None, UPLINK);
                node(all, 1).tables.routes.push(back);
            },
            road(3),
        ),
        (
            "neighbour missing",
            |all| {
                node(all, 1)
                    .tables
                    .neighbours
                    .retain(|known| known.ifindex != FLANNEL)
            },
            road(3),
        ),
        (
            "tunnel down",
            |all| device(node(all, 1), FLANNEL).up = false,
            road(3),
        ),
        (
            "forwarding entry missing",
            |all| node(all, 1).tables.fdb.retain(|entry| !entry.own),
            road(4),
        ),
        ("own VTEP", |all| set_vtep(all, "192.168.77.11"), road(4)),
        (
            "nobody's VTEP",
            |all| set_vtep(all, "192.168.77.99"),
            road(5).left("192.168.77.99"),
        ),
        ("right VTEP", nothing, road(5).left("192.168.77.12")),
        (
            "route to the VTEP missing",
            |all| {
                node(all, 1)
                    .tables
                    .routes
                    .retain(|route| route.ifindex != Some(UPLINK))
            },
            road(4),
        ),
        (
            "tunnel from another's address",
            |all| vxlan(all, 1).local = Some(ip("10.9.9.9")),
            road(4).dropped("IP_OUTNOROUTES", None),
        ),
        (
            "uplink down",
            |all| device(node(all, 1), UPLINK).up = false,
            road(4),
        ),
        (
            "uplink's MTU",
            |all| device(node(all, 1), UPLINK).mtu = 1400,
            road(4).long(1400),
        ),
        (
            "route to the pods' bridge",
            |all| {
                let routes = &mut node(all, 1).tables.routes;
                routes.push(route("10.244.2.2/32", None, CNI0));
            },
            road(3).dropped("NEIGH_FAILED", None),
        ),
        (
            "the same with an owner there",
            |all| {
                let routes = &mut node(all, 1).tables.routes;
                routes.push(route("10.244.2.2/32", None, CNI0));
                let second = device(pod(all, 1, 2), POD);
                second.addresses.push(prefix("10.244.2.2/32"));
            },
            road(3).dropped("NEIGH_FAILED", None),
        ),
        (
            "unreachable in another table",
            |all| {
                let space = node(all, 1);
                space.tables.routes.push(Route {
                    kind: RouteKind::Unreachable,
                    table: 100,
                    ..route("0.0.0.0/0", None, UPLINK)
                });
                space.rules = vec![Rule {
                    priority: 9,
                    is_ipv4: true,
                    from: None,
                    to: None,
                    input: None,
                    is_conditional: false,
                    action: RuleAction::Table(100),
                }];
            },
            road(3),
        ),
        (
            "neighbour below the tunnel failed",
            |all| {
                set_neighbour(node(all, 1), "192.168.77.12", |known| {
                    known.state = NeighbourState::Failed
                });
            },
            road(4),
        ),
    ];
    insta::assert_snapshot!(table(cases));
}
