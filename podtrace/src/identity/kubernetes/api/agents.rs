//! Agents that run in pods of a DaemonSet, and the nodes that somebody is on.
use std::collections::BTreeSet;

use hyper::Request;
use kube::Client;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    client::SharedClient,
    config::ClusterConfig,
    exec::{Exec, exec, value},
    failure::{ApiFailure, quote},
};
use crate::{identity::kubernetes::Asked, text::sanitize::sanitize};

/// The pods of `podtrace manifest`: of one node's, the first counts.
const LABEL: &str = "app.kubernetes.io/name";
const NAMES: [&str; 2] = ["podtrace-agent", "podtrace-recorder"];
/// The options of a container that its traces take, too.
const KEPT: &str = "--cri-socket=";

/// The agents of a cluster.
pub struct Agents {
    client: Client,
    server: String,
    namespace: String,
    pods: Vec<AgentPod>,
}

/// A pod that an agent can be run in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    name: String,
    node: String,
    /// Why it cannot be asked now, in words.
    absence: Option<String>,
    container: Option<String>,
    options: Vec<String>,
}

impl AgentPod {
    /// Its name, safe to show.
    #[must_use]
    pub fn name(&self) -> String {
        sanitize(&self.name)
    }

    /// Its node, safe to show.
    #[must_use]
    pub fn node(&self) -> String {
        sanitize(&self.node)
    }

    /// Why it cannot be asked now, in words that are safe to show.
    #[must_use]
    pub fn absence(&self) -> Option<&str> {
        self.absence.as_deref()
    }
}

impl Agents {
    /// Finds the agents in a namespace.
    ///
    /// # Errors
    /// In words: when the server cannot be reached, or refuses.
    pub async fn find(config: ClusterConfig, namespace: &str) -> Result<Self, String> {
        let shared = SharedClient::new(config);
        let made = shared.get(0).await;
        let client = made.client.map_err(|failure| failure.reason)?;
        let mut found = Self {
            client,
            server: shared.server().to_owned(),
            namespace: namespace.to_owned(),
            pods: Vec::new(),
        };
        let selector = value(&format!("{LABEL} in ({})", NAMES.join(",")));
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector={selector}",
            value(namespace)
        );
        let pods = found.list::<Pod>(&path).await.map_err(|error| {
            let verb = format!("list on pods in the namespace {namespace}");
            found.in_words(&error, &verb)
        })?;
        found.pods = chosen(pods);
        Ok(found)
    }

    /// A pod for each node, in the order of the nodes' names.
    #[must_use]
    pub fn pods(&self) -> &[AgentPod] {
        &self.pods
    }

    /// Runs an agent in a pod. `options`: those of `podtrace agent`.
    ///
    /// # Errors
    /// In words: when the server or the node refuses.
    pub async fn run(
        &self,
        pod: &AgentPod,
        options: impl Iterator<Item = &'static str>,
    ) -> Result<Exec, String> {
        let mut command = vec![
            "podtrace".to_owned(),
            "agent".to_owned(),
            "--stdio".to_owned(),
        ];
        command.push(format!("--node-name={}", pod.node));
        command.extend(pod.options.iter().cloned());
        command.extend(options.map(str::to_owned));
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/exec?stdin=true&stdout=true&stderr=true",
            value(&self.namespace),
            value(&pod.name)
        );
        let container = pod.container.iter();
        let parameters = container
            .map(|name| ("container", name))
            .chain(command.iter().map(|word| ("command", word)));
        let path = parameters.fold(path, |path, (name, text)| {
            path + &format!("&{name}={}", value(text))
        });
        let begun = exec(&self.client, &path).await;
        begun.map_err(|error| {
            let verb = format!(
                "create and get on pods/exec in the namespace {}",
                self.namespace
            );
            self.in_words(&error, &verb)
        })
    }

    /// The nodes that a pod or a node of this name is on, or the pods behind a Service; or those of
    /// who has an address. None if that is not known.
    pub async fn nodes_of(&self, peer: &Asked<'_>) -> Option<BTreeSet<String>> {
        let pods = match peer {
            Asked::Named { namespace, name } => {
                let pods = format!("fieldSelector=metadata.name%3D{}", value(name));
                let pods = all("api/v1", "pods", *namespace, &pods);
                let pods = self.list::<Pod>(&pods).await.ok()?;
                let slices = format!(
                    "labelSelector=kubernetes.io%2Fservice-name%3D{}",
                    value(name)
                );
                let slices = all(
                    "apis/discovery.k8s.io/v1",
                    "endpointslices",
                    *namespace,
                    &slices,
                );
                let slices = self.list::<Slice>(&slices).await.ok()?;
                let behind = slices.into_iter().flat_map(|slice| slice.endpoints);
                let behind: Option<BTreeSet<_>> = behind.map(|one| one.node_name).collect();
                let mut nodes = behind?;
                if self.pods.iter().any(|pod| pod.node == *name) {
                    nodes.insert((*name).to_owned());
                }
                nodes.extend(nodes_of(pods)?);
                nodes
            }
            Asked::Address(address) => {
                let by = format!(
                    "fieldSelector=status.podIP%3D{}",
                    value(&address.to_string())
                );
                nodes_of(
                    self.list::<Pod>(&all("api/v1", "pods", None, &by))
                        .await
                        .ok()?,
                )?
            }
        };
        (!pods.is_empty()).then_some(pods)
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> kube::Result<Vec<T>> {
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(kube::Error::HttpError)?;
        let text = self.client.request_text(request).await?;
        let list: List<T> = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
        Ok(list.items)
    }

    /// What `verb` is needed for, where it is missing.
    fn in_words(&self, error: &kube::Error, verb: &str) -> String {
        match error {
            kube::Error::Api(status) if status.code == 403 => format!(
                "not permitted (403): a Role must allow {verb}; the server says: {}",
                quote(&status.message)
            ),
            error => ApiFailure::of(error, &self.server).reason,
        }
    }
}

/// The path of a list, of one namespace or of all.
fn all(group: &str, kind: &str, namespace: Option<&str>, query: &str) -> String {
    match namespace {
        Some(namespace) => format!("/{group}/namespaces/{}/{kind}?{query}", value(namespace)),
        None => format!("/{group}/{kind}?{query}"),
    }
}

/// The nodes of pods; none if one is not on any yet.
fn nodes_of(pods: Vec<Pod>) -> Option<BTreeSet<String>> {
    pods.into_iter().map(|pod| pod.spec.node_name).collect()
}

/// One pod for each node: one that runs, and rather an agent than a recorder.
fn chosen(pods: Vec<Pod>) -> Vec<AgentPod> {
    let mut found: Vec<_> = pods
        .into_iter()
        .filter_map(|pod| {
            let label = pod.metadata.labels.get(LABEL)?.clone();
            let rank = NAMES.iter().position(|name| *name == label)?;
            Some((agent_pod(pod)?, rank))
        })
        .collect();
    found.sort_by(|(one, one_rank), (other, other_rank)| {
        let key = |pod: &AgentPod, rank| (pod.absence.is_some(), rank, pod.name.clone());
        let nodes = one.node.cmp(&other.node);
        nodes.then_with(|| key(one, *one_rank).cmp(&key(other, *other_rank)))
    });
    let mut pods: Vec<_> = found.into_iter().map(|(pod, _)| pod).collect();
    pods.dedup_by(|later, first| later.node == first.node);
    pods
}

fn agent_pod(pod: Pod) -> Option<AgentPod> {
    let mut containers = pod.spec.containers.into_iter();
    let runs_podtrace = |container: &Container| {
        let program = container.command.first();
        program.is_some_and(|program| program.rsplit('/').next() == Some("podtrace"))
    };
    let container = containers.find(runs_podtrace);
    let phase = pod.status.phase;
    let absence = if pod.metadata.deletion_timestamp.is_some() {
        Some("it is being deleted".to_owned())
    } else {
        (phase != "Running").then(|| format!("it is {}", sanitize(&phase.to_lowercase())))
    };
    let (name, args) = container.map(|found| (found.name, found.args)).unzip();
    let args: Vec<String> = args.unwrap_or_default();
    Some(AgentPod {
        name: pod.metadata.name,
        node: pod.spec.node_name?,
        absence,
        container: name,
        options: args
            .into_iter()
            .filter(|option| option.starts_with(KEPT))
            .collect(),
    })
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    labels: std::collections::BTreeMap<String, String>,
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    command: Vec<String>,
    args: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Slice {
    endpoints: Vec<Endpoint>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    node_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, label: &str, node: &str, phase: &str) -> Value {
        json!({
            "metadata": {"name": name, "labels": {LABEL: label}},
            "spec": {"nodeName": node, "containers": [
                {"name": "other", "command": ["sleep"]},
                {"name": "agent", "command": ["podtrace"], "args": ["agent",
                    "--listen=/run/podtrace/agent.sock", "--cri-socket=/run/crio/crio.sock"]},
            ]},
            "status": {"phase": phase},
        })
    }

    #[test]
    fn each_node_has_one_pod() {
        let mut gone = pod("d", NAMES[0], "worker4", "Running");
        gone["metadata"]["deletionTimestamp"] = "2026-12-01T00:00:00Z".into();
        let mut waiting = pod("e", NAMES[0], "", "Pending");
        waiting["spec"]["nodeName"] = Value::Null;
        let list = json!({"items": [
            pod("a", NAMES[1], "worker2", "Running"),
            pod("b", NAMES[0], "worker2", "Running"),
            pod("c", NAMES[0], "worker1", "Pending"),
            pod("c2", NAMES[1], "worker1", "Running"),
            pod("x", "another", "worker3", "Running"),
            gone, waiting, pod("f", NAMES[0], "worker5", "Failed\u{1b}"),
        ]});
        let list: List<Pod> = serde_json::from_value(list).unwrap();
        let pods = chosen(list.items);
        let shown = pods
            .iter()
            .map(|pod| (&*pod.node, &*pod.name, pod.absence()));
        let shown: Vec<_> = shown.collect();
        assert_eq!(
            shown[..3],
            [
                ("worker1", "c2", None),
                ("worker2", "b", None),
                ("worker4", "d", Some("it is being deleted")),
            ]
        );
        assert_eq!((shown.len(), shown[3].1), (4, "f"));
        let absence = shown[3].2.unwrap();
        assert!(absence.starts_with("it is failed") && !absence.contains('\u{1b}'));
        assert_eq!(pods[1].container.as_deref(), Some("agent"));
        assert_eq!(pods[1].options, ["--cri-socket=/run/crio/crio.sock"]);
    }
}
