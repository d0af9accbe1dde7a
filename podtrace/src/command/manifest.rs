//! `podtrace manifest`.
use super::{FINE, print_out};
use crate::{
    cli::{ManifestArgs, OF_CLUSTER},
    sink,
};

/// The flight recorder, with words between @ signs that are to be replaced.
const RECORDER: &str = include_str!("../../deploy/recorder.yaml");

/// The dashboard of the metrics.
const DASHBOARD: &str = include_str!("../../deploy/dashboard.json");

/// Prints the manifest, or the dashboard; returns the exit code.
pub(super) fn run(args: &ManifestArgs) -> anyhow::Result<u8> {
    let Some(image) = &args.image else {
        print_out(DASHBOARD)?;
        return Ok(FINE);
    };
    let namespace = &args.namespace;
    if is_of_cluster(namespace) {
        sink::tell(&format!(
            "each cluster has a namespace {namespace}: the manifest does not create it, and Pod \
             Security has to allow privileged pods there"
        ));
    }
    print_out(&recorder(args, image))?;
    Ok(FINE)
}

/// The values are checked: none can be more than a value.
fn recorder(args: &ManifestArgs, image: &String) -> String {
    let replaced = [
        ("@namespace@", &args.namespace),
        ("@image@", image),
        ("@socket@", &args.cri_socket.path),
        ("@directory@", &args.cri_socket.directory),
    ];
    let mut text = RECORDER.to_owned();
    for (word, value) in replaced {
        text = text.replace(word, value);
    }
    match is_of_cluster(&args.namespace) {
        true => without_namespace(&text),
        false => text,
    }
}

/// Whether a namespace is in each cluster: who takes the manifest back is not to delete it, nor is its
/// level of Pod Security to change.
fn is_of_cluster(namespace: &str) -> bool {
    OF_CLUSTER.contains(&namespace)
}

/// The manifest without its first document.
fn without_namespace(text: &str) -> String {
    let (first, rest) = text.split_once("---\n").unwrap_or(("", text));
    let comment = first.lines().take_while(|line| line.starts_with('#'));
    let comment: String = comment.map(|line| format!("{line}\n")).collect();
    comment + rest
}

#[cfg(feature = "kubernetes")]
#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::DaemonSet,
        core::v1::{Namespace, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    };
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;

    fn documents(namespace: &str) -> Vec<Value> {
        let args = ManifestArgs {
            image: None,
            dashboard: false,
            namespace: namespace.into(),
            cri_socket: "/run/crio/crio.sock".parse().unwrap(),
        };
        let image = "registry.example.com/podtrace:0.1.0".to_owned();
        let text = recorder(&args, &image);
        assert!(!text.contains('@'), "{text}");
        serde_saphyr::from_multiple(&text).unwrap()
    }

    /// Whether a document has the fields of its kind, with their types, and no others.
    #[track_caller]
    fn is_valid<T: DeserializeOwned + Serialize>(document: &Value) {
        let typed: T = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(&serde_json::to_value(&typed).unwrap(), document);
    }

    #[test]
    fn documents_are_valid() {
        let documents = documents("tracing");
        assert_eq!(documents.len(), 5);
        for document in &documents {
            match document["kind"].as_str() {
                Some("Namespace") => is_valid::<Namespace>(document),
                Some("ServiceAccount") => is_valid::<ServiceAccount>(document),
                Some("ClusterRole") => is_valid::<ClusterRole>(document),
                Some("ClusterRoleBinding") => is_valid::<ClusterRoleBinding>(document),
                Some("DaemonSet") => is_valid::<DaemonSet>(document),
                other => panic!("{other:?}"),
            }
        }
    }

    /// `kubectl delete -f -` would ask to delete them with all that is in them.
    #[test]
    fn namespaces_of_the_cluster_are_not_created() {
        for namespace in OF_CLUSTER {
            let documents = documents(namespace);
            assert_eq!(documents.len(), 4);
            for document in documents {
                assert_ne!(document["kind"], "Namespace");
                let own = document["metadata"].get("namespace");
                assert!(own.is_none_or(|own| own == namespace), "{document}");
            }
        }
    }

    /// What is asked for is what docs/privileges.md explains.
    #[test]
    fn capabilities_are_those_that_tracing_takes() {
        let page = include_str!("../../docs/privileges.md");
        let documents = documents("tracing");
        let container = &documents[4]["spec"]["template"]["spec"]["containers"][0];
        let added = &container["securityContext"]["capabilities"]["add"];
        let added: Vec<_> = added
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str())
            .collect();
        assert_eq!(added.len(), 7);
        for name in added.iter().flatten() {
            assert!(page.contains(&format!("| `CAP_{name}` | ")), "{name}");
        }
        // The service of the packages asks for the same.
        let unit = include_str!("../../deploy/podtrace-recorder.service");
        let bounding = unit
            .lines()
            .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        let of_unit: Vec<_> = bounding.unwrap().split(' ').collect();
        let names = added.iter().flatten().map(|name| format!("CAP_{name}"));
        assert_eq!(of_unit, names.collect::<Vec<_>>());
        assert_eq!(documents[4]["metadata"]["namespace"], "tracing");
    }
}
