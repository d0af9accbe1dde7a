//! The owners of addresses in the cluster, now and a moment ago.
mod claims;
mod lists;
mod named;
mod nodes;
mod services;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use self::{
    claims::{Claim, Claims},
    lists::{List, Lists},
    nodes::Nodes,
    services::{Frontend, Services},
};
use super::{ClusterPod, ClusterUpdate, Resource};
use crate::text::sanitize::sanitize;
pub use services::ServicePort;

/// How long a pod keeps its name in an outage, which hides its end.
const GRACE_NS: u64 = 60_000_000_000;

/// Upper bound of the pods kept.
const MAX_PODS: usize = 200_000;

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

/// The cluster's pods, nodes and Services by address. All times but creation times are
/// nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct Cluster {
    epoch_ns: i128,
    /// Pods that hold an address now, by UID.
    pods: HashMap<Arc<str>, Holder>,
    claims: Claims<IpAddr, Owner>,
    nodes: Nodes,
    services: Services,
    /// The pods behind them.
    backends: Services,
    lists: Lists,
    max_pods: usize,
    not_kept: u64,
}

/// A pod that holds addresses now.
#[derive(Debug)]
struct Holder {
    pod: Arc<RemotePod>,
    addresses: Vec<IpAddr>,
    /// When it was last reported, and in or after which list.
    reported_ns: u64,
    round: u64,
}

/// A pod that claims an address.
#[derive(Debug)]
struct Owner {
    pod: Arc<RemotePod>,
    /// Whether the pod is being deleted: it then yields to one that is not.
    yields: bool,
}

impl Cluster {
    /// An empty cluster. `epoch_ns`: UTC nanoseconds at the zero of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn new(epoch_ns: i128) -> Self {
        Self {
            epoch_ns,
            pods: HashMap::new(),
            claims: Claims::default(),
            nodes: Nodes::default(),
            services: Services::default(),
            backends: Services::default(),
            lists: Lists::default(),
            max_pods: MAX_PODS,
            not_kept: 0,
        }
    }

    /// Applies an update of [`watch`](super::watch()) at `now_ns`. Times must not go
    /// backwards.
    pub fn apply(&mut self, update: ClusterUpdate, now_ns: u64) {
        self.claims.forget(now_ns);
        self.services.forget(now_ns);
        self.backends.forget(now_ns);
        match update {
            ClusterUpdate::Restart(resource) => self.lists.of_mut(resource).restart(now_ns),
            ClusterUpdate::Pod(pod) => self.pod(&pod, now_ns),
            ClusterUpdate::PodDeleted { uid } => self.pod_removed(&uid, now_ns),
            ClusterUpdate::Node(node) => {
                let round = self.lists.of(Resource::Nodes).round;
                self.nodes.insert(&node, round);
            }
            ClusterUpdate::NodeDeleted { name } => self.nodes.remove(&sanitize(&name)),
            ClusterUpdate::Service(service) => {
                let from_ns = self.since(service.created_ns, now_ns);
                let round = self.lists.of(Resource::Services).round;
                self.services.insert(service, from_ns, now_ns, round);
            }
            ClusterUpdate::ServiceDeleted { uid } => self.services.remove(&uid, now_ns),
            ClusterUpdate::Endpoints(pods) => {
                let from_ns = self.since(pods.created_ns, now_ns);
                let round = self.lists.of(Resource::EndpointSlices).round;
                self.backends.insert(pods, from_ns, now_ns, round);
            }
            ClusterUpdate::EndpointsDeleted { uid } => self.backends.remove(&uid, now_ns),
            ClusterUpdate::Synced(resource) => self.complete(resource),
            ClusterUpdate::Unavailable { resource, reason } => {
                self.lists.of_mut(resource).begin_outage(reason, now_ns);
            }
            ClusterUpdate::Available(resource) => self.lists.of_mut(resource).outage = None,
        }
    }

    /// The pod that had an address at a time (`at_ns`, of the packet). None
    /// if no pod is known to have had it, or two: an address that has just
    /// changed hands has no owner for as long as either may have had it.
    ///
    /// In an outage a pod keeps its name for 60 s, counted from `Unavailable` or from its last
    /// report, if that is later: a list may succeed while the watch fails. `Available` restores
    /// the names, as the watch has continued where it broke off. A silently broken connection
    /// is noticed only after up to 300 s: a pod deleted meanwhile keeps its name until then.
    #[must_use]
    pub fn pod_by_address(&self, address: IpAddr, at_ns: u64) -> Option<&Arc<RemotePod>> {
        let claims = self.claims.to(&address);
        let mut holders = claims.filter(|claim| claim.held_at(at_ns));
        let first = holders.next()?;
        let pod = &first.of.pod;
        let alone = holders.all(|claim| claim.of.pod.uid == pod.uid);
        (alone && !self.is_doubtful(first, at_ns)).then_some(pod)
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

    /// The port of a Service, by the port that clients used at a time: at an address, or
    /// without one at each node. None if no Service or two had it. In an outage Services keep
    /// their names.
    #[must_use]
    pub fn service_at(
        &self,
        protocol: u8,
        address: Option<IpAddr>,
        port: u16,
        at_ns: u64,
    ) -> Option<&Arc<ServicePort>> {
        let frontend = Frontend {
            protocol,
            address,
            port,
        };
        self.services.at(&frontend, at_ns)
    }

    /// The Service that a pod's address with a port was behind at a time: its name and the pod's
    /// port. None if it was behind none, or two.
    #[must_use]
    pub fn service_behind(
        &self,
        protocol: u8,
        address: IpAddr,
        port: u16,
        at_ns: u64,
    ) -> Option<&Arc<ServicePort>> {
        let backend = Frontend {
            protocol,
            address: Some(address),
            port,
        };
        self.backends.at(&backend, at_ns)
    }

    /// Why a resource cannot be followed at the moment: its known state may be old. None
    /// while all is well.
    #[must_use]
    pub fn unavailable(&self, resource: Resource) -> Option<&str> {
        let outage = self.lists.of(resource).outage.as_ref();
        outage.map(|outage| outage.reason.as_str())
    }

    /// How many reports of pods, nodes and Services found no room: their addresses
    /// have no name.
    #[must_use]
    pub fn not_kept(&self) -> u64 {
        let services = self.services.not_kept() + self.backends.not_kept();
        self.not_kept + self.nodes.not_kept() + services
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
            // The pod had another address before, so it cannot have had this one from its
            // start.
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
            holder.reported_ns = now_ns;
            holder.round = self.lists.of(Resource::Pods).round;
        }
    }

    /// Whether a claim that is not known to have ended may have, at a time.
    fn is_doubtful(&self, claim: &Claim<Owner>, at_ns: u64) -> bool {
        let holder = self.pods.get(&claim.of.pod.uid);
        claim.is_live() && holder.is_some_and(|holder| at_ns >= self.certain_until(holder))
    }

    /// Until when the known state of a pod is certain, or nearly so.
    fn certain_until(&self, holder: &Holder) -> u64 {
        self.lists
            .of(Resource::Pods)
            .outage
            .as_ref()
            .map_or(u64::MAX, |outage| {
                let known_ns = outage.since_ns.max(holder.reported_ns);
                known_ns.saturating_add(GRACE_NS)
            })
    }

    /// The time before which a pod cannot have sent anything.
    fn earliest(&self, pod: &ClusterPod, now_ns: u64) -> u64 {
        self.since(pod.started_ns.unwrap_or(pod.created_ns), now_ns)
    }

    /// A time of the API on the clock of `now_ns`, and not later than that.
    fn since(&self, utc_ns: i64, now_ns: u64) -> u64 {
        let from_ns = (i128::from(utc_ns) - self.epoch_ns).max(0);
        // A clock ahead of ours must not hide the object.
        u64::try_from(from_ns).map_or(now_ns, |from_ns| from_ns.min(now_ns))
    }

    fn begin(&mut self, pod: &ClusterPod, address: IpAddr, from_ns: u64, now_ns: u64) {
        let is_rival = |claim: &Claim<Owner>| claim.is_live() && !claim.of.yields;
        let has_rival = self.claims.to(&address).any(is_rival);
        if pod.deleted && has_rival {
            return;
        }
        let Some(holder) = self.holder(pod, now_ns) else {
            return;
        };
        holder.addresses.push(address);
        let owner = Owner {
            pod: Arc::clone(&holder.pod),
            yields: pod.deleted,
        };
        self.claims.begin(address, owner, from_ns.min(now_ns));
    }

    /// The entry of a pod that has or gets an address; none if there is no room.
    fn holder(&mut self, pod: &ClusterPod, now_ns: u64) -> Option<&mut Holder> {
        if !self.pods.contains_key(pod.uid.as_str()) {
            if self.pods.len() >= self.max_pods {
                self.not_kept += 1;
                return None;
            }
            let holder = Holder {
                pod: Arc::new(self.shown(pod)),
                addresses: Vec::with_capacity(pod.addresses.len()),
                reported_ns: now_ns,
                round: self.lists.of(Resource::Pods).round,
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

    /// Records whether a pod is being deleted, and ends claims that yield: a
    /// pod that is being deleted has lost an address that another one has.
    fn mark(&mut self, pod: &ClusterPod, address: IpAddr, now_ns: u64) {
        let live = self.claims.live_mut(&address);
        let mut live: Vec<_> = live.map(|claim| &mut claim.of).collect();
        for owner in &mut live {
            if *owner.pod.uid == pod.uid {
                owner.yields = pod.deleted;
            }
        }
        if live.iter().all(|owner| owner.yields) {
            return;
        }
        let yielding = live.iter().filter(|owner| owner.yields);
        let uids: Vec<_> = yielding.map(|owner| Arc::clone(&owner.pod.uid)).collect();
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
    fn end(&mut self, uid: &str, address: IpAddr, reported_ns: u64) {
        let holder = self.pods.get(uid);
        let certain_ns = holder.map_or(u64::MAX, |holder| self.certain_until(holder));
        let at_ns = reported_ns.min(certain_ns);
        self.claims
            .end(address, at_ns, |owner| *owner.pod.uid == *uid);
        if let Some(holder) = self.pods.get_mut(uid) {
            holder.addresses.retain(|other| *other != address);
            if holder.addresses.is_empty() {
                self.pods.remove(uid);
            }
        }
    }

    /// Objects missing from the list were deleted when the list began.
    fn complete(&mut self, resource: Resource) {
        let List {
            round, began_ns, ..
        } = *self.lists.of(resource);
        match resource {
            Resource::Nodes => self.nodes.retain_round(round),
            Resource::Services => self.services.retain_round(round, began_ns),
            Resource::EndpointSlices => self.backends.retain_round(round, began_ns),
            Resource::Pods => {
                let missing = self.pods.iter().filter(|(_, holder)| holder.round != round);
                let missing: Vec<_> = missing.map(|(uid, _)| Arc::clone(uid)).collect();
                for uid in missing {
                    self.pod_removed(&uid, began_ns);
                }
            }
        }
    }
}

fn difference(these: &[IpAddr], those: &[IpAddr]) -> Vec<IpAddr> {
    let mut left = these.to_vec();
    left.retain(|address| !those.contains(address));
    left
}

#[cfg(test)]
mod tests;
