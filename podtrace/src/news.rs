//! What a session is told beside packets: interfaces, looks, names.
//!
//! A live session tells its pipeline, and a recording holds what was told in
//! the same order, so that a replay comes to the same names. News serialise as
//! JSON objects whose `type` says which; times are nanoseconds of the clock of
//! the events: CLOCK_MONOTONIC live, UTC in a recording.
use std::{collections::HashSet, net::IpAddr, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    identity::{
        addresses::Holder,
        directory::{LookTime, NamespaceInfo},
        kubernetes::ClusterUpdate,
        pod::Pod,
    },
    node::{place::Place, tables::RemoteSubnet},
    output::{Loss, Start, sanitize::sanitize},
    probe::batch::NewCgroup,
};

/// Whose news it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Number of the session; 0 live.
    pub session: usize,
    /// The numbers of its nodes.
    pub nodes: Range<usize>,
}

/// Where the number of the session begins in an id of [`Origin::global_id`].
const SESSION_SHIFT: u32 = 48;

impl Origin {
    /// A namespace's or a cgroup's id that is told apart from other sessions'.
    /// Both are counted from 1 by each kernel, so the upper bits are free; the
    /// ids of session 0 stay as they are, and so does 0, none.
    #[must_use]
    pub fn global_id(&self, id: u64) -> u64 {
        match id {
            0 => 0,
            _ => id.wrapping_add((self.session as u64) << SESSION_SHIFT),
        }
    }
}

/// The session of an id of [`Origin::global_id`], and the id there.
#[must_use]
pub fn split_id(id: u64) -> (usize, u64) {
    let session = usize::try_from(id >> SESSION_SHIFT).unwrap_or(usize::MAX);
    (session, id & ((1 << SESSION_SHIFT) - 1))
}

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum News {
    /// The session has begun, or a replay has come to its begin.
    Start(Start),
    /// An interface has taps, or something else is known of it.
    Place {
        /// Number of the interface; numbers are never reused.
        number: u32,
        /// What it is.
        place: Place,
    },
    /// An interface is gone.
    Gone {
        /// Number of the interface.
        number: u32,
    },
    /// What a look at the nodes shows.
    Look(Box<Look>),
    /// All pods that a container runtime has.
    Pods {
        /// Number of the runtime.
        runtime: usize,
        /// The pods.
        pods: Vec<Pod>,
        /// When they were told.
        ts_ns: u64,
    },
    /// A runtime answers, or does not any more.
    Runtime {
        /// Number of the runtime.
        runtime: usize,
        /// The node it serves, if it answers.
        node: Option<usize>,
    },
    /// What the Kubernetes API tells.
    Cluster {
        /// Its words.
        update: ClusterUpdate,
        /// When they were told.
        ts_ns: u64,
    },
    /// What cgroup ids stand for.
    Cgroups {
        /// Whether those told before are to be forgotten.
        forgets: bool,
        /// The new ones.
        new: Vec<NewCgroup>,
    },
    /// How many changes of the nodes there were by now.
    Changes {
        /// Their number.
        count: u64,
    },
    /// From now on the kernel takes another share of the packets: of those under
    /// way by then, hops may be missing.
    Sampling {
        /// One in so many; 1 is all.
        share: u32,
        /// When that began.
        ts_ns: u64,
    },
    /// So many interfaces are there unwatched: of packets that are under way until there
    /// are none any more, hops may be missing.
    Attaching {
        /// How many are still to be attached to.
        left: u64,
        /// How many cannot be.
        #[serde(default)]
        refused: u64,
        /// Since when there have been some; none since the session began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_ns: Option<u64>,
        /// Since when they are so many.
        ts_ns: u64,
    },
    /// Events were lost.
    Loss(Loss),
    /// Something that the user was told.
    Notice {
        /// One line, safe for a terminal.
        text: String,
    },
}

impl News {
    /// Changes all its times.
    pub fn map_times(&mut self, map: impl Fn(u64) -> u64) {
        match self {
            Self::Look(look) => {
                look.time.map_times(&map);
                for (.., since_ns) in &mut look.held_since {
                    *since_ns = map(*since_ns);
                }
            }
            Self::Pods { ts_ns, .. }
            | Self::Cluster { ts_ns, .. }
            | Self::Loss(Loss { ts_ns, .. })
            | Self::Sampling { ts_ns, .. } => *ts_ns = map(*ts_ns),
            Self::Attaching {
                since_ns, ts_ns, ..
            } => {
                *since_ns = since_ns.map(&map);
                *ts_ns = map(*ts_ns);
            }
            Self::Cgroups { new, .. } => {
                for new in new {
                    new.ts_ns = map(new.ts_ns);
                }
            }
            Self::Start(_)
            | Self::Place { .. }
            | Self::Gone { .. }
            | Self::Runtime { .. }
            | Self::Changes { .. }
            | Self::Notice { .. } => {}
        }
    }
}

impl News {
    /// Makes the names in it safe for a terminal that a live session has made
    /// safe already: those of a file can be anything. Runtimes' and the API's
    /// are made safe where they are used.
    pub fn make_safe(&mut self) {
        let clean = |name: &mut Arc<str>| *name = sanitize(name).into();
        match self {
            Self::Place { place, .. } => {
                clean(&mut place.name);
                clean(&mut place.node_name);
            }
            Self::Look(look) => {
                for info in &mut look.namespaces {
                    clean(&mut info.fallback);
                    info.given.as_mut().map(clean);
                }
            }
            Self::Notice { text } => *text = sanitize(text),
            _ => {}
        }
    }
}

/// What a look at the nodes shows: all there is at that time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// When it was taken.
    pub time: LookTime,
    /// The namespaces of pods.
    pub namespaces: Vec<NamespaceInfo>,
    /// Addresses by holder.
    pub addresses: HashSet<(IpAddr, Holder)>,
    /// In a recording's repeated look: since when addresses are held that have
    /// been so for longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_since: Vec<(IpAddr, Holder, u64)>,
    /// What is behind the tunnels of each node.
    pub subnets: Vec<Vec<RemoteSubnet>>,
    /// UDP ports that carry VXLAN.
    pub vxlan_ports: Vec<u16>,
    /// Whether there are containers without a cgroup v2 of their own.
    pub has_v1_containers: bool,
    /// Whether the sockets of pods are watched.
    pub watches_sockets: bool,
}
