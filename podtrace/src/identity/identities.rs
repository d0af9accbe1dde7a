//! Identities on the traced nodes: owners of namespaces, addresses and sockets.
//!
//! Pure look-ups in the data of the node, the runtime and the API. Only what never changes
//! hands (namespace id, container id, cgroup id), or an address at the time of the packet,
//! gives a name.
mod names;
mod waits;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use crate::{
    map::Map,
    model::{
        origin::Origin,
        pod::Pod,
        snapshot::{Holder, NamespaceInfo, Snapshot},
        subnet::{RemoteSubnet, vtep_of},
    },
};

use super::{
    addresses::Addresses,
    kubernetes::{Cluster, ClusterUpdate},
    local_pods::LocalPods,
    sockets::Sockets,
};

pub use waits::NAME_WAIT_NS;

/// How long a removed namespace is remembered, in nanoseconds.
const REMEMBER_NS: u64 = 60_000_000_000;

#[derive(Clone, Debug)]
struct Namespace {
    info: NamespaceInfo,
    first_ns: u64,
    /// Since when [`NamespaceInfo::watched`] holds.
    watched_ns: Option<u64>,
    removed_ns: Option<u64>,
    /// Whether it has an address.
    is_addressed: bool,
}

/// All known identities.
#[derive(Debug, Default)]
pub struct Identities {
    namespaces: Map<u64, Namespace>,
    /// The runtimes that answer, by number, and the nodes they serve.
    runtimes: HashMap<usize, usize>,
    pods: LocalPods,
    sockets: Sockets,
    addresses: Addresses,
    subnets: Vec<Vec<RemoteSubnet>>,
    /// The state from the Kubernetes API, by session.
    clusters: BTreeMap<usize, Cluster>,
    /// When the newest namespace was first seen.
    newest_ns: u64,
    /// How far the snapshots are behind the changes, by session.
    changes: BTreeMap<usize, Changes>,
    /// Whether there are changes that no snapshot has shown; cached, as each event needs
    /// it.
    is_unsteady: bool,
}

/// Changes of the nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    /// How many there were.
    count: u64,
    /// How many of them the last snapshot shows.
    shown: u64,
}

impl Identities {
    /// Applies a complete snapshot of the session's nodes.
    pub fn apply_snapshot(&mut self, origin: &Origin, snapshot: &Snapshot) {
        let time = snapshot.time;
        let holders = snapshot.addresses.iter();
        let addressed: HashSet<u64> = holders.filter_map(|(_, holder)| holder.netns).collect();
        let known = self.namespaces.values_mut();
        for known in known.filter(|known| origin.nodes.contains(&known.info.node)) {
            known.removed_ns.get_or_insert(time.ended_ns);
        }
        for info in snapshot.namespaces.iter().cloned() {
            let known = self.namespaces.entry(info.id);
            let newest_ns = &mut self.newest_ns;
            let known = known.or_insert_with(|| {
                *newest_ns = time.began_ns;
                Namespace {
                    info: NamespaceInfo::default(),
                    first_ns: time.began_ns,
                    watched_ns: None,
                    removed_ns: None,
                    is_addressed: false,
                }
            });
            known.watched_ns = match (info.watched, known.watched_ns) {
                (true, None) => Some(time.ended_ns),
                (true, since) => since,
                (false, _) => None,
            };
            known.is_addressed = addressed.contains(&info.id);
            known.info = info;
            known.removed_ns = None;
        }
        self.namespaces.retain(|_, known| {
            known
                .removed_ns
                .is_none_or(|removed_ns| time.ended_ns.saturating_sub(removed_ns) < REMEMBER_NS)
        });
        self.addresses
            .apply_snapshot(&origin.nodes, &snapshot.addresses, time);
        for (address, holder, since_ns) in &snapshot.held_since {
            self.addresses.is_held_since(*address, *holder, *since_ns);
        }
        for (node, subnets) in origin.nodes.clone().zip(&snapshot.subnets) {
            self.subnets
                .resize(self.subnets.len().max(node + 1), Vec::new());
            self.subnets[node].clone_from(subnets);
        }
        self.sockets
            .share_root(origin.session, snapshot.has_v1_containers);
        self.sockets
            .set_marks_kernel(origin.session, snapshot.marks_kernel);
        self.changes.entry(origin.session).or_default().shown = time.changes;
        self.update_steadiness();
    }

    /// Records how many changes of a session's nodes there have been: changes that no
    /// snapshot has shown make addresses uncertain.
    pub fn record_changes(&mut self, session: usize, count: u64) {
        self.changes.entry(session).or_default().count = count;
        self.update_steadiness();
    }

    fn update_steadiness(&mut self) {
        let mut changes = self.changes.values();
        self.is_unsteady = changes.any(|changes| changes.count > changes.shown);
    }

    fn is_steady(&self) -> bool {
        !self.is_unsteady
    }

    /// The addresses of the traced nodes and their pods, and since when.
    pub fn held_addresses(&self) -> impl Iterator<Item = (IpAddr, Holder, u64)> {
        self.addresses.claimed()
    }

    /// Takes over the list of a runtime's pods. `runtime`: its number.
    pub fn set_pods(&mut self, runtime: usize, pods: &[Pod], now_ns: u64) {
        self.pods.set(runtime, pods, now_ns);
    }

    /// Records that a runtime answers, so that names of the node's pods can come.
    pub fn runtime_answers(&mut self, runtime: usize, node: usize) {
        self.runtimes.insert(runtime, node);
    }

    /// Records that a runtime no longer answers.
    pub fn runtime_is_lost(&mut self, runtime: usize) {
        self.runtimes.remove(&runtime);
    }

    /// The VTEP behind which a node's routes see the address.
    #[must_use]
    pub fn vtep_of(&self, address: IpAddr) -> Option<IpAddr> {
        self.subnets
            .iter()
            .find_map(|subnets| vtep_of(subnets, address))
    }

    /// How many reports of pods and nodes elsewhere, and of Services, found no room.
    #[must_use]
    pub fn not_kept(&self) -> u64 {
        self.clusters.values().map(Cluster::not_kept).sum()
    }

    /// Applies an update of the Kubernetes API in a session. `epoch_ns`: UTC nanoseconds at
    /// zero of the clock of `now_ns`.
    pub fn update_cluster(
        &mut self,
        session: usize,
        update: ClusterUpdate,
        now_ns: u64,
        epoch_ns: i128,
    ) {
        let cluster = self.clusters.entry(session);
        cluster
            .or_insert_with(|| Cluster::new(epoch_ns))
            .apply(update, now_ns);
    }

    /// The cgroups that packets have shown.
    pub fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }

    /// The holder of an address at a time, if that is certain.
    #[must_use]
    pub fn holder_at(&self, address: IpAddr, ts_ns: u64) -> Option<Holder> {
        self.addresses.holder_at(address, ts_ns, self.is_steady())
    }

    /// The holder of an address in the last snapshot, unless another one held it at a time.
    #[must_use]
    pub fn likely_holder_at(&self, address: IpAddr, ts_ns: u64) -> Option<Holder> {
        self.addresses.holder_at(address, ts_ns, true)
    }

    /// Whether this holder has the address at a time, others or not.
    #[must_use]
    pub fn is_held(&self, address: IpAddr, holder: Holder, ts_ns: u64) -> bool {
        self.addresses
            .is_held(address, holder, ts_ns, self.is_steady())
    }

    /// Whether a pod's namespace has, or had, the address, or may have it by now.
    #[must_use]
    pub fn may_have(&self, address: IpAddr, netns: u64) -> bool {
        let known = self.namespaces.get(&netns);
        self.is_of(address, netns)
            || !self.is_steady()
            || known.is_none_or(|known| !known.is_addressed)
    }

    /// Whether the next snapshot will show the holder of the address at a time.
    #[must_use]
    pub fn is_in_doubt(&self, address: IpAddr, ts_ns: u64) -> bool {
        !self.is_steady()
            && self.holder_at(address, ts_ns).is_none()
            && self.likely_holder_at(address, ts_ns).is_some()
    }

    /// Whether a pod's namespace has, or had, the address, by the snapshots at the
    /// node or by the runtime.
    #[must_use]
    pub fn is_of(&self, address: IpAddr, netns: u64) -> bool {
        let pod = self.pods.by_netns(netns);
        if pod.is_some_and(|pod| pod.addresses.contains(&address)) {
            return true;
        }
        let node = self.namespaces.get(&netns).map(|known| known.info.node);
        node.is_some_and(|node| {
            let netns = Some(netns);
            self.addresses.is_of(address, Holder { node, netns })
        })
    }

    /// Whether the sockets of the namespace's containers were watched at a time.
    #[must_use]
    pub fn was_watched(&self, netns: u64, ts_ns: u64) -> bool {
        let known = self.namespaces.get(&netns);
        known.is_some_and(|known| known.watched_ns.is_some_and(|since| since <= ts_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::SnapshotTime;

    fn apply_snapshot(identities: &mut Identities, ids: &[u64], second: u64) {
        let infos = ids.iter().map(|id| NamespaceInfo {
            id: *id,
            fallback: format!("netns:{id}").into(),
            pod_uid: Some(format!("uid-{id}")),
            ..NamespaceInfo::default()
        });
        let time = SnapshotTime {
            began_ns: second * NAME_WAIT_NS,
            ended_ns: second * NAME_WAIT_NS,
            ..SnapshotTime::default()
        };
        let snapshot = Snapshot {
            time,
            namespaces: infos.collect(),
            ..Snapshot::default()
        };
        let origin = Origin {
            session: 0,
            nodes: 0..1,
        };
        identities.apply_snapshot(&origin, &snapshot);
    }

    fn pod(name: &str, id: Option<u64>, uid: &str) -> Pod {
        Pod {
            namespace: "default".into(),
            name: name.into(),
            uid: uid.into(),
            netns_id: id,
            ..Pod::default()
        }
    }

    #[test]
    fn namespace_is_called_by_its_pod_as_soon_as_that_is_known() {
        let mut identities = Identities::default();
        apply_snapshot(&mut identities, &[5, 6], 1);
        assert_eq!(identities.pod(5).as_ref(), "netns:5");
        assert_eq!(identities.known_pod(5), None);
        identities.set_pods(0, &[pod("a", Some(5), "x"), pod("b", None, "uid-6")], 2);
        assert_eq!(identities.pod(5).as_ref(), "default/a");
        assert_eq!(identities.pod(6).as_ref(), "default/b");
    }

    #[test]
    fn new_name_is_waited_for_only_where_one_can_come() {
        let mut identities = Identities::default();
        apply_snapshot(&mut identities, &[5], 1);
        assert!(!identities.awaits_pod(5, NAME_WAIT_NS));
        identities.runtime_answers(0, 0);
        assert!(identities.awaits_pod(5, NAME_WAIT_NS));
        assert!(!identities.awaits_pod(5, 2 * NAME_WAIT_NS));
        identities.set_pods(0, &[pod("a", Some(5), "x")], 2);
        assert!(!identities.awaits_pod(5, NAME_WAIT_NS));
    }

    #[test]
    fn removed_namespaces_are_remembered_for_a_while() {
        let mut identities = Identities::default();
        apply_snapshot(&mut identities, &[5], 1);
        apply_snapshot(&mut identities, &[], 2);
        assert_eq!(identities.pod(5).as_ref(), "netns:5");
        apply_snapshot(&mut identities, &[], 62);
        assert_eq!(identities.pod(5).as_ref(), "netns-id:5");
    }
}
