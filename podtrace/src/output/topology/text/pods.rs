//! Pods, their interfaces, their containers and the namespaces that these share.
use super::{super::tree::Row, View, addresses, state, state_style};
use crate::{
    node::{
        processes::{Namespaces, NsKind},
        topology::{Container, Pod, PodInterface, Sharing},
    },
    output::paint::{BOLD, DIM, PLAIN, POD},
};

pub(super) const NET: NsKind = NsKind::Net;

impl View<'_> {
    pub(super) fn pod(&self, pod: &Pod) -> Row {
        let addresses: Vec<_> = pod.addresses.iter().map(ToString::to_string).collect();
        let netns = pod
            .netns
            .map_or_else(String::new, |inode| format!("net:[{inode}]"));
        let uid = pod
            .uid
            .as_ref()
            .filter(|uid| !pod.name.contains(uid.as_str()));
        let mut row = Row::new("pod")
            .cell(POD, &pod.name)
            .cell(PLAIN, addresses.join(", "))
            .cell(PLAIN, netns)
            .cell(
                DIM,
                uid.map_or_else(String::new, |uid| format!("uid {uid}")),
            )
            .mark(self.mark(&pod.name));
        for own in &pod.interfaces {
            row.child(self.pod_interface(own));
        }
        if let Some(sharing) = &pod.sharing {
            row.child(namespaces(pod, sharing));
        }
        for container in &pod.containers {
            row.child(self::container(container, pod.sharing.as_ref()));
        }
        row
    }

    fn pod_interface(&self, own: &PodInterface) -> Row {
        let interface = &own.interface;
        let row = Row::new("pod interface")
            .cell(PLAIN, &interface.name)
            .cell(state_style(interface.state), state(interface.state))
            .cell(PLAIN, format!("MTU {}", interface.mtu))
            .cell(PLAIN, addresses(interface));
        let Some(host) = &own.host else {
            return row;
        };
        let point = match (&host.interface.bridge, host.routed) {
            (Some(bridge), _) => format!("{} in {bridge}", host.interface.name),
            (None, true) => format!("{}, routed", host.interface.name),
            (None, false) => format!("{} in no bridge", host.interface.name),
        };
        row.cell(PLAIN, format!("<-> {point}"))
            .mark(self.mark(&host.interface.name))
    }
}

/// The shared namespaces, and their inodes.
fn namespaces(pod: &Pod, sharing: &Sharing) -> Row {
    let row = Row::line(PLAIN, format!("namespaces: {sharing}"));
    let any = pod
        .containers
        .iter()
        .find(|container| container.pid.is_some());
    let shared = any.map_or_else(Vec::new, |container| {
        inodes(&container.namespaces, |kind| sharing.shared.contains(&kind))
    });
    row.children((!shared.is_empty()).then(|| Row::line(DIM, shared.join(" "))))
}

fn container(container: &Container, sharing: Option<&Sharing>) -> Row {
    let unnamed = if container.sandbox {
        "sandbox"
    } else {
        "container"
    };
    let process = match (container.pid, &container.command) {
        (Some(pid), Some(command)) => format!("pid {pid} ({command})"),
        (Some(pid), None) => format!("pid {pid}"),
        (None, _) => "no process found".to_owned(),
    };
    let own = inodes(&container.namespaces, |kind| {
        sharing.is_none_or(|sharing| {
            sharing.separate.contains(&kind) || sharing.partly.contains(&kind)
        })
    });
    Row::new("container")
        .cell(BOLD, container.name.as_deref().unwrap_or(unnamed))
        .cell(PLAIN, container.short_id())
        .cell(PLAIN, container.image.as_deref().unwrap_or_default())
        .cell(PLAIN, process)
        .cell(DIM, own.join(" "))
}

/// The inodes of some kinds, as `net:[4026532281]`.
pub(super) fn inodes(namespaces: &Namespaces, of: impl Fn(NsKind) -> bool) -> Vec<String> {
    let kinds = NsKind::ALL.into_iter().filter(|kind| of(*kind));
    kinds
        .filter_map(|kind| Some(format!("{kind}:[{}]", namespaces.get(kind)?)))
        .collect()
}
