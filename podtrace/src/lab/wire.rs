//! Netlink requests and settings of one namespace of the lab.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage, State};
use rtnetlink::packet_route::neighbour::NeighbourFlags;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, NeighbourAddRequest};
use tokio::time::{Instant, sleep};

use super::LabError;
use crate::netns::{NetNs, netlink::answer};

/// Missing if the kernel has no IPv6.
const IPV6_SETTINGS: &str = "/proc/sys/net/ipv6";
const READY_DEADLINE: Duration = Duration::from_secs(5);
const READY_POLL: Duration = Duration::from_millis(2);

/// A namespace with a netlink connection inside.
pub(super) struct Wire {
    pub(super) ns: NetNs,
    netlink: Handle,
}

impl Wire {
    /// Connects to a namespace without changing it.
    pub(super) fn of(ns: NetNs) -> Result<Self, LabError> {
        let netlink = ns.netlink()?;
        Ok(Self { ns, netlink })
    }

    /// Connects, turns duplicate address detection off and sets `lo` up.
    pub(super) async fn open(ns: NetNs, ipv6: bool) -> Result<Self, LabError> {
        let wire = Self::of(ns)?;
        for scope in ["all", "default"] {
            if ipv6 {
                wire.sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "0")?;
            }
            // Even in a lab without IPv6, links have link-local addresses.
            if ipv6 || Path::new(IPV6_SETTINGS).exists() {
                wire.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
            }
        }
        wire.set_link("lo", LinkUnspec::new_with_name("lo").up().build())
            .await?;
        Ok(wire)
    }

    /// Writes a setting under `/proc/sys/net`, which shows the settings of
    /// the namespace the writing thread is in.
    pub(super) fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/net/{key}");
        let written: io::Result<()> = self.ns.run(|| fs::write(&path, value))?;
        written.map_err(|source| LabError::System {
            operation: "write",
            object: format!("{path} in {}", self.ns.name),
            source,
        })
    }

    /// Adds a link and returns its index.
    pub(super) async fn add_link(&self, name: &str, link: LinkMessage) -> Result<u32, LabError> {
        let added = self.netlink.link().add(link).execute().await;
        added.map_err(|e| self.refused("add link", name, e))?;
        self.index(name).await
    }

    /// Changes a link, which the message names by index or name.
    pub(super) async fn set_link(&self, name: &str, link: LinkMessage) -> Result<(), LabError> {
        let set = self.netlink.link().set(link).execute().await;
        set.map_err(|e| self.refused("set link", name, e))
    }

    /// Sets a link up.
    pub(super) async fn set_up(&self, name: &str, link: u32) -> Result<(), LabError> {
        let up = LinkUnspec::new_with_index(link).up().build();
        self.set_link(name, up).await
    }

    /// The index of a link.
    pub(super) async fn index(&self, name: &str) -> Result<u32, LabError> {
        Ok(self.link(name).await?.header.index)
    }

    async fn link(&self, name: &str) -> Result<LinkMessage, LabError> {
        let request = self.netlink.link().get().match_name(name.to_owned());
        let link = std::pin::pin!(request.execute()).try_next().await;
        link.and_then(|link| link.ok_or(rtnetlink::Error::RequestFailed))
            .map_err(|e| self.refused("find link", name, e))
    }

    /// Assigns an address that is usable at once.
    pub(super) async fn add_address(
        &self,
        link: u32,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), LabError> {
        let mut request = self.netlink.address().add(link, address, prefix);
        if address.is_ipv6() {
            let flags = AddressAttribute::Flags(AddressFlags::Nodad);
            request.message_mut().attributes.push(flags);
        }
        let added = request.execute().await;
        added.map_err(|e| self.refused("add address", &address.to_string(), e))
    }

    /// Adds a route.
    pub(super) async fn add_route(&self, what: &str, route: RouteMessage) -> Result<(), LabError> {
        let added = self.netlink.route().add(route).execute().await;
        added.map_err(|e| self.refused("add route", what, e))
    }

    /// Adds a permanent neighbour.
    pub(super) async fn add_neighbour(
        &self,
        link: u32,
        address: IpAddr,
        mac: [u8; 6],
    ) -> Result<(), LabError> {
        let request = self.netlink.neighbours().add(link, address);
        let added = request.link_layer_address(&mac).execute().await;
        added.map_err(|e| self.refused("add neighbour", &address.to_string(), e))
    }

    /// Adds the endpoint behind which a MAC address is to a VXLAN link.
    pub(super) async fn add_fdb(
        &self,
        link: u32,
        mac: [u8; 6],
        endpoint: IpAddr,
    ) -> Result<(), LabError> {
        let added = self.fdb(link, mac, endpoint).execute().await;
        added.map_err(|e| self.refused("add forwarding entry", &endpoint.to_string(), e))
    }

    /// Removes that endpoint.
    pub(super) async fn remove_fdb(
        &self,
        link: u32,
        mac: [u8; 6],
        endpoint: IpAddr,
    ) -> Result<(), LabError> {
        let entry = self.fdb(link, mac, endpoint).message_mut().clone();
        let removed = self.netlink.neighbours().del(entry).execute().await;
        removed.map_err(|e| self.refused("remove forwarding entry", &endpoint.to_string(), e))
    }

    fn fdb(&self, link: u32, mac: [u8; 6], endpoint: IpAddr) -> NeighbourAddRequest {
        let request = self.netlink.neighbours().add_bridge(link, &mac);
        request.destination(endpoint).flags(NeighbourFlags::Own)
    }

    /// Waits until the links carry traffic and no address is tentative.
    pub(super) async fn ready(&self, links: &[String]) -> Result<(), LabError> {
        let deadline = Instant::now() + READY_DEADLINE;
        while let Some(object) = self.unready(links).await? {
            if Instant::now() >= deadline {
                let netns = self.ns.name.clone();
                return Err(LabError::NotReady { object, netns });
            }
            sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// The first thing that is not ready.
    async fn unready(&self, links: &[String]) -> Result<Option<String>, LabError> {
        for name in links {
            if !is_up(&self.link(name).await?) {
                return Ok(Some(format!("link {name}")));
            }
        }
        let mut addresses = std::pin::pin!(self.netlink.address().get().execute());
        loop {
            let next = addresses.try_next().await;
            match next.map_err(|e| self.refused("list", "addresses", e))? {
                Some(address) if is_tentative(&address) => {
                    return Ok(Some("an ipv6 address".to_owned()));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn refused(&self, operation: &'static str, object: &str, source: rtnetlink::Error) -> LabError {
        LabError::Netlink {
            operation,
            object: object.to_owned(),
            netns: self.ns.name.clone(),
            source: answer(source),
        }
    }
}

/// A veth pair whose peer is created in another namespace.
pub(super) fn veth(name: &str, peer: &str, peer_ns: &NetNs, mtu: Option<u32>) -> LinkMessage {
    let mut near = LinkVeth::new(name, peer);
    let mut far = LinkUnspec::new_with_name(peer).setns_by_fd(peer_ns.as_fd().as_raw_fd());
    if let Some(mtu) = mtu {
        near = near.mtu(mtu);
        far = far.mtu(mtu);
    }
    near.set_info_data(InfoData::Veth(InfoVeth::Peer(far.build())))
        .build()
}

/// Links without a carrier of their own (VXLAN) stay `Unknown`.
fn is_up(link: &LinkMessage) -> bool {
    link.attributes
        .iter()
        .any(|a| matches!(a, LinkAttribute::OperState(State::Up | State::Unknown)))
}

fn is_tentative(address: &AddressMessage) -> bool {
    address.attributes.iter().any(
        |a| matches!(a, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Tentative)),
    )
}
