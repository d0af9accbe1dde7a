//! The header walk.
