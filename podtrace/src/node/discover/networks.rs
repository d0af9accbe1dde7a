//! The roles of interfaces in common networks, from recorded tables: also of devices that the
//! kernel of a test cannot make.
//!
//! A table is written in the words of `ip -d link`, `ip address` and `ip route`.
use std::{collections::HashMap, fmt::Write as _};

use rtnetlink::packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressMessage},
    link::{
        InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType,
        LinkMessage,
    },
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};

use super::role::{is_usual, node_role};
use crate::{
    model::tap_point::Role,
    node::{
        links::{self, AddressPrefix, Link},
        tables::{MAIN_TABLE, Route, read::routes_of},
        uplinks::{by_gateway, mark, mark_cables, uplinks},
    },
};

/// Index of an interface by its name.
type Names = HashMap<String, u32>;

/// The words of a line, and the one behind each.
fn words<'a>(line: &'a str) -> (Vec<&'a str>, impl Fn(&str) -> Option<&'a str>) {
    let words: Vec<_> = line.split_whitespace().collect();
    let after = words.clone();
    (words, move |key: &str| {
        let place = after.iter().position(|word| *word == key)?;
        after.get(place + 1).copied()
    })
}

/// `2: eth0@if7: kind veth link-netnsid 0 master br0 layer none`
fn link(line: &str, names: &Names, prefixes: Vec<AddressPrefix>) -> Link {
    let (words, value) = words(line);
    let index_of = |name: &str| {
        let index = name.strip_prefix("if").and_then(|index| index.parse().ok());
        index.unwrap_or_else(|| names[name])
    };
    let (name, peer) = name_of(words[1]);
    let mut message = LinkMessage::default();
    message.header.index = names[name];
    message.header.flags = LinkFlags::Up;
    message.header.link_layer_type = match value("layer") {
        None => LinkLayerType::Ether,
        Some("loopback") => LinkLayerType::Loopback,
        Some(_) => LinkLayerType::None,
    };
    let attributes = &mut message.attributes;
    attributes.push(LinkAttribute::IfName(name.to_owned()));
    attributes.extend(peer.map(|peer| LinkAttribute::Link(index_of(peer))));
    if let Some(nsid) = value("link-netnsid") {
        attributes.push(LinkAttribute::LinkNetNsId(nsid.parse().unwrap()));
    }
    if let Some(master) = value("master") {
        attributes.push(LinkAttribute::Controller(names[master]));
    }
    if let Some(name) = value("kind") {
        let mut info = vec![LinkInfo::Kind(InfoKind::from(name))];
        if name == "vxlan" {
            let below = value("dev").map(|dev| InfoVxlan::Link(names[dev]));
            info.push(LinkInfo::Data(InfoData::Vxlan(below.into_iter().collect())));
        }
        attributes.push(LinkAttribute::LinkInfo(info));
    }
    links::link(message, prefixes)
}

/// `eth0@if7:` as the name and the interface below it.
fn name_of(word: &str) -> (&str, Option<&str>) {
    let word = word.trim_end_matches(':');
    match word.split_once('@') {
        Some((name, peer)) => (name, Some(peer)),
        None => (word, None),
    }
}

/// `inet 10.0.0.1/24 dev eth0`
fn address(line: &str) -> (String, AddressPrefix) {
    let (words, value) = words(line);
    let (address, len) = words[1].split_once('/').unwrap();
    let mut message = AddressMessage::default();
    message.header.prefix_len = len.parse().unwrap();
    let address = AddressAttribute::Address(address.parse().unwrap());
    message.attributes.push(address);
    let name = value("dev").unwrap().to_owned();
    (name, links::address(&message).unwrap())
}

/// `10.0.0.0/8 via 10.1.0.1 dev eth0`
fn route(line: &str, names: &Names) -> Vec<Route> {
    let (words, value) = words(line);
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.kind = match words[0] {
        "blackhole" => RouteType::BlackHole,
        _ => RouteType::Unicast,
    };
    let table = value("table").map_or(MAIN_TABLE, |table| table.parse().unwrap());
    message.attributes.push(RouteAttribute::Table(table));
    let to = words[usize::from(words[0] == "blackhole")];
    if to != "default" {
        let (to, len) = to.split_once('/').unwrap_or((to, "32"));
        message.header.destination_prefix_length = len.parse().unwrap();
        let to = RouteAddress::Inet(to.parse().unwrap());
        message.attributes.push(RouteAttribute::Destination(to));
    }
    if let Some(gateway) = value("via") {
        let gateway = RouteAddress::Inet(gateway.parse().unwrap());
        message.attributes.push(RouteAttribute::Gateway(gateway));
    }
    if let Some(dev) = value("dev") {
        message.attributes.push(RouteAttribute::Oif(names[dev]));
    }
    routes_of(&message)
}

/// The role that each interface gets. Pods' interfaces are at the other end of veths unless the
/// table says `no pod`.
fn roles(table: &str) -> String {
    let is_link = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
    let parts: Vec<_> = table.split("\n\n").collect();
    let [about, interfaces, addresses, routes] = parts[..] else {
        panic!("what it is, interfaces, addresses, routes: {}", parts.len());
    };
    let link_lines = interfaces.lines().filter(is_link);
    let names: Names = link_lines
        .clone()
        .map(|line| {
            let (words, _) = words(line);
            let index = words[0].trim_end_matches(':').parse().unwrap();
            (name_of(words[1]).0.to_owned(), index)
        })
        .collect();
    let addresses: Vec<_> = addresses.lines().map(address).collect();
    let mut links: Vec<_> = link_lines
        .clone()
        .map(|line| {
            let name = name_of(words(line).0[1]).0;
            let own = addresses.iter().filter(|(of, _)| of == name);
            link(line, &names, own.map(|(_, prefix)| *prefix).collect())
        })
        .collect();
    let routes: Vec<_> = routes
        .lines()
        .flat_map(|line| route(line, &names))
        .collect();
    let found = uplinks(&links, &routes);
    mark(&mut links, &found);
    let leads_nowhere: Vec<_> = link_lines
        .filter(|line| line.ends_with("no pod"))
        .map(|line| name_of(words(line).0[1]).0)
        .collect();
    mark_cables(&mut links, &by_gateway(&routes), |host| {
        !leads_nowhere.contains(&host.name.as_str())
    });
    let mut described = format!("{}\n\n", about.replace("# ", ""));
    for link in &links {
        let role = node_role(link, &links);
        let tapped = match (is_usual(link, role), role) {
            (false, _) => "not tapped".to_owned(),
            (true, Role::Other) => "tapped, goes on below".to_owned(),
            (true, role) => format!("{role:?}").to_lowercase(),
        };
        let above = match link.master_among(&links) {
            Some(master) => format!(", received by {}", master.name),
            None => String::new(),
        };
        writeln!(described, "{:<16} {tapped}{above}", link.name).unwrap();
    }
    described
}

macro_rules! networks {
    ($($name:ident,)+) => {
        $(#[test]
        fn $name() {
            let table = include_str!(concat!("networks/", stringify!($name), ".txt"));
            insta::assert_snapshot!(stringify!($name), roles(table.trim_end()));
        })+
    };
}

networks! {
    flannel_vxlan,
    flannel_host_gw,
    flannel_ipip,
    flannel_wireguard,
    flannel_udp,
    calico_ipip,
    calico_vxlan,
    calico_bgp,
    cilium_vxlan,
    cilium_routes,
    cilium_netkit,
    kindnet,
    kubenet,
    ovn,
    antrea,
    bond_with_vlans,
    team_in_a_bridge,
    bridge_of_the_node,
    macvlan_and_ipvlan,
    nested_node,
    several_nics,
    vrf,
    ipvs,
}
