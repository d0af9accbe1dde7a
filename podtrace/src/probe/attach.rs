//! Attaching the programs to interfaces, and detaching them: one trait, and a file for
//! each way to do it.
mod clsact;
mod order;
mod spaces;
mod tcx;

use std::{borrow::Cow, io, time::Duration};

use aya::programs::SchedClassifier;

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
    /// `interface`, which has been registered. Returns what comes before ours all the
    /// same, in words.
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
    ) -> Result<Vec<String>, ProbeError>;

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

    /// How often to look at what is attached, beside what [`Self::watch`] tells; none if
    /// that tells everything.
    fn check_every(&self) -> Option<Duration> {
        None
    }

    /// Looks at what is attached, if something may have changed, and attaches again what is
    /// not there any more; the changes by number of the interface. `since_ns`: since when,
    /// if [`Self::watch`] has told of a change.
    fn check(&mut self, since_ns: Option<u64>) -> Vec<(u32, Change)>;
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
    /// What comes before ours is not what it was. It may end the chain there.
    Order {
        /// Since when, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
        /// What comes before ours now, in words; nothing if ours are first again.
        before: Vec<String>,
    },
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
