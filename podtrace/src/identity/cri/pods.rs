//! Combines the listed sandboxes and containers to pods.
use std::collections::{HashMap, HashSet};

use k8s_cri::v1::{Container as CriContainer, ContainerState, PodSandbox, PodSandboxState};

use super::sandbox::Sandbox;
use crate::{
    model::pod::{Container, Pod},
    order::Order as _,
};

/// Upper bound of the pods. No node runs that many: the kubelet's default limit is 110
/// pods. It bounds the memory that a runtime can use up.
pub(super) const MAX_PODS: usize = 10_000;
/// Upper bound of the containers; a pod has several, and dead ones are kept for a while.
pub(super) const MAX_CONTAINERS: usize = 4 * MAX_PODS;

/// The pods of a node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodList {
    /// The pods, ordered by namespace, name and age. Pods whose sandbox is down are included,
    /// with `ready` unset; a pod whose sandbox was recreated appears once for each.
    pub pods: Vec<Pod>,
    /// Pods left out because there are too many.
    pub cut_pods: usize,
    /// Containers left out because there are too many.
    pub cut_containers: usize,
    /// Fields that could not be understood and are left empty.
    pub unreadable: usize,
}

impl PodList {
    /// Describes what the list lacks; empty if it is complete.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        [
            (self.cut_pods, "more pods than podtrace reads"),
            (self.cut_containers, "more containers than podtrace reads"),
            (self.unreadable, "pods that the runtime did not describe"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }
}

/// The runtime's answer to one request for everything.
#[derive(Debug, Default)]
pub(super) struct Answer {
    sandboxes: Vec<PodSandbox>,
    containers: Vec<CriContainer>,
    cut_pods: usize,
    cut_containers: usize,
    unreadable: usize,
}

impl Answer {
    /// Leaves out and counts items without an id, or with the id of another.
    pub(super) fn new(mut sandboxes: Vec<PodSandbox>, mut containers: Vec<CriContainer>) -> Self {
        let unreadable = keep_named(&mut sandboxes, |sandbox| &sandbox.id)
            + keep_named(&mut containers, |container| &container.id);
        Self {
            cut_pods: cut(&mut sandboxes, MAX_PODS, |sandbox| sandbox.created_at),
            cut_containers: cut(&mut containers, MAX_CONTAINERS, |c| c.created_at),
            sandboxes,
            containers,
            unreadable,
        }
    }

    /// Id and state of each sandbox.
    pub(super) fn sandboxes(&self) -> impl Iterator<Item = (&str, i32)> {
        self.sandboxes
            .iter()
            .map(|sandbox| (sandbox.id.as_str(), sandbox.state))
    }

    /// Whether a container is created but not started, or belongs to a sandbox that is not
    /// listed: the next list will differ.
    pub(super) fn is_in_transition(&self) -> bool {
        let known: HashSet<_> = self.sandboxes.iter().map(|sandbox| &sandbox.id).collect();
        self.containers.iter().any(|container| {
            container.state == ContainerState::ContainerCreated as i32
                || !known.contains(&container.pod_sandbox_id)
        })
    }

    /// Builds the list of pods. Sandboxes in `vanished` are left out.
    pub(super) fn into_list(
        self,
        known: &HashMap<String, Sandbox>,
        vanished: &HashSet<String>,
    ) -> PodList {
        let mut list = PodList {
            pods: Vec::with_capacity(self.sandboxes.len()),
            cut_pods: self.cut_pods,
            cut_containers: self.cut_containers,
            unreadable: self.unreadable,
        };
        let mut containers = by_sandbox(self.containers, &mut list.unreadable);
        for sandbox in self.sandboxes {
            if vanished.contains(&sandbox.id) {
                continue;
            }
            let details = known.get(&sandbox.id).cloned().unwrap_or_default();
            let containers = containers.remove(&sandbox.id).unwrap_or_default();
            list.unreadable += usize::from(sandbox.metadata.is_none()) + details.unreadable;
            list.pods.push(pod(sandbox, details, containers));
        }
        list.pods.order_by(|a, b| order(a).cmp(&order(b)));
        list
    }
}

fn order(pod: &Pod) -> (&str, &str, i64, &str) {
    (&pod.namespace, &pod.name, pod.created_ns, &pod.sandbox_id)
}

/// Keeps the first item of each id; returns how many were left out.
fn keep_named<T>(items: &mut Vec<T>, id: impl Fn(&T) -> &String) -> usize {
    let before = items.len();
    let mut seen = HashSet::new();
    items.retain(|item| !id(item).is_empty() && seen.insert(id(item).clone()));
    before - items.len()
}

/// Keeps the newest; returns how many were left out.
fn cut<T>(items: &mut Vec<T>, max: usize, created: impl Fn(&T) -> i64) -> usize {
    let over = items.len().saturating_sub(max);
    if over > 0 {
        items.order_by_key(|item| std::cmp::Reverse(created(item)));
        items.truncate(max);
    }
    over
}

fn by_sandbox(
    containers: Vec<CriContainer>,
    unreadable: &mut usize,
) -> HashMap<String, Vec<Container>> {
    let mut groups: HashMap<String, Vec<Container>> = HashMap::new();
    for container in containers {
        *unreadable += usize::from(container.metadata.is_none());
        groups
            .entry(container.pod_sandbox_id.clone())
            .or_default()
            .push(self::container(container));
    }
    groups
}

fn container(container: CriContainer) -> Container {
    let metadata = container.metadata.unwrap_or_default();
    let image = container.image.unwrap_or_default();
    // The image that the pod asked for, else the one that the runtime resolved.
    let image = [image.user_specified_image, image.image, container.image_ref]
        .into_iter()
        .find(|image| !image.is_empty());
    Container {
        id: container.id,
        name: metadata.name,
        image: image.unwrap_or_default(),
        running: container.state == ContainerState::ContainerRunning as i32,
        attempt: metadata.attempt,
        created_ns: container.created_at,
    }
}

fn pod(sandbox: PodSandbox, details: Sandbox, mut containers: Vec<Container>) -> Pod {
    containers.order_by(|a, b| (a.created_ns, &a.id).cmp(&(b.created_ns, &b.id)));
    let metadata = sandbox.metadata.unwrap_or_default();
    Pod {
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        sandbox_id: sandbox.id,
        host_network: details.host_network,
        ready: sandbox.state == PodSandboxState::SandboxReady as i32,
        addresses: details.addresses,
        labels: sandbox.labels.into_iter().collect(),
        created_ns: sandbox.created_at,
        netns_id: details.netns.and_then(|mark| mark.id),
        netns_inode: details.netns.map(|mark| mark.inode),
        netns_path: details.netns_path,
        cgroup_parent: details.cgroup_parent,
        host_ports: details.host_ports,
        containers,
    }
}

#[cfg(test)]
mod tests {
    use k8s_cri::v1::{ContainerMetadata, ImageSpec, PodSandboxMetadata};

    use super::*;

    fn sandbox(id: &str, name: &str, created_at: i64) -> PodSandbox {
        PodSandbox {
            id: id.to_owned(),
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                namespace: "default".to_owned(),
                ..PodSandboxMetadata::default()
            }),
            created_at,
            ..PodSandbox::default()
        }
    }

    fn container(id: &str, sandbox: &str, state: ContainerState, created_at: i64) -> CriContainer {
        CriContainer {
            id: id.to_owned(),
            pod_sandbox_id: sandbox.to_owned(),
            metadata: Some(ContainerMetadata {
                name: format!("name-{id}"),
                attempt: 2,
            }),
            image: Some(ImageSpec {
                image: "sha256:1".to_owned(),
                user_specified_image: "box:1".to_owned(),
                ..ImageSpec::default()
            }),
            state: state as i32,
            created_at,
            ..CriContainer::default()
        }
    }

    #[test]
    fn containers_join_their_pod_in_order_of_creation() {
        let running = ContainerState::ContainerRunning;
        let answer = Answer::new(
            vec![sandbox("s2", "b", 1), sandbox("s1", "a", 2)],
            vec![
                container("y", "s1", running, 20),
                container("x", "s1", ContainerState::ContainerExited, 10),
            ],
        );
        assert!(!answer.is_in_transition());
        let list = answer.into_list(&HashMap::new(), &HashSet::new());
        let names: Vec<_> = list.pods.iter().map(Pod::full_name).collect();
        assert_eq!(names, ["default/a", "default/b"]);
        let containers = &list.pods[0].containers;
        assert_eq!(containers[0].name, "name-x");
        assert!(!containers[0].running && containers[1].running);
        assert_eq!(containers[1].image, "box:1");
        assert_eq!(containers[1].attempt, 2);
        assert_eq!(list.unreadable, 0);
    }

    #[test]
    fn the_vanished_and_the_nameless_are_left_out() {
        let mut bare = sandbox("s3", "", 0);
        bare.metadata = None;
        let answer = Answer::new(
            vec![
                sandbox("s1", "a", 0),
                sandbox("s1", "a", 0),
                sandbox("", "x", 0),
                sandbox("s2", "b", 0),
                bare,
            ],
            Vec::new(),
        );
        let list = answer.into_list(&HashMap::new(), &HashSet::from(["s2".to_owned()]));
        let ids: Vec<_> = list.pods.iter().map(|pod| &pod.sandbox_id).collect();
        assert_eq!(ids, ["s3", "s1"]);
        assert_eq!(list.unreadable, 3);
    }

    #[test]
    fn the_oldest_beyond_the_limit_are_cut_and_counted() {
        let sandboxes = (0..MAX_PODS as i64 + 3)
            .map(|age| sandbox(&age.to_string(), "a", age))
            .collect();
        let list = Answer::new(sandboxes, Vec::new()).into_list(&HashMap::new(), &HashSet::new());
        assert_eq!((list.pods.len(), list.cut_pods), (MAX_PODS, 3));
        assert_eq!(list.pods[0].sandbox_id, "3");
    }

    #[test]
    fn unfinished_containers_are_in_transition() {
        let made = container("x", "s1", ContainerState::ContainerCreated, 0);
        let early = container("y", "none", ContainerState::ContainerRunning, 0);
        for container in [made, early] {
            assert!(Answer::new(vec![sandbox("s1", "a", 0)], vec![container]).is_in_transition());
        }
    }
}
