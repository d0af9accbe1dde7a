//! Scans the nodes: finds the interfaces to tap, and their pods.
//!
//! A scan lists the node's interfaces and opens only new namespaces: those at the other end
//! of a veth that belongs to no known namespace. A namespace stays known while one of its
//! veths exists. The node never reuses an interface index, so a reused inode cannot be
//! mistaken for its predecessor.
#[cfg(test)]
mod networks;
mod role;
mod spaces;
mod view;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;

use self::{
    role::{is_usual, node_role},
    spaces::{Known, Spaces},
    view::View,
};
use super::{
    links::{Link, LinkKind, LinksError},
    processes::{self, Member},
    tables::{self, Tables},
    target::{Node, Target},
    watch::Changes,
};
use crate::{
    cgroup::kubepods_of,
    clock::monotonic_ns,
    model::{
        snapshot::{Holder, NamespaceInfo, Snapshot, SnapshotTime},
        subnet::RemoteSubnet,
        tap_name::TapName,
        tap_point::{Role, TapPoint},
    },
    netns::NetNs,
    node::pod_table::PodTable,
    order::Order as _,
    text::sanitize::sanitize,
};

/// Pause between two passes over the processes, which cost far more than a
/// list of interfaces.
const PROCESSES_PAUSE: Duration = Duration::from_millis(200);
/// Pause between two reads of the routes, neighbours and FDB.
const TABLES_PAUSE: Duration = Duration::from_secs(2);

/// Why a node could not be scanned.
#[derive(Debug, Error)]
pub enum ScanError {
    /// Its interfaces could not be listed.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// The clock or the processes could not be read.
    #[error("failed to read {0}")]
    Io(&'static str, #[source] io::Error),
}

/// The result of a scan.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The state of the nodes, except for the watched sockets.
    pub snapshot: Snapshot,
    /// The interfaces to tap.
    pub targets: Vec<Target>,
    /// Cgroups of the pods' sockets.
    pub cgroups: BTreeSet<String>,
    /// Cgroup paths of the processes in each pod's namespace, by its id.
    pub cgroups_of: HashMap<u64, BTreeSet<String>>,
    /// The names of all interfaces, chosen or not.
    pub names: BTreeSet<String>,
    /// Whether something is so new that another scan should follow.
    pub unsettled: bool,
    /// Whether namespaces could not be opened for lack of descriptors.
    pub unopened: bool,
}

impl Scan {
    /// Whether it shows an interface that no earlier scan has shown.
    #[must_use]
    pub fn has_new_targets(&self) -> bool {
        self.targets.iter().any(|target| target.netns.is_some())
    }
}

/// Scans nodes repeatedly.
pub struct Scanner {
    views: Vec<View>,
    /// Patterns of the interfaces to tap; empty for the usual ones. Whose they are is not known
    /// here.
    chosen: Vec<TapName>,
    table: PodTable,
    spaces: Spaces,
    /// The processes of containers, by the inodes of their namespaces.
    members: HashMap<u64, Vec<Member>>,
    processes_read: Option<Instant>,
    subnets: Vec<Vec<RemoteSubnet>>,
    read_tables: Option<Instant>,
    changes: Changes,
    /// How many changes the scans have covered.
    changes_shown: u64,
}

impl Scanner {
    /// `chosen`: patterns of the interfaces to tap; empty for the usual ones.
    #[must_use]
    pub fn new(nodes: Vec<Node>, chosen: Vec<TapName>, table: PodTable) -> Self {
        Self {
            views: nodes.into_iter().map(View::new).collect(),
            chosen,
            table,
            spaces: Spaces::default(),
            members: HashMap::new(),
            processes_read: None,
            subnets: Vec::new(),
            read_tables: None,
            changes: Changes::default(),
            changes_shown: 0,
        }
    }

    /// The changes of the interfaces, to be given to [`watch`](super::watch::watch).
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// Scans the nodes and every pod namespace that a veth ties to them. Call it on a tokio
    /// runtime, always the same one.
    ///
    /// # Errors
    /// When a node's namespace cannot be read; a pod's namespace that vanishes
    /// meanwhile is left out.
    pub async fn scan(&mut self) -> Result<Scan, ScanError> {
        // Taken before anything is scanned: changes from now on belong to the next scan.
        let (changes, first_change_ns) = self.changes.take();
        let began_ns = now_ns()?;
        let mut node_links = Vec::with_capacity(self.views.len());
        for view in &mut self.views {
            node_links.push(view.links().await?);
        }
        let tables_are_new = self.read_tables(&node_links).await;
        for (view, links) in self.views.iter_mut().zip(&mut node_links) {
            view.mark_uplinks(links);
        }
        let is_changed = changes != self.changes_shown;
        self.changes_shown = changes;
        let open = self
            .spaces
            .update(&self.views, &node_links, is_changed)
            .await;
        for (number, (view, links)) in self.views.iter().zip(&mut node_links).enumerate() {
            view.mark_cables(links, |link| self.spaces.leads_to_pod(number, link));
        }
        self.read_processes(!open.is_empty())?;
        let mut scan = Scan {
            unsettled: !tables_are_new || self.spaces.is_unsettled(),
            unopened: self.spaces.are_unopened,
            ..Scan::default()
        };
        scan.snapshot.subnets.clone_from(&self.subnets);
        for (number, links) in node_links.iter().enumerate() {
            self.add_node(&mut scan, number, links);
        }
        for (id, known) in &self.spaces.known {
            let links = &node_links[known.node];
            self.add_namespace(&mut scan, *id, known, links, open.get(id));
        }
        // Tapped in this order: first the interfaces that most packets pass, then those
        // that have had most packets.
        let targets = &mut scan.targets;
        targets.order_by_key(|target| (target.point.role.rank(), Reverse(target.packets)));
        scan.snapshot.vxlan_ports.sort_unstable();
        scan.snapshot.vxlan_ports.dedup();
        scan.snapshot.time = SnapshotTime {
            began_ns,
            ended_ns: now_ns()?,
            steady_until_ns: first_change_ns.map_or(began_ns, |first| first.min(began_ns)),
            changes,
        };
        Ok(scan)
    }

    /// Reads the processes, at the first scan and while something is new.
    fn read_processes(&mut self, changed: bool) -> Result<(), ScanError> {
        let due = match self.processes_read {
            None => true,
            Some(processes_read) => changed && processes_read.elapsed() >= PROCESSES_PAUSE,
        };
        if due {
            let began = Instant::now();
            let members = processes::members();
            self.members = members.map_err(|source| ScanError::Io("the processes", source))?;
            self.processes_read = Some(began);
        }
        Ok(())
    }

    /// Reads the routes and the subnets behind the tunnels; false if the last time was too
    /// recent. A node whose tables cannot be read has none.
    async fn read_tables(&mut self, node_links: &[Vec<Link>]) -> bool {
        if self
            .read_tables
            .is_some_and(|read| read.elapsed() < TABLES_PAUSE)
        {
            return false;
        }
        self.subnets.clear();
        for (view, links) in self.views.iter_mut().zip(node_links) {
            let tables = tables_of(&view.node, links).await;
            self.subnets.push(tables::remote_subnets(&tables, links));
            view.found_uplinks(links, &tables.routes);
        }
        self.read_tables = Some(Instant::now());
        true
    }

    fn add_node(&self, scan: &mut Scan, number: usize, links: &[Link]) {
        let node = &self.views[number].node;
        let holder = Holder {
            node: number,
            netns: None,
        };
        for link in links {
            let role = node_role(link, links);
            let usual = is_usual(link, role);
            if let LinkKind::Vxlan(vxlan) = &link.kind {
                scan.snapshot.vxlan_ports.push(vxlan.port);
            }
            let mut known = self.spaces.known.iter().filter(|_| role == Role::Veth);
            let peer = known.find_map(|(id, known)| Some((*id, known.peer_of(number, link)?)));
            let point = TapPoint {
                leads_to: peer.map(|(id, _)| id),
                peer_name: peer.map(|(_, peer)| sanitize(&peer.name).into()),
                is_port: link.master_among(links).is_some(),
                ..point(node, number, link, role)
            };
            self.add(scan, link, point, holder, usual, Some(&node.netns));
        }
        // The sockets of hostNetwork pods are watched too.
        let of_pods = self
            .members_of(node.netns.inode)
            .filter(|member| member.container.pod_uid.is_some());
        scan.cgroups.extend(of_pods.filter_map(watched_cgroup));
    }

    fn members_of(&self, inode: u64) -> impl Iterator<Item = &Member> {
        self.members.get(&inode).into_iter().flatten()
    }

    fn add_namespace(
        &self,
        scan: &mut Scan,
        id: u64,
        known: &Known,
        node_links: &[Link],
        netns: Option<&NetNs>,
    ) {
        let node = &self.views[known.node].node;
        let holder = Holder {
            node: known.node,
            netns: Some(id),
        };
        for link in &known.links {
            let role = match link.kind {
                LinkKind::Loopback => Role::Loopback,
                _ if known.is_tied(link, node_links) => Role::Pod,
                _ => Role::Other,
            };
            let point = TapPoint {
                in_pod: true,
                netns_id: id,
                ..point(node, known.node, link, role)
            };
            self.add(scan, link, point, holder, role != Role::Other, netns);
        }
        let mut info = NamespaceInfo {
            id,
            node: known.node,
            given: self.table.pod(&known.path).cloned(),
            ..NamespaceInfo::default()
        };
        let mut cgroups = BTreeSet::new();
        // An earlier read may belong to another namespace that had the inode.
        let is_read = self
            .processes_read
            .is_some_and(|processes_read| known.is_older(processes_read));
        for member in self.members_of(known.inode).filter(|_| is_read) {
            // A process outside cgroup v2 is in no cgroup that can be watched.
            let cgroup = member.is_unified.then(|| member.cgroup.clone());
            cgroups.insert(cgroup.unwrap_or_default());
            scan.cgroups.extend(watched_cgroup(member));
            scan.snapshot.has_v1_containers |=
                member.container.container_id.is_some() && !member.is_unified;
            if info.pod_uid.is_none() {
                info.pod_uid.clone_from(&member.container.pod_uid);
            }
        }
        info.fallback = known.fallback(info.pod_uid.as_deref());
        scan.cgroups_of.insert(id, cgroups);
        scan.snapshot.namespaces.push(info);
    }

    fn add(
        &self,
        scan: &mut Scan,
        link: &Link,
        point: TapPoint,
        holder: Holder,
        usual: bool,
        netns: Option<&NetNs>,
    ) {
        scan.names.insert(link.name.clone());
        let addresses = link.addresses.iter();
        let addresses = addresses.filter(|address| !is_local_only(**address));
        scan.snapshot
            .addresses
            .extend(addresses.map(|address| (*address, holder)));
        let wanted = if self.chosen.is_empty() {
            usual
        } else {
            let mut chosen = self.chosen.iter();
            chosen.any(|name| name.fits_device(&link.name))
        };
        if wanted {
            scan.targets.push(Target {
                point,
                netns: netns.cloned(),
                device: link.name.clone(),
                packets: link.packets,
            });
        }
    }
}

/// The routes; neighbours and forwarding entries only where there is VXLAN.
async fn tables_of(node: &Node, links: &[Link]) -> Tables {
    let mut kinds = links.iter().map(|link| &link.kind);
    let tables = if kinds.any(|kind| matches!(kind, LinkKind::Vxlan(_))) {
        tables::read(&node.netns).await
    } else {
        let routes = tables::read_routes(&node.netns).await;
        routes.map(|routes| Tables {
            routes,
            ..Tables::default()
        })
    };
    tables.unwrap_or_default()
}

fn point(node: &Node, number: usize, link: &Link, role: Role) -> TapPoint {
    TapPoint {
        node: number,
        node_name: Arc::clone(&node.name),
        in_pod: false,
        leads_to: None,
        peer_name: None,
        netns_id: node.netns.id,
        ifindex: link.ifindex,
        name: sanitize(&link.name).into(),
        role,
        framing: link.framing,
        captured_link: None,
        is_port: false,
        mac: link.mac,
    }
}

/// The cgroup that holds the process's pod and all other pods, else its own.
fn watched_cgroup(member: &Member) -> Option<String> {
    member.container.container_id.as_ref()?;
    if !member.is_unified {
        return None;
    }
    let path = member.cgroup.as_str();
    let parent = || path.rsplit_once('/').map(|(parent, _)| parent);
    let cgroup = kubepods_of(path).or_else(parent)?;
    (!cgroup.is_empty()).then(|| cgroup.to_owned())
}

/// Every namespace has loopback and link-local addresses.
fn is_local_only(address: IpAddr) -> bool {
    address.is_loopback() || crate::packet::is_link_local(address)
}

fn now_ns() -> Result<u64, ScanError> {
    monotonic_ns().map_err(|source| ScanError::Io("the clock", source))
}
