//! The names that identify pairs and segments, as in the text view.
use std::{
    fmt::{self, Display},
    net::IpAddr,
    sync::Arc,
};

use podtrace_ebpf::record::Direction;
use serde::{Serialize, Serializer};

use crate::{
    field::{Content, Field, Object, Type, object, texts},
    packet::{Mac, Protocol},
    path::{
        Hop,
        ends::{End, Who},
    },
    world::World,
};

/// Two ends and their protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PairKey {
    pub(super) from: EndName,
    pub(super) to: EndName,
    pub(super) protocol: Protocol,
}

impl PairKey {
    /// The same ends in the other direction.
    pub(super) fn reversed(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            protocol: self.protocol,
        }
    }
}

/// One end of a packet's path, by its best known name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndName {
    /// A pod, by `namespace/pod`.
    Pod(Arc<str>),
    /// A node.
    Node(Arc<str>),
    /// An address of some pod on a node.
    On(IpAddr, Arc<str>),
    /// An address without a known owner.
    Address(IpAddr),
    /// A packet that is neither IP nor ARP.
    Mac(Mac),
    /// Nothing is known.
    Unknown,
}

/// The kind of an [`EndName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// A pod.
    Pod,
    /// A node.
    Node,
    /// An IP address.
    Address,
    /// A MAC address.
    Mac,
    /// Nothing is known.
    Unknown,
}

impl EndName {
    pub(super) fn of(end: &End, mac: Option<Mac>) -> Self {
        match (&end.who, end.address) {
            (Who::Pod(pod), _) => Self::Pod(Arc::clone(pod)),
            (Who::Node(node), _) => Self::Node(Arc::clone(node)),
            (Who::On(node), Some(address)) => Self::On(address, Arc::clone(node)),
            (_, Some(address)) => Self::Address(address),
            (_, None) => mac.map_or(Self::Unknown, Self::Mac),
        }
    }

    /// Whether more than an address is known.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self, Self::Pod(_) | Self::Node(_))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EndKind {
        match self {
            Self::Pod(_) => EndKind::Pod,
            Self::Node(_) => EndKind::Node,
            Self::On(..) | Self::Address(_) => EndKind::Address,
            Self::Mac(_) => EndKind::Mac,
            Self::Unknown => EndKind::Unknown,
        }
    }
}

impl Display for EndName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) | Self::Node(name) => f.write_str(name),
            Self::On(address, node) => write!(f, "{address} on {node}"),
            Self::Address(address) => address.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

object! {
    /// One end of a packet's way, by its best known name.
    pub EndObject as "end" {
        /// `pod`, `node`, `address` (IP), `mac` or `unknown`
        kind: EndKind,
        /// the name: `namespace/name` of a pod, `address on node` where only its node is known
        name: String,
    }
}

texts!(EndKind);

impl Content for EndName {
    const TYPE: Type = EndObject::TYPE;
}

impl Serialize for EndName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = EndObject {
            kind: self.kind(),
            name: self.to_string(),
        };
        named.serialize(serializer)
    }
}

/// A tap point by names: an interface that returns under the same name is the same
/// tap point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TapPointName {
    /// The node.
    pub node: Arc<str>,
    /// The pod; none on the node itself.
    pub pod: Option<Arc<str>>,
    /// The interface.
    pub interface: Arc<str>,
    /// The direction.
    pub direction: Direction,
}

object! {
    /// An interface in a direction, by its names.
    pub(crate) TapPointObject<'a> as "tap point" {
        /// the node
        node: &'a str,
        /// the pod, `namespace/name`; none on the node itself
        pod: Option<&'a str>,
        /// the interface
        interface: &'a str,
        /// `ingress`, `egress` or `socket`
        direction: &'static str,
    }
}

impl Object for TapPointName {
    const NAME: &'static str = TapPointObject::NAME;
    const DOC: &'static str = TapPointObject::DOC;
    const OWN: &'static [Field] = TapPointObject::OWN;

    fn fields() -> Vec<&'static Field> {
        TapPointObject::fields()
    }
}

impl Content for TapPointName {
    const TYPE: Type = TapPointObject::TYPE;
}

impl Serialize for TapPointName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tap_point = TapPointObject {
            node: &self.node,
            pod: self.pod.as_deref(),
            interface: &self.interface,
            direction: self.direction.as_str(),
        };
        tap_point.serialize(serializer)
    }
}

impl TapPointName {
    pub(crate) fn of(hop: &Hop, world: &World) -> Self {
        Self::of_tap(hop.interface, hop.direction, world)
    }

    /// `interface`: its number.
    pub(crate) fn of_tap(interface: u32, direction: Direction, world: &World) -> Self {
        let tap_point = world.tap_points.get(interface);
        let unknown = || Arc::from("");
        Self {
            node: tap_point.map_or_else(unknown, |tap_point| Arc::clone(&tap_point.node_name)),
            pod: tap_point.and_then(|tap_point| world.pod_of(tap_point)),
            interface: tap_point.map_or_else(unknown, |tap_point| Arc::clone(&tap_point.name)),
            direction,
        }
    }

    /// The pod or node that it belongs to.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.pod.as_ref().unwrap_or(&self.node)
    }
}
