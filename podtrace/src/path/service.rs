//! The Services that address translation stands for.
use std::sync::Arc;

use super::{Path, Translation};
use crate::{identity::kubernetes::ServicePort, world::World};

/// A Service that a translation leads to, or back from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its port.
    pub port: &'a Arc<ServicePort>,
    /// Whether the packet answers: the Service is its source now. Otherwise it was the
    /// destination before.
    pub answers: bool,
}

/// The Service of a translation on a path, if the API tells it.
#[must_use]
pub fn service_of<'a>(
    path: &Path,
    translation: &Translation,
    world: &'a World,
) -> Option<Service<'a>> {
    let ts_ns = path.hops.get(translation.hop)?.ts_ns;
    let protocol = path.packet.ip_protocol()?;
    let find = |(address, port): (_, Option<u16>)| {
        let identities = &world.identities;
        identities.service_at(protocol, address, port?, ts_ns)
    };
    let asked = || find(translation.before.to()).filter(|_| translation.is_of_destination());
    let answers = || find(translation.after.from()).filter(|_| translation.is_of_source());
    let service = |answers| move |port| Service { port, answers };
    asked()
        .map(service(false))
        .or_else(|| answers().map(service(true)))
}
