//! The updates of a session so far, with which each section begins.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map},
    sync::Arc,
};

use crate::{
    identity::kubernetes::{ClusterNode, ClusterPod, ClusterService, ClusterUpdate, Resource},
    model::{
        origin::{Origin, split_id},
        pod::Pod,
        ruleset::{Ruleset, least},
        snapshot::{NewCgroup, Snapshot, SnapshotTime},
        start::Start,
        topology::RecordedTopology,
    },
    order::Order as _,
    session::format::Entry,
    update::Update,
    world::{RULESETS_MAX, World},
};

/// Upper bound of the cgroups in one entry, so that it fits a block.
const CGROUPS_AT_ONCE: usize = 4096;

/// The updates that are still valid.
#[derive(Default)]
pub(super) struct StateLog {
    /// Whether it holds several sessions.
    is_merged: bool,
    start: Option<Start>,
    snapshots: BTreeMap<usize, (Origin, Snapshot)>,
    /// Existing interfaces.
    tap_points: BTreeSet<u32>,
    /// By runtime: their origin, the pods, and when they were reported.
    pods: BTreeMap<usize, (Origin, Vec<Pod>, u64)>,
    runtimes: BTreeMap<usize, (Origin, Option<usize>)>,
    cgroups: HashMap<u64, NewCgroup>,
    clusters: BTreeMap<usize, Cluster>,
    changes: BTreeMap<usize, (Origin, u64)>,
    /// How many interfaces were still to be attached to, and since when.
    attaching: BTreeMap<usize, (Origin, Update)>,
    topology: BTreeMap<usize, Box<RecordedTopology>>,
    /// The rules of firewalls, by the ids of their namespaces.
    rulesets: BTreeMap<u64, (Origin, Arc<Ruleset>)>,
}

/// The updates of the Kubernetes API in one session.
#[derive(Default)]
struct Cluster {
    origin: Origin,
    pods: BTreeMap<String, ClusterPod>,
    nodes: BTreeMap<String, ClusterNode>,
    services: BTreeMap<String, ClusterService>,
    endpoints: BTreeMap<String, ClusterService>,
    synced: Vec<Resource>,
    ts_ns: u64,
}

impl StateLog {
    /// `sessions`: how many are merged into the recording.
    pub(super) fn new(sessions: usize) -> Self {
        Self {
            is_merged: sessions > 1,
            ..Self::default()
        }
    }

    /// An update with its origin if there are several sessions: each has nodes of its own.
    fn entry(&self, origin: Origin, update: Update) -> Entry {
        if self.is_merged {
            Entry::UpdateOf { origin, update }
        } else {
            Entry::Update(update)
        }
    }

    /// Records an update; returns the entry that a recording needs for it.
    pub(super) fn record(&mut self, origin: &Origin, update: &Update) -> Entry {
        match update {
            Update::Start(start) => self.start = Some(start.clone()),
            Update::TapPoint { number, .. } => {
                self.tap_points.insert(*number);
            }
            Update::Removed { number } => {
                self.tap_points.remove(number);
            }
            Update::Snapshot(snapshot) => return self.record_snapshot(origin, snapshot),
            Update::Pods {
                runtime,
                pods,
                ts_ns,
            } => {
                let known = (origin.clone(), pods.clone(), *ts_ns);
                self.pods.insert(*runtime, known);
            }
            Update::Runtime { runtime, node } => {
                self.runtimes.insert(*runtime, (origin.clone(), *node));
            }
            Update::Cluster { update, ts_ns } => {
                let cluster = self.clusters.entry(origin.session).or_default();
                cluster.origin = origin.clone();
                cluster.ts_ns = *ts_ns;
                cluster.apply(update);
            }
            Update::Cgroups { forgets, new } => {
                if *forgets {
                    let is_other = |id: &u64| split_id(*id).0 != origin.session;
                    self.cgroups.retain(|id, _| is_other(id));
                }
                let new = new.iter().map(|new| (new.id, new.clone()));
                self.cgroups.extend(new);
            }
            Update::Changes { count } => {
                let known = (origin.clone(), *count);
                self.changes.insert(origin.session, known);
            }
            Update::Attaching { .. } => {
                let known = (origin.clone(), update.clone());
                self.attaching.insert(origin.session, known);
            }
            Update::Ruleset(ruleset) => {
                let known = (origin.clone(), Arc::clone(ruleset));
                self.rulesets.insert(ruleset.netns, known);
                if self.rulesets.len() > RULESETS_MAX {
                    let known = self.rulesets.values();
                    let least = least(known.map(|(_, ruleset)| ruleset.as_ref()));
                    least.and_then(|netns| self.rulesets.remove(&netns));
                }
            }
            Update::Topology(topology) => {
                self.topology.insert(origin.session, topology.clone());
                return Entry::Topology(topology.clone());
            }
            // Too many to be repeated in each file: they only decide between equal packets.
            Update::Translations { .. }
            | Update::Drops { .. }
            | Update::Sampling { .. }
            | Update::Loss(_)
            | Update::Notice { .. } => {}
        }
        self.entry(origin.clone(), update.clone())
    }

    fn record_snapshot(&mut self, origin: &Origin, snapshot: &Snapshot) -> Entry {
        let known = self.snapshots.get_mut(&origin.session);
        if let Some((_, known)) = known {
            let time = std::mem::replace(&mut known.time, snapshot.time);
            if known == snapshot {
                let origin = origin.clone();
                let time = snapshot.time;
                return Entry::SnapshotAgain { origin, time };
            }
            known.time = time;
            // That a namespace has no rules is not repeated once it is gone.
            let there: BTreeSet<u64> = snapshot.namespaces.iter().map(|space| space.id).collect();
            let before = known.namespaces.iter().map(|space| space.id);
            for gone in before.filter(|id| !there.contains(id)) {
                if let btree_map::Entry::Occupied(known) = self.rulesets.entry(gone)
                    && known.get().1.is_empty()
                {
                    known.remove();
                }
            }
        }
        let known = (origin.clone(), snapshot.clone());
        self.snapshots.insert(origin.session, known);
        self.entry(origin.clone(), Update::Snapshot(Box::new(snapshot.clone())))
    }

    /// The numbers of the existing interfaces.
    pub(super) fn tap_points(&self) -> impl Iterator<Item = u32> {
        self.tap_points.iter().copied()
    }

    /// Addresses and names of remote pods, by the Kubernetes API.
    pub(super) fn cluster_pods(&self) -> impl Iterator<Item = &ClusterPod> {
        let pods = self
            .clusters
            .values()
            .flat_map(|cluster| cluster.pods.values());
        pods.filter(|pod| pod.phase_running)
    }

    /// The entries at the begin of a section, in a valid order. `ts_ns`: the time of the last
    /// event before it.
    pub(super) fn entries(&self, world: &World, ts_ns: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        entries.extend(self.topology.values().cloned().map(Entry::Topology));
        for (origin, ruleset) in self.rulesets.values() {
            let update = Update::Ruleset(Arc::clone(ruleset));
            entries.push(self.entry(origin.clone(), update));
        }
        for (origin, count) in self.changes.values() {
            entries.push(self.entry(origin.clone(), Update::Changes { count: *count }));
        }
        for (origin, attaching) in self.attaching.values() {
            entries.push(self.entry(origin.clone(), attaching.clone()));
        }
        for (origin, snapshot) in self.snapshots.values() {
            let snapshot = Update::Snapshot(Box::new(backdated(snapshot, world, ts_ns)));
            entries.push(self.entry(origin.clone(), snapshot));
        }
        for number in &self.tap_points {
            let point = world.tap_points.get(*number).cloned();
            entries.extend(point.map(|point| {
                let number = *number;
                Entry::Update(Update::TapPoint { number, point })
            }));
        }
        for (runtime, (origin, node)) in &self.runtimes {
            let (runtime, node) = (*runtime, *node);
            entries.push(self.entry(origin.clone(), Update::Runtime { runtime, node }));
        }
        for (runtime, (origin, pods, ts_ns)) in &self.pods {
            let update = Update::Pods {
                runtime: *runtime,
                pods: pods.clone(),
                ts_ns: *ts_ns,
            };
            entries.push(self.entry(origin.clone(), update));
        }
        for cluster in self.clusters.values() {
            let update = cluster.updates();
            entries.extend(update.map(|update| self.entry(cluster.origin.clone(), update)));
        }
        let mut cgroups: Vec<_> = self.cgroups.values().cloned().collect();
        cgroups.order_by_key(|new| (new.ts_ns, new.id));
        entries.extend(cgroups.chunks(CGROUPS_AT_ONCE).map(|new| {
            Entry::Update(Update::Cgroups {
                forgets: false,
                new: new.to_vec(),
            })
        }));
        let start = self.start.clone().map(Update::Start);
        entries.extend(start.map(Entry::Update));
        entries
    }
}

/// The snapshot as valid from `ts_ns` on: everything in it existed before.
fn backdated(snapshot: &Snapshot, world: &World, ts_ns: u64) -> Snapshot {
    let time = SnapshotTime {
        ended_ns: snapshot.time.ended_ns.min(ts_ns),
        began_ns: snapshot.time.began_ns.min(ts_ns),
        ..snapshot.time
    };
    let held = world.identities.held_addresses();
    let held =
        held.filter(|(address, holder, _)| snapshot.addresses.contains(&(*address, *holder)));
    let mut held_since: Vec<_> = held.collect();
    held_since.order_by_key(|(address, holder, _)| (*address, holder.node, holder.netns));
    Snapshot {
        time,
        held_since,
        ..snapshot.clone()
    }
}

impl Cluster {
    fn apply(&mut self, update: &ClusterUpdate) {
        match update {
            ClusterUpdate::Restart(resource) => {
                // The API reports everything again.
                self.synced.retain(|synced| synced != resource);
                match resource {
                    Resource::Pods => self.pods.clear(),
                    Resource::Nodes => self.nodes.clear(),
                    Resource::Services => self.services.clear(),
                    Resource::EndpointSlices => self.endpoints.clear(),
                }
            }
            ClusterUpdate::Pod(pod) => {
                self.pods.insert(pod.uid.clone(), pod.clone());
            }
            ClusterUpdate::PodDeleted { uid } => {
                self.pods.remove(uid);
            }
            ClusterUpdate::Node(node) => {
                self.nodes.insert(node.name.clone(), node.clone());
            }
            ClusterUpdate::NodeDeleted { name } => {
                self.nodes.remove(name);
            }
            ClusterUpdate::Service(service) => {
                self.services.insert(service.uid.clone(), service.clone());
            }
            ClusterUpdate::ServiceDeleted { uid } => {
                self.services.remove(uid);
            }
            ClusterUpdate::Endpoints(pods) => {
                self.endpoints.insert(pods.uid.clone(), pods.clone());
            }
            ClusterUpdate::EndpointsDeleted { uid } => {
                self.endpoints.remove(uid);
            }
            ClusterUpdate::Synced(resource) => self.synced.push(*resource),
            ClusterUpdate::Unavailable { .. } | ClusterUpdate::Available(_) => {}
        }
    }

    fn updates(&self) -> impl Iterator<Item = Update> {
        let mut updates = Vec::new();
        let pods = self.pods.values().cloned().map(ClusterUpdate::Pod);
        let nodes = self.nodes.values().cloned().map(ClusterUpdate::Node);
        let services = self.services.values().cloned();
        let services = services.map(ClusterUpdate::Service);
        let endpoints = self.endpoints.values().cloned();
        let endpoints = endpoints.map(ClusterUpdate::Endpoints);
        for (resource, known) in [
            (Resource::Nodes, nodes.collect::<Vec<_>>()),
            (Resource::Pods, pods.collect()),
            (Resource::Services, services.collect()),
            (Resource::EndpointSlices, endpoints.collect()),
        ] {
            updates.push(ClusterUpdate::Restart(resource));
            updates.extend(known);
            if self.synced.contains(&resource) {
                updates.push(ClusterUpdate::Synced(resource));
            }
        }
        let ts_ns = self.ts_ns;
        let updates = updates.into_iter();
        updates.map(move |update| Update::Cluster { update, ts_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ruleset::Chain, snapshot::NamespaceInfo};

    #[test]
    fn namespace_without_rules_is_told_as_long_as_it_is_there() {
        let mut log = StateLog::default();
        let origin = Origin {
            session: 0,
            nodes: 0..1,
        };
        let snapshot = |ids: &[u64]| {
            let namespaces = ids.iter().map(|id| NamespaceInfo {
                id: *id,
                ..NamespaceInfo::default()
            });
            Update::Snapshot(Box::new(Snapshot {
                namespaces: namespaces.collect(),
                ..Snapshot::default()
            }))
        };
        let rules = |netns, chains| {
            let ruleset = Ruleset {
                netns,
                chains,
                ..Ruleset::default()
            };
            Update::Ruleset(Arc::new(ruleset))
        };
        log.record(&origin, &snapshot(&[2, 3]));
        // The node's own is in no snapshot.
        for netns in 1..=3 {
            log.record(&origin, &rules(netns, Vec::new()));
        }
        log.record(&origin, &rules(4, vec![Chain::default()]));
        let known = |log: &StateLog| log.rulesets.keys().copied().collect::<Vec<_>>();
        log.record(&origin, &snapshot(&[3, 4]));
        assert_eq!(known(&log), [1, 3, 4]);
        log.record(&origin, &snapshot(&[]));
        assert_eq!(known(&log), [1, 4]);
    }
}
