//! Replays: files played through the pipeline, those of several sessions as one.
mod follow;
pub(crate) mod inputs;
pub mod merge;
pub mod options;
mod pace;
pub(crate) mod player;
mod prescan;
mod progress;
pub(crate) mod report;
mod select;
mod survey;
mod wanted;

pub(crate) use progress::ShowLine;
