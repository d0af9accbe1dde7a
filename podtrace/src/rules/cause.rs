//! Why packets go no further.
mod entry;
mod name;
mod place;
pub(super) mod words;

use std::net::IpAddr;

use super::candidate::{Candidate, RuleCandidate};
use crate::{
    model::{drop::DropRule, subnet::AddressPrefix, tables::RouteKind},
    packet::Mac,
};
pub use entry::Entry;
pub use place::{Owner, Place};

/// The cause of an end. Names are safe for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An interface is down.
    DeviceDown {
        /// The interface.
        at: Place,
        /// Whether it was set down; it has no carrier otherwise.
        is_set: bool,
    },
    /// The packet is larger than an interface allows, and may not be fragmented.
    MtuExceeded {
        /// The interface.
        at: Place,
        /// Its MTU.
        mtu: u32,
        /// The length of the packet there.
        length: u32,
        /// The MTU of the interface that has sent it, if it is larger than that.
        sender: Option<Box<(Place, u32)>>,
    },
    /// The TTL or hop limit has come to its end.
    TtlExpired {
        /// The interface that it came in by.
        at: Place,
    },
    /// No route leads to an address.
    NoRoute {
        /// The node or pod that has none.
        owner: Owner,
        /// The address.
        to: IpAddr,
    },
    /// A route refuses its packets.
    RefusedByRoute {
        /// The node or pod that has it.
        owner: Owner,
        /// Its subnet; none if a policy rule refuses.
        subnet: Option<AddressPrefix>,
        /// How it refuses.
        kind: RouteKind,
        /// The number of its table.
        table: u32,
    },
    /// The route to a pod of the node leads by another interface than the pod's.
    RouteAstray {
        /// The node that has it.
        owner: String,
        /// The pod's address.
        to: IpAddr,
        /// The interface of the route.
        by: String,
        /// The interface that the pod is behind.
        right: String,
    },
    /// The route back to the sender leads by another interface, or there is none.
    ReversePath {
        /// The interface that the packet came in by.
        at: Place,
        /// The sender.
        source: IpAddr,
        /// The interface that the route back leads to.
        back: Option<String>,
    },
    /// Forwarding is off.
    ForwardingOff {
        /// The interface that the packet came in by.
        at: Place,
        /// Whether it is off for the whole namespace.
        is_all: bool,
        /// Whether it is that of IPv4.
        is_ipv4: bool,
    },
    /// The next hop has no neighbour entry, and nobody is asked.
    NeighbourMissing {
        /// The interface towards it.
        at: Place,
        /// The next hop.
        address: IpAddr,
        /// The MAC address that it should name, if it is known.
        right: Option<Mac>,
    },
    /// The next hop did not answer, or has not yet.
    NeighbourFailed {
        /// The interface towards it.
        at: Place,
        /// The next hop.
        address: IpAddr,
        /// The interface that has the address, if it is known.
        owner: Option<Box<Place>>,
        /// Whether it is still being asked, while packets wait.
        is_asked: bool,
    },
    /// An address is asked for on a link that its owner is not on.
    OffLink {
        /// The interface that asks.
        at: Place,
        /// The address.
        address: IpAddr,
        /// The interface that has it.
        owner: Box<Place>,
    },
    /// The frame is for a MAC address that is not the receiver's.
    WrongMac {
        /// The interface with the wrong neighbour entry, or the one that refuses the frame.
        at: Place,
        /// The neighbour.
        address: Option<IpAddr>,
        /// The MAC address.
        mac: Mac,
        /// The right one.
        right: Option<Mac>,
        /// Whether it is the sender's own, as without ARP.
        is_own: bool,
        /// Whose entry it is.
        entry: Entry,
    },
    /// An interface neither asks for MAC addresses nor answers such questions.
    ArpOff {
        /// The interface.
        at: Place,
    },
    /// A bridge does not send frames for an address that it has not learned to the port that has it.
    FloodOff {
        /// The port.
        at: Place,
        /// The MAC address.
        mac: Mac,
        /// Whether the bridge learns addresses there.
        learns: bool,
    },
    /// A bridge sends frames for a MAC address to a port that nobody with it is behind.
    WrongPort {
        /// The bridge.
        at: Place,
        /// The MAC address.
        mac: Mac,
        /// The port of the forwarding entry, and the right one.
        ports: Box<(String, String)>,
    },
    /// A VXLAN interface has no forwarding entry for a MAC address.
    NoForwardingEntry {
        /// The interface.
        at: Place,
        /// The MAC address.
        mac: Mac,
        /// The right VTEP.
        vtep: Option<IpAddr>,
    },
    /// A VTEP that is not the one of the destination's node.
    WrongVtep {
        /// The VXLAN interface with the forwarding entry.
        at: Place,
        /// The MAC address of the entry.
        mac: Option<Mac>,
        /// The VTEP.
        vtep: IpAddr,
        /// Whether it is the node's own address.
        is_own: bool,
        /// The right one.
        right: Option<IpAddr>,
    },
    /// No VXLAN interface of the receiving node has the VNI.
    VniDiffers {
        /// The interface that the packet came in by.
        at: Place,
        /// The VNI of the packet.
        vni: u32,
        /// Those of the node.
        here: Vec<u32>,
    },
    /// The VXLAN interface of the receiving node has another UDP port.
    PortDiffers {
        /// That interface.
        at: Place,
        /// The port of the packet.
        port: u16,
        /// The port of the interface.
        here: u16,
    },
    /// A port of a bridge does not forward.
    PortBlocked {
        /// The port.
        at: Place,
    },
    /// A pod's veth is in no bridge, and no route leads to it.
    NoBridge {
        /// The node's end of the veth.
        at: Place,
        /// The bridge that the pod's address is of.
        bridge: Option<String>,
    },
    /// Two ports of a bridge are isolated from each other.
    PortsIsolated {
        /// The port towards the receiver.
        at: Place,
    },
    /// The frame would go back to the port that it came in by.
    HairpinOff {
        /// The port.
        at: Place,
    },
    /// Several interfaces have the address.
    DuplicateAddress {
        /// The address.
        address: IpAddr,
        /// Their owners.
        owners: Vec<String>,
    },
    /// Nobody has the address.
    NoOwner {
        /// The address.
        address: IpAddr,
        /// The address that was translated to it.
        behind: Option<IpAddr>,
    },
    /// A pod that the address is said to be of does not have it.
    AddressMissing {
        /// The interface that the packet came in by.
        at: Place,
        /// The address.
        address: IpAddr,
        /// Another that has it.
        holder: Option<String>,
    },
    /// Nobody answers echo requests there.
    EchoIgnored {
        /// The pod or node.
        owner: Owner,
        /// Whether those of IPv4.
        is_ipv4: bool,
    },
    /// A listening socket has no room for another connection.
    AcceptQueueFull {
        /// The pod or node.
        owner: Owner,
        /// The port.
        port: u16,
        /// How many connections wait to be accepted.
        waiting: u32,
    },
    /// A socket took a question, and its server does not answer.
    ServerSilent {
        /// The pod or node.
        owner: Owner,
        /// The port.
        port: u16,
    },
    /// An answer refuses it.
    Refused {
        /// Who has answered.
        by: String,
        /// What the answer says.
        reason: String,
        /// The rules of a firewall that could have answered.
        rules: Vec<Candidate>,
    },
    /// No socket takes it where it arrived.
    NoListener {
        /// The pod or node.
        owner: Owner,
    },
    /// It went in a circle.
    Loop,
    /// The kernel has dropped it and tells a reason.
    Kernel {
        /// The reason by its name in the kernel.
        reason: String,
        /// The function that dropped it.
        function: Option<String>,
        /// What that means.
        meaning: Option<&'static str>,
        /// The rules of a firewall that could have done it.
        rules: Vec<Candidate>,
    },
    /// A rule of a firewall has dropped it, or the policy of a chain.
    FirewallRule {
        /// The node or pod with the firewall.
        owner: Owner,
        /// The rule.
        rule: Box<DropRule>,
        /// Whether the sender was told.
        rejects: bool,
    },
    /// The facts do not explain it.
    Unknown {
        /// Why not, if there is a reason.
        why: Option<&'static str>,
        /// What podtrace does not see, and could be the cause.
        candidates: Vec<Candidate>,
    },
}

impl Cause {
    /// The same while a neighbour is still being asked, or once the kernel has given up.
    #[must_use]
    pub fn while_asked(mut self, is_still: bool) -> Self {
        if let Self::NeighbourFailed { is_asked, .. } = &mut self {
            *is_asked = is_still;
        }
        self
    }

    /// What could be it, where it is not known.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        match self {
            Self::Kernel {
                rules: candidates, ..
            }
            | Self::Refused {
                rules: candidates, ..
            }
            | Self::Unknown { candidates, .. } => candidates,
            _ => &[],
        }
    }

    /// Those of them that are rules.
    pub fn rules(&self) -> impl Iterator<Item = &RuleCandidate> {
        self.candidates().iter().filter_map(Candidate::rule)
    }

    /// Those of them that its words do not name, a statement each.
    pub fn could_be(&self) -> impl Iterator<Item = String> {
        let rules = match self {
            Self::Kernel { rules, .. } | Self::Refused { rules, .. } => &rules[..],
            _ => &[],
        };
        rules.iter().map(|rule| format!("could be: {rule}"))
    }
}
