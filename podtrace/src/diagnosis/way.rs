//! Which packets are of the two, and in which direction.
use podtrace_ebpf::record::Direction;

use super::{Diagnosis, FLOWS_MAX, Way, key, locate};
use crate::{
    model::probes::Probes,
    packet::{Protocol, Transport, asks_to_connect},
    path::Path,
    select::{leads, sends},
    world::{
        World,
        locate::{Kind, Located},
    },
};

impl Diagnosis {
    /// The direction of a path, if it is of the two and of what is asked about.
    pub(super) fn way(&mut self, path: &Path, world: &World) -> Option<Way> {
        let ends = path.packet.ends()?;
        let is_for_it = self.is_for_destination(path, world);
        let (source, destination) = (&self.pair.source.peer, &self.pair.destination.peer);
        let is_answer = self.answers.contains(&key(ends));
        let leads_there =
            leads(path, source, destination, world) || is_for_it && sends(path, source, world);
        let leads_back = leads(path, destination, source, world);
        let way = match (leads_there, leads_back, path.packet.transport) {
            // It talks to itself.
            (true, true, Transport::Echo { reply: true, .. }) => Way::Reply,
            (true, true, Transport::Echo { reply: false, .. }) => Way::Request,
            (true, true, _) if is_answer => Way::Reply,
            (true, ..) => Way::Request,
            (false, back, _) if back || is_answer => Way::Reply,
            _ => return None,
        };
        let is_wanted = self.is_of_ladder(path) || self.is_wanted(path, way, world);
        is_wanted.then_some(way)
    }

    /// Whether a packet is for an address of the destination, whoever gets it, but for the source
    /// itself.
    fn is_for_destination(&mut self, path: &Path, world: &World) -> bool {
        let Some(to) = path.packet.destination() else {
            return false;
        };
        let [source, destination] = self.located(world);
        let source = source.as_ref().and_then(|source| source.netns);
        let Some(destination) = destination.as_ref() else {
            return false;
        };
        let is_own = || {
            let netns = source.filter(|_| source != destination.netns);
            netns.is_some_and(|netns| world.has_address(netns, to))
        };
        destination.addresses.contains(&to) && !is_own()
    }

    /// Whether a packet that answers the source begins in its own namespace, in the name of another: a
    /// firewall there has sent it, or a proxy.
    pub(super) fn is_of_source(&mut self, path: &Path, world: &World) -> bool {
        let [source, destination] = self.located(world);
        let source = source.as_ref().and_then(|source| source.netns);
        let destination = destination.as_ref().and_then(|end| end.netns);
        let Some(netns) = source.filter(|_| source != destination) else {
            return false;
        };
        // Its own Service may lead back to itself.
        let from = path.packet.source();
        if from.is_none_or(|from| world.has_address(netns, from)) {
            return false;
        }
        let first = path.hops.first();
        first.is_some_and(|first| {
            let point = world.tap_points.get(first.interface);
            let is_there = point.is_some_and(|point| point.netns_id == netns);
            is_there && first.direction == Direction::Egress
        })
    }

    /// Where the two are, looked up once until the time advances.
    pub(super) fn located(&mut self, world: &World) -> &[Option<Located>; 2] {
        let (pair, now_ns) = (&self.pair, self.now_ns);
        self.located.get_or_insert_with(|| {
            [&pair.source, &pair.destination].map(|end| locate(end, now_ns, world))
        })
    }

    fn is_wanted(&mut self, path: &Path, way: Way, world: &World) -> bool {
        let protocol = path.packet.protocol();
        let is_wanted = match self.pair.protocol {
            Some(wanted) => protocol == wanted,
            None if protocol == Protocol::Icmp => true,
            None => self.is_service(world),
        };
        if !is_wanted {
            return false;
        }
        match path.packet.transport {
            Transport::Echo { reply, .. } => reply == (way == Way::Reply),
            Transport::Icmp { .. } | Transport::Neighbor { .. } => false,
            Transport::Tcp { flags, .. } => self.is_ours(path, way, flags),
            _ => self.has_port(path, way),
        }
    }

    /// Whether a TCP packet is of a connection that the source has begun, as far as that was seen.
    fn is_ours(&mut self, path: &Path, way: Way, flags: u8) -> bool {
        if !self.has_port(path, way) {
            return false;
        }
        let Some(ends) = path.packet.ends() else {
            return false;
        };
        if way == Way::Reply && asks_to_connect(flags) {
            if self.foreign.len() < FLOWS_MAX {
                self.foreign.extend([key(ends), key(ends.reversed())]);
            }
            return false;
        }
        !self.foreign.contains(&key(ends))
    }

    fn has_port(&self, path: &Path, way: Way) -> bool {
        let Some(wanted) = self.pair.port else {
            return true;
        };
        let translated = path.translations.iter().map(|one| one.after);
        let mut all = path.packet.ends().into_iter().chain(translated);
        all.any(|ends| {
            let (_, port) = match way {
                Way::Request => ends.to(),
                Way::Reply => ends.from(),
            };
            port == Some(wanted)
        })
    }

    pub(super) fn is_of_ladder(&self, path: &Path) -> bool {
        let ladder = self.probes.as_ref().map(Probes::ladder_id);
        matches!(path.packet.transport, Transport::Echo { id, .. } if Some(id) == ladder)
    }

    fn is_service(&mut self, world: &World) -> bool {
        let destination = &self.pair.destination;
        *self.is_service.get_or_insert_with(|| {
            let found = locate(destination, 0, world);
            found.is_some_and(|found| found.kind == Kind::Service)
        })
    }
}
