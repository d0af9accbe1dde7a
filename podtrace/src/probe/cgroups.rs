//! The cgroups that records show. They are looked up at once: a container that dies right
//! after its first packets takes its cgroup along.
use std::collections::HashMap;

use podtrace_ebpf::record::{Begin, CGROUP_KERNEL, CGROUP_NONE, CGROUP_ROOT};

use crate::model::snapshot::{CgroupMembers, CgroupPath, NewCgroup};

/// Upper bound of the remembered cgroups; beyond it all are looked up again.
pub(crate) const CGROUPS_MAX: usize = 8192;
/// Upper bound of those that are remembered with their processes.
pub(crate) const HOSTS_MAX: usize = 1024;

/// How long the processes of a cgroup are not looked up again, in nanoseconds.
const MEMBERS_NS: u64 = 1_000_000_000;

/// Finds the path of a cgroup by its id.
pub trait LookUp: Send {
    /// The path of a cgroup.
    fn path_of(&mut self, id: u64) -> CgroupPath;

    /// The processes in the cgroup of that path; none if they are not wanted.
    fn members(&mut self, path: &str) -> Option<CgroupMembers>;
}

/// A function that finds paths, without processes.
impl<F: FnMut(u64) -> CgroupPath + Send> LookUp for F {
    fn path_of(&mut self, id: u64) -> CgroupPath {
        self(id)
    }

    fn members(&mut self, _: &str) -> Option<CgroupMembers> {
        None
    }
}

/// The cgroups that records have shown so far.
pub(super) struct Cgroups {
    look_up: Box<dyn LookUp>,
    /// The cgroups, with their processes if these are known.
    seen: HashMap<u64, Option<Box<Host>>>,
    /// How many of them have known processes.
    hosts: usize,
    /// The last cgroup, as most records show the same one as the record before.
    last: u64,
    /// When that cgroup is looked up again.
    due_ns: u64,
    /// The cgroups looked up since they were last taken.
    pub(super) new: Vec<NewCgroup>,
    /// Whether all cgroups taken before are obsolete.
    pub(super) forgets: bool,
}

/// A cgroup whose processes are known and can change.
pub(crate) struct Host {
    path: String,
    members: CgroupMembers,
    /// When they are looked up again.
    due_ns: u64,
}

impl Cgroups {
    pub(super) fn new(look_up: Box<dyn LookUp>) -> Self {
        Self {
            look_up,
            seen: HashMap::new(),
            hosts: 0,
            last: CGROUP_NONE,
            due_ns: u64::MAX,
            new: Vec::new(),
            forgets: false,
        }
    }

    pub(super) fn record(&mut self, begin: &Begin) {
        let (ts_ns, id) = (begin.ts_ns, begin.cgroup);
        let is_last = id == self.last && ts_ns < self.due_ns;
        if is_last || matches!(id, CGROUP_NONE | CGROUP_ROOT | CGROUP_KERNEL) {
            return;
        }
        self.last = id;
        self.due_ns = match self.seen.get_mut(&id) {
            None => self.look_up(id, ts_ns),
            Some(None) => u64::MAX,
            Some(Some(host)) if ts_ns < host.due_ns => host.due_ns,
            Some(Some(host)) => {
                host.due_ns = ts_ns.saturating_add(MEMBERS_NS);
                let members = self.look_up.members(&host.path).unwrap_or_default();
                if host.members != members {
                    host.members = members;
                    self.new.push(NewCgroup {
                        id,
                        ts_ns,
                        path: CgroupPath::At(host.path.clone()),
                        members: Some(host.members.clone()),
                    });
                }
                host.due_ns
            }
        };
    }

    /// Looks up a cgroup for the first time; returns when it is looked up again.
    fn look_up(&mut self, id: u64, ts_ns: u64) -> u64 {
        let path = self.look_up.path_of(id);
        let host = match &path {
            CgroupPath::At(path) => self.look_up.members(path).map(|members| {
                Box::new(Host {
                    path: path.clone(),
                    members,
                    due_ns: ts_ns.saturating_add(MEMBERS_NS),
                })
            }),
            CgroupPath::Removed | CgroupPath::Unknown => None,
        };
        let has_room = self.hosts < HOSTS_MAX || host.is_none();
        if self.seen.len() >= CGROUPS_MAX || !has_room {
            self.seen.clear();
            self.new.clear();
            self.hosts = 0;
            self.forgets = true;
        }
        self.hosts += usize::from(host.is_some());
        self.new.push(NewCgroup {
            id,
            ts_ns,
            path,
            members: host.as_ref().map(|host| host.members.clone()),
        });
        let due_ns = host.as_ref().map_or(u64::MAX, |host| host.due_ns);
        self.seen.insert(id, host);
        due_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(ts_ns: u64, cgroup: u64) -> Begin {
        Begin {
            ts_ns,
            cgroup,
            captured: 0,
        }
    }

    #[test]
    fn cgroups_are_looked_up_when_they_are_first_shown() {
        let look_up = |id: u64| match id {
            9 => CgroupPath::Removed,
            _ => CgroupPath::At(format!("/cgroup{id}")),
        };
        let mut cgroups = Cgroups::new(Box::new(look_up));
        let shown = [(1, 7), (2, CGROUP_NONE), (3, 7), (4, 9), (5, CGROUP_ROOT)];
        for (ts_ns, id) in shown {
            cgroups.record(&begin(ts_ns, id));
        }
        cgroups.record(&begin(6, CGROUP_KERNEL));
        let new: Vec<_> = cgroups
            .new
            .iter()
            .map(|new| (new.id, new.ts_ns, new.path.clone()))
            .collect();
        let first = CgroupPath::At("/cgroup7".into());
        assert_eq!(new, [(7, 1, first), (9, 4, CgroupPath::Removed)]);
    }

    /// A service that has one process more at each look-up.
    struct Service(u64);

    impl LookUp for Service {
        fn path_of(&mut self, _: u64) -> CgroupPath {
            CgroupPath::At("/system.slice/x.service".into())
        }

        fn members(&mut self, _: &str) -> Option<CgroupMembers> {
            self.0 += 1;
            Some(CgroupMembers {
                count: self.0,
                ..CgroupMembers::default()
            })
        }
    }

    #[test]
    fn processes_are_looked_up_again_after_a_while() {
        let mut cgroups = Cgroups::new(Box::new(Service(0)));
        for ts_ns in [5, 6, MEMBERS_NS, 5 + MEMBERS_NS, 6 + MEMBERS_NS] {
            cgroups.record(&begin(ts_ns, 7));
        }
        let new = cgroups.new.iter();
        let counts = new.map(|new| (new.ts_ns, new.members.as_ref().unwrap().count));
        assert!(counts.eq([(5, 1), (5 + MEMBERS_NS, 2)]));
    }

    #[test]
    fn hosts_beyond_their_limit_are_shown_anew() {
        let mut cgroups = Cgroups::new(Box::new(Service(0)));
        for id in 10..=10 + HOSTS_MAX as u64 {
            cgroups.record(&begin(1, id));
        }
        assert!(cgroups.forgets && cgroups.seen.len() == 1);
    }

    #[test]
    fn cgroups_beyond_the_limit_are_shown_anew() {
        let mut cgroups = Cgroups::new(Box::new(|_: u64| CgroupPath::Unknown));
        for id in 10..=10 + CGROUPS_MAX as u64 {
            cgroups.record(&begin(1, id));
        }
        assert!(cgroups.forgets && cgroups.seen.len() == 1);
        assert_eq!(cgroups.new.len(), 1);
    }
}
