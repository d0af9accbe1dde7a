//! `podtrace manifest`.
use super::{FINE, print_out};
use crate::cli::ManifestArgs;

/// The flight recorder, with words between @ signs that are to be replaced.
const RECORDER: &str = include_str!("../../deploy/recorder.yaml");

/// Prints the manifest; returns the exit code.
pub(super) fn run(args: &ManifestArgs) -> anyhow::Result<u8> {
    print_out(&recorder(args))?;
    Ok(FINE)
}

/// The values are checked: none can be more than a value.
fn recorder(args: &ManifestArgs) -> String {
    let replaced = [
        ("@namespace@", &args.namespace),
        ("@image@", &args.image),
        ("@socket@", &args.cri_socket.path),
        ("@directory@", &args.cri_socket.directory),
    ];
    let mut text = RECORDER.to_owned();
    for (word, value) in replaced {
        text = text.replace(word, value);
    }
    text
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

    fn documents() -> Vec<Value> {
        let args = ManifestArgs {
            image: "registry.example.com/podtrace:0.1.0".into(),
            namespace: "tracing".into(),
            cri_socket: "/run/crio/crio.sock".parse().unwrap(),
        };
        let text = recorder(&args);
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
        let documents = documents();
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

    /// What is asked for is what docs/privileges.md explains.
    #[test]
    fn capabilities_are_those_that_tracing_takes() {
        let page = include_str!("../../docs/privileges.md");
        let documents = documents();
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
