//! Errors of the kernel side.
use std::io;

use aya::{maps::MapError, programs::ProgramError};
use thiserror::Error;

use super::{
    btf::BtfError,
    clsact::{ClsactError, is_missing_interface},
    object::PatchError,
    refusal::Refusal,
};
use crate::{
    cause::{has_answer, is_out_of_descriptors},
    netns::NetNsError,
};

/// Why the kernel side could not be loaded or attached.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Built with `AYA_BUILD_SKIP`.
    #[error(
        "this podtrace was built without its kernel programs (AYA_BUILD_SKIP)\nhint: build it without that variable: cargo build --release"
    )]
    NoObject,
    /// The kernel's types could not be read, or lack a required member.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The object could not be adapted to the kernel: a build mistake.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The object was refused.
    #[error("failed to load the kernel programs")]
    Load(#[from] aya::EbpfError),
    /// The kernel refused a program.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// arm64 needs atomic operations that return a value.
    #[error(
        "this kernel's BPF lacks atomic operations (arm64: Linux 5.18), without which records \
         cannot be read in order"
    )]
    NoOrder,
    /// A program could not be attached.
    #[error("failed to {operation}")]
    Program {
        /// The attempted operation, with its object.
        operation: String,
        /// The kernel's answer.
        #[source]
        source: Box<ProgramError>,
    },
    /// Stubs could not be attached by clsact.
    #[error("failed to {operation}")]
    Clsact {
        /// The attempted operation, with its object.
        operation: String,
        /// Why.
        #[source]
        source: ClsactError,
    },
    /// A map operation failed.
    #[error("failed to {operation}")]
    Map {
        /// The attempted operation.
        operation: String,
        /// The kernel's answer.
        #[source]
        source: MapError,
    },
    /// There is not enough memory for the rings.
    #[error(
        "the kernel has no memory for the rings of {cpus} CPUs, {} KiB in all: take less \
         (--buffer), or raise the memory limit of podtrace's cgroup",
        .bytes >> 10
    )]
    NoMemory {
        /// The number of rings.
        cpus: u32,
        /// Bytes of all rings.
        bytes: u64,
        /// The kernel's answer, if it was asked.
        #[source]
        source: Option<Box<aya::EbpfError>>,
    },
    /// The rings could not be mapped into memory.
    #[error("failed to map the rings of the CPUs into memory")]
    Rings(#[source] io::Error),
    /// The object lacks a program or map: a build mistake.
    #[error("the kernel object has no {0}")]
    Missing(&'static str),
    /// The namespace could not be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// A cgroup's directory could not be opened.
    #[error("failed to open cgroup {0}")]
    Cgroup(String, #[source] io::Error),
    /// The table of taps is full.
    #[error("no room for more taps: start podtrace anew")]
    TooManyTaps,
    /// The number of CPUs is not known.
    #[error("failed to read {0}")]
    Cpus(&'static str, #[source] io::Error),
}

impl ProbeError {
    /// Whether the interface vanished before it was attached to.
    #[must_use]
    pub fn is_vanished(&self) -> bool {
        self.has_answer(is_missing_interface)
    }

    /// Whether the process has no room for another descriptor.
    #[must_use]
    pub fn is_out_of_descriptors(&self) -> bool {
        self.has_answer(is_out_of_descriptors)
    }

    /// Whether a tap of ours is still attached: it is about to be detached, from an interface
    /// that has moved.
    pub(super) fn is_there(&self) -> bool {
        self.has_answer(|error| error.raw_os_error() == Some(libc::EEXIST))
    }

    fn has_answer(&self, is_it: impl Fn(&io::Error) -> bool) -> bool {
        // That error does not return this cause as its source.
        if let Self::Program { source, .. } = self
            && let ProgramError::IOError(error) = &**source
        {
            return is_it(error);
        }
        has_answer(self, is_it)
    }
}

/// The error for a program that could not be loaded.
pub(super) fn not_loaded(name: &'static str, error: ProgramError) -> ProbeError {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => ProbeError::Refused(Box::new(Refusal::new(
            name,
            io_error,
            verifier_log.to_string(),
        ))),
        source => ProbeError::Program {
            operation: format!("load program {name}"),
            source: Box::new(source),
        },
    }
}

pub(super) fn refused(operation: String, source: ProgramError) -> ProbeError {
    ProbeError::Program {
        operation,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_wherever_they_are() {
        let os = io::Error::from_raw_os_error;
        let by_clsact = ProbeError::Clsact {
            operation: "attach".into(),
            source: ClsactError::Refused("add a filter", os(libc::ENODEV)),
        };
        assert!(by_clsact.is_vanished() && !by_clsact.is_there());
        assert!(refused("attach".into(), os(libc::ENXIO).into()).is_vanished());
        for code in [libc::EMFILE, libc::ENFILE] {
            let full = refused("attach".into(), os(code).into());
            assert!(full.is_out_of_descriptors() && !full.is_vanished());
        }
    }
}
