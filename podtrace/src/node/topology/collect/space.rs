//! A network namespace other than the nodes': a pod's, or one that looks like it.
use std::net::IpAddr;

use super::RawNode;
use crate::{
    netns::{NetNs, file_name},
    node::{
        links::{self, Link, LinkKind},
        pod_table::PodTable,
        tables::{self, RouteKind},
    },
    text::sanitize::sanitize,
};

/// What is read of such a namespace.
pub(super) struct Space {
    /// Its inode.
    pub(super) inode: u64,
    /// Its id.
    pub(super) id: u64,
    /// Name of its file, where that says more than its inode.
    pub(super) file: Option<String>,
    /// The pod that the user's table gives it.
    pub(super) given: Option<String>,
    /// Its interfaces.
    pub(super) links: Vec<Link>,
    /// By each interface of a veth pair: its index, and the node's end's.
    pub(super) ties: Vec<(u32, u32)>,
    /// Next hops of its default routes.
    pub(super) gateways: Vec<IpAddr>,
}

impl Space {
    /// Looks into a namespace; none if it is no pod's of this node.
    pub(super) async fn read(
        raw: &RawNode,
        netns: &NetNs,
        path: &str,
        table: &PodTable,
    ) -> Option<Self> {
        let known = raw
            .input
            .pods
            .iter()
            .any(|pod| pod.netns_id == Some(netns.id));
        let nsid = links::nsid(&raw.input.netns, netns).await.ok()?;
        let hosts: Vec<&Link> = raw
            .links
            .iter()
            .filter(|host| host.peer_nsid.is_some() && host.peer_nsid == nsid)
            // The nodes of a lab are joined by a veth pair.
            .filter(|host| host.kind == LinkKind::Veth && !host.is_uplink)
            .collect();
        if hosts.is_empty() && !known {
            return None;
        }
        let links = links::list(netns).await.ok()?;
        let ties = ties(&hosts, &links);
        if ties.is_empty() && !known {
            return None;
        }
        Some(Self {
            inode: netns.inode,
            id: netns.id,
            file: file_name(path).map(sanitize),
            given: table.pod(path).map(|name| name.to_string()),
            gateways: gateways(netns).await,
            links,
            ties,
        })
    }

    /// What to call it without a pod's name.
    pub(super) fn fallback(&self, uid: Option<&str>) -> String {
        match (uid, &self.file) {
            (Some(uid), _) => format!("pod:{}", sanitize(uid)),
            (None, Some(file)) => file.clone(),
            (None, None) => format!("netns:{}", self.inode),
        }
    }
}

fn ties(hosts: &[&Link], links: &[Link]) -> Vec<(u32, u32)> {
    links
        .iter()
        .filter_map(|link| {
            let host = hosts.iter().find(|host| link.is_peer_of(host))?;
            Some((link.ifindex, host.ifindex))
        })
        .collect()
}

/// A namespace whose routes cannot be read is as good as one without.
async fn gateways(netns: &NetNs) -> Vec<IpAddr> {
    let routes = tables::read_routes(netns).await.unwrap_or_default();
    routes
        .into_iter()
        .filter(|route| route.kind == RouteKind::Unicast && route.len == 0)
        .filter_map(|route| route.gateway)
        .collect()
}
