//! Replays files through the pipeline; those of several sessions as one.
pub(crate) mod cluster;
mod follow;
pub(crate) mod inputs;
mod interfaces;
pub mod merge;
pub mod options;
mod pace;
pub(crate) mod player;
mod prescan;
mod progress;
pub(crate) mod report;
mod same;
pub(crate) mod sampling;
mod select;
mod uplinks;
mod wanted;

pub(crate) use progress::ShowLine;
