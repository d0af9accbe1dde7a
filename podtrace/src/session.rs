//! Recorded sessions: standard pcapng that also replays in full.
//!
//! `docs/session-format.md` describes the format, [`format`] has its numbers and types.
pub mod block;
pub mod chain;
pub mod files;
pub mod folder;
pub mod format;
pub mod input;
pub mod progress;
pub mod reader;
pub mod recorder;
