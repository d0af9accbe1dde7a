//! The kernel side, loaded: programs, taps, counters. Dropping it detaches everything.
pub mod btf;
pub mod error;
pub mod load;
mod maps;
pub mod ring;
pub mod support;

pub use error::ProbeError;
pub use load::{Probe, ProbeOptions};
