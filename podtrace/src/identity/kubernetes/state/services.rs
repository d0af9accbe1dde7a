//! The cluster's Services by the addresses and ports that their clients use.
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use super::{super::ClusterService, claims::Claims};
use crate::text::sanitize::sanitize;

/// Upper bound of the addresses with a port that are kept.
const MAX_CLAIMS: usize = 200_000;

/// A port of a Service as shown.
#[derive(Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `namespace/name:port`, safe to print.
    pub name: Arc<str>,
    /// Name of the port within the Service, safe to print.
    pub port_name: Option<Arc<str>>,
}

/// What stands for the name of a port of the node that leads to a pod. No port of a Service has
/// such a name: Kubernetes allows small letters only.
const HOST_PORT: &str = "hostPort";

impl ServicePort {
    /// A port of the node that leads to a pod: `name` is `namespace/pod:port`.
    #[must_use]
    pub fn of_host(name: &str) -> Self {
        Self {
            name: sanitize(name).into(),
            port_name: Some(HOST_PORT.into()),
        }
    }

    /// `namespace/name`, safe to print.
    #[must_use]
    pub fn service(&self) -> &str {
        let name = &*self.name;
        name.rsplit_once(':').map_or(name, |(service, _)| service)
    }

    /// Whether it is a pod's and not a Service's.
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        self.port_name.as_deref() == Some(HOST_PORT)
    }
}

/// The Services that are known, by UID.
#[derive(Debug, Default)]
pub(super) struct Services {
    services: HashMap<Arc<str>, Known>,
    claims: Claims<Frontend, Owner>,
    /// How many of the claims hold now.
    held: usize,
    not_kept: u64,
}

#[derive(Debug)]
struct Known {
    service: ClusterService,
    /// The addresses and ports that it claims.
    frontends: Vec<Frontend>,
    /// The list or change that reported it last.
    round: u64,
}

/// The address and port that clients of a Service send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frontend {
    pub(super) protocol: u8,
    /// None for a node port: any address of a node.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

/// A Service that claims an address with a port.
#[derive(Debug)]
struct Owner {
    uid: Arc<str>,
    port: Arc<ServicePort>,
}

impl Services {
    /// Those whose names fit, with their names, safe to print.
    pub(super) fn named<'a>(
        &'a self,
        fits: &'a dyn Fn(&str) -> bool,
    ) -> impl Iterator<Item = (Arc<str>, &'a ClusterService)> {
        self.services.values().filter_map(move |known| {
            let service = &known.service;
            let name = sanitize(&format!("{}/{}", service.namespace, service.name));
            fits(&name).then(|| (name.into(), service))
        })
    }

    /// Adds or updates a Service. `from_ns`: since when it exists.
    pub(super) fn insert(
        &mut self,
        service: ClusterService,
        from_ns: u64,
        now_ns: u64,
        round: u64,
    ) {
        let known = self.services.get_mut(service.uid.as_str());
        let from_ns = match known {
            Some(known) if known.service == service => {
                known.round = round;
                return;
            }
            // The Service had other addresses or ports before, so it cannot have had these from
            // its start.
            Some(_) => now_ns,
            None => from_ns,
        };
        self.remove(&service.uid, now_ns);
        let uid: Arc<str> = service.uid.as_str().into();
        let mut frontends = Vec::new();
        let mut distinct = HashSet::new();
        for (frontend, port) in claimed(&service) {
            if !distinct.insert(frontend) {
                continue;
            }
            if self.held >= MAX_CLAIMS {
                self.not_kept += 1;
                break;
            }
            self.held += 1;
            frontends.push(frontend);
            let uid = Arc::clone(&uid);
            self.claims.begin(frontend, Owner { uid, port }, from_ns);
        }
        if !frontends.is_empty() {
            let known = Known {
                service,
                frontends,
                round,
            };
            self.services.insert(uid, known);
        }
    }

    /// Ends the claims of a Service.
    pub(super) fn remove(&mut self, uid: &str, at_ns: u64) {
        let Some(known) = self.services.remove(uid) else {
            return;
        };
        self.held -= known.frontends.len();
        for frontend in known.frontends {
            self.claims.end(frontend, at_ns, |owner| *owner.uid == *uid);
        }
    }

    /// Drops the Services last reported in another round: they were deleted when this one
    /// began.
    pub(super) fn retain_round(&mut self, round: u64, began_ns: u64) {
        let missing = self
            .services
            .iter()
            .filter(|(_, known)| known.round != round);
        let missing: Vec<_> = missing.map(|(uid, _)| Arc::clone(uid)).collect();
        for uid in missing {
            self.remove(&uid, began_ns);
        }
    }

    /// The one port of a Service that had an address and a port at a time.
    pub(super) fn at(&self, frontend: &Frontend, at_ns: u64) -> Option<&Arc<ServicePort>> {
        let claims = self.claims.to(frontend);
        let mut held = claims.filter(|claim| claim.held_at(at_ns));
        match (held.next(), held.next()) {
            (Some(claim), None) => Some(&claim.of.port),
            _ => None,
        }
    }

    /// Drops claims that ended too long ago, or too many of them.
    pub(super) fn forget(&mut self, now_ns: u64) {
        self.claims.forget(now_ns);
    }

    /// How many reports found no room, or not for all of their addresses.
    pub(super) fn not_kept(&self) -> u64 {
        self.not_kept
    }
}

/// The addresses with ports of a Service, and the node ports.
fn claimed(service: &ClusterService) -> Vec<(Frontend, Arc<ServicePort>)> {
    let mut claimed = Vec::new();
    for port in &service.ports {
        let name = format!("{}/{}:{}", service.namespace, service.name, port.port);
        let shown = Arc::new(ServicePort {
            name: sanitize(&name).into(),
            port_name: port.name.as_deref().map(|name| sanitize(name).into()),
        });
        let addresses = service.addresses.iter();
        let by_address = addresses.map(|address| (Some(*address), port.port));
        let by_node = port.node_port.map(|port| (None, port));
        claimed.extend(by_address.chain(by_node).map(|(address, number)| {
            let frontend = Frontend {
                protocol: port.protocol,
                address,
                port: number,
            };
            (frontend, Arc::clone(&shown))
        }));
    }
    claimed
}

#[cfg(test)]
mod tests;
