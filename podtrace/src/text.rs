//! Small helpers for text: what is safe for a terminal, names and their patterns, numbers, sizes.
pub(crate) mod count;
pub mod escape;
pub mod glob;
pub mod hexadecimal;
pub(crate) mod markup;
pub mod names;
pub(crate) mod said;
pub mod sanitize;
pub(crate) mod size;
pub(crate) mod system_error;
pub(crate) mod wrap;
pub(crate) mod write;
