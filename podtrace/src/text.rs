//! Small helpers for text: what is safe for a terminal, lists of names, numbers, sizes.
pub(crate) mod count;
pub mod escape;
pub mod names;
pub mod sanitize;
pub(crate) mod size;
pub(crate) mod system_error;
pub(crate) mod write;
