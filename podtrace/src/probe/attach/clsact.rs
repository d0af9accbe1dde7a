//! Attaching by filters of a clsact qdisc, which call the taps: see [`crate::probe::clsact`].
mod check;

use std::{collections::BTreeMap, io, os::fd::AsFd as _, time::Duration};

use aya::{
    maps::{MapData, ProgramArray},
    programs::SchedClassifier,
};
use podtrace_ebpf::{config, record::Direction};

use super::{
    Attach, Change, Watch, classifier, operation,
    order::{EVERY, News, Programs},
    spaces::{Space, in_namespaces},
};
use crate::{
    netns::NetNs,
    probe::{
        Probe, ProbeError,
        clsact::{self, ClsactError, Stub},
        error::{not_loaded, refused},
        feature,
        load::take,
        sys::TcxHook,
    },
};

/// The stubs, and their filters. Those stay when it is dropped, and do nothing then.
pub(super) struct Clsact {
    ingress: SchedClassifier,
    egress: SchedClassifier,
    /// The taps, which the stubs call as long as this is held.
    stubbed: Option<ProgramArray<MapData>>,
    /// By number of the interface.
    attached: BTreeMap<u32, Filters>,
    /// Of TCX programs, which run before filters, where the kernel has them.
    news: Option<News>,
    programs: Programs,
}

/// What is attached to an interface.
struct Filters {
    netns: Space,
    attached: clsact::Attached,
    /// How often another tool had removed them.
    restored: u8,
}

impl Clsact {
    /// # Errors
    /// When the kernel does not hand out the programs once more, or refuses the stubs.
    pub(super) fn open(probe: &mut Probe) -> Result<Self, ProbeError> {
        let mut stubbed: ProgramArray<MapData> = take(probe.object(), config::MAP_STUBBED)?;
        // Before any stub is attached: one without a tap is known as dead.
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
            news: feature::has_tcx().then(News::new),
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
    /// words: they run before all that is attached by clsact.
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

    fn detach_all(&mut self, note: &mut dyn FnMut(u32)) {
        // The taps go at once, and the filters that called them one after the other.
        self.stubbed = None;
        let (numbers, filters): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.attached).into_iter().unzip();
        detach(filters);
        numbers.into_iter().for_each(note);
    }

    fn ends_with_descriptors(&self) -> bool {
        false
    }

    fn watch(&self) -> Option<Watch> {
        Some(clsact::watch)
    }

    fn check_every(&self) -> Option<Duration> {
        self.news.as_ref().map(|_| EVERY)
    }

    fn check(&mut self, since_ns: Option<u64>) -> Vec<(u32, Change)> {
        let due = self.news.as_mut().map(News::due);
        let since_ns = since_ns.or_else(|| due.filter(|due| due.all).map(|due| due.since_ns));
        since_ns.map_or_else(Vec::new, |since_ns| self.check_all(since_ns))
    }
}

/// Detaches filters, in whatever namespaces they are. Those of one that is gone are gone
/// too.
fn detach(all: impl IntoIterator<Item = Filters>) {
    let all = all.into_iter().map(|one| (one.netns, one.attached));
    in_namespaces(all, |_, filters| {
        let _ = clsact::detach(&filters);
    });
}
