//! Attaches the programs to interfaces and detaches them: one trait, and a file for each
//! method.
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
pub enum AttachMethod {
    /// TCX links, which end with the process (Linux 6.6).
    Tcx,
    /// Filters of a clsact qdisc: see [`super::clsact`].
    Clsact,
}

impl AttachMethod {
    /// The best method of this kernel. TCX is better: while a clsact qdisc is added or
    /// removed, the kernel drops what the interface sends.
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

    /// Takes the loaded programs to attach them by this method, and attaches nothing yet.
    ///
    /// # Errors
    /// When the kernel refuses to open the programs once more, or refuses the programs
    /// that are attached in their place.
    pub fn open(self, probe: &mut Probe) -> Result<Box<dyn Attach>, ProbeError> {
        Ok(match self {
            Self::Tcx => Box::new(tcx::Tcx::open(probe)?),
            Self::Clsact => Box::new(clsact::Clsact::open(probe)?),
        })
    }
}

/// An attach method with its attachments, apart from the rest of the probe: the kernel takes
/// some 10 ms for each TCX link, and another 10 ms to detach it. Dropping it leaves no active
/// attachment.
pub trait Attach: Send {
    /// Attaches both programs, first in the chain, to interface number
    /// `interface`, which has been registered. Returns, in words, the programs that
    /// nevertheless come before ours.
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

    /// Detaches from all interfaces and calls `on_detached` with the number of each.
    fn detach_all(&mut self, on_detached: &mut dyn FnMut(u32));

    /// Whether the kernel detaches everything once its descriptors are closed.
    fn ends_with_descriptors(&self) -> bool;

    /// Reports what other tools do to the attached programs; none if they can do nothing.
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// How often to check the attached programs, in addition to the reports of
    /// [`Self::watch`]; none if it reports everything.
    fn check_every(&self) -> Option<Duration> {
        None
    }

    /// Checks the attached programs, if something may have changed, and attaches missing
    /// ones again. Returns the changes by interface number. `since_ns` is the time of the
    /// change, if [`Self::watch`] has reported one.
    fn check(&mut self, since_ns: Option<u64>) -> Vec<(u32, Change)>;
}

/// Calls a function with the time, in nanoseconds of CLOCK_MONOTONIC, whenever the programs
/// attached in a namespace, or in one that it knows by a number, may have changed; ends when
/// the function returns false.
///
/// Fails when the namespace cannot be entered or the kernel sends no notifications.
pub type Watch = fn(&NetNs, Changed) -> Result<io::Result<()>, NetNsError>;

/// The function that [`Watch`] calls.
pub type Changed = Box<dyn Fn(u64) -> bool + Send>;

/// A change of the programs attached to an interface, made by another tool.
#[derive(Debug)]
pub enum Change {
    /// The programs before ours have changed. One of them may end the chain.
    Order {
        /// The time of the change, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
        /// The programs before ours now, in words; empty if ours are first again.
        before: Vec<String>,
    },
    /// Another tool removed ours; they are attached again.
    Restored {
        /// When they were removed, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
    },
    /// Another tool removed ours; they could not be attached again.
    Removed {
        /// When, in nanoseconds of CLOCK_MONOTONIC.
        since_ns: u64,
        /// Why not.
        error: ProbeError,
    },
}

/// Opens a loaded program once more.
fn classifier(probe: &mut Probe, name: &'static str) -> Result<SchedClassifier, ProbeError> {
    let program: &mut SchedClassifier = probe.program(name)?;
    program
        .info()
        .and_then(|info| SchedClassifier::from_program_info(info, Cow::Borrowed(name)))
        .map_err(|source| refused(format!("open program {name}"), source))
}

/// The attempted operation, for errors.
fn operation(name: &str, netns: &NetNs) -> String {
    format!("attach to {name} in {}", netns.name)
}
