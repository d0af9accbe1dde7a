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

/// One end of a packet's way, by its best known name.
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

/// A tap's place, by names: an interface that returns under the same name is the same
/// place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceName {
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
    pub(crate) PlaceObject<'a> as "tap point" {
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

impl Object for PlaceName {
    const NAME: &'static str = PlaceObject::NAME;
    const DOC: &'static str = PlaceObject::DOC;
    const OWN: &'static [Field] = PlaceObject::OWN;

    fn fields() -> Vec<&'static Field> {
        PlaceObject::fields()
    }
}

impl Content for PlaceName {
    const TYPE: Type = PlaceObject::TYPE;
}

impl Serialize for PlaceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = PlaceObject {
            node: &self.node,
            pod: self.pod.as_deref(),
            interface: &self.interface,
            direction: self.direction.as_str(),
        };
        place.serialize(serializer)
    }
}

impl PlaceName {
    pub(super) fn of(hop: &Hop, world: &World) -> Self {
        let place = world.tap_points.get(hop.interface);
        let unknown = || Arc::from("");
        Self {
            node: place.map_or_else(unknown, |place| Arc::clone(&place.node_name)),
            pod: place.and_then(|place| world.pod_of(place)),
            interface: place.map_or_else(unknown, |place| Arc::clone(&place.name)),
            direction: hop.direction,
        }
    }

    /// The pod or node it is in.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.pod.as_ref().unwrap_or(&self.node)
    }
}
