//! A node as a scan sees it.
use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    path::Path,
};

use rtnetlink::Handle;

use crate::{
    netns::{NetNs, NetNsError, candidates::Candidate},
    node::{
        links::{self, Link, LinksError},
        tables::Route,
        target::Node,
        uplinks,
    },
    text::escape::shown,
};

/// A node, with a netlink connection in its namespace.
pub(super) struct View {
    pub(super) node: Node,
    netlink: Option<Handle>,
    /// Indices of the interfaces by which packets leave it. An uplink stays one: its routes
    /// disappear and return with its carrier.
    uplinks: HashSet<u32>,
    /// Indices of the interfaces that lead to the next router.
    gated: HashSet<u32>,
}

impl View {
    pub(super) fn new(node: Node) -> Self {
        Self {
            node,
            netlink: None,
            uplinks: HashSet::new(),
            gated: HashSet::new(),
        }
    }

    /// Adds the interfaces by which packets now leave it.
    pub(super) fn found_uplinks(&mut self, links: &[Link], routes: &[Route]) {
        self.uplinks.extend(uplinks::uplinks(links, routes));
        self.gated = uplinks::by_gateway(routes);
    }

    /// Marks as uplinks the veths that lead out of it, for they lead to no pod.
    pub(super) fn mark_cables(&self, links: &mut [Link], leads_to_pod: impl Fn(&Link) -> bool) {
        uplinks::mark_cables(links, &self.gated, leads_to_pod);
    }

    /// Marks its uplinks, and forgets removed ones.
    pub(super) fn mark_uplinks(&mut self, links: &mut [Link]) {
        uplinks::mark(links, &self.uplinks);
        let marked = links.iter().filter(|link| link.is_uplink);
        self.uplinks = marked.map(|link| link.ifindex).collect();
    }

    /// Lists its interfaces.
    pub(super) async fn links(&mut self) -> Result<Vec<Link>, LinksError> {
        let netns = &self.node.netns;
        if let Some(netlink) = &self.netlink
            && let Ok(links) = links::list_by(netlink, &netns.name).await
        {
            return Ok(links);
        }
        // This is the first time, or the connection broke.
        let netlink = netns.netlink()?;
        let links = links::list_by(&netlink, &netns.name).await?;
        self.netlink = Some(netlink);
        Ok(links)
    }

    /// Its number for a namespace; none if it has none, or if the namespace is not a pod's.
    async fn nsid(&self, netns: &File) -> Option<i32> {
        let netlink = self.netlink.as_ref()?;
        let nsid = links::nsid_by(netlink, &self.node.netns.name, netns).await;
        nsid.ok().flatten()
    }

    /// Opens a namespace if its number is one of these, and lists its interfaces.
    pub(super) async fn look(
        &self,
        candidate: &Candidate,
        missing: &BTreeSet<i32>,
    ) -> Result<Option<(i32, NetNs, Vec<Link>)>, LinksError> {
        let path = &candidate.path;
        let file = File::open(path).map_err(|source| NetNsError::Open {
            path: shown(path),
            source,
        })?;
        match self.nsid(&file).await {
            Some(nsid) if missing.contains(&nsid) => {
                let (netns, links) = enter(file, path).await?;
                Ok(Some((nsid, netns, links)))
            }
            _ => Ok(None),
        }
    }
}

/// Lists a namespace's interfaces, entering it once.
pub(super) async fn enter(file: File, path: &Path) -> Result<(NetNs, Vec<Link>), LinksError> {
    let path = shown(path);
    let (netns, netlink) = NetNs::from_file_with_netlink(file, &path)?;
    let links = links::list_by(&netlink, &path).await?;
    Ok((netns, links))
}
