//! The current section: the interfaces and names that it has described.
use std::{
    collections::{BTreeMap, hash_map::Entry},
    net::IpAddr,
};

use podtrace_ebpf::record::{CGROUP_NONE, Direction};

use super::{
    description::{Key, dotted},
    interfaces::{Interface, Interfaces},
    state_log::StateLog,
};
use crate::{
    identity::sockets::SocketOwner,
    map::Map,
    model::{
        event::Event,
        tap::{TapCount, TapCounts},
    },
    session::{
        block::{Block, PacketBlock, encoded_option, halves},
        format::{
            BYTE_ORDER, FLAG_INBOUND, FLAG_OUTBOUND, INTERFACE_STATISTICS, InterfaceCounts,
            NAME_RESOLUTION, OPT_COMMENT, OPT_END, PacketInfo, SECTION_HEADER, SectionInfo,
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

/// The items that a section has described so far.
#[derive(Default)]
pub(super) struct Section {
    pub(super) interfaces: Interfaces,
    /// Names written, by address.
    names: BTreeMap<IpAddr, String>,
    /// The common part of all packets of an interface and a cgroup: computed once for each
    /// combination.
    common: Map<(Key, u64), Common>,
    /// Events lost since the last written one, by tap.
    pub(super) dropped: Map<(u32, Direction), u64>,
    /// Whether the interfaces known at its begin are described.
    pub(super) is_introduced: bool,
}

/// The common part of packets.
struct Common {
    interface: Interface,
    /// As an option; empty if there is none.
    comment: Vec<u8>,
}

impl Section {
    /// A section with that header. `about`: kernel, command line; `link`: link layer of the
    /// file, if that is decided.
    pub(super) fn begin(info: &SectionInfo, about: (&str, &str), link: Option<u16>) -> Self {
        Self {
            interfaces: Interfaces::new(header(info, about), link),
            ..Self::default()
        }
    }

    /// Describes interfaces again whose names have changed.
    pub(super) fn renew_names(&mut self, world: &World) {
        self.common.clear();
        self.interfaces.renew_names(world);
    }

    /// Forgets a tap point that will have no more packets.
    pub(super) fn retire(&mut self, number: u32) {
        self.common.retain(|(key, _), _| key.number != number);
        self.interfaces.retire(number);
        self.dropped.retain(|(known, _), _| *known != number);
    }

    /// Writes the names of addresses that are new.
    pub(super) fn resolve(&mut self, out: &mut Vec<u8>, state_log: &StateLog, world: &World) {
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
        let elsewhere = state_log.cluster_pods().flat_map(|pod| {
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

    /// Writes one hop of a packet; returns false if its interface is no longer known.
    pub(super) fn packet(
        &mut self,
        out: &mut Vec<u8>,
        event: &Event,
        packet: u64,
        world: &World,
        utc_ns: u64,
    ) -> bool {
        if self.common.len() > COMMON_MAX {
            self.common.clear();
        }
        let key = Key::of(event);
        let common = match self.common.entry((key, event.cgroup)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let usable = self.interfaces.usable(out, key, Some(event.link), world);
                let Some(interface) = usable else {
                    return false;
                };
                new.insert(Common {
                    interface,
                    comment: comment(event, world),
                })
            }
        };
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
        let Interface {
            index,
            conversion,
            receiver,
        } = common.interface;
        let replaced = conversion.map(|layer| layer.ethernet(&event.captured, receiver));
        let (header, len) = match &replaced {
            Some(replaced) => (&replaced.header[..], replaced.len),
            None => (&[][..], 0),
        };
        PacketBlock {
            interface: index,
            utc_ns,
            wire_len: event.wire_len.saturating_sub(len as u32) + header.len() as u32,
            header,
            captured: &event.captured[len..],
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
        true
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
            let key = Key { number, sockets };
            let is_wanted = !of_kind.is_empty() && self.interfaces.takes_counts(key);
            let usable = is_wanted.then(|| self.interfaces.usable(out, key, None, world));
            let Some(Interface { index, .. }) = usable.flatten() else {
                continue;
            };
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
                (5, sum(TapCount::missing)),
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

/// A section header. `about`: kernel, command line.
fn header(info: &SectionInfo, (kernel, command): (&str, &str)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = Block::begin(&mut out, SECTION_HEADER);
    block.u32(BYTE_ORDER).u16(1).u16(0);
    // The length of an unfinished section is unknown.
    block.bytes(&[0xff; 8]);
    let nodes = info.nodes.join(", ");
    let mut comment = format!("node {nodes}, by `{command}`");
    for clock in &info.clocks {
        comment += &format!("; {}", clock.in_words());
    }
    block.option(3, kernel.as_bytes());
    block.option(
        4,
        format!("podtrace {}", env!("CARGO_PKG_VERSION")).as_bytes(),
    );
    block.option(OPT_COMMENT, sanitize(&comment).as_bytes());
    block.seal_json(info);
    out
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
