//! The state of the network, built from updates.
#[cfg(test)]
pub(crate) mod fixture;
pub mod locate;
mod loss;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use podtrace_ebpf::record::Direction;

use crate::{
    clock::nodes::{CorrectedClock, Doubts, Line},
    identity::identities::Identities,
    map::Map,
    model::{
        event::TapPoints,
        facts::NodeFacts,
        origin::Origin,
        ruleset::{Ruleset, least},
        snapshot::Snapshot,
        tap_point::{Role, TapPoint},
    },
    packet::Mac,
    update::Update,
};

/// Upper bound of the namespaces whose rules are known.
pub(crate) const RULESETS_MAX: usize = 1024;

/// The state of the traced nodes.
#[derive(Debug, Default)]
pub struct World {
    /// The names of the traced nodes.
    pub nodes: Vec<Arc<str>>,
    /// The interfaces with taps.
    pub tap_points: TapPoints,
    /// The owners of addresses, namespaces and cgroups.
    pub identities: Identities,
    /// The sessions that watch the sockets of pods.
    pub watching: BTreeSet<usize>,
    /// Nodes that are not traced at the moment: their session has ended or not yet begun.
    pub silent: BTreeSet<usize>,
    /// Nodes of which only some packets were recorded, in a replay of several.
    pub partly_recorded: BTreeSet<usize>,
    /// The clocks of nodes other than the reference: number of the session and clock, by
    /// node.
    pub clocks: BTreeMap<usize, (usize, Arc<Line>)>,
    /// The packets that these clocks may confuse.
    pub doubts: Arc<Doubts>,
    /// Nodes by the MAC addresses of their interfaces to other nodes; none where several nodes
    /// share an address.
    stations: Map<Mac, Option<usize>>,
    /// What decides the way of packets on the nodes, by their numbers.
    pub facts: BTreeMap<usize, Arc<NodeFacts>>,
    /// The rules of firewalls that may drop packets, by the ids of their namespaces.
    pub rulesets: BTreeMap<u64, Arc<Ruleset>>,
    /// UTC nanoseconds at zero of the clock of events and updates.
    pub epoch_ns: i128,
}

impl World {
    /// Takes over the clocks by which a file's times were corrected. `first`: the number of the
    /// first one, as in [`Self::clocks`].
    pub fn state_clocks(&mut self, clocks: &[CorrectedClock], first: usize) {
        for (number, clock) in (first..).zip(clocks) {
            let line = Arc::new(clock.line());
            let line = |node: &usize| (*node, (number, Arc::clone(&line)));
            self.clocks.extend(clock.nodes.iter().map(line));
        }
    }

    /// The name of a traced node.
    #[must_use]
    pub fn node_name(&self, number: usize) -> Option<Arc<str>> {
        self.nodes.get(number).cloned()
    }

    /// The traced node that has an interface to other nodes with this MAC address.
    #[must_use]
    pub(crate) fn station(&self, mac: Mac) -> Option<usize> {
        self.stations.get(&mac).copied().flatten()
    }

    /// Whether `other` is another node than this one, and traced at the moment.
    #[must_use]
    pub(crate) fn is_seen_beside(&self, node: usize, other: usize) -> bool {
        other != node && !self.silent.contains(&other)
    }

    /// Whether any other node than this one is traced at the moment.
    #[must_use]
    pub(crate) fn sees_beside(&self, node: usize) -> bool {
        (0..self.nodes.len()).any(|other| self.is_seen_beside(node, other))
    }

    /// The pod that a tap point is in, by its best known name; none on the node itself.
    #[must_use]
    pub fn pod_of(&self, point: &TapPoint) -> Option<Arc<str>> {
        point.pod_netns().map(|netns| self.identities.pod(netns))
    }

    /// The pod or node that a tap point is in.
    #[must_use]
    pub fn owner_of(&self, point: &TapPoint) -> Arc<str> {
        self.pod_of(point)
            .unwrap_or_else(|| Arc::clone(&point.node_name))
    }

    /// A tap: `veth0101 ingress of worker1`.
    #[must_use]
    pub fn tap_in_words(&self, interface: u32, direction: Direction) -> Option<String> {
        let point = self.tap_points.get(interface)?;
        let (direction, owner) = (direction.as_str(), self.owner_of(point));
        Some(format!("{} {direction} of {owner}", point.name))
    }

    /// Applies an update.
    pub fn apply(&mut self, origin: &Origin, update: &Update) {
        match update {
            Update::TapPoint { number, point } => {
                self.note_station(point);
                self.tap_points.set(*number, point.clone());
            }
            Update::Snapshot(snapshot) => self.apply_snapshot(origin, snapshot),
            Update::Pods {
                runtime,
                pods,
                ts_ns,
            } => self.identities.set_pods(*runtime, pods, *ts_ns),
            Update::Runtime { runtime, node } => match node {
                Some(node) => self.identities.runtime_answers(*runtime, *node),
                None => self.identities.runtime_is_lost(*runtime),
            },
            Update::Cluster { update, ts_ns } => self.identities.update_cluster(
                origin.session,
                update.clone(),
                *ts_ns,
                self.epoch_ns,
            ),
            Update::Cgroups { forgets, new } => {
                let sockets = self.identities.sockets();
                if *forgets {
                    sockets.clear(origin.session);
                }
                for new in new {
                    sockets.learn(new);
                }
            }
            Update::Topology(topology) => {
                let facts = topology.facts.iter();
                self.facts
                    .extend(facts.map(|facts| (facts.node, Arc::clone(facts))));
            }
            Update::Ruleset(ruleset) => {
                self.rulesets.insert(ruleset.netns, Arc::clone(ruleset));
                if self.rulesets.len() > RULESETS_MAX {
                    let least = least(self.rulesets.values().map(Arc::as_ref));
                    least.and_then(|netns| self.rulesets.remove(&netns));
                }
            }
            Update::Changes { count } => self.identities.record_changes(origin.session, *count),
            Update::Start(_)
            | Update::Removed { .. }
            | Update::Sampling { .. }
            | Update::Attaching { .. }
            | Update::Translations { .. }
            | Update::Drops { .. }
            | Update::Loss(_)
            | Update::Notice { .. } => {}
        }
    }

    fn note_station(&mut self, point: &TapPoint) {
        let Some(mac) = point.mac.filter(|_| point.role == Role::Uplink) else {
            return;
        };
        let node = self.stations.entry(mac).or_insert(Some(point.node));
        *node = node.filter(|node| *node == point.node);
    }

    fn apply_snapshot(&mut self, origin: &Origin, snapshot: &Snapshot) {
        if snapshot.watches_sockets {
            self.watching.insert(origin.session);
        } else {
            self.watching.remove(&origin.session);
        }
        self.identities.apply_snapshot(origin, snapshot);
    }
}
