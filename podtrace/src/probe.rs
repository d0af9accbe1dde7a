//! The kernel side, loaded: programs, taps, counters. Dropping it all detaches everything.
pub mod attach;
pub mod attacher;
pub mod batch;
pub mod btf;
pub mod cgroups;
pub mod clsact;
mod control;
pub mod error;
pub mod feature;
mod fit;
pub mod load;
mod mapped;
mod maps;
pub mod memory;
mod object;
pub mod reader;
mod refusal;
pub mod restraint;
mod ring;
mod rings;
mod sockets;
pub mod support;
mod sys;
mod table;

pub use attach::{Attach, Change, Way};
pub use error::ProbeError;
pub use load::{Probe, ProbeOptions};
