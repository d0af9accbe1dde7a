//! The owner of the socket behind a packet, by the id of its cgroup.
use std::{collections::HashSet, sync::Arc};

use podtrace_ebpf::record::{CGROUP_NONE, CGROUP_ROOT};

use super::local_pods::{ContainerName, LocalPods};
use crate::{
    cgroup::parse_path,
    map::Map,
    model::{origin::split_id, snapshot::CgroupPath},
    text::sanitize::sanitize,
};

/// The owner of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOwner {
    /// No socket owns the packet: it is forwarded, or the kernel made it.
    None,
    /// The root cgroup: the kernel's own sockets and processes in no cgroup.
    Root,
    /// The kernel itself: it made the packet, for example an echo reply.
    Kernel,
    /// A container of a pod that the runtime knows.
    Container(ContainerName),
    /// A container that no runtime has reported, by its id.
    UnnamedContainer(Arc<str>),
    /// A process in no container, by its cgroup.
    Process(Arc<str>),
    /// The cgroup was removed before it could be looked up; its id.
    Gone(u64),
    /// The cgroup could not be looked up, or names no owner; its id.
    Unknown(u64),
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
    Process(Arc<str>),
    Gone,
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

    /// Notes a cgroup, looked up when an event of that time first showed it.
    pub fn learn(&mut self, cgroup: u64, path: &CgroupPath, ts_ns: u64) {
        let state = match path {
            CgroupPath::Unknown => State::Failed,
            CgroupPath::Gone => State::Gone,
            CgroupPath::At(path) => match parse_path(path).container_id {
                Some(id) => State::Container(id.into()),
                None => State::Process(sanitize(path).into()),
            },
        };
        let since_ns = ts_ns;
        self.cgroups.insert(cgroup, Cgroup { since_ns, state });
        self.newest_ns = self.newest_ns.max(ts_ns);
    }

    /// Forgets the cgroups of a session: packets will show them again.
    pub fn clear(&mut self, session: usize) {
        self.cgroups.retain(|id, _| split_id(*id).0 != session);
    }

    /// Notes whether the root cgroup of a session's nodes holds containers too.
    pub fn share_root(&mut self, session: usize, shared: bool) {
        if shared {
            self.shared_roots.insert(session);
        } else {
            self.shared_roots.remove(&session);
        }
    }

    /// The owner of the socket.
    #[must_use]
    pub fn owner(&self, cgroup: u64, pods: &LocalPods) -> SocketOwner {
        if cgroup == CGROUP_NONE {
            return SocketOwner::None;
        }
        if let (session, CGROUP_ROOT) = split_id(cgroup) {
            return if self.shared_roots.contains(&session) {
                SocketOwner::Unknown(cgroup)
            } else {
                SocketOwner::Root
            };
        }
        match self.cgroups.get(&cgroup).map(|known| &known.state) {
            Some(State::Container(id)) => match pods.container(id) {
                Some(name) => SocketOwner::Container(name.clone()),
                None => SocketOwner::UnnamedContainer(Arc::clone(id)),
            },
            Some(State::Process(path)) => SocketOwner::Process(Arc::clone(path)),
            Some(State::Gone) => SocketOwner::Gone(cgroup),
            Some(State::Failed) | None => SocketOwner::Unknown(cgroup),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pod::{Container, Pod};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn owner_becomes_known_step_by_step() {
        let (mut sockets, mut pods) = (Sockets::default(), LocalPods::default());
        assert_eq!(sockets.owner(CGROUP_NONE, &pods), SocketOwner::None);
        assert_eq!(sockets.owner(CGROUP_ROOT, &pods), SocketOwner::Root);
        assert_eq!(sockets.owner(77, &pods), SocketOwner::Unknown(77));
        assert_eq!(sockets.awaited_since(77, &pods), None);
        let path = CgroupPath::At(format!("/kubepods/burstable/podx/{ID}"));
        sockets.learn(77, &path, 5);
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
    fn processes_and_cgroups_that_are_gone_are_final() {
        let (mut sockets, pods) = (Sockets::default(), LocalPods::default());
        let path = CgroupPath::At("/system.slice/sshd.service".into());
        sockets.learn(8, &path, 1);
        sockets.learn(9, &CgroupPath::Gone, 1);
        sockets.learn(10, &CgroupPath::Unknown, 1);
        let process = SocketOwner::Process("/system.slice/sshd.service".into());
        assert_eq!(sockets.owner(8, &pods), process);
        assert_eq!(sockets.owner(9, &pods), SocketOwner::Gone(9));
        assert_eq!(sockets.owner(10, &pods), SocketOwner::Unknown(10));
        assert!([8, 9, 10].map(|id| sockets.awaited_since(id, &pods)) == [None; 3]);
    }

    #[test]
    fn root_that_holds_containers_too_tells_nothing() {
        let (mut sockets, pods) = (Sockets::default(), LocalPods::default());
        sockets.share_root(0, true);
        let unknown = SocketOwner::Unknown(CGROUP_ROOT);
        assert_eq!(sockets.owner(CGROUP_ROOT, &pods), unknown);
    }
}
