//! The section under way: the interfaces and names that it has described.
use std::{collections::BTreeMap, net::IpAddr};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::state_log::StateLog;
use crate::{
    identity::sockets::SocketOwner,
    map::Map,
    model::{
        event::Event,
        tap::{TapCount, TapCounts},
        tap_point::TapPoint,
    },
    packet::Framing,
    session::{
        block::{Block, PacketBlock, encoded_option, halves},
        format::{
            BYTE_ORDER, FLAG_INBOUND, FLAG_OUTBOUND, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS,
            InterfaceCounts, InterfaceInfo, LINKTYPE_ETHERNET, LINKTYPE_RAW, NAME_RESOLUTION,
            OPT_COMMENT, OPT_END, PacketInfo, SECTION_HEADER, SectionInfo,
        },
    },
    text::sanitize::sanitize,
    world::World,
};

/// Upper bound of the remembered combinations of interface and cgroup.
const COMMON_MAX: usize = 4096;
/// `nrb_record_ipv4` and `nrb_record_ipv6`.
const RECORD_IPV4: u16 = 1;
const RECORD_IPV6: u16 = 2;

/// What a section has described so far.
#[derive(Default)]
pub(super) struct Section {
    interfaces: Interfaces,
    /// Names written, by address.
    names: BTreeMap<IpAddr, String>,
    /// What all packets of an interface, of its sockets or not, and of a cgroup have in
    /// common: computed once for each combination.
    common: Map<(u32, bool, u64), Common>,
    /// Events lost since the last written one, by tap.
    pub(super) dropped: Map<(u32, Direction), u64>,
}

/// The described interfaces.
#[derive(Default)]
struct Interfaces {
    /// Descriptions written.
    described: u32,
    /// Those that are up to date, by tap point and whether it is that of its sockets.
    known: Map<(u32, bool), Described>,
}

/// An interface as it is described.
struct Described {
    /// Its number.
    index: u32,
    name: String,
    description: String,
}

/// The common part of packets.
struct Common {
    /// Number of the interface's description.
    interface: u32,
    /// As an option; empty if there is none.
    comment: Vec<u8>,
}

impl Section {
    /// Writes the section header. `about`: kernel, command line.
    pub(super) fn header(out: &mut Vec<u8>, info: &SectionInfo, kernel: &str, command: &str) {
        let mut block = Block::begin(out, SECTION_HEADER);
        block.u32(BYTE_ORDER).u16(1).u16(0);
        // The length of a section under way is unknown.
        block.bytes(&[0xff; 8]);
        let nodes = info.nodes.join(", ");
        let comment = format!("node {nodes}, by `{command}`");
        block.option(3, kernel.as_bytes());
        block.option(
            4,
            format!("podtrace {}", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        block.option(OPT_COMMENT, sanitize(&comment).as_bytes());
        block.seal_json(info);
    }

    /// How many interfaces it has described.
    pub(super) fn interfaces(&self) -> u64 {
        self.interfaces.described.into()
    }

    /// Describes interfaces again whose names have changed.
    pub(super) fn renew_names(&mut self, world: &World) {
        self.common.clear();
        self.interfaces.known.retain(|(number, _), described| {
            let point = world.tap_points.get(*number);
            point.is_some_and(|point| {
                described.name == interface_name(point, world)
                    && described.description == description(point, world)
            })
        });
    }

    /// Forgets a tap point that will have no more packets.
    pub(super) fn retire(&mut self, number: u32) {
        self.common.retain(|(known, ..), _| *known != number);
        self.interfaces
            .known
            .retain(|(known, _), _| *known != number);
        self.dropped.retain(|(known, _), _| *known != number);
    }

    /// Writes the names of addresses that are new.
    pub(super) fn resolve(&mut self, out: &mut Vec<u8>, ledger: &StateLog, world: &World) {
        let mut records = Vec::new();
        let held = world.identities.held_addresses();
        let held = held.filter(|(address, ..)| !address.is_loopback());
        let local = held.filter_map(|(address, holder, _)| {
            let name = match holder.netns {
                Some(netns) => dotted(&world.identities.known_pod(netns)?),
                None => world.node_name(holder.node)?.to_string(),
            };
            Some((address, name))
        });
        let elsewhere = ledger.cluster_pods().flat_map(|pod| {
            let name = sanitize(&format!("{}.{}", pod.name, pod.namespace));
            pod.addresses
                .iter()
                .map(move |address| (*address, name.clone()))
        });
        for (address, name) in elsewhere.chain(local) {
            if self.names.get(&address) != Some(&name) {
                records.push((address, name.clone()));
                self.names.insert(address, name);
            }
        }
        if records.is_empty() {
            return;
        }
        let mut block = Block::begin(out, NAME_RESOLUTION);
        for (address, name) in records {
            let (kind, mut value) = match address {
                IpAddr::V4(v4) => (RECORD_IPV4, v4.octets().to_vec()),
                IpAddr::V6(v6) => (RECORD_IPV6, v6.octets().to_vec()),
            };
            value.extend_from_slice(name.as_bytes());
            value.push(0);
            block.option(kind, &value);
        }
        block.u16(OPT_END).u16(0);
        block.seal_json(&());
    }

    /// Writes one hop of a packet.
    pub(super) fn packet(
        &mut self,
        out: &mut Vec<u8>,
        event: &Event,
        packet: u64,
        world: &World,
        utc_ns: u64,
    ) {
        let sockets = event.direction == Direction::Socket;
        if self.common.len() > COMMON_MAX {
            self.common.clear();
        }
        let key = (event.interface, sockets, event.cgroup);
        let common = self.common.entry(key).or_insert_with(|| Common {
            interface: self
                .interfaces
                .describe(out, event.interface, sockets, world),
            comment: comment(event, world),
        });
        let flags = match event.direction {
            Direction::Ingress | Direction::Socket => FLAG_INBOUND,
            Direction::Egress => FLAG_OUTBOUND,
            Direction::Unknown => 0,
        };
        let tap = (event.interface, event.direction);
        let dropped = if self.dropped.is_empty() {
            None
        } else {
            self.dropped.remove(&tap)
        };
        PacketBlock {
            interface: common.interface,
            utc_ns,
            wire_len: event.wire_len,
            captured: &event.captured,
            flags,
            packet,
            dropped,
            comment: &common.comment,
            info: PacketInfo {
                cgroup: event.cgroup,
                gso_segments: event.gso_segments,
                vlan_tci: event.vlan_tci,
            },
        }
        .write(out);
    }

    /// Describes an interface if it or its name is new.
    pub(super) fn describe(&mut self, out: &mut Vec<u8>, number: u32, world: &World) {
        self.interfaces.describe(out, number, false, world);
    }

    /// Writes the counts of one tap point since the section began.
    pub(super) fn statistics(
        &mut self,
        out: &mut Vec<u8>,
        number: u32,
        counts: &TapCounts,
        world: &World,
        times: (u64, u64),
    ) {
        for sockets in [false, true] {
            let of_kind: BTreeMap<_, _> = Direction::ALL
                .into_iter()
                .filter(|direction| (*direction == Direction::Socket) == sockets)
                .filter_map(|direction| Some((direction, *counts.get(&(number, direction))?)))
                .filter(|(_, count)| *count != TapCount::default())
                .collect();
            if of_kind.is_empty() || world.tap_points.get(number).is_none() {
                continue;
            }
            let index = self.interfaces.describe(out, number, sockets, world);
            let sum = |of: fn(&TapCount) -> u64| of_kind.values().map(of).sum::<u64>();
            let mut block = Block::begin(out, INTERFACE_STATISTICS);
            block.u32(index).time(times.1);
            for (code, ns) in [(2, times.0), (3, times.1)] {
                let (high, low) = halves(ns);
                let mut value = [0; 8];
                value[..4].copy_from_slice(&high.to_le_bytes());
                value[4..].copy_from_slice(&low.to_le_bytes());
                block.option(code, &value);
            }
            for (code, value) in [
                (4, sum(|count| count.seen)),
                (5, sum(TapCount::lost)),
                (6, sum(|count| count.seen - count.filtered.min(count.seen))),
                (7, sum(|count| count.lost_ring)),
                (8, sum(|count| count.emitted)),
            ] {
                block.option(code, &value.to_le_bytes());
            }
            let counts = of_kind.iter();
            block.seal_json(&InterfaceCounts {
                number,
                counts: counts
                    .map(|(direction, count)| (direction.as_str().to_owned(), *count))
                    .collect(),
            });
        }
    }
}

impl Interfaces {
    /// The number of the interface's description, which is written if the interface or its
    /// name is new.
    fn describe(&mut self, out: &mut Vec<u8>, number: u32, sockets: bool, world: &World) -> u32 {
        if let Some(described) = self.known.get(&(number, sockets)) {
            return described.index;
        }
        let index = self.described;
        self.described += 1;
        let Some(point) = world.tap_points.get(number) else {
            return index;
        };
        let mut name = interface_name(point, world);
        let described = Described {
            index,
            name: name.clone(),
            description: description(point, world),
        };
        if sockets {
            name += " (sockets)";
        }
        let is_raw = sockets || point.framing == Framing::Ip;
        let mut block = Block::begin(out, INTERFACE_DESCRIPTION);
        let link = if is_raw {
            LINKTYPE_RAW
        } else {
            LINKTYPE_ETHERNET
        };
        block.u16(link).u16(0).u32(0);
        block.option(2, name.as_bytes());
        block.option(3, described.description.as_bytes());
        if let Some(mac) = point.mac {
            block.option(6, &mac.0);
        }
        // Resolution of times: 10^-9 seconds.
        block.option(9, &[9]);
        block.seal_json(&InterfaceInfo {
            index,
            number,
            sockets,
            point: point.clone(),
        });
        self.known.insert((number, sockets), described);
        index
    }
}

/// `eth0 of default/mypod1 on worker1`, or `veth12 of worker1, eth0 of default/mypod1` where
/// it leads.
fn description(point: &TapPoint, world: &World) -> String {
    let TapPoint {
        name, node_name, ..
    } = point;
    if let Some(netns) = point.pod_netns() {
        let pod = world.identities.pod(netns);
        return format!("{name} of {pod} on {node_name}");
    }
    let Some(netns) = point.leads_to else {
        return format!("{name} of {node_name}");
    };
    let pod = world.identities.pod(netns);
    match &point.peer_name {
        Some(peer) => format!("{name} of {node_name}, {peer} of {pod}"),
        None => format!("{name} of {node_name}, of {pod}"),
    }
}

/// `mypod1.default/eth0` or `worker1/veth12`.
fn interface_name(point: &TapPoint, world: &World) -> String {
    let owner = world.owner_of(point);
    let owner = if point.in_pod {
        dotted(&owner)
    } else {
        owner.to_string()
    };
    format!("{owner}/{}", point.name)
}

/// `mypod1.default` of `default/mypod1`; anything else as it is.
fn dotted(pod: &str) -> String {
    match pod.split_once('/') {
        Some((namespace, name)) => format!("{name}.{namespace}"),
        None => pod.to_owned(),
    }
}

/// `default/mypod1[container1]` as far as known, as an option; empty if nothing is known.
fn comment(event: &Event, world: &World) -> Vec<u8> {
    owner(event, world).map_or_else(Vec::new, |owner| {
        encoded_option(OPT_COMMENT, owner.as_bytes())
    })
}

fn owner(event: &Event, world: &World) -> Option<String> {
    if event.cgroup != CGROUP_NONE
        && let SocketOwner::Container(name) = world.identities.socket_owner(event.cgroup)
    {
        return Some(name.to_string());
    }
    let point = world.tap_points.get(event.interface)?;
    world.pod_of(point).map(|pod| pod.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fixture::world;

    #[test]
    fn description_names_the_pod_that_a_veth_leads_to() {
        let world = world();
        let points = (0..5).filter_map(|number| world.tap_points.get(number).cloned());
        let described: Vec<_> = points
            .map(|mut point| {
                point.peer_name = point.leads_to.map(|_| "eth0".into());
                description(&point, &world)
            })
            .collect();
        assert_eq!(
            described,
            [
                "eth0 of default/mypod1 on worker1",
                "veth1 of worker1, eth0 of default/mypod1",
                "veth2 of worker1, eth0 of default/mypod2",
                "eth0 of default/mypod2 on worker1",
                "cni0 of worker1",
            ]
        );
    }
}
