//! Attaches by filters of a clsact qdisc, which call the taps: see [`crate::probe::clsact`].
mod check;

use std::{collections::BTreeMap, io, os::fd::AsFd as _, time::Duration};

use aya::{
    maps::{MapData, ProgramArray},
    programs::SchedClassifier,
};
use podtrace_ebpf::{config, record::Direction};
use rtnetlink::MulticastGroup;

use super::{
    Attach, Change, Watch, classifier, operation,
    order::{ChangeDetector, EVERY, Programs},
    spaces::{Space, in_namespaces},
};
use crate::{
    netns::{NetNs, changes},
    probe::{
        Probe, ProbeError,
        clsact::{self, ClsactError, Stub},
        error::{not_loaded, refused},
        feature,
        parts::take,
        sys::TcxHook,
    },
};

/// The stubs and their filters. The filters stay when this is dropped, and then do nothing.
pub(super) struct Clsact {
    ingress: SchedClassifier,
    egress: SchedClassifier,
    /// The taps, which the stubs call as long as this is open.
    stubbed: Option<ProgramArray<MapData>>,
    /// By interface number.
    attached: BTreeMap<u32, Filters>,
    /// For TCX programs, which run before filters, if the kernel has them.
    change_detector: Option<ChangeDetector>,
    programs: Programs,
}

/// The filters attached to an interface.
struct Filters {
    netns: Space,
    attached: clsact::Attached,
    /// How often they were attached again after another tool removed them.
    restored: u8,
}

impl Clsact {
    /// # Errors
    /// When the kernel refuses to open the programs once more, or refuses the stubs.
    pub(super) fn open(probe: &mut Probe) -> Result<Self, ProbeError> {
        let mut stubbed: ProgramArray<MapData> = take(probe.object(), config::MAP_STUBBED)?;
        // The taps come before any stub: a stub without a tap counts as dead.
        for (direction, name) in [
            (Direction::Ingress, config::PROGRAM_INGRESS),
            (Direction::Egress, config::PROGRAM_EGRESS),
        ] {
            let tap = classifier(probe, name)?;
            let tap = tap
                .fd()
                .map_err(|source| refused("open a tap".into(), source))?;
            stubbed
                .set(direction as u32, tap, 0)
                .map_err(|source| ProbeError::Map {
                    operation: "hand the taps to the stubs".into(),
                    source,
                })?;
        }
        for name in [config::PROGRAM_STUB_INGRESS, config::PROGRAM_STUB_EGRESS] {
            let stub: &mut SchedClassifier = probe.program(name)?;
            stub.load().map_err(|source| not_loaded(name, source))?;
        }
        Ok(Self {
            ingress: classifier(probe, config::PROGRAM_STUB_INGRESS)?,
            egress: classifier(probe, config::PROGRAM_STUB_EGRESS)?,
            stubbed: Some(stubbed),
            attached: BTreeMap::new(),
            change_detector: feature::has_tcx().then(ChangeDetector::new),
            programs: Programs::default(),
        })
    }

    /// Attaches both stubs to an interface of the calling thread's namespace.
    fn attach_here(&mut self, ifindex: u32) -> Result<clsact::Attached, ClsactError> {
        let stubs = [
            (&self.egress, Direction::Egress, config::PROGRAM_STUB_EGRESS),
            (
                &self.ingress,
                Direction::Ingress,
                config::PROGRAM_STUB_INGRESS,
            ),
        ];
        let stubs = stubs.map(|(program, direction, name)| {
            let program = program.fd().map_err(io::Error::other)?.as_fd();
            Ok(Stub {
                direction,
                program,
                name,
            })
        });
        let stubs: Vec<_> = stubs
            .into_iter()
            .collect::<io::Result<_>>()
            .map_err(|source| ClsactError::Refused("open the stubs", source))?;
        let mut attached = clsact::attach(ifindex, &stubs)?;
        attached.before.extend(self.before_by_tcx(ifindex));
        Ok(attached)
    }

    /// TCX programs of other tools at an interface of the calling thread's namespace, in
    /// words: they run before all filters of clsact.
    fn before_by_tcx(&mut self, ifindex: u32) -> Vec<String> {
        let hooks = [TcxHook::Egress, TcxHook::Ingress];
        let before = hooks.map(|hook| self.programs.before(ifindex, hook, None));
        before.concat()
    }
}

impl Attach for Clsact {
    fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<Vec<String>, ProbeError> {
        let attached = netns.run(|| self.attach_here(ifindex))?;
        let attached = attached.map_err(|source| ProbeError::Clsact {
            operation: operation(name, netns),
            source,
        })?;
        let before = attached.before.clone();
        let filters = Filters {
            netns: (netns.inode, netns.id),
            attached,
            restored: 0,
        };
        self.attached.insert(interface, filters);
        Ok(before)
    }

    fn detach(&mut self, interface: u32) {
        detach(self.attached.remove(&interface));
    }

    fn detach_all(&mut self, on_detached: &mut dyn FnMut(u32)) {
        // The taps go at once, then the filters that called them one by one.
        self.stubbed = None;
        let (numbers, filters): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.attached).into_iter().unzip();
        detach(filters);
        numbers.into_iter().for_each(on_detached);
    }

    fn ends_with_descriptors(&self) -> bool {
        false
    }

    fn watch(&self) -> Option<Watch> {
        Some(|netns, changed| changes::watch(netns, &[MulticastGroup::Tc], changed))
    }

    fn check_every(&self) -> Option<Duration> {
        self.change_detector.as_ref().map(|_| EVERY)
    }

    fn check(&mut self, since_ns: Option<u64>) -> Vec<(u32, Change)> {
        let due = self.change_detector.as_mut().map(ChangeDetector::due);
        let since_ns = since_ns.or_else(|| due.filter(|due| due.all).map(|due| due.since_ns));
        since_ns.map_or_else(Vec::new, |since_ns| self.check_all(since_ns))
    }
}

/// Detaches filters in any namespace. The filters of a removed namespace are removed too.
fn detach(all: impl IntoIterator<Item = Filters>) {
    let all = all.into_iter().map(|one| (one.netns, one.attached));
    in_namespaces(all, |_, filters| {
        let _ = clsact::detach(&filters);
    });
}
