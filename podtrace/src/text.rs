//! Small helpers for text: what is safe for a terminal, numbers, sizes.
pub(crate) mod names;
pub mod sanitize;
pub(crate) mod size;
pub(crate) mod write;
