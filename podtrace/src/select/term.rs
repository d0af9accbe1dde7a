//! What can be asked of a packet.
use super::{Cidr, FullName, Peer, labels::Labels, protocol::Protocol, seen::Seen};
use crate::{
    path::ends::{End, Who},
    text::glob::Glob,
};

/// One thing that is asked of a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A pod sends or receives it, or it passes the pod's interfaces.
    Pod(FullName),
    /// A pod sends it.
    FromPod(FullName),
    /// A pod receives it.
    ToPod(FullName),
    /// One sends and the other receives it, in either direction.
    Between(Peer, Peer),
    /// One sends it, or receives it.
    Touches(Peer),
    /// As [`Term::Pod`], of any pod of a namespace.
    Namespace(Glob),
    /// As [`Term::Pod`], of any pod with these labels.
    Labels(Labels),
    /// A container sends or receives it.
    Container(Glob),
    /// It is for a Service or answers from it.
    Service(FullName),
    /// It has such an address, before or behind address translation.
    Ip(Cidr),
    /// It has this port, before or behind address translation.
    Port(u16),
    /// It is of this protocol.
    Protocol(Protocol),
    /// It was seen at a node, or comes from there or goes there.
    Node(Glob),
    /// It ended so, by its name in [`Outcome::NAMES`](crate::path::Outcome::NAMES).
    Outcome(&'static str),
    /// From its first hop to its last it took so many nanoseconds at least.
    MinLatency(u64),
}

/// The outcome that others do not rule out: who receives a packet may refuse it.
const REFUSED: &str = "refused";

impl Term {
    /// The option that takes the name in it.
    pub(super) fn flag(&self) -> Option<&'static str> {
        match self {
            Self::Pod(_) => Some("--pod"),
            Self::FromPod(_) => Some("--from-pod"),
            Self::ToPod(_) => Some("--to-pod"),
            Self::Between(..) => Some("--between"),
            Self::Namespace(_) => Some("--namespace"),
            Self::Labels(_) => Some("--selector"),
            Self::Container(_) => Some("--container"),
            Self::Service(_) => Some("--service"),
            Self::Node(_) => Some("--node"),
            Self::Touches(_)
            | Self::Ip(_)
            | Self::Port(_)
            | Self::Protocol(_)
            | Self::Outcome(_)
            | Self::MinLatency(_) => None,
        }
    }

    /// A rank by how much is to be looked up.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Protocol(_) | Self::Outcome(_) | Self::MinLatency(_) => 0,
            Self::Port(_) | Self::Ip(_) => 1,
            Self::Service(_) | Self::Node(_) => 3,
            _ => 2,
        }
    }

    pub(super) fn matches(&self, seen: &Seen<'_>) -> bool {
        let path = seen.path;
        let has_pod = |fits: &dyn Fn(&str) -> bool| seen.pods().iter().any(|pod| fits(pod));
        match self {
            Self::Pod(name) => has_pod(&|pod| name.matches(pod)),
            Self::FromPod(name) => is_pod(&seen.ends().0, name),
            Self::ToPod(name) => is_pod(&seen.ends().1, name),
            Self::Between(one, other) => {
                one.sends(seen) && other.receives(seen) || other.sends(seen) && one.receives(seen)
            }
            Self::Touches(peer) => peer.sends(seen) || peer.receives(seen),
            Self::Namespace(wanted) => has_pod(&|pod| {
                pod.split_once('/')
                    .is_some_and(|(of, _)| wanted.matches(of))
            }),
            Self::Labels(wanted) => has_pod(&|pod| {
                seen.labels(pod)
                    .is_some_and(|labels| wanted.match_all(labels))
            }),
            Self::Container(wanted) => {
                let (from, to) = seen.ends();
                let mut names = [from, to]
                    .into_iter()
                    .filter_map(|end| end.container.as_ref());
                names.any(|name| wanted.matches(name))
            }
            Self::Service(name) => seen.services().iter().any(|service| name.matches(service)),
            Self::Ip(range) => {
                let mut all = seen.sources().chain(seen.destinations());
                all.any(|address| range.covers(address))
            }
            Self::Port(wanted) => seen.ports().any(|port| port == *wanted),
            Self::Protocol(wanted) => wanted.is_of(&path.packet),
            Self::Node(wanted) => seen.nodes().any(|node| wanted.matches(node)),
            Self::Outcome(wanted) => {
                path.outcome.name() == *wanted || *wanted == REFUSED && path.was_refused()
            }
            Self::MinLatency(least_ns) => path.duration_ns() >= *least_ns,
        }
    }
}

fn is_pod(end: &End, wanted: &FullName) -> bool {
    matches!(&end.who, Who::Pod(name) if wanted.matches(name))
}

impl Peer {
    pub(super) fn sends(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Pod(name) => is_pod(&seen.ends().0, name),
            Self::Named(name) => is_named(seen, &seen.ends().0, name),
            Self::Address(range) => seen.sources().any(|address| range.covers(address)),
        }
    }

    pub(super) fn receives(&self, seen: &Seen<'_>) -> bool {
        match self {
            Self::Pod(name) => is_pod(&seen.ends().1, name),
            Self::Named(name) => is_named(seen, &seen.ends().1, name),
            Self::Address(range) => seen.destinations().any(|address| range.covers(address)),
        }
    }

    /// Whether a name is this peer's.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        match self {
            Self::Pod(wanted) | Self::Named(wanted) => wanted.matches(name),
            Self::Address(_) => false,
        }
    }
}

/// Whether an end is a pod or a node of that name, or hides behind a Service of that name.
fn is_named(seen: &Seen<'_>, end: &End, wanted: &FullName) -> bool {
    let is_end = match &end.who {
        Who::Pod(name) | Who::Node(name) => wanted.matches(name),
        Who::On(_) | Who::Unknown => false,
    };
    is_end
        || seen
            .services()
            .iter()
            .any(|service| wanted.matches(service))
}
