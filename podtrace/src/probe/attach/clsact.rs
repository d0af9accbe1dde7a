//! Attaching by filters of a clsact qdisc, which call the taps: see [`crate::probe::clsact`].
mod check;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    os::fd::AsFd as _,
};

use aya::{
    maps::{MapData, ProgramArray},
    programs::SchedClassifier,
};
use podtrace_ebpf::{config, record::Direction};

use super::{Attach, Change, Watch, classifier, interface_name, operation};
use crate::{
    netns::{NetNs, NetNsError, candidates::candidates},
    probe::{
        Probe, ProbeError,
        clsact::{self, ClsactError, Stub},
        error::{not_loaded, refused},
        feature,
        load::take,
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
}

/// What is attached to an interface.
struct Filters {
    netns: Space,
    attached: clsact::Attached,
    /// How often another tool had removed them.
    restored: u8,
}

/// A namespace's inode and id: an open handle would keep it alive.
type Space = (u64, u64);

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
        })
    }

    /// Attaches both stubs to an interface of the calling thread's namespace.
    fn attach_here(&self, ifindex: u32) -> Result<clsact::Attached, ClsactError> {
        let name = interface_name(ifindex);
        let is_behind_tcx = name.is_ok_and(|name| feature::has_tcx_programs(&name));
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
        attached.is_behind |= is_behind_tcx;
        Ok(attached)
    }
}

impl Attach for Clsact {
    fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<bool, ProbeError> {
        let attached = netns.run(|| self.attach_here(ifindex))?;
        let attached = attached.map_err(|source| ProbeError::Clsact {
            operation: operation(name, netns),
            source,
        })?;
        let is_behind = attached.is_behind;
        let filters = Filters {
            netns: (netns.inode, netns.id),
            attached,
            restored: 0,
        };
        self.attached.insert(interface, filters);
        Ok(is_behind)
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

    fn check(&mut self, since_ns: u64) -> Vec<(u32, Change)> {
        self.check_all(since_ns)
    }
}

/// Detaches filters, in whatever namespaces they are. Those of one that is gone are gone
/// too.
fn detach(all: impl IntoIterator<Item = Filters>) {
    let mut by_netns: HashMap<_, Vec<_>> = HashMap::new();
    for filters in all {
        let there = by_netns.entry(filters.netns).or_default();
        there.push(filters.attached);
    }
    in_namespaces(by_netns, |netns, filters| {
        let _ = netns.run(|| clsact::detach(&filters));
    });
}

/// Does something with what there is of each namespace. One that cannot be entered is
/// gone, or will be swept by the next start.
fn in_namespaces<T>(mut by_netns: HashMap<Space, T>, mut work: impl FnMut(&NetNs, T)) {
    if by_netns.is_empty() {
        return;
    }
    for candidate in candidates() {
        if !by_netns.keys().any(|(inode, _)| *inode == candidate.inode) {
            continue;
        }
        let Ok(netns) = open(&candidate.path) else {
            continue;
        };
        if let Some(there) = by_netns.remove(&(netns.inode, netns.id)) {
            work(&netns, there);
        }
        if by_netns.is_empty() {
            return;
        }
    }
}

fn open(path: &str) -> Result<NetNs, NetNsError> {
    let file = File::open(path).map_err(|source| NetNsError::Open {
        path: path.to_owned(),
        source,
    })?;
    NetNs::from_file(file, path)
}
