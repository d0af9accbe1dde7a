//! VXLAN: forwarding entries, VTEPs, and what the receiving node takes.
use std::net::IpAddr;

use super::{At, Cause, Entry, View};
use crate::{model::facts::Vxlan, packet::Mac};

/// What VXLAN over IPv4 and IPv6 adds to a packet: an inner Ethernet header, and those of VXLAN,
/// UDP and IP.
#[must_use]
pub fn overhead(is_ipv4: bool) -> u32 {
    if is_ipv4 { 50 } else { 70 }
}

/// The settings of a VXLAN interface.
#[must_use]
pub fn settings(at: At<'_>) -> Option<&Vxlan> {
    at.device.vxlan.as_ref()
}

/// The VTEP that a VXLAN interface sends frames for a MAC address to.
///
/// # Errors
/// The cause if there is none.
pub fn vtep(view: View<'_>, at: At<'_>, mac: Mac, to: IpAddr) -> Result<IpAddr, Cause> {
    let entry = |wanted: Mac| {
        let mut entries = at.space.tables.fdb.iter();
        entries.find_map(|entry| {
            let is_it = entry.ifindex == at.device.ifindex && entry.own && entry.mac == wanted;
            entry.vtep.filter(|_| is_it)
        })
    };
    let found = entry(mac).or_else(|| entry(Mac::default()));
    found.ok_or_else(|| Cause::NoForwardingEntry {
        at: view.place(at),
        mac,
        vtep: right_vtep(view, at, to),
    })
}

/// Whether a VXLAN interface sends from an address that its namespace does not have: there is no
/// route for that.
#[must_use]
pub fn foreign_source(view: View<'_>, at: At<'_>) -> Option<Cause> {
    let address = at.device.vxlan.as_ref()?.local?;
    (!at.is_local(address) && view.is_whole()).then(|| Cause::AddressMissing {
        at: view.place(at),
        address,
        holder: None,
    })
}

/// The VXLAN interface of the node that has an address, with the same VNI; none if that is not
/// known for sure.
#[must_use]
pub fn peer_of<'a>(view: View<'a>, at: At<'_>, to: IpAddr) -> Option<At<'a>> {
    let vni = settings(at)?.vni;
    let mut owners = view.owners(to);
    let owner = owners.next()?;
    if owners.any(|other| other.node.node != owner.node.node) || owner.node.node == at.node.node {
        return None;
    }
    let mut tunnels = tunnels(view, owner.node.node);
    tunnels.find(|theirs| settings(*theirs).is_some_and(|theirs| theirs.vni == vni))
}

/// The MAC address behind a tunnel of a next hop that another node's VXLAN interface has.
#[must_use]
pub fn mac_of(view: View<'_>, at: At<'_>, next: IpAddr) -> Option<Mac> {
    let vni = settings(at)?.vni;
    let is_theirs = |owner: &At<'_>| {
        let theirs = settings(*owner).is_some_and(|theirs| theirs.vni == vni);
        theirs && owner.node.node != at.node.node
    };
    let mut owners = view.owners(next).filter(is_theirs);
    let owner = owners.next()?;
    owners.next().is_none().then_some(owner.device.mac?)
}

/// The VXLAN interfaces of a node.
pub fn tunnels(view: View<'_>, node: usize) -> impl Iterator<Item = At<'_>> {
    let all = view.all();
    all.filter(move |at| at.node.node == node && !at.space.in_pod && at.device.vxlan.is_some())
}

/// The VTEP of the node that has an address.
#[must_use]
pub fn right_vtep(view: View<'_>, at: At<'_>, to: IpAddr) -> Option<IpAddr> {
    settings(peer_of(view, at, to)?)?.local
}

/// Whether the VXLAN interface that has a next hop's address is of another VNI.
#[must_use]
pub fn other_vni(view: View<'_>, at: At<'_>, next: IpAddr) -> Option<Cause> {
    let vni = settings(at)?.vni;
    let mut owners = view.owners(next);
    let theirs = owners.find(|owner| owner.node.node != at.node.node)?;
    let here = settings(theirs)?.vni;
    (here != vni).then(|| Cause::VniDiffers {
        at: view.place(theirs),
        vni,
        here: vec![here],
    })
}

/// Whether a VTEP is not that of the node that has an address, or the node's own. `mac`: of the
/// forwarding entry.
#[must_use]
pub fn wrong_vtep(
    view: View<'_>,
    at: At<'_>,
    vtep: IpAddr,
    mac: Option<Mac>,
    to: Option<IpAddr>,
) -> Option<Cause> {
    let is_own = at.is_local(vtep);
    let right = to.and_then(|to| right_vtep(view, at, to));
    let is_right = right.is_none_or(|right| right == vtep);
    // A node may have several addresses.
    let is_theirs = || {
        let peer = to.and_then(|to| peer_of(view, at, to));
        peer.is_some_and(|peer| peer.is_local(vtep))
    };
    (is_own || !is_right && !is_theirs()).then(|| Cause::WrongVtep {
        at: view.place(at),
        mac,
        vtep,
        is_own,
        right,
    })
}

/// Whether the MAC address of a next hop behind a tunnel is not that of the node's VXLAN
/// interface.
#[must_use]
pub fn stale_mac(view: View<'_>, at: At<'_>, next: IpAddr, mac: Mac, to: IpAddr) -> Option<Cause> {
    let right = peer_of(view, at, to)?.device.mac?;
    (right != mac).then(|| Cause::WrongMac {
        at: view.place(at),
        address: Some(next),
        mac,
        right: Some(right),
        is_own: at.device.mac == Some(mac),
        entry: Entry::Made,
    })
}

/// The VXLAN interface that takes a packet which comes in by an uplink.
///
/// # Errors
/// The cause if none does.
pub fn receiver<'a>(
    view: View<'a>,
    uplink: At<'a>,
    vni: u32,
    port: Option<u16>,
) -> Result<At<'a>, Cause> {
    let tunnels = || tunnels(view, uplink.node.node);
    let found = tunnels().find(|at| settings(*at).is_some_and(|own| own.vni == vni));
    let Some(at) = found else {
        return Err(Cause::VniDiffers {
            at: view.place(uplink),
            vni,
            here: tunnels().filter_map(|at| Some(settings(at)?.vni)).collect(),
        });
    };
    match (settings(at), port) {
        (Some(own), Some(port)) if own.port != port => Err(Cause::PortDiffers {
            at: view.place(at),
            port,
            here: own.port,
        }),
        _ => Ok(at),
    }
}
