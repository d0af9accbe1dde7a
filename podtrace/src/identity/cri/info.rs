//! The part of a sandbox's verbose status beyond the protocol: JSON text in a form of each
//! runtime's own.
mod ports;

use serde_json::Value;

use crate::model::pod::HostPort;

/// CRI-O's annotation for the pod's cgroup.
const CRIO_CGROUP_PARENT: &str = "io.kubernetes.cri-o.CgroupParent";

/// The part of the verbose information that podtrace uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// The network namespace.
    pub(super) network: Network,
    /// Cgroup of the pod.
    pub(super) cgroup_parent: Option<String>,
    /// The ports of the node that lead to the pod.
    pub(super) host_ports: Vec<HostPort>,
}

/// A sandbox's network namespace, as the runtime describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Network {
    /// Nothing.
    #[default]
    Unknown,
    /// The specification lists namespaces, and no network namespace is among
    /// them: the sandbox lives in the one of the node.
    Node,
    /// It has one, at this path if there is one.
    Own(Option<String>),
    /// It had one, which is closed.
    Closed,
}

impl Info {
    /// Reads the text. containerd and CRI-O both give the OCI specification;
    /// containerd also the pod's configuration.
    ///
    /// # Errors
    /// When it is not JSON.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let info: Value = serde_json::from_str(text)?;
        Ok(Self {
            network: network(&info),
            cgroup_parent: cgroup_parent(&info),
            host_ports: ports::host_ports(&info),
        })
    }
}

fn network(info: &Value) -> Network {
    if info["netNamespaceClosed"] == Value::Bool(true) {
        return Network::Closed;
    }
    let Some(namespaces) = info["runtimeSpec"]["linux"]["namespaces"].as_array() else {
        return Network::Unknown;
    };
    match namespaces.iter().find(|ns| ns["type"] == "network") {
        Some(ns) => Network::Own(text(&ns["path"])),
        None => Network::Node,
    }
}

/// In order of trust: what the pod's configuration says, what CRI-O notes, and
/// the sandbox's own cgroup without the sandbox.
fn cgroup_parent(info: &Value) -> Option<String> {
    let spec = &info["runtimeSpec"];
    text(&info["config"]["linux"]["cgroup_parent"])
        .or_else(|| text(&spec["annotations"][CRIO_CGROUP_PARENT]).filter(|path| path != "{}"))
        .or_else(|| text(&spec["linux"]["cgroupsPath"]).and_then(|path| parent(&path)))
}

/// `slice:prefix:id` is the systemd driver's spelling, a path cgroupfs'.
fn parent(cgroups_path: &str) -> Option<String> {
    let (parent, _) = cgroups_path
        .split_once(':')
        .or_else(|| cgroups_path.rsplit_once('/'))?;
    (!parent.is_empty()).then(|| parent.to_owned())
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_gives_the_path_and_the_configured_cgroup() {
        let info = Info::parse(
            r#"{"pid":7,"netNamespaceClosed":false,
                "config":{"linux":{"cgroup_parent":"/kubepods/burstable/pod1"}},
                "runtimeSpec":{"linux":{"cgroupsPath":"/kubepods/burstable/pod1/abc",
                  "namespaces":[{"type":"pid"},{"type":"network","path":"/var/run/netns/cni-1"}]}}}"#,
        )
        .unwrap();
        assert_eq!(
            info.network,
            Network::Own(Some("/var/run/netns/cni-1".to_owned()))
        );
        assert_eq!(
            info.cgroup_parent.as_deref(),
            Some("/kubepods/burstable/pod1")
        );
    }

    #[test]
    fn crio_notes_the_cgroup_in_an_annotation() {
        let info = Info::parse(
            r#"{"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.CgroupParent":"kubepods-pod1.slice"},
                "linux":{"cgroupsPath":"kubepods-pod1.slice:crio:abc","namespaces":[{"type":"ipc"}]}}}"#,
        )
        .unwrap();
        assert_eq!(info.network, Network::Node);
        assert_eq!(info.cgroup_parent.as_deref(), Some("kubepods-pod1.slice"));
    }

    #[test]
    fn the_sandbox_is_cut_off_its_own_cgroup() {
        assert_eq!(
            parent("a.slice:cri-containerd:id").as_deref(),
            Some("a.slice")
        );
        assert_eq!(
            parent("/kubepods/pod1/id").as_deref(),
            Some("/kubepods/pod1")
        );
        assert_eq!(parent("/id"), None);
        assert_eq!(parent("id"), None);
    }

    #[test]
    fn other_types_than_expected_say_nothing() {
        for odd in [
            "null",
            "[]",
            "7",
            r#"{"runtimeSpec":"x","config":[1],"netNamespaceClosed":"yes"}"#,
            r#"{"runtimeSpec":{"linux":{"namespaces":{"type":"network"},"cgroupsPath":3}}}"#,
        ] {
            assert_eq!(Info::parse(odd).unwrap(), Info::default(), "{odd}");
        }
        assert!(Info::parse("{").is_err());
        assert!(Info::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn closed_namespace_is_not_inspected() {
        let info = Info::parse(
            r#"{"netNamespaceClosed":true,"runtimeSpec":{"linux":{"namespaces":[{"type":"network","path":"/n"}]}}}"#,
        )
        .unwrap();
        assert_eq!(info.network, Network::Closed);
    }
}
