//! The fault catalogue by data: facts with a fault, a packet's road so far, and the verdict.
mod answers;
pub(crate) mod firewall;
mod receiving;
mod rejected;
pub(crate) mod roads;
mod sending;
mod strays;
mod unexplained;

use std::{net::Ipv4Addr, sync::Arc};

use podtrace_ebpf::record::Direction::{Egress, Ingress};

use super::*;
use crate::{
    model::{
        facts::{Device, NodeFacts, Qdisc, Space},
        tables::{FdbEntry, LOCAL_TABLE, NeighbourState, Route, RouteKind, Rule, RuleAction},
    },
    packet::{IcmpError, Mac},
    path::refusal::{Reason, Refusal},
    rules::fixture::{
        CNI0, FLANNEL, POD, UPLINK, VETH1, VETH2, VETH3, healthy, ip, mac, neighbour, netns_of,
        prefix, route,
    },
};
use roads::{Road, local, road, stray, stray_from_bridge, world};

/// A change of the healthy facts.
type Fault = fn(&mut Vec<NodeFacts>);

/// A case: its name, its fault, and the road of its packet.
type Case = (&'static str, Fault, Road);

fn node(facts: &mut [NodeFacts], number: usize) -> &mut Space {
    &mut facts[number - 1].spaces[0]
}

fn pod(facts: &mut [NodeFacts], number: usize, pod: usize) -> &mut Space {
    &mut facts[number - 1].spaces[pod]
}

fn device(space: &mut Space, ifindex: u32) -> &mut Device {
    let mut devices = space.devices.iter_mut();
    devices.find(|device| device.ifindex == ifindex).unwrap()
}

fn set_neighbour(
    space: &mut Space,
    address: &str,
    change: impl Fn(&mut crate::model::tables::Neighbour),
) {
    let address = ip(address);
    let mut neighbours = space.tables.neighbours.iter_mut();
    change(neighbours.find(|known| known.address == address).unwrap());
}

fn nothing(_: &mut Vec<NodeFacts>) {}

/// `cause (confidence) | last | next | advice`
fn line(verdict: Option<Verdict>) -> String {
    let Some(verdict) = verdict else {
        return "none".into();
    };
    let tap = |tap: Option<Tap>| {
        tap.map_or("-".to_owned(), |tap| {
            format!("{} {}", tap.place, tap.direction.as_str())
        })
    };
    format!(
        "{} ({})\n    last {}, next {}\n    {}",
        verdict.cause,
        verdict.confidence.as_str(),
        tap(verdict.last_hop),
        tap(verdict.expected_next),
        verdict.advice.unwrap_or_default()
    )
}

fn judged(fault: Fault, road: &Road) -> Option<Verdict> {
    let mut facts = healthy();
    fault(&mut facts);
    let world = world(facts);
    verdict(&road.path(), &world)
}

fn table(cases: &[Case]) -> String {
    let rows = cases
        .iter()
        .map(|(name, fault, road)| format!("{name}: {}\n", line(judged(*fault, road))));
    rows.collect()
}

fn port(all: &mut [NodeFacts], ifindex: u32) -> &mut crate::model::facts::Port {
    device(node(all, 1), ifindex).port.as_mut().unwrap()
}

fn vxlan(all: &mut [NodeFacts], number: usize) -> &mut crate::model::facts::Vxlan {
    device(node(all, number), FLANNEL).vxlan.as_mut().unwrap()
}

/// The second node has no pod any more.
fn delete_pod(all: &mut [NodeFacts]) {
    all[1].spaces.remove(1);
    let node = node(all, 2);
    node.devices.retain(|device| device.ifindex != VETH1);
    node.tables.fdb.retain(|entry| entry.ifindex != VETH1);
}

fn set_vtep(all: &mut [NodeFacts], vtep: &str) {
    let own = node(all, 1).tables.fdb.iter_mut().filter(|entry| entry.own);
    own.for_each(|entry| entry.vtep = Some(ip(vtep)));
}

fn blackhole(space: &mut Space, kind: RouteKind) {
    let subnet = prefix("10.244.2.0/25");
    space.tables.routes.push(Route {
        ifindex: None,
        kind,
        len: subnet.len,
        ..route("10.244.2.0/25", None, 0)
    });
}
