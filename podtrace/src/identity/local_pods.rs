//! The pods and containers of the traced nodes, including those just removed.
use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use super::kubernetes::ServicePort;
use crate::{
    map::Map,
    model::pod::{HostPort, Pod},
    text::sanitize::sanitize,
};

/// How long a removed pod is remembered for late events, in nanoseconds.
const REMEMBER_NS: u64 = 60_000_000_000;

/// A pod's names, safe for a terminal.
#[derive(Debug, PartialEq, Eq)]
pub struct PodName {
    /// `namespace/name`.
    pub full: Arc<str>,
    /// UID of the pod object.
    pub uid: Arc<str>,
    /// Its addresses; those it had if it is down.
    pub addresses: Vec<IpAddr>,
    /// The labels of the pod object, as the runtime has them.
    pub labels: BTreeMap<String, String>,
    /// The ports of the node that lead to it, with their names.
    pub host_ports: Vec<(HostPort, Arc<ServicePort>)>,
}

/// A container's names, safe for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerName {
    /// The pod it is part of.
    pub pod: Arc<PodName>,
    /// Its name within the pod.
    pub name: Arc<str>,
}

impl fmt::Display for ContainerName {
    /// `namespace/pod[container]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.pod.full, self.name)
    }
}

/// A value known under some key, and when it was removed.
#[derive(Clone, Debug)]
struct Known<T> {
    runtime: usize,
    value: T,
    removed_ns: Option<u64>,
}

/// Pods by keys that never change hands: namespace id, uid, container id.
#[derive(Clone, Debug, Default)]
pub struct LocalPods {
    by_netns: Map<u64, Known<Arc<PodName>>>,
    by_uid: Map<String, Known<Arc<PodName>>>,
    /// The newest of each name.
    by_name: Map<Arc<str>, Known<Arc<PodName>>>,
    containers: Map<String, Known<ContainerName>>,
}

/// The ports of the node that lead to a pod, named as Services are.
fn host_ports(pod: &Pod) -> Vec<(HostPort, Arc<ServicePort>)> {
    let named = |port: &HostPort| {
        let name = format!("{}:{}", pod.full_name(), port.port);
        (*port, Arc::new(ServicePort::of_host(&name)))
    };
    pod.host_ports.iter().map(named).collect()
}

impl LocalPods {
    /// Takes over the list of a runtime's pods: pods that it lacks were removed at
    /// `now_ns`.
    pub fn set(&mut self, runtime: usize, pods: &[Pod], now_ns: u64) {
        mark_removed(&mut self.by_netns, runtime, now_ns);
        mark_removed(&mut self.by_uid, runtime, now_ns);
        mark_removed(&mut self.by_name, runtime, now_ns);
        mark_removed(&mut self.containers, runtime, now_ns);
        for pod in pods {
            let had = pod.netns_id.and_then(|id| self.by_netns(id));
            let name = Arc::new(PodName {
                full: sanitize(&pod.full_name()).into(),
                uid: sanitize(&pod.uid).into(),
                addresses: match had {
                    Some(had) if pod.addresses.is_empty() => had.addresses.clone(),
                    _ => pod.addresses.clone(),
                },
                labels: pod.labels.clone(),
                host_ports: host_ports(pod),
            });
            if let Some(id) = pod.netns_id {
                insert(&mut self.by_netns, runtime, id, Arc::clone(&name));
            }
            insert(
                &mut self.by_uid,
                runtime,
                pod.uid.clone(),
                Arc::clone(&name),
            );
            // A runtime lists pods of one name by age.
            insert(
                &mut self.by_name,
                runtime,
                Arc::clone(&name.full),
                Arc::clone(&name),
            );
            let sandbox = [(pod.sandbox_id.as_str(), "sandbox")].into_iter();
            let containers = pod.containers.iter();
            for (id, container) in
                sandbox.chain(containers.map(|one| (one.id.as_str(), one.name.as_str())))
            {
                let container = ContainerName {
                    pod: Arc::clone(&name),
                    name: sanitize(container).into(),
                };
                insert(&mut self.containers, runtime, id.to_owned(), container);
            }
        }
        forget(&mut self.by_netns, now_ns);
        forget(&mut self.by_uid, now_ns);
        forget(&mut self.by_name, now_ns);
        forget(&mut self.containers, now_ns);
    }

    /// The pod whose network namespace has this id.
    #[must_use]
    pub fn by_netns(&self, id: u64) -> Option<&Arc<PodName>> {
        self.by_netns.get(&id).map(|known| &known.value)
    }

    /// The pod with this uid.
    #[must_use]
    pub fn by_uid(&self, uid: &str) -> Option<&Arc<PodName>> {
        self.by_uid.get(uid).map(|known| &known.value)
    }

    /// The pod of this name, `namespace/name`; the newest of several.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<PodName>> {
        self.by_name.get(name).map(|known| &known.value)
    }

    /// The container with this id, which may be a pod's sandbox.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&ContainerName> {
        self.containers.get(id).map(|known| &known.value)
    }
}

fn mark_removed<K, T>(map: &mut Map<K, Known<T>>, runtime: usize, now_ns: u64) {
    for known in map.values_mut().filter(|known| known.runtime == runtime) {
        known.removed_ns.get_or_insert(now_ns);
    }
}

fn insert<K: std::hash::Hash + Eq, T>(
    map: &mut Map<K, Known<T>>,
    runtime: usize,
    key: K,
    value: T,
) {
    let known = Known {
        runtime,
        value,
        removed_ns: None,
    };
    map.insert(key, known);
}

fn forget<K, T>(map: &mut Map<K, Known<T>>, now_ns: u64) {
    map.retain(|_, known| {
        known
            .removed_ns
            .is_none_or(|removed_ns| now_ns.saturating_sub(removed_ns) < REMEMBER_NS)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pod::Container;

    fn pod(name: &str, id: u64) -> Pod {
        Pod {
            namespace: "default".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
            sandbox_id: format!("sandbox-{name}"),
            netns_id: Some(id),
            containers: vec![Container {
                id: format!("id-{name}"),
                name: "web\u{1b}".into(),
                ..Container::default()
            }],
            ..Pod::default()
        }
    }

    #[test]
    fn pods_are_found_by_what_never_changes_hands() {
        let mut pods = LocalPods::default();
        pods.set(0, &[pod("a", 1), pod("b", 2)], 0);
        assert_eq!(pods.by_netns(2).unwrap().full.as_ref(), "default/b");
        assert_eq!(pods.by_uid("uid-a").unwrap().full.as_ref(), "default/a");
        let container = pods.container("id-a").unwrap();
        assert_eq!(container.name.as_ref(), "web\u{fffd}");
        assert_eq!(container.pod.full.as_ref(), "default/a");
        assert!(pods.container("sandbox-b").is_some() && pods.by_netns(3).is_none());
    }

    #[test]
    fn removed_pods_are_remembered_and_runtimes_do_not_mix() {
        let mut pods = LocalPods::default();
        let address: IpAddr = "10.244.1.2".parse().unwrap();
        let up = Pod {
            addresses: vec![address],
            ..pod("a", 1)
        };
        pods.set(0, &[up], 0);
        // It went down.
        pods.set(0, &[pod("a", 1)], 0);
        assert_eq!(pods.by_netns(1).unwrap().addresses, [address]);
        pods.set(1, &[pod("b", 2)], 0);
        pods.set(0, &[], 5);
        assert!(pods.by_netns(1).is_some());
        pods.set(0, &[], 5 + REMEMBER_NS);
        assert!(pods.by_netns(1).is_none() && pods.container("id-a").is_none());
        assert!(pods.by_netns(2).is_some());
    }
}
