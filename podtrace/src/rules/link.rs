//! Interfaces and bridges: states, MTUs, MAC addresses, ports.
use std::net::IpAddr;

use super::{At, Cause, Entry, Place, View, all_of, port::unflooded};
use crate::{
    model::facts::{Device, DeviceKind},
    packet::{Mac, is_link_local},
};

/// Room of a VLAN tag, by which a frame may be longer than its MTU.
const VLAN_TAG: u32 = 4;

/// Whether an interface is down, or has no carrier.
#[must_use]
pub fn down(view: View<'_>, at: At<'_>) -> Option<Cause> {
    let is_set = !at.device.up;
    (is_set || !at.device.carrier).then(|| Cause::DeviceDown {
        at: view.place(at),
        is_set,
    })
}

/// A packet, as far as its length is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// Its length from the IP header on.
    pub bytes: u32,
    /// Whether it may be fragmented where it is routed.
    pub may_fragment: bool,
}

/// Whether a routed packet is too long for the interface that it is to leave by.
#[must_use]
pub fn routed_mtu(view: View<'_>, at: At<'_>, length: Length) -> Option<Cause> {
    let mtu = at.device.mtu;
    (length.bytes > mtu && mtu > 0 && !length.may_fragment).then(|| exceeded(view, at, length))
}

/// Whether a frame is too long for a port of a bridge or the other end of a veth: those do not
/// fragment, and answer nothing.
#[must_use]
pub fn frame_mtu(view: View<'_>, at: At<'_>, length: Length) -> Option<Cause> {
    let mtu = at.device.mtu;
    (length.bytes > mtu.saturating_add(VLAN_TAG) && mtu > 0).then(|| exceeded(view, at, length))
}

fn exceeded(view: View<'_>, at: At<'_>, length: Length) -> Cause {
    Cause::MtuExceeded {
        at: view.place(at),
        mtu: at.device.mtu,
        length: length.bytes,
        sender: None,
    }
}

/// The interface of a pod that has an address, if its MTU is larger than a limit.
#[must_use]
pub fn larger_sender(view: View<'_>, source: IpAddr, mtu: u32) -> Option<Box<(Place, u32)>> {
    let mut owners = view.owners(source).filter(|at| at.space.in_pod);
    let at = owners.find(|at| at.device.mtu > mtu)?;
    Some(Box::new((view.place(at), at.device.mtu)))
}

/// Whether an address is asked for on a link that nobody who has it is on: all are behind bridges
/// whose ports lead to known interfaces alone.
#[must_use]
pub fn off_link(view: View<'_>, at: At<'_>, address: IpAddr) -> Option<Cause> {
    let here = segment(view, at)?;
    let is_apart = |owner: At<'_>| segment(view, owner).is_some_and(|there| !there.is(here));
    let owner = view.owners(address).next()?;
    view.owners(address).all(is_apart).then(|| Cause::OffLink {
        at: view.place(at),
        address,
        owner: Box::new(view.place(owner)),
    })
}

/// The bridge that an interface is behind, if all of its ports lead to known interfaces.
fn segment<'a>(view: View<'a>, at: At<'a>) -> Option<At<'a>> {
    let leads_out = |bridge: &At<'a>| ports(*bridge).any(|port| view.peer(port).is_none());
    bridge_of(view, at).filter(|bridge| !leads_out(bridge))
}

/// Where a bridge sends a frame.
#[derive(Clone, Copy, Debug)]
pub enum Forwarded<'a> {
    /// To the bridge itself.
    Up(At<'a>),
    /// To a port.
    Port(At<'a>),
    /// To all ports: it does not know the address.
    Flood,
}

/// Where a bridge sends a frame for a MAC address that comes in by a port, or that the bridge
/// itself sends.
///
/// # Errors
/// The cause if it sends it nowhere.
pub fn forward<'a>(
    view: View<'a>,
    bridge: At<'a>,
    from: Option<At<'a>>,
    mac: Mac,
    length: Length,
) -> Result<Forwarded<'a>, Cause> {
    if from.is_some() && is_of_bridge(bridge, mac) {
        return Ok(Forwarded::Up(bridge));
    }
    let mut entries = bridge.space.tables.fdb.iter();
    let entry = entries.find(|entry| {
        entry.master == Some(bridge.device.ifindex)
            && entry.mac == mac
            && entry.ifindex != bridge.device.ifindex
    });
    let learned = entry.and_then(|entry| bridge.beside(entry.ifindex));
    if let Some(cause) = learned.and_then(|port| wrong_port(view, bridge, port, mac)) {
        return Err(cause);
    }
    // What has sent nothing yet is not learned, but all ports get the frame.
    let port = learned.or_else(|| {
        let mut ports = ports(bridge);
        ports.find(|port| {
            let peer = view.peer(*port);
            peer.is_some_and(|peer| peer.has_mac(mac))
        })
    });
    let Some(port) = port else {
        return Ok(Forwarded::Flood);
    };
    let unlearned = || match learned {
        Some(_) => None,
        None => unflooded(view, port, mac),
    };
    match to_port(view, port, from).or_else(unlearned) {
        Some(cause) => Err(cause),
        None => match frame_mtu(view, port, length) {
            Some(cause) => Err(cause),
            None => Ok(Forwarded::Port(port)),
        },
    }
}

/// Whether a forwarding entry leads to another port than the one that a MAC address is behind.
fn wrong_port(view: View<'_>, bridge: At<'_>, port: At<'_>, mac: Mac) -> Option<Cause> {
    let has = |port: &At<'_>| Some(view.peer(*port)?.has_mac(mac));
    if has(&port)? {
        return None;
    }
    let right = ports(bridge).find(|port| has(port) == Some(true))?;
    Some(Cause::WrongPort {
        at: view.place(bridge),
        mac,
        ports: Box::new((port.device.name.clone(), right.device.name.clone())),
    })
}

/// The ports of a bridge.
pub fn ports<'a>(bridge: At<'a>) -> impl Iterator<Item = At<'a>> {
    let devices = bridge.space.devices.iter();
    devices
        .filter(move |device| device.master == Some(bridge.device.ifindex))
        .map(move |device| At { device, ..bridge })
}

fn is_of_bridge(bridge: At<'_>, mac: Mac) -> bool {
    bridge.has_mac(mac)
        || bridge.space.tables.fdb.iter().any(|entry| {
            entry.mac == mac
                && entry.permanent
                && entry.vtep.is_none()
                && bridge.beside(entry.ifindex).is_some_and(|at| {
                    at.device.master == Some(bridge.device.ifindex) && at.has_mac(mac)
                })
        })
}

/// Whether a bridge sends nothing from one port, or from itself, to another.
#[must_use]
pub fn to_port(view: View<'_>, port: At<'_>, from: Option<At<'_>>) -> Option<Cause> {
    if let Some(cause) = down(view, port) {
        return Some(cause);
    }
    let at = || view.place(port);
    let settings = port.device.port?;
    if !settings.is_forwarding {
        return Some(Cause::PortBlocked { at: at() });
    }
    let from = from?;
    if from.is(port) && !settings.hairpin {
        return Some(Cause::HairpinOff { at: at() });
    }
    let is_isolated = from.device.port.is_some_and(|from| from.isolated);
    (is_isolated && settings.isolated && !from.is(port)).then(|| Cause::PortsIsolated { at: at() })
}

/// Whether the node's end of a pod's veth leads nowhere: it is in no bridge, has no address, and no
/// route leads back to the pod.
#[must_use]
pub fn unbridged(view: View<'_>, at: At<'_>) -> Option<Cause> {
    let pod = view.peer(at).filter(|peer| peer.space.in_pod)?;
    let mut routes = at.space.tables.routes.iter();
    let is_used = at.space.in_pod
        || at.device.master.is_some()
        || !at
            .device
            .addresses
            .iter()
            .all(|own| is_link_local(own.address))
        || routes.any(|route| {
            route.ifindex == Some(at.device.ifindex) && !is_link_local(route.destination)
        });
    if is_used || at.node.is_cut {
        return None;
    }
    let covers = |bridge: &Device| {
        let own = bridge.addresses.iter();
        let mut own = own.filter(|own| own.len > 0 && !is_link_local(own.address));
        own.any(|own| {
            let mut pods = pod.device.addresses.iter();
            pods.any(|address| own.covers(address.address))
        })
    };
    let mut bridges = at.space.devices.iter();
    let bridge = bridges.find(|bridge| bridge.kind == DeviceKind::Bridge && covers(bridge));
    Some(Cause::NoBridge {
        at: view.place(at),
        bridge: bridge.map(|bridge| bridge.name.clone()),
    })
}

/// Why who has a MAC address does not get a frame that its bridge has sent to others. `from`: the
/// port that it came in by, if the bridge has not sent it itself.
#[must_use]
pub fn unreached<'a>(
    view: View<'a>,
    bridge: At<'a>,
    from: Option<At<'a>>,
    mac: Mac,
    length: Length,
) -> Option<Cause> {
    match forward(view, bridge, from, mac, length) {
        Ok(Forwarded::Flood) => cut_off(view, bridge, mac),
        Ok(Forwarded::Up(_) | Forwarded::Port(_)) => None,
        Err(cause) => Some(cause),
    }
}

/// Whether the pod that has a MAC address is behind no port of a bridge, as its veth is in none.
#[must_use]
pub fn cut_off(view: View<'_>, bridge: At<'_>, mac: Mac) -> Option<Cause> {
    let owner = only(all_of(bridge.node).filter(|at| at.has_mac(mac)))?;
    unbridged(view, view.peer(owner)?)
}

/// Whether an interface takes no frames from outside: it is a port that does not forward.
#[must_use]
pub fn from_port(view: View<'_>, port: At<'_>) -> Option<Cause> {
    let settings = port.device.port?;
    (!settings.is_forwarding).then(|| Cause::PortBlocked {
        at: view.place(port),
    })
}

/// Whether an interface refuses a frame for this MAC address. `address`: what it is for.
#[must_use]
pub fn refuses_mac(view: View<'_>, at: At<'_>, mac: Mac, address: Option<IpAddr>) -> Option<Cause> {
    let own = at.device.mac?;
    let is_group = mac.0[0] & 1 == 1;
    (own != mac && !is_group).then(|| Cause::WrongMac {
        at: view.place(at),
        address: address.filter(|address| at.has(*address)),
        mac,
        right: Some(own),
        is_own: false,
        entry: Entry::Elsewhere,
    })
}

/// Whether a neighbour entry names a MAC address that is not the owner's. `at`: the interface
/// with the entry.
#[must_use]
pub fn stale_mac(view: View<'_>, at: At<'_>, address: IpAddr, mac: Mac) -> Option<Cause> {
    if at.device.kind != DeviceKind::Bridge && at.device.kind != DeviceKind::Veth {
        return None;
    }
    let is_near = |owner: &At<'_>| owner.node.node == at.node.node;
    // Several may have the address, or a bridge stands for it; and of who is on another link, no frame
    // can be for the address.
    let owner = only(view.owners(address).filter(is_near))?;
    if !is_beside(view, at, owner) {
        return None;
    }
    let right = owner.device.mac?;
    (right != mac).then(|| misnamed(view, at, address, mac, Some(right)))
}

/// An entry of an interface names a MAC address that is not its neighbour's; without ARP it is its own,
/// as it cannot ask (`arp_constructor` of net/ipv4/arp.c).
#[must_use]
pub fn misnamed(
    view: View<'_>,
    at: At<'_>,
    address: IpAddr,
    mac: Mac,
    right: Option<Mac>,
) -> Cause {
    let is_own = at.device.mac == Some(mac);
    let place = view.place(at);
    match at.device.no_arp {
        Some(true) if is_own => Cause::ArpOff { at: place },
        _ => Cause::WrongMac {
            at: place,
            address: Some(address),
            mac,
            right,
            is_own,
            entry: match at.device.kind {
                DeviceKind::Vxlan => Entry::Made,
                _ => Entry::Asked,
            },
        },
    }
}

/// Whether an interface sends what is for others to its own MAC address.
#[must_use]
pub fn own_mac(view: View<'_>, at: At<'_>, address: IpAddr, mac: Mac) -> Option<Cause> {
    (at.has_mac(mac) && !at.is_local(address)).then(|| misnamed(view, at, address, mac, None))
}

/// The only one of these.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next();
    first.filter(|_| all.next().is_none())
}

/// Whether two interfaces are on one link: the ends of a pair, or behind one bridge.
fn is_beside(view: View<'_>, one: At<'_>, other: At<'_>) -> bool {
    let is_pair = view.peer(one).is_some_and(|peer| peer.is(other));
    let bridges = bridge_of(view, one).zip(bridge_of(view, other));
    is_pair || bridges.is_some_and(|(one, other)| one.is(other))
}

/// The bridge that an interface is, or is behind.
#[must_use]
pub fn bridge_of<'a>(view: View<'a>, at: At<'a>) -> Option<At<'a>> {
    match at.device.kind {
        DeviceKind::Bridge => Some(at),
        _ => at.bridge().or_else(|| view.peer(at)?.bridge()),
    }
}

/// Whether a namespace has the address of another that sends to it: it takes such packets for
/// forged, and answers to them stay in it.
#[must_use]
pub fn own_source(view: View<'_>, at: At<'_>, source: IpAddr) -> Option<Cause> {
    if !at.is_local(source) || is_link_local(source) || source.is_loopback() {
        return None;
    }
    let others = view.owners(source);
    let others = others.filter(|other| other.space.netns != at.space.netns);
    let mut owners: Vec<String> = others.map(|other| view.owner(other).to_string()).collect();
    if owners.is_empty() {
        return None;
    }
    owners.push(view.owner(at).to_string());
    Some(Cause::DuplicateAddress {
        address: source,
        owners,
    })
}

/// Whether several interfaces have an address that packets are sent to.
#[must_use]
pub fn duplicates(view: View<'_>, address: IpAddr) -> Option<Cause> {
    if is_link_local(address) {
        return None;
    }
    let owners: Vec<String> = view
        .owners(address)
        .filter(|at| at.space.in_pod)
        .map(|at| view.owner(at).to_string())
        .collect();
    (owners.len() > 1).then_some(Cause::DuplicateAddress { address, owners })
}
