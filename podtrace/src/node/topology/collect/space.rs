//! A network namespace other than the nodes': a pod's, or one that looks like it.
use std::{net::IpAddr, path::Path};

use super::{RawNode, facts::Rest};
use crate::{
    model::facts::is_plain,
    netns::{NetNs, file_name},
    node::{
        links::{self, Link, LinkKind},
        pod_table::PodTable,
        tables::{self, RouteKind, Tables},
    },
    text::{escape::shown, sanitize::sanitize},
};

/// The data of such a namespace.
pub(super) struct Space {
    /// Its inode.
    pub(super) inode: u64,
    /// Its id.
    pub(super) id: u64,
    /// The path that opens it, if a shell takes it as it is.
    pub(super) path: Option<String>,
    /// Name of its file, if that says more than its inode.
    pub(super) file: Option<String>,
    /// The pod that the user's table gives it.
    pub(super) given: Option<String>,
    /// Its interfaces.
    pub(super) links: Vec<Link>,
    /// For each interface of a veth pair: its index, and that of the node's end.
    pub(super) ties: Vec<(u32, u32)>,
    /// Its tables; one whose tables cannot be read counts as one without.
    pub(super) tables: Tables,
    /// Whether its tables could be read.
    pub(super) has_tables: bool,
    /// Its settings and rules.
    pub(super) rest: Rest,
}

impl Space {
    /// Reads a namespace; none if it does not belong to a pod of this node.
    pub(super) async fn read(
        raw: &RawNode,
        netns: &NetNs,
        path: &Path,
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
            // A veth pair joins the nodes of a lab.
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
        let tables = tables::read(netns).await;
        Some(Self {
            inode: netns.inode,
            id: netns.id,
            path: path.to_str().filter(|path| is_plain(path)).map(Into::into),
            file: file_name(path).map(shown),
            given: table.pod(path).map(|name| name.to_string()),
            has_tables: tables.is_ok(),
            tables: tables.unwrap_or_default(),
            rest: Rest::read(netns, &links).await,
            links,
            ties,
        })
    }

    /// Next hops of its default routes.
    pub(super) fn gateways(&self) -> Vec<IpAddr> {
        let routes = self.tables.routes.iter();
        routes
            .filter(|route| route.kind == RouteKind::Unicast && route.len == 0)
            .filter_map(|route| route.gateway)
            .collect()
    }

    /// Its name without a known pod.
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
