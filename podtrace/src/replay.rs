//! Replays: files played through the pipeline, those of several sessions as one.
mod follow;
pub(crate) mod inputs;
pub mod merge;
pub mod options;
pub(crate) mod player;
mod prescan;
mod progress;
mod report;
mod select;
mod survey;
mod wanted;

pub(crate) use progress::ShowLine;
