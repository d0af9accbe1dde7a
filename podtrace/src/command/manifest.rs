//! `podtrace manifest`.
use super::{FINE, print_out};
use crate::{
    cli::{ManifestArgs, OF_CLUSTER},
    sink,
};

/// The flight recorder, with words between @ signs that are to be replaced.
const RECORDER: &str = include_str!("../../deploy/recorder.yaml");

/// What is another in the manifest of agents, each once or, as names are, everywhere.
const OF_AGENTS: [(&str, &str); 6] = [
    (
        "flight recorder on each Linux node, as podtrace manifest prints it:",
        "agent on each Linux node, as podtrace manifest --agent prints it:",
    ),
    ("manifest --image", "manifest --agent --image"),
    (
        "#   kubectl exec -n @namespace@ POD -- \\
#     podtrace export --format pcapng --last 10m /var/log/podtrace > NODE.pcapng    # of a node
",
        "#   podtrace trace --cluster --agents-namespace @namespace@ --kubeconfig admin.conf icmp
",
    ),
    (
        "          command: [podtrace, record]
          args:
            - --write=/var/log/podtrace/
            - --rotate-size=100MB
            - --keep-size=2GB
            - --zstd
",
        "          # It traces nothing until it is asked to, there or by commands in its container.
          command: [podtrace, agent]
          args:
            - --listen=/run/podtrace/agent.sock
",
    ),
    (
        "              mountPath: /var/log/podtrace
",
        "              mountPath: /run/podtrace
",
    ),
    (
        "          hostPath:
            path: /var/log/podtrace
            type: DirectoryOrCreate
",
        "          emptyDir:
            medium: Memory
",
    ),
];
/// The same of names, and of what sending packets takes (--probe).
const NAMES_OF_AGENTS: [(&str, &str); 4] = [
    ("podtrace-recorder", "podtrace-agent"),
    ("name: recorder\n", "name: agent\n"),
    ("name: recordings\n", "name: socket\n"),
    (
        "                - NET_BROADCAST\n",
        "                - NET_BROADCAST\n                - NET_RAW\n",
    ),
];

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
    if args.agent {
        for (word, value) in OF_AGENTS.iter().chain(&NAMES_OF_AGENTS) {
            text = text.replace(word, value);
        }
    }
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
    use clap::Parser as _;
    use k8s_openapi::api::{
        apps::v1::DaemonSet,
        core::v1::{Namespace, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    };
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;
    use crate::cli::{Cli, Command};

    fn documents(namespace: &str) -> Vec<Value> {
        documents_of(namespace, false)
    }

    fn documents_of(namespace: &str, agent: bool) -> Vec<Value> {
        let args = ManifestArgs {
            image: None,
            agent,
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
        let both = [false, true].map(|agent| documents_of("tracing", agent));
        assert!(both.iter().all(|documents| documents.len() == 5));
        for document in both.iter().flatten() {
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

    #[test]
    fn agents_trace_nothing_by_themselves() {
        for (word, _) in OF_AGENTS {
            assert_eq!(RECORDER.matches(word).count(), 1, "{word}");
        }
        for (word, _) in NAMES_OF_AGENTS {
            assert!(RECORDER.contains(word), "{word}");
        }
        let documents = documents_of("tracing", true);
        let text = serde_json::to_string(&documents).unwrap();
        assert!(
            !text.contains("record") && !text.contains("/var/log"),
            "{text}"
        );
        let spec = &documents[4]["spec"]["template"]["spec"];
        let container = &spec["containers"][0];
        assert_eq!(
            container["command"],
            serde_json::json!(["podtrace", "agent"])
        );
        let line = ["podtrace", "agent"].map(str::to_owned).into_iter();
        let args = container["args"].as_array().unwrap().iter();
        let args = args.map(|arg| arg.as_str().unwrap().to_owned());
        let cli = Cli::try_parse_from(line.chain(args)).unwrap();
        assert!(matches!(cli.command, Command::Agent(args) if !args.listen.is_empty()));
        let added = &container["securityContext"]["capabilities"]["add"];
        assert!(
            added.as_array().unwrap().contains(&"NET_RAW".into()),
            "{added}"
        );
        let mounts = container["volumeMounts"].as_array().unwrap();
        let volumes = spec["volumes"].as_array().unwrap();
        for (mount, volume) in mounts.iter().zip(volumes) {
            assert_eq!(mount["name"], volume["name"]);
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
        // The services of the packages ask for the same.
        for unit in [
            include_str!("../../deploy/podtrace-recorder.service"),
            include_str!("../../deploy/podtrace-agent.service"),
        ] {
            let bounding = unit
                .lines()
                .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
            let of_unit: Vec<_> = bounding.unwrap().split(' ').collect();
            let names = added.iter().flatten().map(|name| format!("CAP_{name}"));
            assert_eq!(of_unit, names.collect::<Vec<_>>());
        }
        assert_eq!(documents[4]["metadata"]["namespace"], "tracing");
    }
}
