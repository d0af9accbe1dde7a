//! The requests of a kubelet to the runtime.

use std::collections::HashMap;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
};

use super::images::BOX;
use super::pod::PodSpec;

/// The sandbox, with the labels and the cgroup that the kubelet gives a burstable pod.
pub(super) fn sandbox(spec: &PodSpec<'_>) -> PodSandboxConfig {
    let uid = spec.uid.map_or_else(fresh_uid, str::to_owned);
    let mut labels = identity_labels(spec, &uid);
    labels.extend(
        spec.labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
    );
    PodSandboxConfig {
        // The runtime does not allow a hostname on the node's network.
        hostname: if spec.host_network { "" } else { spec.name }.to_owned(),
        labels,
        annotations: HashMap::from([pair("kubernetes.io/config.source", "api")]),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: format!("/kubepods/burstable/pod{uid}"),
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces(spec)),
                ..Default::default()
            }),
            ..Default::default()
        }),
        metadata: Some(PodSandboxMetadata {
            name: spec.name.to_owned(),
            uid,
            namespace: spec.namespace.to_owned(),
            attempt: 0,
        }),
        ..Default::default()
    }
}

/// A container of the pod.
pub(super) fn container(
    spec: &PodSpec<'_>,
    sandbox: &PodSandboxConfig,
    name: &str,
) -> ContainerConfig {
    let uid = sandbox.metadata.clone().unwrap_or_default().uid;
    let mut labels = identity_labels(spec, &uid);
    labels.extend([pair("io.kubernetes.container.name", name)]);
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: name.to_owned(),
            attempt: 0,
        }),
        image: Some(ImageSpec {
            image: BOX.to_owned(),
            ..Default::default()
        }),
        command: strings(spec.command.unwrap_or_default()),
        labels,
        annotations: HashMap::from([pair("io.kubernetes.container.restartCount", "0")]),
        linux: Some(LinuxContainerConfig {
            resources: Some(LinuxContainerResources {
                cpu_shares: 2,
                oom_score_adj: 1000,
                ..Default::default()
            }),
            security_context: Some(LinuxContainerSecurityContext {
                namespace_options: Some(namespaces(spec)),
                ..Default::default()
            }),
        }),
        ..Default::default()
    }
}

/// Network and ipc are the pod's, each container has its own pid namespace.
fn namespaces(spec: &PodSpec<'_>) -> NamespaceOption {
    let network = if spec.host_network {
        NamespaceMode::Node
    } else {
        NamespaceMode::Pod
    };
    NamespaceOption {
        network: network.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Pod.into(),
        ..Default::default()
    }
}

/// The labels that the kubelet gives sandbox and containers alike.
fn identity_labels(spec: &PodSpec<'_>, uid: &str) -> HashMap<String, String> {
    HashMap::from([
        pair("io.kubernetes.pod.name", spec.name),
        pair("io.kubernetes.pod.namespace", spec.namespace),
        pair("io.kubernetes.pod.uid", uid),
    ])
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// Owned strings, as messages require.
pub(super) fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A UID that no other pod of any lab has.
fn fresh_uid() -> String {
    static PODS: AtomicU32 = AtomicU32::new(1);
    let pod = PODS.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{pod:012x}", process::id())
}
