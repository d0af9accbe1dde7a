//! Context updates of a session beside its packets: interfaces, snapshots, names.
//!
//! A live session hands them to its pipeline, and a recording holds them in the same order,
//! so that a replay finds the same names. Updates serialise as JSON objects with a `type`;
//! times are nanoseconds of the clock of the events: CLOCK_MONOTONIC live, UTC in a
//! recording.
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    identity::kubernetes::ClusterUpdate,
    model::{
        drop::KernelDrop,
        loss::Loss,
        pod::Pod,
        ruleset::Ruleset,
        snapshot::{NewCgroup, Snapshot},
        start::Start,
        tap::is_zero,
        tap_point::TapPoint,
        topology::RecordedTopology,
        translation::FlowChanges,
    },
    text::sanitize::sanitize,
};

/// Placeholder for the time of an update to a live session, which sets the time when it
/// receives the update.
pub const UNTIMED: u64 = 0;

/// One update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Update {
    /// The session has begun, or a replay has reached its beginning.
    Start(Start),
    /// An interface has taps, or its description has changed.
    #[serde(rename = "place")]
    TapPoint {
        /// Number of the interface; numbers are never reused.
        number: u32,
        /// Its description.
        #[serde(rename = "place")]
        point: TapPoint,
    },
    /// An interface was removed.
    #[serde(rename = "gone")]
    Removed {
        /// Number of the interface.
        number: u32,
    },
    /// Everything on the nodes.
    #[serde(rename = "look")]
    Snapshot(Box<Snapshot>),
    /// All pods that a container runtime has.
    Pods {
        /// Number of the runtime.
        runtime: usize,
        /// The pods.
        pods: Vec<Pod>,
        /// When that was reported.
        ts_ns: u64,
    },
    /// A runtime answers, or no longer does.
    Runtime {
        /// Number of the runtime.
        runtime: usize,
        /// The node it serves, if it answers.
        node: Option<usize>,
    },
    /// An update from the Kubernetes API.
    Cluster {
        /// The update.
        update: ClusterUpdate,
        /// When that was reported.
        ts_ns: u64,
    },
    /// The paths of cgroup ids.
    Cgroups {
        /// Whether the earlier paths are obsolete.
        forgets: bool,
        /// The new paths.
        new: Vec<NewCgroup>,
    },
    /// The connection tracking of a node has changed, or is known now.
    Translations {
        /// Number of the node.
        node: usize,
        /// Id of its network namespace.
        netns: u64,
        /// The changes.
        changes: FlowChanges,
        /// When that was reported.
        ts_ns: u64,
    },
    /// A kernel has dropped packets.
    Drops {
        /// The packets, in about the order of their times.
        drops: Vec<KernelDrop>,
    },
    /// The rules of a namespace's firewall that may drop packets have changed, or are known now.
    Ruleset(Arc<Ruleset>),
    /// How many changes of the nodes there have been.
    Changes {
        /// Number of changes.
        count: u64,
    },
    /// The kernel takes another share of the packets from now on: packets under way at that
    /// time may lack hops.
    Sampling {
        /// One packet in `share` is taken; 1 takes all.
        share: u32,
        /// Since when some may have been taken by that share, if not at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_ns: Option<u64>,
        /// When all were.
        ts_ns: u64,
    },
    /// Some interfaces are unwatched: packets under way before all are watched may lack hops.
    Attaching {
        /// How many are still to be attached to.
        left: u64,
        /// How many cannot be.
        #[serde(default)]
        refused: u64,
        /// How many are attached to behind programs of other tools, which may take packets.
        #[serde(default, skip_serializing_if = "is_zero")]
        partial: u64,
        /// The pods, by namespace, that all of them are of or lead to; none if others are among them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pods: Vec<u64>,
        /// Since when some have been unwatched; none if since the session began.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_ns: Option<u64>,
        /// When the session began, if it is one of several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begun_ns: Option<u64>,
        /// When these numbers became valid.
        ts_ns: u64,
    },
    /// Events were lost.
    Loss(Loss),
    /// What `podtrace topology` shows, and what decides the way of packets; a recording has an
    /// entry of its own for it.
    #[serde(skip)]
    Topology(Box<RecordedTopology>),
    /// A notice to the user.
    Notice {
        /// One line, safe for a terminal.
        text: String,
    },
}

impl Update {
    /// Maps all its times.
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
            | Self::Translations { ts_ns, .. }
            | Self::Loss(Loss { ts_ns, .. }) => *ts_ns = map(*ts_ns),
            Self::Sampling {
                since_ns, ts_ns, ..
            } => {
                *since_ns = since_ns.map(&map);
                *ts_ns = map(*ts_ns);
            }
            Self::Attaching {
                since_ns,
                begun_ns,
                ts_ns,
                ..
            } => {
                *since_ns = since_ns.map(&map);
                *begun_ns = begun_ns.map(&map);
                *ts_ns = map(*ts_ns);
            }
            Self::Cgroups { new, .. } => {
                for new in new {
                    new.ts_ns = map(new.ts_ns);
                }
            }
            Self::Drops { drops } => {
                for drop in drops {
                    drop.ts_ns = map(drop.ts_ns);
                }
            }
            Self::Start(start) => start.begun_ns = start.begun_ns.map(&map),
            Self::TapPoint { .. }
            | Self::Removed { .. }
            | Self::Runtime { .. }
            | Self::Ruleset(_)
            | Self::Changes { .. }
            | Self::Topology(_)
            | Self::Notice { .. } => {}
        }
    }
}

impl Update {
    /// Sanitizes the names that a live session has sanitized already: a file can hold
    /// anything. Names from runtimes and the API are sanitized where they are used.
    pub fn make_safe(&mut self) {
        let clean = |name: &mut Arc<str>| *name = sanitize(name).into();
        match self {
            Self::TapPoint { point, .. } => {
                clean(&mut point.name);
                clean(&mut point.node_name);
                point.peer_name.as_mut().map(clean);
            }
            Self::Snapshot(snapshot) => {
                for info in &mut snapshot.namespaces {
                    clean(&mut info.fallback);
                    info.given.as_mut().map(clean);
                }
            }
            Self::Drops { drops } => drops.iter_mut().for_each(KernelDrop::make_safe),
            Self::Topology(topology) => {
                for facts in &mut topology.facts {
                    Arc::make_mut(facts).make_safe();
                }
            }
            Self::Ruleset(ruleset) => Arc::make_mut(ruleset).make_safe(),
            Self::Notice { text } => *text = sanitize(text),
            _ => {}
        }
    }
}
