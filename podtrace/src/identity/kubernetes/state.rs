//! The owners of addresses in the cluster, now and a moment ago.
mod nodes;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use self::nodes::Nodes;
use super::{ClusterPod, ClusterUpdate, Resource};
use crate::text::sanitize::sanitize;

/// How long a deleted pod is remembered for late packets.
const REMEMBER_NS: u64 = 60_000_000_000;

/// How long a pod keeps its name while nobody would report its end.
const GRACE_NS: u64 = 60_000_000_000;

/// Upper bound of the pods kept.
const MAX_PODS: usize = 200_000;

/// Upper bound of the remembered ends of claims.
const MAX_ENDED: usize = 100_000;

/// A pod as shown.
#[derive(Debug, PartialEq, Eq)]
pub struct RemotePod {
    /// UID of the pod object: unlike name and address, never reused.
    pub uid: Arc<str>,
    /// `namespace/name`, safe to print.
    pub name: Arc<str>,
    /// The node it runs on, safe to print.
    pub node: Option<Arc<str>>,
    /// When the object was made: nanoseconds since 1970 (UTC).
    pub created_ns: i64,
}

/// The cluster's pods and nodes by address. All times but creation times are
/// nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct Cluster {
    epoch_ns: i128,
    /// Pods that hold an address now, by UID.
    pods: HashMap<Arc<str>, Holder>,
    claims: HashMap<IpAddr, Vec<Claim>>,
    /// Claims that have ended, the first to end first.
    ended: VecDeque<(u64, IpAddr)>,
    nodes: Nodes,
    pods_list: List,
    nodes_list: List,
    max_pods: usize,
    not_kept: u64,
}

/// A pod that holds addresses now.
#[derive(Debug)]
struct Holder {
    pod: Arc<RemotePod>,
    addresses: Vec<IpAddr>,
    /// When it was last reported, and in or after which list.
    told_ns: u64,
    round: u64,
}

/// A pod's claim to an address, from a time on.
#[derive(Debug)]
struct Claim {
    pod: Arc<RemotePod>,
    from_ns: u64,
    /// When it ended; none while it holds.
    until_ns: Option<u64>,
    /// Whether the pod is being deleted: it then yields to one that is not.
    yields: bool,
}

/// The state of the lists of one resource.
#[derive(Debug, Default)]
struct List {
    round: u64,
    began_ns: u64,
    outage: Option<Outage>,
}

/// An outage of a resource.
#[derive(Debug)]
struct Outage {
    since_ns: u64,
    reason: String,
}

impl Cluster {
    /// An empty cluster. `epoch_ns`: UTC nanoseconds at the zero of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn new(epoch_ns: i128) -> Self {
        Self {
            epoch_ns,
            pods: HashMap::new(),
            claims: HashMap::new(),
            ended: VecDeque::new(),
            nodes: Nodes::default(),
            pods_list: List::default(),
            nodes_list: List::default(),
            max_pods: MAX_PODS,
            not_kept: 0,
        }
    }

    /// Applies an update of [`watch`](super::watch()) at `now_ns`. Times must not go
    /// backwards.
    pub fn apply(&mut self, update: ClusterUpdate, now_ns: u64) {
        self.forget(now_ns);
        match update {
            ClusterUpdate::Restart(resource) => {
                let list = self.list_mut(resource);
                list.round += 1;
                list.began_ns = now_ns;
            }
            ClusterUpdate::Pod(pod) => self.pod(&pod, now_ns),
            ClusterUpdate::PodGone { uid } => self.pod_removed(&uid, now_ns),
            ClusterUpdate::Node(node) => self.nodes.insert(&node, self.nodes_list.round),
            ClusterUpdate::NodeGone { name } => self.nodes.remove(&sanitize(&name)),
            ClusterUpdate::Synced(resource) => self.complete(resource),
            ClusterUpdate::Unavailable { resource, reason } => {
                let outage = &mut self.list_mut(resource).outage;
                // A repeated report belongs to the same outage.
                let since_ns = outage.as_ref().map_or(now_ns, |outage| outage.since_ns);
                *outage = Some(Outage { since_ns, reason });
            }
            ClusterUpdate::Available(resource) => self.list_mut(resource).outage = None,
        }
    }

    /// The pod that had an address at a time (`at_ns`, of the packet). None
    /// if no pod is known to have had it, or two: an address that has just
    /// changed hands has no owner for as long as either may have had it.
    ///
    /// In an outage a pod gives its name for 60 s more, counted from
    /// `Unavailable` or, if that is later, from when it was last told of, as
    /// by a list that can be had while the watch cannot. `Available` brings
    /// the names back: the watch went on where it had broken off. Not seen is
    /// a connection that died without a word, until that is noticed (300 s):
    /// a pod deleted meanwhile gives its name until then.
    #[must_use]
    pub fn pod_by_address(&self, address: IpAddr, at_ns: u64) -> Option<&Arc<RemotePod>> {
        let claims = self.claims.get(&address)?;
        let mut holders = claims.iter().filter(|claim| claim.held_at(at_ns));
        let first = holders.next()?;
        let alone = holders.all(|claim| claim.pod.uid == first.pod.uid);
        (alone && !self.is_doubtful(first, at_ns)).then_some(&first.pod)
    }

    /// The name (safe to print) of the node that has an address; none if no
    /// node or two have it.
    #[must_use]
    pub fn node_by_address(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.nodes.by_address(address)
    }

    /// The name (safe to print) of the node that gives its pods addresses of
    /// the range an address is in; none if no node or two do.
    #[must_use]
    pub fn node_by_pod_range(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.nodes.by_pod_range(address)
    }

    /// Why a resource cannot be followed at the moment: its known state may be old. None
    /// while all is well.
    #[must_use]
    pub fn unavailable(&self, resource: Resource) -> Option<&str> {
        let list = match resource {
            Resource::Pods => &self.pods_list,
            Resource::Nodes => &self.nodes_list,
        };
        list.outage.as_ref().map(|outage| outage.reason.as_str())
    }

    /// How many reports of pods and nodes found no room: their addresses have
    /// no name.
    #[must_use]
    pub fn not_kept(&self) -> u64 {
        self.not_kept + self.nodes.not_kept()
    }

    fn pod(&mut self, pod: &ClusterPod, now_ns: u64) {
        let owns = pod.phase_running && !pod.host_network;
        let wanted = if owns { pod.addresses.as_slice() } else { &[] };
        if let Some(holder) = self.pods.get(pod.uid.as_str()) {
            let lost: Vec<_> = difference(&holder.addresses, wanted);
            let gained: Vec<_> = difference(wanted, &holder.addresses);
            for address in lost {
                self.end(&pod.uid, address, now_ns);
            }
            // It had another address before: this one cannot be as old as it.
            for address in gained {
                self.begin(pod, address, now_ns, now_ns);
            }
        } else {
            let from_ns = self.earliest(pod, now_ns);
            for address in wanted {
                self.begin(pod, *address, from_ns, now_ns);
            }
        }
        for address in wanted {
            self.mark(pod, *address, now_ns);
        }
        if let Some(holder) = self.pods.get_mut(pod.uid.as_str()) {
            holder.told_ns = now_ns;
            holder.round = self.pods_list.round;
        }
    }

    /// Whether a claim that is not known to have ended may have, at a time.
    fn is_doubtful(&self, claim: &Claim, at_ns: u64) -> bool {
        let holder = self.pods.get(&claim.pod.uid);
        claim.until_ns.is_none() && holder.is_some_and(|holder| at_ns >= self.certain_until(holder))
    }

    /// Until when the known state of a pod holds for certain, or nearly so.
    fn certain_until(&self, holder: &Holder) -> u64 {
        self.pods_list.outage.as_ref().map_or(u64::MAX, |outage| {
            let known_ns = outage.since_ns.max(holder.told_ns);
            known_ns.saturating_add(GRACE_NS)
        })
    }

    /// The time before which a pod cannot have sent anything.
    fn earliest(&self, pod: &ClusterPod, now_ns: u64) -> u64 {
        let utc_ns = pod.started_ns.unwrap_or(pod.created_ns);
        let from_ns = (i128::from(utc_ns) - self.epoch_ns).max(0);
        // A clock ahead of ours must not hide the pod.
        u64::try_from(from_ns).map_or(now_ns, |from_ns| from_ns.min(now_ns))
    }

    fn begin(&mut self, pod: &ClusterPod, address: IpAddr, from_ns: u64, now_ns: u64) {
        let rival = self.claims.get(&address).is_some_and(|claims| {
            let mut live = claims.iter().filter(|claim| claim.until_ns.is_none());
            live.any(|claim| !claim.yields)
        });
        if pod.deleted && rival {
            return;
        }
        let Some(holder) = self.holder(pod, now_ns) else {
            return;
        };
        holder.addresses.push(address);
        let claim = Claim {
            pod: Arc::clone(&holder.pod),
            from_ns: from_ns.min(now_ns),
            until_ns: None,
            yields: pod.deleted,
        };
        // The address nearly always has this claim only.
        let claims = self.claims.entry(address);
        claims.or_insert_with(|| Vec::with_capacity(1)).push(claim);
    }

    /// The place of a pod that has, or gets, an address; none if all are taken.
    fn holder(&mut self, pod: &ClusterPod, now_ns: u64) -> Option<&mut Holder> {
        if !self.pods.contains_key(pod.uid.as_str()) {
            if self.pods.len() >= self.max_pods {
                self.not_kept += 1;
                return None;
            }
            let holder = Holder {
                pod: Arc::new(self.shown(pod)),
                addresses: Vec::with_capacity(pod.addresses.len()),
                told_ns: now_ns,
                round: self.pods_list.round,
            };
            self.pods.insert(Arc::clone(&holder.pod.uid), holder);
        }
        self.pods.get_mut(pod.uid.as_str())
    }

    fn shown(&self, pod: &ClusterPod) -> RemotePod {
        let node = pod.node.as_deref().map(sanitize);
        RemotePod {
            uid: pod.uid.as_str().into(),
            name: sanitize(&format!("{}/{}", pod.namespace, pod.name)).into(),
            // One string for all pods of a node that is known.
            node: node.map(|node| self.nodes.name(&node).unwrap_or_else(|| node.into())),
            created_ns: pod.created_ns,
        }
    }

    /// Notes whether a pod is being deleted, and ends claims that yield: a
    /// pod that is being deleted has lost an address that another one has.
    fn mark(&mut self, pod: &ClusterPod, address: IpAddr, now_ns: u64) {
        let Some(claims) = self.claims.get_mut(&address) else {
            return;
        };
        let mut live: Vec<_> = claims
            .iter_mut()
            .filter(|claim| claim.until_ns.is_none())
            .collect();
        for claim in &mut live {
            if *claim.pod.uid == pod.uid {
                claim.yields = pod.deleted;
            }
        }
        if live.iter().all(|claim| claim.yields) {
            return;
        }
        let yielding = live.iter().filter(|claim| claim.yields);
        let uids: Vec<_> = yielding.map(|claim| Arc::clone(&claim.pod.uid)).collect();
        for uid in uids {
            self.end(&uid, address, now_ns);
        }
    }

    fn pod_removed(&mut self, uid: &str, at_ns: u64) {
        let Some(holder) = self.pods.get(uid) else {
            return;
        };
        for address in holder.addresses.clone() {
            self.end(uid, address, at_ns);
        }
    }

    /// Ends a pod's claim to an address; a pod without claims is removed. The end of a
    /// claim in an outage is reported late, so the claim ends when it became doubtful.
    fn end(&mut self, uid: &str, address: IpAddr, told_ns: u64) {
        let holder = self.pods.get(uid);
        let certain_ns = holder.map_or(u64::MAX, |holder| self.certain_until(holder));
        let at_ns = told_ns.min(certain_ns);
        let claims = self.claims.get_mut(&address).into_iter().flatten();
        for claim in claims.filter(|claim| claim.until_ns.is_none() && *claim.pod.uid == *uid) {
            claim.until_ns = Some(at_ns);
            self.ended.push_back((at_ns, address));
        }
        if let Some(holder) = self.pods.get_mut(uid) {
            holder.addresses.retain(|other| *other != address);
            if holder.addresses.is_empty() {
                self.pods.remove(uid);
            }
        }
    }

    /// Objects missing from the list were deleted when the list began.
    fn complete(&mut self, resource: Resource) {
        match resource {
            Resource::Nodes => self.nodes.retain_round(self.nodes_list.round),
            Resource::Pods => {
                let List {
                    round, began_ns, ..
                } = self.pods_list;
                let missing = self.pods.iter().filter(|(_, holder)| holder.round != round);
                let missing: Vec<_> = missing.map(|(uid, _)| Arc::clone(uid)).collect();
                for uid in missing {
                    self.pod_removed(&uid, began_ns);
                }
            }
        }
    }

    /// Drops claims that ended too long ago, or too many of them.
    fn forget(&mut self, now_ns: u64) {
        while let Some((at_ns, address)) = self.ended.front().copied() {
            if self.ended.len() <= MAX_ENDED && at_ns + REMEMBER_NS > now_ns {
                return;
            }
            self.ended.pop_front();
            if let Some(claims) = self.claims.get_mut(&address) {
                claims.retain(|claim| claim.until_ns.is_none_or(|until_ns| until_ns > at_ns));
                if claims.is_empty() {
                    self.claims.remove(&address);
                }
            }
        }
    }

    fn list_mut(&mut self, resource: Resource) -> &mut List {
        match resource {
            Resource::Pods => &mut self.pods_list,
            Resource::Nodes => &mut self.nodes_list,
        }
    }
}

impl Claim {
    fn held_at(&self, at_ns: u64) -> bool {
        self.from_ns <= at_ns && self.until_ns.is_none_or(|until_ns| at_ns < until_ns)
    }
}

fn difference(these: &[IpAddr], those: &[IpAddr]) -> Vec<IpAddr> {
    let mut left = these.to_vec();
    left.retain(|address| !those.contains(address));
    left
}

#[cfg(test)]
mod tests;
