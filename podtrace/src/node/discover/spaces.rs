//! The namespaces of pods, found by the veths that tie them to a node.
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use super::{
    role::node_role,
    view::{View, enter},
};
use crate::{
    cause::{has_answer, is_out_of_descriptors},
    model::tap_point::Role,
    netns::{NetNs, candidates::candidates, file_name},
    node::links::{Link, LinkKind},
    text::{escape::shown, sanitize::sanitize},
};

/// How long a new namespace is listed again at each scan: its addresses and processes come
/// after its interfaces.
const YOUNG: Duration = Duration::from_secs(4);
/// Pause between two lists of older namespaces: something has changed in one of them, and
/// netlink does not report in which.
const LIST_PAUSE: Duration = Duration::from_secs(2);
/// Pause between two searches for the namespaces behind older veths that lead nowhere yet.
const SEARCH_PAUSE: Duration = Duration::from_secs(2);
/// Namespaces that are looked at at once: each waits for the kernel several times.
const AT_ONCE: usize = 16;

/// A pod's namespace between two scans. Not an open handle, which would keep it alive.
pub(super) struct Known {
    pub(super) node: usize,
    pub(super) path: PathBuf,
    pub(super) inode: u64,
    /// The node's number for it.
    nsid: i32,
    pub(super) links: Vec<Link>,
    first: Instant,
}

impl Known {
    /// Its interface that is the other end of this interface of the node.
    pub(super) fn peer_of(&self, node: usize, host: &Link) -> Option<&Link> {
        self.links.iter().find(|link| self.ties(link, node, host))
    }

    /// Whether it has one.
    pub(super) fn has_peer_of(&self, node: usize, host: &Link) -> bool {
        self.peer_of(node, host).is_some()
    }

    /// Whether it only switches what it gets from this interface of the node: that is a cable, and
    /// no pod is behind it. A pod's interface may be bridged too, but its node has no subnet for it.
    fn is_switch_of(&self, node: usize, host: &Link) -> bool {
        host.is_in_a_subnet()
            && self.peer_of(node, host).is_some_and(|peer| {
                let master = peer.master_among(&self.links);
                !peer.has_global_address()
                    && master.is_some_and(|master| master.kind == LinkKind::Bridge)
            })
    }

    /// Whether the node has the other end of this interface, or the interface below it.
    pub(super) fn is_tied(&self, link: &Link, node_links: &[Link]) -> bool {
        let mut hosts = node_links.iter();
        match link.kind {
            LinkKind::Veth => hosts.any(|host| !host.is_uplink && self.ties(link, self.node, host)),
            LinkKind::Other => {
                link.peer_nsid.is_some()
                    && link.peer_nsid == self.number_of_node(node_links)
                    && hosts.any(|host| link.peer == Some(host.ifindex))
            }
            _ => false,
        }
    }

    /// Its own number for the node's namespace, as its veths have it.
    fn number_of_node(&self, node_links: &[Link]) -> Option<i32> {
        let ends = self.links.iter().filter(|link| link.kind == LinkKind::Veth);
        let mut tied = ends.filter(|link| self.is_tied(link, node_links));
        tied.next()?.peer_nsid
    }

    fn ties(&self, link: &Link, node: usize, host: &Link) -> bool {
        self.node == node && host.peer_nsid == Some(self.nsid) && link.is_peer_of(host)
    }

    /// Whether it was first seen before `than`.
    pub(super) fn is_older(&self, than: Instant) -> bool {
        self.first <= than
    }

    fn is_young(&self) -> bool {
        self.first.elapsed() < YOUNG
    }

    /// Its name if no pod is known.
    pub(super) fn fallback(&self, pod_uid: Option<&str>) -> Arc<str> {
        if let Some(uid) = pod_uid {
            return format!("pod:{}", sanitize(uid)).into();
        }
        match file_name(&self.path) {
            Some(name) => shown(name).into(),
            None => format!("netns:{}", self.inode).into(),
        }
    }
}

/// Namespaces that a scan has listed, open while it runs.
pub(super) type Open = HashMap<u64, NetNs>;

/// The namespaces of pods, by id.
#[derive(Default)]
pub(super) struct Spaces {
    pub(super) known: HashMap<u64, Known>,
    /// Veths of the nodes that lead nowhere yet, and since when.
    strays: HashMap<(usize, u32), Instant>,
    searched: Option<Instant>,
    /// Whether any may have changed since all were listed.
    is_stale: bool,
    listed: Option<Instant>,
    /// Whether some could not be opened at the last search for lack of descriptors.
    pub(super) are_unopened: bool,
}

impl Spaces {
    /// Brings the namespaces in step with the nodes' interfaces: opens new ones and lists
    /// those again that may have changed. `is_changed`: whether netlink reported a change
    /// since the last time.
    pub(super) async fn update(
        &mut self,
        views: &[View],
        node_links: &[Vec<Link>],
        is_changed: bool,
    ) -> Open {
        let mut open = Open::new();
        self.drop_removed(node_links);
        self.update_strays(node_links);
        for (number, links) in node_links.iter().enumerate() {
            let missing = self.missing(number, links);
            self.list_again(&mut open, |known| {
                known.node == number && missing.contains(&known.nsid)
            })
            .await;
        }
        self.are_unopened &= !self.strays.is_empty();
        if self.must_search() {
            self.are_unopened = false;
            for (number, links) in node_links.iter().enumerate() {
                self.search(views, number, links, &mut open).await;
            }
            self.searched = Some(Instant::now());
            self.update_strays(node_links);
        }
        self.is_stale |= is_changed;
        let has_paused = self
            .listed
            .is_none_or(|listed| listed.elapsed() >= LIST_PAUSE);
        let all = self.is_stale && has_paused;
        self.list_again(&mut open, |known| all || known.is_young())
            .await;
        if all {
            self.is_stale = false;
            self.listed = Some(Instant::now());
        }
        open
    }

    /// Whether the other end of a node's interface is in a known namespace.
    fn is_known(&self, node: usize, host: &Link) -> bool {
        let mut known = self.known.values();
        known.any(|known| known.has_peer_of(node, host))
    }

    /// Whether that may be a pod's.
    pub(super) fn leads_to_pod(&self, node: usize, host: &Link) -> bool {
        let mut known = self.known.values();
        known.any(|known| known.has_peer_of(node, host) && !known.is_switch_of(node, host))
    }

    /// Whether something is so new that it may be incomplete.
    pub(super) fn is_unsettled(&self) -> bool {
        self.is_stale
            || self.known.values().any(Known::is_young)
            || self.strays.values().any(|first| first.elapsed() < YOUNG)
    }

    /// Forgets the namespaces whose veths are all removed.
    fn drop_removed(&mut self, node_links: &[Vec<Link>]) {
        self.known.retain(|_, known| {
            let node = known.node;
            node_links[node]
                .iter()
                .any(|host| known.has_peer_of(node, host))
        });
    }

    /// The veths of a node that lead to no known namespace, and the node's numbers for the
    /// namespaces they lead to.
    fn strays_of<'a>(
        &self,
        number: usize,
        links: &'a [Link],
    ) -> impl Iterator<Item = (&'a Link, i32)> {
        links
            .iter()
            // Uplinks have another role: a veth may also be the cable of a node.
            .filter(|host| node_role(host, links) == Role::Veth)
            .filter(move |host| !self.is_known(number, host))
            .filter_map(|host| Some((host, host.peer_nsid?)))
    }

    fn missing(&self, number: usize, links: &[Link]) -> BTreeSet<i32> {
        self.strays_of(number, links)
            .map(|(_, nsid)| nsid)
            .collect()
    }

    fn update_strays(&mut self, node_links: &[Vec<Link>]) {
        let now = Instant::now();
        let mut strays = HashMap::new();
        for (number, links) in node_links.iter().enumerate() {
            for (host, _) in self.strays_of(number, links) {
                let key = (number, host.ifindex);
                let first = self.strays.get(&key).copied().unwrap_or(now);
                strays.insert(key, first);
            }
        }
        self.strays = strays;
    }

    fn must_search(&self) -> bool {
        let is_new = |first: &Instant| first.elapsed() < YOUNG;
        let has_paused = || {
            self.searched
                .is_none_or(|searched| searched.elapsed() >= SEARCH_PAUSE)
        };
        !self.strays.is_empty() && (self.strays.values().any(is_new) || has_paused())
    }

    /// Opens the namespaces behind veths that lead to no known one.
    async fn search(
        &mut self,
        views: &[View],
        number: usize,
        node_links: &[Link],
        open: &mut Open,
    ) {
        let mut missing = self.missing(number, node_links);
        if missing.is_empty() {
            return;
        }
        // A known namespace exists, or its veth would not: no other namespace has its
        // inode.
        let nodes = views.iter().map(|view| view.node.netns.inode);
        let known = self.known.values().map(|known| known.inode);
        let others: HashSet<_> = nodes.chain(known).collect();
        let unknown = candidates().filter(|candidate| !others.contains(&candidate.inode));
        let mut unknown = unknown.peekable();
        while unknown.peek().is_some() {
            let some: Vec<_> = unknown.by_ref().take(AT_ONCE).collect();
            let found = some
                .iter()
                .map(|candidate| views[number].look(candidate, &missing));
            for (candidate, mut found) in some.iter().zip(join_all(found).await) {
                if let Err(error) = &found
                    && has_answer(error, is_out_of_descriptors)
                {
                    // The others may have had the last ones meanwhile.
                    found = views[number].look(candidate, &missing).await;
                }
                // The namespace vanished, or is not one of a pod: neither is an error.
                let (nsid, netns, links) = match found {
                    Ok(Some(found)) => found,
                    Ok(None) => continue,
                    Err(error) => {
                        self.are_unopened |= has_answer(&error, is_out_of_descriptors);
                        continue;
                    }
                };
                missing.remove(&nsid);
                let known = Known {
                    node: number,
                    path: candidate.path.clone(),
                    inode: netns.inode,
                    nsid,
                    links,
                    first: Instant::now(),
                };
                if node_links
                    .iter()
                    .any(|host| known.has_peer_of(number, host))
                {
                    self.known.insert(netns.id, known);
                    open.insert(netns.id, netns);
                }
            }
            if missing.is_empty() {
                return;
            }
        }
        // Without a free descriptor no directory lists any namespace.
        let own = File::open("/proc/self/ns/net");
        self.are_unopened |= own.is_err_and(|error| is_out_of_descriptors(&error));
    }

    /// Lists some of the namespaces again. One that cannot be listed stays as it was: its
    /// veth shows whether it still exists.
    async fn list_again(&mut self, open: &mut Open, which: impl Fn(&Known) -> bool) {
        for (id, known) in &mut self.known {
            if open.contains_key(id) || !which(known) {
                continue;
            }
            let Ok(file) = File::open(&known.path) else {
                continue;
            };
            if let Ok((netns, links)) = enter(file, &known.path).await
                && netns.id == *id
            {
                known.links = links;
                open.insert(*id, netns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{
        links::{AddressPrefix, fixture::link},
        uplinks::mark_cables,
    };

    /// A veth of the node with this subnet, and the other end in a namespace: a port of a bridge, or
    /// with an address.
    fn pair(len: u8, is_bridged: bool) -> (Link, Known) {
        let addressed = |link: Link, len| Link {
            addresses: vec!["198.19.0.1".parse().unwrap()],
            prefixes: vec![AddressPrefix {
                address: "198.19.0.1".parse().unwrap(),
                len,
            }],
            ..link
        };
        let end = |ifindex, peer| Link {
            peer: Some(peer),
            peer_nsid: Some(4),
            ..link(ifindex, LinkKind::Veth)
        };
        let far = match is_bridged {
            true => Link {
                master: Some(9),
                ..end(8, 7)
            },
            false => addressed(end(8, 7), 24),
        };
        let known = Known {
            node: 0,
            path: PathBuf::new(),
            inode: 1,
            nsid: 4,
            links: vec![far, link(9, LinkKind::Bridge)],
            first: Instant::now(),
        };
        (addressed(end(7, 8), len), known)
    }

    /// Another node may be behind the switch.
    #[test]
    fn veth_to_a_switch_is_a_cable() {
        for (len, is_bridged, is_cable) in [
            (24, true, true),
            (24, false, false),
            // A pod may have a bridge for a virtual machine.
            (32, true, false),
        ] {
            let (host, known) = pair(len, is_bridged);
            let mut spaces = Spaces::default();
            spaces.known.insert(3, known);
            let mut links = [host];
            mark_cables(&mut links, &HashSet::new(), |link| {
                spaces.leads_to_pod(0, link)
            });
            assert_eq!(links[0].is_uplink, is_cable);
            let role = node_role(&links[0], &links);
            assert_eq!(role == Role::Uplink, is_cable);
            // Its other end is no pod's interface then.
            let known = &spaces.known[&3];
            assert_eq!(known.is_tied(&known.links[0], &links), !is_cable);
        }
    }
}
