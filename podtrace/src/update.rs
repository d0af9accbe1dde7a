//! What a session is told beside packets: interfaces, snapshots, names.
//!
//! A live session tells its pipeline, and a recording holds what was told in
//! the same order, so that a replay comes to the same names. Update serialise as
//! JSON objects whose `type` says which; times are nanoseconds of the clock of
//! the events: CLOCK_MONOTONIC live, UTC in a recording.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    identity::kubernetes::ClusterUpdate,
    model::{
        loss::Loss,
        pod::Pod,
        snapshot::{NewCgroup, Snapshot},
        start::Start,
        tap_point::TapPoint,
        topology::RecordedTopology,
    },
    text::sanitize::sanitize,
};

/// In the place of the time of an update on its way to a live session, which sets it when
/// it takes the update over.
pub const UNTIMED: u64 = 0;

/// One update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Update {
    /// The session has begun, or a replay has come to its begin.
    Start(Start),
    /// An interface has taps, or something else is known of it.
    #[serde(rename = "place")]
    TapPoint {
        /// Number of the interface; numbers are never reused.
        number: u32,
        /// What it is.
        #[serde(rename = "place")]
        point: TapPoint,
    },
    /// An interface was removed.
    #[serde(rename = "gone")]
    Removed {
        /// Number of the interface.
        number: u32,
    },
    /// All there is on the nodes.
    #[serde(rename = "look")]
    Snapshot(Box<Snapshot>),
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
    /// What `podtrace topology` shows; a recording has an entry of its own for it.
    #[serde(skip)]
    Topology(Box<RecordedTopology>),
    /// Something that the user was told.
    Notice {
        /// One line, safe for a terminal.
        text: String,
    },
}

impl Update {
    /// Changes all its times.
    pub fn map_times(&mut self, map: impl Fn(u64) -> u64) {
        match self {
            Self::Snapshot(snapshot) => {
                snapshot.time.map_times(&map);
                for (.., since_ns) in &mut snapshot.held_since {
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
            | Self::TapPoint { .. }
            | Self::Removed { .. }
            | Self::Runtime { .. }
            | Self::Changes { .. }
            | Self::Topology(_)
            | Self::Notice { .. } => {}
        }
    }
}

impl Update {
    /// Makes the names in it safe for a terminal that a live session has made
    /// safe already: those of a file can be anything. Runtimes' and the API's
    /// are made safe where they are used.
    pub fn make_safe(&mut self) {
        let clean = |name: &mut Arc<str>| *name = sanitize(name).into();
        match self {
            Self::TapPoint { point, .. } => {
                clean(&mut point.name);
                clean(&mut point.node_name);
            }
            Self::Snapshot(snapshot) => {
                for info in &mut snapshot.namespaces {
                    clean(&mut info.fallback);
                    info.given.as_mut().map(clean);
                }
            }
            Self::Notice { text } => *text = sanitize(text),
            _ => {}
        }
    }
}
