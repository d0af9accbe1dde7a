//! Attaching the programs to interfaces, and detaching them: one trait, and a file for
//! each way to do it.
mod clsact;
mod tcx;

use std::{borrow::Cow, io};

use aya::programs::SchedClassifier;
use nix::{
    net::if_::if_indextoname,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{Probe, ProbeError, error::refused, feature};
use crate::netns::{NetNs, NetNsError};

/// How programs are attached to interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// TCX links, which end with the process (Linux 6.6).
    Tcx,
    /// Filters of a clsact qdisc: see [`super::clsact`].
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

    /// Takes the loaded programs to attach them in this way; they are attached to
    /// nothing yet.
    ///
    /// # Errors
    /// When the kernel does not hand out the programs once more, or refuses what is
    /// attached in their place.
    pub fn open(self, probe: &mut Probe) -> Result<Box<dyn Attach>, ProbeError> {
        Ok(match self {
            Self::Tcx => Box::new(tcx::Tcx::open(probe)?),
            Self::Clsact => Box::new(clsact::Clsact::open(probe)?),
        })
    }
}

/// A way to attach the programs, with what it has attached, apart from the rest of the
/// probe: the kernel takes some 10 ms for each TCX link, and another 10 ms to detach it.
/// Dropped, it leaves nothing attached that still does something.
pub trait Attach: Send {
    /// Attaches both programs, first in the chain, to interface number
    /// `interface`, which has been registered. Whether others' programs come before
    /// ours all the same.
    ///
    /// `name` is for errors: an interface may be renamed at any time, and its
    /// index stays.
    ///
    /// # Errors
    /// When the interface is gone or the kernel refuses; then neither program
    /// is attached.
    fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<bool, ProbeError>;

    /// Detaches both programs from an interface.
    fn detach(&mut self, interface: u32);

    /// Detaches from all interfaces; `note` is told of each.
    fn detach_all(&mut self, note: &mut dyn FnMut(u32));

    /// Whether the kernel detaches everything once its descriptors are closed.
    fn ends_with_descriptors(&self) -> bool;

    /// How to be told of what other tools do to what is attached; none if they can do
    /// nothing.
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// Looks at all that is attached, and attaches again what is not there any more; what
    /// has changed since that time, by number of the interface.
    fn check(&mut self, since_ns: u64) -> Vec<(u32, Change)> {
        let _ = since_ns;
        Vec::new()
    }
}

/// Calls something whenever what is attached in a namespace, or in one that it knows by a
/// number, may have changed, until that returns false. What it is given is when, in
/// nanoseconds of CLOCK_MONOTONIC.
///
/// Fails when the namespace cannot be entered or the kernel does not tell.
pub type Watch = fn(&NetNs, Changed) -> Result<io::Result<()>, NetNsError>;

/// What [`Watch`] calls.
pub type Changed = Box<dyn Fn(u64) -> bool + Send>;

/// What has become of what was attached to an interface.
#[derive(Debug)]
pub enum Change {
    /// Others' filters come before ours now, and may end the chain there.
    Behind,
    /// Another tool had removed ours, which are attached again.
    Restored {
        /// When they were removed, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
    },
    /// Another tool has removed ours, which are not attached any more.
    Removed {
        /// When, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
        /// Why they are not.
        error: ProbeError,
    },
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

/// A loaded program once more.
fn classifier(probe: &mut Probe, name: &'static str) -> Result<SchedClassifier, ProbeError> {
    let program: &mut SchedClassifier = probe.program(name)?;
    program
        .info()
        .and_then(|info| SchedClassifier::from_program_info(info, Cow::Borrowed(name)))
        .map_err(|source| refused(format!("open program {name}"), source))
}

/// What is tried, for errors.
fn operation(name: &str, netns: &NetNs) -> String {
    format!("attach to {name} in {}", netns.name)
}
