//! Small helpers for text: what is safe for a terminal, lists of names, numbers, sizes.
pub mod escape;
pub mod names;
pub mod sanitize;
pub(crate) mod size;
pub(crate) mod write;
