//! What JSON, CSV and Parquet have in common: how they tell ends, sockets and packets.
use std::sync::Arc;

use serde::Serialize;

use crate::{
    identity::sockets::SocketOwner,
    packet::Packet,
    path::ends::{End, Who},
};

/// The pod that an end is, the node that it is, and the node that it is on.
pub(crate) fn names(end: &End) -> [Option<Arc<str>>; 3] {
    match &end.who {
        Who::Pod(pod) => [Some(Arc::clone(pod)), None, None],
        Who::Node(node) => [None, Some(Arc::clone(node)), None],
        Who::On(node) => [None, None, Some(Arc::clone(node))],
        Who::Unknown => [None, None, None],
    }
}

/// A packet in words, without its addresses.
pub(crate) fn describe(packet: &Packet) -> String {
    let mut what = String::new();
    packet.describe(&mut what);
    what
}

/// Whose the socket is that sends or receives.
#[derive(Serialize)]
pub(crate) struct SocketLine {
    pub(crate) owner: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<Arc<str>>,
}

impl From<SocketOwner> for SocketLine {
    fn from(owner: SocketOwner) -> Self {
        let bare = |owner| Self {
            owner,
            pod: None,
            container: None,
            cgroup: None,
        };
        match owner {
            SocketOwner::None => bare("none"),
            SocketOwner::Kernel => bare("kernel"),
            SocketOwner::Root => bare("root"),
            SocketOwner::Container(name) => Self {
                pod: Some(Arc::clone(&name.pod.full)),
                container: Some(name.name),
                ..bare("container")
            },
            SocketOwner::UnnamedContainer(id) => Self {
                container: Some(id),
                ..bare("container")
            },
            SocketOwner::Process(cgroup) => Self {
                cgroup: Some(cgroup),
                ..bare("process")
            },
            SocketOwner::Gone(_) | SocketOwner::Unknown(_) => bare("unknown"),
        }
    }
}
