//! The state of a sandbox between two lists: the data of its verbose status, which is
//! requested once.
use std::net::IpAddr;

use k8s_cri::v1::{NamespaceMode, PodSandboxState, PodSandboxStatus, PodSandboxStatusResponse};

use super::{
    info::{Info, Network},
    netns::{self, Mark},
};
use crate::model::pod::HostPort;

/// How often the status of a sandbox is requested while something is missing: it may be
/// starting, or its runtime may never report it.
const MAX_TRIES: u8 = 3;

/// The known state of a sandbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Sandbox {
    /// Its state in the last list.
    state: Option<i32>,
    /// How often its status was requested in this state.
    tries: u8,
    /// Whether no request in this state was answered.
    pending: bool,
    /// Addresses while it is up.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether it lives in the node's network namespace.
    pub(super) host_network: bool,
    /// Its network namespace, as the runtime spells it.
    pub(super) netns_path: Option<String>,
    /// Its network namespace.
    pub(super) netns: Option<Mark>,
    /// The ports of the node that lead to it.
    pub(super) host_ports: Vec<HostPort>,
    /// Its cgroup.
    pub(super) cgroup_parent: Option<String>,
    /// How much of the answer could not be understood.
    pub(super) unreadable: usize,
}

impl Sandbox {
    /// Records its listed state; returns whether to request its status (again), and counts
    /// that request.
    pub(super) fn turn(&mut self, state: i32) -> bool {
        if self.state != Some(state) {
            self.state = Some(state);
            self.tries = 0;
            self.pending = true;
        }
        if !self.is_up() {
            self.addresses.clear();
        }
        let due = self.is_due();
        self.tries += u8::from(due);
        due
    }

    /// Whether another request may show more than the last one.
    pub(super) fn is_due(&self) -> bool {
        let partial = self.is_up()
            && !self.host_network
            && (self.addresses.is_empty() || self.netns.is_none());
        (self.pending || partial) && self.tries < MAX_TRIES
    }

    fn is_up(&self) -> bool {
        self.state == Some(PodSandboxState::SandboxReady as i32)
    }

    /// Takes over the answer of the runtime. `runtime` is the process that the paths belong
    /// to, `node` the inode of its network namespace. It enters the sandbox's namespace, so
    /// do not call it in an async context.
    pub(super) fn learn(
        &mut self,
        answer: &PodSandboxStatusResponse,
        runtime: Option<u32>,
        node: Option<u64>,
    ) {
        self.unreadable = 0;
        self.pending = false;
        let info = self.read_info(answer);
        self.cgroup_parent = info.cgroup_parent.or(self.cgroup_parent.take());
        let status = answer.status.as_ref();
        // They never change.
        if !info.host_ports.is_empty() {
            self.host_ports = info.host_ports;
        }
        let up = self.is_up();
        self.host_network = is_host_network(status) || info.network == Network::Node;
        if let Network::Own(path) = info.network {
            self.netns_path = path.or(self.netns_path.take());
        }
        // The namespace of a sandbox never changes, and once the sandbox is down, its path
        // may lead elsewhere.
        if up && !self.host_network && self.netns.is_none() {
            self.netns = self
                .netns_path
                .as_deref()
                .and_then(|path| netns::mark(runtime, path).ok());
        }
        if self.netns.is_some_and(|mark| Some(mark.inode) == node) {
            self.host_network = true;
        }
        if self.host_network {
            self.netns = None;
        }
        // CRI-O gives a pod on the node's network the node's addresses.
        self.addresses = match status {
            Some(status) if up && !self.host_network => self.read_addresses(status),
            _ => Vec::new(),
        };
    }

    fn read_info(&mut self, answer: &PodSandboxStatusResponse) -> Info {
        let Some(text) = answer.info.get("info") else {
            return Info::default();
        };
        Info::parse(text).unwrap_or_else(|_| {
            self.unreadable += 1;
            Info::default()
        })
    }

    fn read_addresses(&mut self, status: &PodSandboxStatus) -> Vec<IpAddr> {
        let Some(network) = &status.network else {
            return Vec::new();
        };
        let mut addresses = Vec::new();
        let texts = network.additional_ips.iter().map(|ip| &ip.ip);
        for text in std::iter::once(&network.ip).chain(texts) {
            match text.parse::<IpAddr>() {
                Ok(ip) if ip.is_unspecified() || addresses.contains(&ip) => {}
                Ok(ip) => addresses.push(ip),
                Err(_) if text.is_empty() => {}
                Err(_) => self.unreadable += 1,
            }
        }
        addresses
    }
}

fn is_host_network(status: Option<&PodSandboxStatus>) -> bool {
    status
        .and_then(|status| status.linux.as_ref()?.namespaces.as_ref()?.options.as_ref())
        .is_some_and(|options| options.network == NamespaceMode::Node as i32)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, os::unix::fs::MetadataExt as _};

    use k8s_cri::v1::{
        LinuxPodSandboxStatus, Namespace, NamespaceOption, PodIp, PodSandboxNetworkStatus,
    };

    use super::*;

    const READY: i32 = PodSandboxState::SandboxReady as i32;
    const DOWN: i32 = PodSandboxState::SandboxNotready as i32;

    fn answer(ips: &[&str], info: &str) -> PodSandboxStatusResponse {
        PodSandboxStatusResponse {
            status: Some(PodSandboxStatus {
                network: Some(PodSandboxNetworkStatus {
                    ip: ips.first().copied().unwrap_or_default().to_owned(),
                    additional_ips: ips
                        .iter()
                        .skip(1)
                        .map(|&ip| PodIp { ip: ip.to_owned() })
                        .collect(),
                }),
                ..PodSandboxStatus::default()
            }),
            info: HashMap::from([("info".to_owned(), info.to_owned())]),
            ..PodSandboxStatusResponse::default()
        }
    }

    fn own_netns() -> (String, u64) {
        let path = format!("/proc/{}/ns/net", std::process::id());
        let inode = std::fs::metadata(&path).unwrap().ino();
        (path, inode)
    }

    fn learned(state: i32, answer: &PodSandboxStatusResponse, node: Option<u64>) -> Sandbox {
        let mut sandbox = Sandbox::default();
        assert!(sandbox.turn(state));
        sandbox.learn(answer, Some(std::process::id()), node);
        sandbox
    }

    #[test]
    fn addresses_are_read_and_garbage_counted() {
        let sandbox = learned(
            READY,
            &answer(&["10.0.0.1", "fd00::1", "10.0.0.1", "0.0.0.0", "x"], "{"),
            None,
        );
        let texts: Vec<_> = sandbox.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.1", "fd00::1"]);
        assert_eq!(sandbox.unreadable, 2);
    }

    #[test]
    fn a_pod_on_the_nodes_network_has_no_address() {
        let mut by_option = answer(&["192.168.0.1"], "{}");
        by_option.status.as_mut().unwrap().linux = Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace {
                options: Some(NamespaceOption {
                    network: NamespaceMode::Node as i32,
                    ..NamespaceOption::default()
                }),
            }),
        });
        let by_spec = answer(
            &["192.168.0.1"],
            r#"{"runtimeSpec":{"linux":{"namespaces":[{"type":"pid"}]}}}"#,
        );
        for answer in [by_option, by_spec] {
            let sandbox = learned(READY, &answer, None);
            assert!(sandbox.host_network && sandbox.addresses.is_empty());
        }
    }

    #[test]
    fn the_nodes_own_namespace_makes_it_host_network() {
        let (path, inode) = own_netns();
        let info = format!(
            r#"{{"runtimeSpec":{{"linux":{{"namespaces":[{{"type":"network","path":"{path}"}}]}}}}}}"#
        );
        let sandbox = learned(READY, &answer(&["10.0.0.1"], &info), Some(inode));
        assert!(sandbox.host_network && sandbox.addresses.is_empty());
        assert_eq!(sandbox.netns, None);
    }

    #[test]
    fn a_sandbox_that_went_down_keeps_its_namespace_and_no_address() {
        // Entering a namespace takes root; without it there is no mark.
        let mut sandbox = learned(READY, &answer(&["10.0.0.1"], "{}"), None);
        sandbox.netns = Some(Mark {
            inode: 1,
            id: Some(2),
        });
        assert!(sandbox.turn(DOWN));
        sandbox.learn(&answer(&["10.0.0.1"], "{}"), None, None);
        assert!(sandbox.addresses.is_empty());
        assert!(sandbox.netns.is_some());
        assert!(!sandbox.turn(DOWN));
    }

    #[test]
    fn status_without_the_expected_fields_is_requested_a_few_times() {
        let mut sandbox = Sandbox::default();
        let mut tries = 0;
        while sandbox.turn(READY) {
            sandbox.learn(&answer(&[], "{}"), None, None);
            tries += 1;
        }
        assert_eq!(tries, MAX_TRIES);
    }
}
