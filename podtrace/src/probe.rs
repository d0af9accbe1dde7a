//! The kernel side, loaded: programs, taps, counters. Dropping it detaches everything.
pub mod btf;
mod control;
pub mod error;
pub mod load;
mod maps;
pub mod memory;
mod object;
pub mod ring;
pub mod support;
mod table;

pub use error::ProbeError;
pub use load::{Probe, ProbeOptions};
