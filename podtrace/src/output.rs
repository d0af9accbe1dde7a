//! Output formats of paths, events, notices and the summary: one file per format.
pub(crate) mod diagnosis;
pub(crate) mod doctor;
pub(crate) mod extcap;
pub(crate) mod faults;
pub mod flows;
mod grid;
pub mod interfaces;
pub mod json;
pub mod notices;
mod paint;
pub mod printer;
pub mod quiet;
pub mod render;
pub mod stats;
pub mod text;
pub mod topology;
pub mod width;
