//! How paths, events, notices and the summary are shown: one file per format.
pub mod json;
mod paint;
pub mod quiet;
pub mod stats;
pub mod text;
pub mod topology;
