//! Attaches by TCX links.
use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use aya::programs::{ProgramError, SchedClassifier};
use podtrace_ebpf::config;

use super::{
    Attach, Change, classifier, operation,
    order::{ChangeDetector, Due, EVERY, Programs},
    spaces::{Space, in_namespaces},
};
use crate::{
    netns::NetNs,
    probe::{
        Probe, ProbeError,
        error::refused,
        sys::{TcxHook, attach_first},
    },
};

/// The taps, and their links.
pub(super) struct Tcx {
    taps: [Tap; 2],
    /// By interface number.
    attached: BTreeMap<u32, Attached>,
    change_detector: ChangeDetector,
    programs: Programs,
}

/// The program of one direction.
struct Tap {
    program: SchedClassifier,
    id: u32,
    hook: TcxHook,
}

/// The links attached to an interface.
struct Attached {
    netns: Space,
    ifindex: u32,
    /// Closing them detaches the programs.
    _links: Vec<OwnedFd>,
    /// The programs before the taps, in words.
    before: Vec<String>,
}

impl Tap {
    fn open(probe: &mut Probe, name: &'static str, hook: TcxHook) -> Result<Self, ProbeError> {
        let program = classifier(probe, name)?;
        let info = program.info();
        let info = info.map_err(|source| refused(format!("inspect program {name}"), source))?;
        Ok(Self {
            program,
            id: info.id(),
            hook,
        })
    }

    /// Attaches to an interface of the calling thread's namespace.
    fn attach_here(&self, ifindex: u32) -> Result<OwnedFd, ProgramError> {
        let program = self.program.fd()?.as_fd();
        Ok(attach_first(program, ifindex, self.hook)?)
    }
}

impl Tcx {
    /// # Errors
    /// When the kernel refuses to open the programs once more.
    pub(super) fn open(probe: &mut Probe) -> Result<Self, ProbeError> {
        // Egress first: a new pod's first packet is outbound.
        let taps = [
            Tap::open(probe, config::PROGRAM_EGRESS, TcxHook::Egress)?,
            Tap::open(probe, config::PROGRAM_INGRESS, TcxHook::Ingress)?,
        ];
        Ok(Self {
            taps,
            attached: BTreeMap::new(),
            change_detector: ChangeDetector::new(),
            programs: Programs::default(),
        })
    }
}

/// The programs before the taps at an interface of the calling thread's namespace.
fn before_all(taps: &[Tap; 2], programs: &mut Programs, ifindex: u32) -> Vec<String> {
    let mut all = Vec::new();
    for tap in taps {
        all.extend(programs.before(ifindex, tap.hook, Some(tap.id)));
    }
    all
}

impl Attach for Tcx {
    fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<Vec<String>, ProbeError> {
        let links = netns.run(|| {
            let links = self.taps.iter().map(|tap| tap.attach_here(ifindex));
            links.collect::<Result<Vec<_>, _>>()
        })?;
        let attached = Attached {
            netns: (netns.inode, netns.id),
            ifindex,
            _links: links.map_err(|source| refused(operation(name, netns), source))?,
            before: Vec::new(),
        };
        self.attached.insert(interface, attached);
        // The new links are first, and no reason to check all the others.
        self.change_detector.skip();
        Ok(Vec::new())
    }

    fn detach(&mut self, interface: u32) {
        self.attached.remove(&interface);
    }

    fn detach_all(&mut self, on_detached: &mut dyn FnMut(u32)) {
        for (interface, attached) in std::mem::take(&mut self.attached) {
            drop(attached);
            on_detached(interface);
        }
    }

    fn ends_with_descriptors(&self) -> bool {
        true
    }

    fn check_every(&self) -> Option<Duration> {
        Some(EVERY)
    }

    fn check(&mut self, _since_ns: Option<u64>) -> Vec<(u32, Change)> {
        let Due { all, since_ns } = self.change_detector.due();
        let attached = self.attached.iter_mut();
        let due = attached.filter(|(_, one)| all || !one.before.is_empty());
        let due = due.map(|(number, attached)| (attached.netns, (*number, attached)));
        let (taps, programs, mut changes) = (&self.taps, &mut self.programs, Vec::new());
        in_namespaces(due, |_, there| {
            for (number, attached) in there {
                let before = before_all(taps, programs, attached.ifindex);
                if before != attached.before {
                    attached.before.clone_from(&before);
                    changes.push((number, Change::Order { since_ns, before }));
                }
            }
        });
        changes
    }
}
