//! Small helpers for text: what is safe for a terminal, numbers, sizes.
pub mod escape;
pub mod sanitize;
pub(crate) mod size;
pub(crate) mod write;
