//! What the terms ask about a path, each found out once.
use std::{cell::OnceCell, collections::BTreeMap, net::IpAddr, sync::Arc};

use crate::{
    identity::kubernetes::ServicePort,
    model::tap_point::TapPoint,
    packet::Ends,
    path::{
        Path,
        ends::{End, Who, ends},
        service::{service_behind, service_of},
    },
    world::World,
};

/// A path, and what is known of it.
pub(super) struct Seen<'a> {
    pub(super) path: &'a Path,
    world: &'a World,
    ends: OnceCell<(End, End)>,
    pods: OnceCell<Vec<Arc<str>>>,
    services: OnceCell<Vec<Arc<str>>>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(path: &'a Path, world: &'a World) -> Self {
        Self {
            path,
            world,
            ends: OnceCell::new(),
            pods: OnceCell::new(),
            services: OnceCell::new(),
        }
    }

    /// The sender and the receiver.
    pub(super) fn ends(&self) -> &(End, End) {
        self.ends.get_or_init(|| ends(self.path, self.world))
    }

    /// The pods that it touches: its sender, its receiver, and those whose interfaces it passes,
    /// copies for others not counted.
    pub(super) fn pods(&self) -> &[Arc<str>] {
        self.pods.get_or_init(|| {
            let mut spaces: Vec<u64> = Vec::new();
            for hop in self.path.hops.iter().filter(|hop| !hop.aside) {
                let point = self.world.tap_points.get(hop.interface);
                let netns = point.and_then(TapPoint::nearest_pod);
                spaces.extend(netns.filter(|netns| !spaces.contains(netns)));
            }
            let identities = &self.world.identities;
            let mut pods: Vec<_> = spaces.iter().map(|netns| identities.pod(*netns)).collect();
            let (from, to) = self.ends();
            for end in [from, to] {
                if let Who::Pod(name) = &end.who
                    && !pods.contains(name)
                {
                    pods.push(Arc::clone(name));
                }
            }
            pods
        })
    }

    /// The labels of a pod, if they are known.
    pub(super) fn labels(&self, pod: &str) -> Option<&'a BTreeMap<String, String>> {
        self.world.identities.labels(pod)
    }

    /// The Services, `namespace/name`, that it is for or that it answers, before or behind
    /// address translation.
    pub(super) fn services(&self) -> &[Arc<str>] {
        self.services.get_or_init(|| {
            let mut names: Vec<Arc<str>> = Vec::new();
            let mut add = |port: &ServicePort| {
                let name = port.service();
                if !names.iter().any(|known| **known == *name) {
                    names.push(name.into());
                }
            };
            for translation in &self.path.translations {
                if let Some(service) = service_of(self.path, translation, self.world)
                    && !service.port.is_of_host()
                {
                    add(service.port);
                }
            }
            if let Some(service) = service_behind(self.path, self.world) {
                add(service.port);
            }
            // Where it is not translated, or not seen to be.
            let protocol = self.path.packet.ip_protocol();
            if let (Some(protocol), Some(first), Some(before), Some(after)) = (
                protocol,
                self.path.hops.first(),
                self.path.packet.ends(),
                self.path.ends(),
            ) {
                for (address, port) in [before.to(), after.from()] {
                    let found = port.and_then(|port| {
                        let identities = &self.world.identities;
                        identities.service_at(protocol, address, port, first.ts_ns)
                    });
                    if let Some(found) = found {
                        add(found);
                    }
                }
            }
            names
        })
    }

    /// The ends that it has had, before and behind each translation.
    fn all_ends(&self) -> impl Iterator<Item = Ends> {
        let translations = self.path.translations.iter();
        let after = translations.map(|translation| translation.after);
        self.path.packet.ends().into_iter().chain(after)
    }

    /// The addresses that it has come from.
    pub(super) fn sources(&self) -> impl Iterator<Item = IpAddr> {
        let own = self.path.packet.source().into_iter();
        own.chain(self.all_ends().map(|ends| ends.source))
    }

    /// The addresses that it was for.
    pub(super) fn destinations(&self) -> impl Iterator<Item = IpAddr> {
        let own = self.path.packet.destination().into_iter();
        own.chain(self.all_ends().map(|ends| ends.destination))
    }

    /// The ports that it has had.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.all_ends()
            .filter_map(|ends| ends.ports)
            .flat_map(|(from, to)| [from, to])
    }

    /// The nodes that it was seen at, or whose own it is, or whose pods'.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &str> {
        let hops = self.path.hops.iter();
        let points = hops.filter_map(|hop| self.world.tap_points.get(hop.interface));
        let (from, to) = self.ends();
        let named = [from, to].into_iter().filter_map(|end| match &end.who {
            Who::Node(name) | Who::On(name) => Some(&**name),
            Who::Pod(_) | Who::Unknown => None,
        });
        points.map(|point| &*point.node_name).chain(named)
    }
}
