//! What a bridge sends to a port of an address that it has not learned there.
use super::{At, Cause, View};
use crate::{model::tables::FdbEntry, packet::Mac};

/// Whether a port gets no frames for a MAC address that its bridge has not learned there.
#[must_use]
pub fn unflooded(view: View<'_>, port: At<'_>, mac: Mac) -> Option<Cause> {
    let settings = port.device.port.filter(|settings| !settings.flood)?;
    Some(Cause::FloodOff {
        at: view.place(port),
        mac,
        learns: settings.learning,
    })
}

/// Whether it gets none for who is behind it, as nothing is learned of that.
#[must_use]
pub fn unlearned(view: View<'_>, port: At<'_>) -> Option<Cause> {
    let mac = view.peer(port)?.device.mac?;
    let is_it = |entry: &FdbEntry| {
        let is_bridges = entry.master.is_some() && entry.master == port.device.master;
        is_bridges && entry.mac == mac && entry.ifindex == port.device.ifindex
    };
    let is_learned = port.space.tables.fdb.iter().any(is_it);
    unflooded(view, port, mac).filter(|_| !is_learned)
}
