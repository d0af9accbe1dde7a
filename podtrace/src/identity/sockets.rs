//! The owner of the socket behind a packet, by the id of its cgroup.
use std::{collections::HashSet, sync::Arc};

use podtrace_ebpf::record::{CGROUP_KERNEL, CGROUP_NONE, CGROUP_ROOT};

use super::local_pods::{ContainerName, LocalPods};
use crate::{
    cgroup,
    map::Map,
    model::{
        origin::split_id,
        snapshot::{CgroupMembers, CgroupPath, NewCgroup},
    },
    text::sanitize::sanitize,
};

/// The owner of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOwner {
    /// No socket owns the packet: it is forwarded, or the kernel made it.
    None,
    /// The root cgroup: processes in no cgroup.
    Root,
    /// The kernel itself: it made the packet, for example an echo reply.
    Kernel,
    /// A container of a pod that the runtime knows.
    Container(ContainerName),
    /// A container that no runtime has reported, by its id.
    UnnamedContainer(Arc<str>),
    /// A process in no container.
    Process(Arc<HostProcess>),
    /// The cgroup was removed before it could be looked up; its id.
    Removed(u64),
    /// The cgroup could not be looked up, or names no owner; its id.
    Unknown(u64),
}

/// A process in no container, as far as known; safe for a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostProcess {
    /// Its cgroup.
    pub cgroup: Arc<str>,
    /// The systemd unit that the cgroup is named by.
    pub unit: Option<Arc<str>>,
    /// The user whose slice the cgroup is in.
    pub user: Option<u32>,
    /// How many processes the cgroup had; none if that is not known.
    pub processes: Option<u64>,
    /// The first of them: number and name. With one process it is that one.
    pub named: Vec<(u32, Arc<str>)>,
}

impl HostProcess {
    fn new(path: &str, members: Option<&CgroupMembers>) -> Self {
        let clean = |text: &str| Arc::from(sanitize(text));
        let named = members.iter().flat_map(|members| &members.named);
        Self {
            cgroup: clean(path),
            unit: cgroup::unit(path).map(clean),
            user: cgroup::user(path),
            processes: members.map(|members| members.count),
            named: named.map(|one| (one.pid, clean(&one.command))).collect(),
        }
    }

    /// The only process that the cgroup had.
    #[must_use]
    pub fn only(&self) -> Option<&(u32, Arc<str>)> {
        self.named.first().filter(|_| self.processes == Some(1))
    }
}

/// The result of looking up a cgroup id.
#[derive(Clone, Debug)]
struct Cgroup {
    /// When a packet first showed it, nanoseconds of CLOCK_MONOTONIC.
    since_ns: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Container(Arc<str>),
    Process(Arc<HostProcess>),
    /// It is the root of what podtrace sees.
    Root,
    Removed,
    /// It could not be looked up.
    Failed,
}

/// The cgroups that packets have shown. Ids are never reused.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    cgroups: Map<u64, Cgroup>,
    newest_ns: u64,
    /// The sessions whose containers have no cgroup v2 of their own, so that their sockets
    /// belong to the root cgroup.
    shared_roots: HashSet<usize>,
    /// The sessions whose events mark the kernel's own sockets.
    marking_sessions: HashSet<usize>,
}

impl Sockets {
    /// Bytes of a cgroup beside its name.
    #[cfg(test)]
    pub(crate) const ENTRY: usize = size_of::<(u64, Cgroup)>();

    /// When the newest cgroup was first seen.
    #[must_use]
    pub fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    /// Records a cgroup, looked up when an event of that time first showed it.
    pub fn learn(&mut self, new: &NewCgroup) {
        let state = match &new.path {
            CgroupPath::Unknown => State::Failed,
            CgroupPath::Removed => State::Removed,
            CgroupPath::At(path) if path == "/" => State::Root,
            CgroupPath::At(path) => match cgroup::parse_path(path).container_id {
                Some(id) => State::Container(id.into()),
                None => State::Process(HostProcess::new(path, new.members.as_ref()).into()),
            },
        };
        if matches!(state, State::Container(_)) {
            self.newest_ns = self.newest_ns.max(new.ts_ns);
        }
        let since_ns = new.ts_ns;
        self.cgroups.insert(new.id, Cgroup { since_ns, state });
    }

    /// Forgets the cgroups of a session: packets will show them again.
    pub fn clear(&mut self, session: usize) {
        self.cgroups.retain(|id, _| split_id(*id).0 != session);
    }

    /// Records whether the root cgroup of a session's nodes holds containers too.
    pub fn share_root(&mut self, session: usize, shared: bool) {
        set(&mut self.shared_roots, session, shared);
    }

    /// Records whether a session's events mark the kernel's own sockets.
    pub fn set_marks_kernel(&mut self, session: usize, marks: bool) {
        set(&mut self.marking_sessions, session, marks);
    }

    /// The owner of the socket.
    #[must_use]
    pub fn owner(&self, cgroup: u64, pods: &LocalPods) -> SocketOwner {
        match split_id(cgroup) {
            (_, CGROUP_NONE) => return SocketOwner::None,
            (_, CGROUP_KERNEL) => return SocketOwner::Kernel,
            (session, CGROUP_ROOT) => return self.root(session, cgroup),
            _ => {}
        }
        match self.cgroups.get(&cgroup).map(|known| &known.state) {
            Some(State::Container(id)) => match pods.container(id) {
                Some(name) => SocketOwner::Container(name.clone()),
                None => SocketOwner::UnnamedContainer(Arc::clone(id)),
            },
            Some(State::Process(process)) => SocketOwner::Process(Arc::clone(process)),
            Some(State::Root) => self.root(split_id(cgroup).0, cgroup),
            Some(State::Removed) => SocketOwner::Removed(cgroup),
            Some(State::Failed) | None => SocketOwner::Unknown(cgroup),
        }
    }

    /// The owner of a socket in the root cgroup.
    fn root(&self, session: usize, cgroup: u64) -> SocketOwner {
        if self.shared_roots.contains(&session) {
            SocketOwner::Unknown(cgroup)
        } else {
            SocketOwner::Root
        }
    }

    /// The owner of a socket that has sent a kind of packet that the kernel sends too.
    #[must_use]
    pub fn sender_like_the_kernel(&self, cgroup: u64, pods: &LocalPods) -> SocketOwner {
        let owner = self.owner(cgroup, pods);
        let marks_kernel = self.marking_sessions.contains(&split_id(cgroup).0);
        match owner {
            SocketOwner::None => SocketOwner::Kernel,
            SocketOwner::Root if !marks_kernel => SocketOwner::Kernel,
            // The kernel's own socket may have been made while that process ran.
            SocketOwner::Process(_) if !marks_kernel => SocketOwner::Unknown(cgroup),
            owner => owner,
        }
    }

    /// When the owner was first seen, if its name may still come.
    #[must_use]
    pub fn awaited_since(&self, cgroup: u64, pods: &LocalPods) -> Option<u64> {
        let known = self.cgroups.get(&cgroup)?;
        match &known.state {
            State::Container(id) if pods.container(id).is_none() => Some(known.since_ns),
            _ => None,
        }
    }
}

/// Adds the session to the set, or removes it.
fn set(sessions: &mut HashSet<usize>, session: usize, is_in: bool) {
    if is_in {
        sessions.insert(session);
    } else {
        sessions.remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        pod::{Container, Pod},
        snapshot::CgroupMember,
    };

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn owner_becomes_known_step_by_step() {
        let (mut sockets, mut pods) = (Sockets::default(), LocalPods::default());
        assert_eq!(sockets.owner(CGROUP_NONE, &pods), SocketOwner::None);
        assert_eq!(sockets.owner(CGROUP_ROOT, &pods), SocketOwner::Root);
        assert_eq!(sockets.owner(77, &pods), SocketOwner::Unknown(77));
        assert_eq!(sockets.awaited_since(77, &pods), None);
        let path = CgroupPath::At(format!("/kubepods/burstable/podx/{ID}"));
        learn(&mut sockets, 77, path, 5);
        let unnamed = SocketOwner::UnnamedContainer(ID.into());
        assert_eq!(sockets.owner(77, &pods), unnamed);
        assert_eq!(sockets.awaited_since(77, &pods), Some(5));
        let pod = Pod {
            containers: vec![Container {
                id: ID.into(),
                name: "web".into(),
                ..Container::default()
            }],
            ..Pod::default()
        };
        pods.set(0, &[pod], 7);
        let SocketOwner::Container(name) = sockets.owner(77, &pods) else {
            panic!("a container");
        };
        assert_eq!(name.name.as_ref(), "web");
        assert_eq!(sockets.awaited_since(77, &pods), None);
    }

    #[test]
    fn ended_processes_and_removed_cgroups_are_final() {
        let (mut sockets, pods) = (Sockets::default(), LocalPods::default());
        let path = CgroupPath::At("/system.slice/sshd.service".into());
        learn(&mut sockets, 8, path, 1);
        learn(&mut sockets, 9, CgroupPath::Removed, 1);
        learn(&mut sockets, 10, CgroupPath::Unknown, 1);
        let SocketOwner::Process(process) = sockets.owner(8, &pods) else {
            panic!("a process");
        };
        assert_eq!(process.cgroup.as_ref(), "/system.slice/sshd.service");
        assert_eq!(process.unit.as_deref(), Some("sshd.service"));
        assert_eq!((process.user, process.processes), (None, None));
        assert_eq!(sockets.owner(9, &pods), SocketOwner::Removed(9));
        assert_eq!(sockets.owner(10, &pods), SocketOwner::Unknown(10));
        assert!([8, 9, 10].map(|id| sockets.awaited_since(id, &pods)) == [None; 3]);
    }

    fn learn(sockets: &mut Sockets, id: u64, path: CgroupPath, ts_ns: u64) {
        sockets.learn(&NewCgroup {
            id,
            ts_ns,
            path,
            members: None,
        });
    }

    #[test]
    fn process_is_named_only_where_it_is_alone() {
        let (mut sockets, pods) = (Sockets::default(), LocalPods::default());
        let members = |count| CgroupMembers {
            count,
            named: vec![CgroupMember {
                pid: 812,
                command: "ss\u{1b}hd".into(),
            }],
        };
        for (id, count) in [(8, 1), (9, 2)] {
            sockets.learn(&NewCgroup {
                id,
                ts_ns: 1,
                path: CgroupPath::At("/user.slice/user-7.slice/session-3.scope".into()),
                members: Some(members(count)),
            });
        }
        let only = |id| match sockets.owner(id, &pods) {
            SocketOwner::Process(process) => process.only().cloned(),
            _ => None,
        };
        assert_eq!(only(8), Some((812, "ss\u{fffd}hd".into())));
        assert_eq!(only(9), None);
    }

    #[test]
    fn kernel_socket_is_distinguished_from_its_maker() {
        let (mut sockets, pods) = (Sockets::default(), LocalPods::default());
        assert_eq!(sockets.owner(CGROUP_KERNEL, &pods), SocketOwner::Kernel);
        let path = CgroupPath::At("/system.slice/containerd.service".into());
        learn(&mut sockets, 8, path, 1);
        let owners = |sockets: &Sockets| {
            [8, CGROUP_ROOT, CGROUP_NONE].map(|id| sockets.sender_like_the_kernel(id, &pods))
        };
        // An earlier recording: the cgroup is that of the process that made the namespace.
        let kernel = SocketOwner::Kernel;
        let unknown = SocketOwner::Unknown(8);
        assert_eq!(owners(&sockets), [unknown, kernel.clone(), kernel.clone()]);
        sockets.set_marks_kernel(0, true);
        let process = sockets.owner(8, &pods);
        assert!(matches!(process, SocketOwner::Process(_)));
        assert_eq!(owners(&sockets), [process, SocketOwner::Root, kernel]);
    }

    #[test]
    fn root_of_a_namespace_of_cgroups_is_no_process_of_its_own() {
        let (mut sockets, pods) = (Sockets::default(), LocalPods::default());
        learn(&mut sockets, 8, CgroupPath::At("/".into()), 1);
        assert_eq!(sockets.owner(8, &pods), SocketOwner::Root);
        sockets.share_root(0, true);
        assert_eq!(sockets.owner(8, &pods), SocketOwner::Unknown(8));
    }

    #[test]
    fn root_that_holds_containers_too_tells_nothing() {
        let (mut sockets, pods) = (Sockets::default(), LocalPods::default());
        sockets.share_root(0, true);
        let unknown = SocketOwner::Unknown(CGROUP_ROOT);
        assert_eq!(sockets.owner(CGROUP_ROOT, &pods), unknown);
    }
}
