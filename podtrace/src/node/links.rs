//! The interfaces of one network namespace, by rtnetlink.
mod relations;

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd as _},
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{
            BridgePortState, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVxlan,
            LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, State,
        },
        nsid::{NsidAttribute, NsidMessage},
    },
};
use thiserror::Error;

pub use crate::model::{
    facts::{Port, Vxlan},
    subnet::AddressPrefix,
};
use crate::{
    netns::{NetNs, NetNsError, netlink::answer},
    packet::{Framing, Mac},
};

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
        source: io::Error,
    },
    /// Another netlink failure.
    #[error("netlink in {0}")]
    Io(String, #[source] io::Error),
}

/// The kind of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a veth pair, or of a netkit pair.
    Veth,
    /// A bridge.
    Bridge,
    /// A VXLAN tunnel.
    Vxlan(Vxlan),
    /// Another tunnel that podtrace decodes: its packets continue at the interface below it.
    Tunnel,
    /// A loopback interface.
    Loopback,
    /// An internal port of Open vSwitch, or the switch itself.
    Switch,
    /// An interface by which no packet leaves the node: a dummy, an ifb, a VRF.
    Internal,
    /// Any other: hardware, and devices on top of it, such as a bond or a VLAN device.
    Other,
}

/// The kernel's operational state of an interface (RFC 2863).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperState {
    /// Not reported, as for VXLAN and loopback: usable once set up.
    #[default]
    Unknown,
    /// Carries packets.
    Up,
    /// Down, or without carrier.
    Down,
    /// The interface below it is down.
    LowerLayerDown,
    /// Waits for something (dormant, testing, not present).
    Waiting,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index in its namespace.
    pub ifindex: u32,
    /// Name in its namespace.
    pub name: String,
    /// Its kind.
    pub kind: LinkKind,
    /// `IFLA_LINK`: for a veth, its peer's index in the peer's namespace; for a
    /// VLAN device, that of the interface below it.
    pub peer: Option<u32>,
    /// `IFLA_LINK_NETNSID`: this namespace's number for the peer's namespace.
    pub peer_nsid: Option<i32>,
    /// What its packets start with.
    pub framing: Framing,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The same addresses with their prefixes, in the same order.
    pub prefixes: Vec<AddressPrefix>,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Its MAC address, if it has one of 48 bits.
    pub mac: Option<Mac>,
    /// Whether it neither asks for MAC addresses nor answers such questions.
    pub no_arp: bool,
    /// Whether it was set up (`ip link set … up`).
    pub up: bool,
    /// Whether it can carry packets.
    pub oper: OperState,
    /// Index of the bridge, switch or bond that it is a port of, or of its VRF.
    pub master: Option<u32>,
    /// Its settings as a port of a bridge.
    pub port: Option<Port>,
    /// Packets that it has sent and received.
    pub packets: u64,
    /// Whether packets leave the node by it. The list of interfaces does not show it:
    /// [`super::uplinks`] sets it from the routes.
    pub is_uplink: bool,
}

/// Lists the interfaces of a namespace with their addresses.
///
/// # Errors
/// When the namespace cannot be entered or the kernel refuses.
pub async fn list(netns: &NetNs) -> Result<Vec<Link>, LinksError> {
    list_by(&netns.netlink()?, &netns.name).await
}

/// [`list`] through a netlink connection in the namespace, which `netns` names in errors.
///
/// # Errors
/// When the connection has ended or the kernel refuses.
pub async fn list_by(handle: &Handle, netns: &str) -> Result<Vec<Link>, LinksError> {
    let dump_error = |what| {
        let netns = netns.to_owned();
        move |source| LinksError::Dump {
            what,
            netns,
            source: answer(source),
        }
    };
    let messages: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(dump_error("the interfaces"))?;
    let mut addresses: HashMap<u32, Vec<AddressPrefix>> = HashMap::new();
    let mut dump = handle.address().get().execute();
    while let Some(message) = dump.try_next().await.map_err(dump_error("the addresses"))? {
        if let Some(address) = address(&message) {
            let of_link = addresses.entry(message.header.index).or_default();
            of_link.push(address);
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

/// On a point-to-point interface `IFA_ADDRESS` is the other end, `IFA_LOCAL`
/// its own.
pub(super) fn address(message: &AddressMessage) -> Option<AddressPrefix> {
    let find = |local: bool| {
        message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Local(address) if local => Some(*address),
            AddressAttribute::Address(address) if !local => Some(*address),
            _ => None,
        })
    };
    let len = message.header.prefix_len;
    find(true)
        .or_else(|| find(false))
        .map(|address| AddressPrefix { address, len })
}

pub(super) fn link(message: LinkMessage, prefixes: Vec<AddressPrefix>) -> Link {
    let layer = message.header.link_layer_type;
    let mut link = Link {
        ifindex: message.header.index,
        name: String::new(),
        kind: LinkKind::Other,
        peer: None,
        peer_nsid: None,
        framing: Framing::Ip,
        addresses: prefixes.iter().map(|prefix| prefix.address).collect(),
        prefixes,
        mtu: 0,
        mac: None,
        no_arp: message.header.flags.contains(LinkFlags::Noarp),
        up: message.header.flags.contains(LinkFlags::Up),
        oper: OperState::Unknown,
        master: None,
        port: None,
        packets: 0,
        is_uplink: false,
    };
    if matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback) {
        link.framing = Framing::Ethernet;
    }
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Link(peer) => link.peer = Some(peer),
            LinkAttribute::LinkNetNsId(id) => link.peer_nsid = Some(id),
            LinkAttribute::LinkInfo(info) => {
                link.kind = kind(&info);
                link.port = port(&info);
            }
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) => link.mac = mac.try_into().ok().map(Mac),
            LinkAttribute::OperState(state) => link.oper = oper(state),
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Stats64(stats) => link.packets = stats.rx_packets + stats.tx_packets,
            _ => {}
        }
    }
    if layer == LinkLayerType::Loopback {
        link.kind = LinkKind::Loopback;
    }
    link
}

fn oper(state: State) -> OperState {
    match state {
        State::Up => OperState::Up,
        State::Down => OperState::Down,
        State::LowerLayerDown => OperState::LowerLayerDown,
        State::Dormant | State::Testing | State::NotPresent => OperState::Waiting,
        _ => OperState::Unknown,
    }
}

fn kind(info: &[LinkInfo]) -> LinkKind {
    let mut found = LinkKind::Other;
    for item in info {
        match item {
            LinkInfo::Kind(InfoKind::Veth | InfoKind::Netkit) => found = LinkKind::Veth,
            LinkInfo::Kind(InfoKind::Bridge) => found = LinkKind::Bridge,
            LinkInfo::Kind(
                InfoKind::Geneve
                | InfoKind::IpIp
                | InfoKind::Ip6Tnl
                | InfoKind::SitTun
                | InfoKind::GreTun
                | InfoKind::GreTun6
                | InfoKind::GreTap
                | InfoKind::GreTap6,
            ) => found = LinkKind::Tunnel,
            LinkInfo::Kind(InfoKind::Dummy | InfoKind::Ifb | InfoKind::Vrf | InfoKind::Nlmon) => {
                found = LinkKind::Internal
            }
            LinkInfo::Kind(InfoKind::Other(kind)) if kind == "openvswitch" => {
                found = LinkKind::Switch;
            }
            LinkInfo::Kind(InfoKind::Vxlan) => found = LinkKind::Vxlan(Vxlan::default()),
            LinkInfo::Data(InfoData::Vxlan(settings)) => found = LinkKind::Vxlan(vxlan(settings)),
            _ => {}
        }
    }
    found
}

fn port(info: &[LinkInfo]) -> Option<Port> {
    let settings = info.iter().find_map(|item| match item {
        LinkInfo::PortData(InfoPortData::BridgePort(settings)) => Some(settings),
        _ => None,
    })?;
    let mut port = Port::default();
    for setting in settings {
        match setting {
            InfoBridgePort::State(state) => {
                port.is_forwarding = *state == BridgePortState::Forwarding;
            }
            InfoBridgePort::HairpinMode(hairpin) => port.hairpin = *hairpin,
            InfoBridgePort::Isolated(isolated) => port.isolated = *isolated,
            InfoBridgePort::Learning(learning) => port.learning = *learning,
            InfoBridgePort::UnicastFlood(flood) => port.flood = *flood,
            _ => {}
        }
    }
    Some(port)
}

fn vxlan(settings: &[InfoVxlan]) -> Vxlan {
    let mut vxlan = Vxlan::default();
    for setting in settings {
        match setting {
            InfoVxlan::Id(vni) => vxlan.vni = *vni,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Link(index) => vxlan.underlay = Some(*index),
            InfoVxlan::Local(local) => vxlan.local = Some((*local).into()),
            InfoVxlan::Local6(local) => vxlan.local = Some((*local).into()),
            InfoVxlan::Learning(learning) => vxlan.learning = *learning,
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
    nsid_by(&viewer.netlink()?, &viewer.name, other).await
}

/// [`nsid`] through a netlink connection in the namespace, which `viewer` names in errors;
/// `other` is a file that stands for a network namespace.
///
/// # Errors
/// When the connection has ended, or `other` stands for something else.
pub async fn nsid_by(
    handle: &Handle,
    viewer: &str,
    other: impl AsFd,
) -> Result<Option<i32>, LinksError> {
    let io_error = |source| LinksError::Io(viewer.to_owned(), source);
    let mut question = NsidMessage::default();
    let fd = u32::try_from(other.as_fd().as_raw_fd())
        .map_err(|error| io_error(io::Error::other(error)))?;
    question.attributes.push(NsidAttribute::Fd(fd));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(question));
    message.header.flags = NLM_F_REQUEST;
    let mut answers = handle
        .clone()
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

#[cfg(test)]
pub(super) mod fixture;
