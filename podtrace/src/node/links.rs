//! The interfaces of one network namespace, by rtnetlink.
use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _},
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        address::AddressAttribute,
        link::{
            InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage,
        },
        nsid::{NsidAttribute, NsidMessage},
    },
};
use thiserror::Error;

use super::netns::{NetNs, NetNsError};
use crate::packet::Framing;

/// Why a namespace's interfaces are not known.
#[derive(Debug, Error)]
pub enum LinksError {
    /// The namespace could not be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The kernel refused a dump.
    #[error("failed to list {what} of {netns}")]
    Dump {
        /// Interfaces or addresses.
        what: &'static str,
        /// The namespace.
        netns: String,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// Another netlink failure.
    #[error("netlink in {0}")]
    Io(String, #[source] io::Error),
}

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a veth pair.
    Veth,
    /// A bridge.
    Bridge,
    /// A VXLAN tunnel.
    Vxlan(Vxlan),
    /// A loopback interface.
    Loopback,
    /// Anything else, hardware included.
    Other,
}

/// A VXLAN interface's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vxlan {
    /// UDP destination port.
    pub port: u16,
    /// Index of the interface below it.
    pub underlay: Option<u32>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index in its namespace.
    pub ifindex: u32,
    /// Name in its namespace.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// `IFLA_LINK`: for a veth, its peer's index in the peer's namespace.
    pub peer: Option<u32>,
    /// `IFLA_LINK_NETNSID`: this namespace's number for the peer's namespace.
    pub peer_nsid: Option<i32>,
    /// What its packets start with.
    pub framing: Framing,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Lists the interfaces of a namespace with their addresses.
///
/// # Errors
/// When the namespace cannot be entered or the kernel refuses.
pub async fn list(netns: &NetNs) -> Result<Vec<Link>, LinksError> {
    let handle = netns.netlink()?;
    let dump_error = |what| {
        let netns = netns.name.to_owned();
        move |source| LinksError::Dump {
            what,
            netns,
            source,
        }
    };
    let messages: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(dump_error("the interfaces"))?;
    let mut addresses: HashMap<u32, Vec<IpAddr>> = HashMap::new();
    let mut dump = handle.address().get().execute();
    while let Some(message) = dump.try_next().await.map_err(dump_error("the addresses"))? {
        for attribute in message.attributes {
            if let AddressAttribute::Address(address) = attribute {
                addresses
                    .entry(message.header.index)
                    .or_default()
                    .push(address);
            }
        }
    }
    Ok(messages
        .into_iter()
        .map(|message| {
            let ifindex = message.header.index;
            link(message, addresses.remove(&ifindex).unwrap_or_default())
        })
        .collect())
}

fn link(message: LinkMessage, addresses: Vec<IpAddr>) -> Link {
    let layer = message.header.link_layer_type;
    let mut link = Link {
        ifindex: message.header.index,
        name: String::new(),
        kind: LinkKind::Other,
        peer: None,
        peer_nsid: None,
        framing: Framing::Ip,
        addresses,
    };
    if matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback) {
        link.framing = Framing::Ethernet;
    }
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Link(peer) => link.peer = Some(peer),
            LinkAttribute::LinkNetNsId(id) => link.peer_nsid = Some(id),
            LinkAttribute::LinkInfo(info) => link.kind = kind(&info),
            _ => {}
        }
    }
    if layer == LinkLayerType::Loopback {
        link.kind = LinkKind::Loopback;
    }
    link
}

fn kind(info: &[LinkInfo]) -> LinkKind {
    let mut found = LinkKind::Other;
    for item in info {
        match item {
            LinkInfo::Kind(InfoKind::Veth) => found = LinkKind::Veth,
            LinkInfo::Kind(InfoKind::Bridge) => found = LinkKind::Bridge,
            LinkInfo::Kind(InfoKind::Vxlan) => found = LinkKind::Vxlan(Vxlan::default()),
            LinkInfo::Data(InfoData::Vxlan(settings)) => found = LinkKind::Vxlan(vxlan(settings)),
            _ => {}
        }
    }
    found
}

fn vxlan(settings: &[InfoVxlan]) -> Vxlan {
    let mut vxlan = Vxlan::default();
    for setting in settings {
        match setting {
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Link(index) => vxlan.underlay = Some(*index),
            _ => {}
        }
    }
    vxlan
}

/// The number by which `viewer` knows another namespace, if it has one.
///
/// # Errors
/// When `viewer` cannot be entered or the kernel refuses.
pub async fn nsid(viewer: &NetNs, other: &NetNs) -> Result<Option<i32>, LinksError> {
    let handle: Handle = viewer.netlink()?;
    let io_error = |source| LinksError::Io(viewer.name.to_owned(), source);
    let mut question = NsidMessage::default();
    let fd = u32::try_from(other.as_fd().as_raw_fd())
        .map_err(|error| io_error(io::Error::other(error)))?;
    question.attributes.push(NsidAttribute::Fd(fd));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(question));
    message.header.flags = NLM_F_REQUEST;
    let mut handle = handle;
    let mut answers = handle
        .request(message)
        .map_err(|error| io_error(io::Error::other(error)))?;
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(answer)) => {
                // The kernel answers NETNSA_NSID_NOT_ASSIGNED as -1.
                return Ok(answer.attributes.iter().find_map(|a| match a {
                    NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                    _ => None,
                }));
            }
            NetlinkPayload::Error(error) => return Err(io_error(error.to_io())),
            _ => {}
        }
    }
    Ok(None)
}
