//! Copies of a packet that a bridge sends to several ports: those for others are side
//! branches of its path.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use podtrace_ebpf::record::Direction;

use super::{Hop, Path};
use crate::{model::tap_point::Role, world::World};

/// Upper bound of the ports that are shown one by one if a packet is for all of them; of more,
/// none is.
const PORTS_SHOWN: usize = 4;

/// The port that a hop is at: the namespace behind it, or its interface if that is not known.
type Port = (bool, u64);

/// The hops of a path that belong to copies which need not be shown one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Of each hop, whether it is; empty if none is.
    hops: Vec<bool>,
    /// The ports that they were sent to, in the order in which they were.
    ports: Vec<Port>,
}

impl Copies {
    /// The copies on a path. Those that have reached their receiver are not among them, unless
    /// there are many receivers.
    #[must_use]
    pub fn of(path: &Path, world: &World) -> Self {
        let is_for_many = path.packet.is_for_group() && path.hops.len() > 2 * PORTS_SHOWN;
        if !is_for_many && !path.hops.iter().any(|hop| hop.aside) {
            return Self::default();
        }
        let ports: Vec<_> = path.hops.iter().map(|hop| port(hop, world)).collect();
        let aside = aside(path, &ports);
        let hops = ports
            .iter()
            .map(|port| port.is_some_and(|port| aside.contains(&port)));
        let hops: Vec<_> = hops.collect();
        let mut by_time = Vec::with_capacity(aside.len());
        for port in ports.into_iter().flatten() {
            if aside.contains(&port) && !by_time.contains(&port) {
                by_time.push(port);
            }
        }
        Self {
            hops,
            ports: by_time,
        }
    }

    /// The last hop on the packet's own way, else the last of all.
    pub(crate) fn last<'a>(&self, path: &'a Path) -> Option<&'a Hop> {
        let mut hops = path.hops.iter().take(path.hops_until_lost()).enumerate();
        let own = hops.rfind(|(number, hop)| !hop.aside && !self.has(*number));
        own.map(|(_, hop)| hop).or(path.hops.last())
    }

    /// At how many ports they were seen.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// What is behind the ports: the pods, or the interfaces where no pod is known.
    pub fn behind<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Arc<str>> + 'a {
        self.ports.iter().filter_map(|(is_namespace, id)| {
            if *is_namespace {
                return Some(world.identities.pod(*id));
            }
            let point = world.tap_points.get(u32::try_from(*id).ok()?)?;
            Some(Arc::clone(&point.name))
        })
    }

    /// The bridge that has sent them, if only one was seen.
    #[must_use]
    pub fn bridge<'a>(path: &Path, world: &'a World) -> Option<&'a str> {
        let points = path.hops.iter();
        let points = points.filter_map(|hop| world.tap_points.get(hop.interface));
        let mut bridges = points.filter(|point| point.role == Role::Bridge);
        let first = bridges.next()?;
        let is_only = bridges.all(|other| (other.node, &other.name) == (first.node, &first.name));
        is_only.then_some(&*first.name)
    }

    /// Whether a hop is of a copy.
    #[must_use]
    pub fn has(&self, hop: usize) -> bool {
        self.hops.get(hop).copied().unwrap_or(false)
    }
}

/// The ports whose copies are not shown.
fn aside(path: &Path, ports: &[Option<Port>]) -> BTreeSet<Port> {
    let hops = || path.hops.iter().zip(ports);
    // Of each port, whether its namespace took the packet; none if that was not seen.
    let mut takes: BTreeMap<Port, Option<bool>> = BTreeMap::new();
    let mut shown = Vec::new();
    for (hop, port) in hops() {
        let Some(port) = *port else {
            continue;
        };
        let taken = takes.entry(port).or_default();
        if hop.direction != Direction::Egress {
            *taken = Some(taken.unwrap_or(false) || !hop.aside);
            if !hop.aside && !shown.contains(&port) {
                shown.push(port);
            }
        }
    }
    let is_taken = !shown.is_empty();
    let has_bystanders = takes.values().any(|taken| *taken == Some(false));
    if shown.len() > PORTS_SHOWN {
        shown.clear();
    }
    let is_aside = |(port, taken): &(Port, Option<bool>)| match taken {
        Some(false) => true,
        Some(true) => !shown.contains(port),
        None => has_bystanders && is_taken,
    };
    let takes = takes.into_iter().filter(is_aside);
    takes.map(|(port, _)| port).collect()
}

/// The port that a copy was sent to, and that has got it.
fn port(hop: &Hop, world: &World) -> Option<Port> {
    let point = world.tap_points.get(hop.interface)?;
    match (point.role, hop.direction) {
        (Role::Veth, Direction::Egress) => {
            let interface = (false, hop.interface.into());
            Some(point.leads_to.map_or(interface, |netns| (true, netns)))
        }
        (Role::Pod, Direction::Ingress | Direction::Socket) => Some((true, point.netns_id)),
        _ => None,
    }
}
