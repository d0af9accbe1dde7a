use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{
    model::subnet::vtep_of,
    node::links::{Vxlan, fixture},
    packet::{Mac, covers},
};

const FLANNEL: u32 = 4;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link(ifindex: u32, name: &str, kind: LinkKind) -> Link {
    Link {
        name: name.into(),
        ..fixture::link(ifindex, kind)
    }
}

fn links() -> Vec<Link> {
    vec![
        link(2, "eth0", LinkKind::Other),
        link(FLANNEL, "flannel.1", LinkKind::Vxlan(Vxlan::default())),
    ]
}

fn route(prefix: &str, gateway: &str, ifindex: u32) -> Route {
    let (destination, len) = prefix.split_once('/').unwrap();
    Route {
        destination: ip(destination),
        len: len.parse().unwrap(),
        gateway: gateway.parse().ok(),
        ifindex: Some(ifindex),
        table: MAIN_TABLE,
        kind: RouteKind::Unicast,
        metric: 0,
        source: None,
    }
}

fn neighbour(address: &str, mac: u8) -> Neighbour {
    Neighbour {
        address: ip(address),
        ifindex: FLANNEL,
        mac: Some(Mac([mac; 6])),
        state: NeighbourState::Permanent,
    }
}

fn fdb(mac: u8, vtep: &str) -> FdbEntry {
    FdbEntry {
        mac: Mac([mac; 6]),
        ifindex: FLANNEL,
        vtep: Some(ip(vtep)),
        master: None,
        own: true,
        permanent: true,
    }
}

/// The entries of flannel for two peers, one with a longer prefix inside the other's.
fn tables() -> Tables {
    Tables {
        routes: vec![
            route("0.0.0.0/0", "192.168.77.1", 2),
            route("10.244.2.0/24", "10.244.2.0", FLANNEL),
            route("10.244.2.128/25", "10.244.3.0", FLANNEL),
            route("fd00:2::/64", "fd00:2::", FLANNEL),
        ],
        neighbours: vec![
            neighbour("10.244.2.0", 2),
            neighbour("10.244.3.0", 3),
            neighbour("fd00:2::", 2),
        ],
        fdb: vec![fdb(2, "192.168.77.12"), fdb(3, "192.168.77.13")],
    }
}

#[test]
fn subnets_lead_to_their_vteps() {
    let subnets = remote_subnets(&tables(), &links());
    assert_eq!(subnets.len(), 3);
    assert!(subnets.iter().all(|subnet| subnet.device == "flannel.1"));
    for (address, vtep) in [
        ("10.244.2.7", Some("192.168.77.12")),
        ("10.244.2.200", Some("192.168.77.13")),
        ("fd00:2::9", Some("192.168.77.12")),
        ("fd00:3::9", None),
        ("10.244.1.7", None),
        ("8.8.8.8", None),
    ] {
        assert_eq!(vtep_of(&subnets, ip(address)), vtep.map(ip), "{address}");
    }
}

#[test]
fn routes_that_lead_nowhere_are_left_out() {
    let mut without_fdb = tables();
    without_fdb.fdb.retain(|entry| entry.mac != Mac([2; 6]));
    assert_eq!(remote_subnets(&without_fdb, &links()).len(), 1);
    let hop = without_fdb.next_hop(FLANNEL, ip("10.244.2.0"));
    assert_eq!(hop, NextHop::NoFdb(Mac([2; 6])));

    let mut without_neighbour = tables();
    without_neighbour.neighbours.clear();
    assert_eq!(remote_subnets(&without_neighbour, &links()), []);
    let hop = without_neighbour.next_hop(FLANNEL, ip("10.244.2.0"));
    assert_eq!(hop, NextHop::NoNeighbour);

    // An entry of the bridge that the interface is a port of does not count.
    let mut of_bridge = tables();
    of_bridge.fdb.iter_mut().for_each(|entry| entry.own = false);
    assert_eq!(remote_subnets(&of_bridge, &links()), []);
}

#[test]
fn default_forwarding_entry_serves_unknown_macs() {
    let mut tables = tables();
    tables.fdb = vec![fdb(0, "192.168.77.99")];
    let hop = tables.next_hop(FLANNEL, ip("10.244.2.0"));
    assert_eq!(hop, NextHop::Vtep(Mac([2; 6]), ip("192.168.77.99")));
}

#[test]
fn prefixes_of_every_length_are_compared() {
    assert!(covers(ip("0.0.0.0"), 0, ip("255.1.2.3")));
    assert!(covers(ip("::"), 0, ip("ff::1")));
    assert!(!covers(ip("::"), 0, ip("1.2.3.4")));
    assert!(covers(ip("1.2.3.4"), 32, ip("1.2.3.4")));
    assert!(!covers(ip("1.2.3.4"), 32, ip("1.2.3.5")));
    assert!(!covers(ip("fd00::"), 128, ip("fd00::1")));
}

proptest! {
    #[test]
    fn any_prefix_covers_its_own_address(bits: u128, len: u8) {
        let v6 = IpAddr::V6(bits.into());
        prop_assert!(covers(v6, len, v6));
        let v4 = IpAddr::V4(((bits >> 96) as u32).into());
        prop_assert!(covers(v4, len, v4));
        prop_assert!(!covers(v4, len, v6));
    }
}
