//! Attaching the programs to interfaces, and detaching them.
mod check;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    os::fd::AsFd as _,
};

use aya::{
    maps::{MapData, ProgramArray},
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use nix::{
    net::if_::if_indextoname,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use podtrace_ebpf::{config, record::Direction};

use super::{
    Probe, ProbeError,
    clsact::{self, ClsactError, Stub},
    error::{not_loaded, refused},
    feature,
    load::take,
};
use crate::netns::{NetNs, NetNsError, candidates::candidates};

pub use check::Change;

/// How programs are attached to interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// TCX links, which end with the process (Linux 6.6).
    Tcx,
    /// Filters of a clsact qdisc: see [`clsact`].
    Clsact,
}

impl Way {
    /// The best that the kernel has. TCX: making a clsact qdisc, and removing it, has
    /// the kernel drop what the interface sends at that moment.
    #[must_use]
    pub fn best() -> Self {
        if feature::has_tcx() {
            Self::Tcx
        } else {
            Self::Clsact
        }
    }

    /// `tcx` or `clsact`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// What is attached, apart from the rest of the probe: the kernel takes some
/// 10 ms for each TCX link, and another 10 ms to detach it.
/// Dropping it detaches everything, but for filters of clsact: those do nothing then.
pub struct Hooks {
    ingress: SchedClassifier,
    egress: SchedClassifier,
    /// What the stubs call, as long as this is held.
    stubbed: Option<ProgramArray<MapData>>,
    /// By number of the interface.
    attached: BTreeMap<u32, Attached>,
}

/// What is attached to an interface.
enum Attached {
    Tcx(Vec<SchedClassifierLink>),
    Clsact(Filters),
}

struct Filters {
    netns: Space,
    attached: clsact::Attached,
    /// How often another tool had removed them.
    restored: u8,
}

/// A namespace's inode and id: an open handle would keep it alive.
type Space = (u64, u64);

impl Hooks {
    /// The loaded programs, attached to nothing yet.
    ///
    /// # Errors
    /// When the kernel does not hand out the programs once more, or refuses the stubs.
    pub fn new(probe: &mut Probe, way: Way) -> Result<Self, ProbeError> {
        let ingress = classifier(probe, config::PROGRAM_INGRESS)?;
        let egress = classifier(probe, config::PROGRAM_EGRESS)?;
        let attached = BTreeMap::new();
        if way == Way::Tcx {
            return Ok(Self {
                ingress,
                egress,
                stubbed: None,
                attached,
            });
        }
        let mut stubbed: ProgramArray<MapData> = take(probe.object(), config::MAP_STUBBED)?;
        // Before any stub is attached: one without a tap is known as dead.
        for (direction, tap) in [(Direction::Ingress, &ingress), (Direction::Egress, &egress)] {
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
            attached,
        })
    }

    /// Attaches both programs, first in the chain, to interface number
    /// `interface`, which has been registered. Whether others' filters come before
    /// ours all the same.
    ///
    /// `name` is for errors: an interface may be renamed at any time, and its
    /// index stays.
    ///
    /// # Errors
    /// When the interface is gone or the kernel refuses; then neither program
    /// is attached.
    pub fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<bool, ProbeError> {
        let operation = || format!("attach to {name} in {}", netns.name);
        let attached = if self.stubbed.is_some() {
            let filters = netns.run(|| self.clsact_here(ifindex))?;
            let attached = filters.map_err(|source| ProbeError::Clsact {
                operation: operation(),
                source,
            })?;
            Attached::Clsact(Filters {
                netns: (netns.inode, netns.id),
                attached,
                restored: 0,
            })
        } else {
            let links = netns.run(|| self.tcx_here(ifindex))?;
            Attached::Tcx(links.map_err(|source| refused(operation(), source))?)
        };
        let is_behind = match &attached {
            Attached::Tcx(_) => false,
            Attached::Clsact(filters) => filters.attached.is_behind,
        };
        self.attached.insert(interface, attached);
        Ok(is_behind)
    }

    /// Attaches both programs to an interface of the calling thread's namespace.
    fn tcx_here(&mut self, ifindex: u32) -> Result<Vec<SchedClassifierLink>, ProgramError> {
        let name = interface_name(ifindex)?;
        // One after the other: a new pod's first packet goes out.
        let programs = [
            (&mut self.egress, TcAttachType::Egress),
            (&mut self.ingress, TcAttachType::Ingress),
        ];
        let links = programs.into_iter().map(|(program, direction)| {
            let order = TcAttachOptions::TcxOrder(LinkOrder::first());
            let link = program.attach_with_options(&name, direction, order)?;
            program.take_link(link)
        });
        links.collect()
    }

    /// Attaches both stubs to an interface of the calling thread's namespace.
    fn clsact_here(&self, ifindex: u32) -> Result<clsact::Attached, ClsactError> {
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

    /// Detaches both programs from an interface.
    pub fn detach(&mut self, interface: u32) {
        if let Some(attached) = self.attached.remove(&interface) {
            detach_clsact([attached]);
        }
    }

    /// Detaches from all interfaces; `note` is told of each.
    pub fn detach_all(&mut self, mut note: impl FnMut(u32)) {
        // The taps go at once, and the filters that called them one after the other.
        self.stubbed = None;
        let attached = std::mem::take(&mut self.attached);
        let mut filters = Vec::new();
        let mut numbers = Vec::new();
        for (interface, attached) in attached {
            match attached {
                Attached::Tcx(links) => {
                    drop(links);
                    note(interface);
                }
                clsact @ Attached::Clsact(_) => {
                    filters.push(clsact);
                    numbers.push(interface);
                }
            }
        }
        detach_clsact(filters);
        numbers.into_iter().for_each(note);
    }
}

/// Detaches filters of clsact, in whatever namespaces they are. Those of one that is
/// gone are gone too.
fn detach_clsact(all: impl IntoIterator<Item = Attached>) {
    let mut by_netns: HashMap<_, Vec<_>> = HashMap::new();
    for attached in all {
        if let Attached::Clsact(Filters {
            netns, attached, ..
        }) = attached
        {
            by_netns.entry(netns).or_default().push(attached);
        }
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

/// Descriptors that attaching to an interface takes: two links, and one to ask by.
const DESCRIPTORS: usize = 3;

/// The name of an interface of the calling thread's namespace.
fn interface_name(ifindex: u32) -> io::Result<String> {
    // Without a descriptor to ask by, the C library says that there is no such file.
    let flags = SockFlag::SOCK_CLOEXEC;
    let room =
        (0..DESCRIPTORS).map(|_| socket(AddressFamily::Inet, SockType::Datagram, flags, None));
    drop(room.collect::<Result<Vec<_>, _>>()?);
    let name = if_indextoname(ifindex)?.into_string();
    name.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn open(path: &str) -> Result<NetNs, NetNsError> {
    let file = File::open(path).map_err(|source| NetNsError::Open {
        path: path.to_owned(),
        source,
    })?;
    NetNs::from_file(file, path)
}

/// A loaded program once more.
fn classifier(probe: &mut Probe, name: &'static str) -> Result<SchedClassifier, ProbeError> {
    let program: &mut SchedClassifier = probe.program(name)?;
    program
        .info()
        .and_then(|info| SchedClassifier::from_program_info(info, Cow::Borrowed(name)))
        .map_err(|source| refused(format!("open program {name}"), source))
}
