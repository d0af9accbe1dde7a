//! The Services, and ports of nodes that lead to pods, that address translation stands for.
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

/// The Service of a translation on a path, if the API tells it; or the port of a node that leads to
/// a pod, if the runtime tells it.
#[must_use]
pub fn service_of<'a>(
    path: &Path,
    translation: &Translation,
    world: &'a World,
) -> Option<Service<'a>> {
    let ts_ns = path.hops.get(translation.hop)?.ts_ns;
    let protocol = path.packet.ip_protocol()?;
    let find = |(outside, port): (_, Option<u16>), (inside, inner_port): (_, Option<u16>)| {
        let (identities, port) = (&world.identities, port?);
        let service = identities.service_at(protocol, outside, port, ts_ns);
        service.or_else(|| {
            identities.host_port_at(protocol, (outside, port), (inside, inner_port?), ts_ns)
        })
    };
    let (before, after) = (&translation.before, &translation.after);
    let asked = || find(before.to(), after.to()).filter(|_| translation.is_of_destination());
    let answers = || find(after.from(), before.from()).filter(|_| translation.is_of_source());
    let service = |answers| move |port| Service { port, answers };
    asked()
        .map(service(false))
        .or_else(|| answers().map(service(true)))
}

/// The Service that a packet is for or answers, by the pod behind it and its port, where nothing on
/// its path was translated: its ends may have been before it was sent, as by Cilium at connect(),
/// or on a node that is not traced.
#[must_use]
pub fn service_behind<'a>(path: &Path, world: &'a World) -> Option<Service<'a>> {
    if !path.translations.is_empty() {
        return None;
    }
    let (first, ends) = (path.hops.first()?, path.packet.ends()?);
    let protocol = path.packet.ip_protocol()?;
    let behind = |(address, port): (_, Option<u16>)| {
        world
            .identities
            .service_behind(protocol, address, port?, first.ts_ns)
    };
    let service = |answers| move |port| Service { port, answers };
    let asked = behind(ends.to()).map(service(false));
    asked.or_else(|| behind(ends.from()).map(service(true)))
}
