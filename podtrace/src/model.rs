//! What the rooms above hand to each other: places, events, counts, and what is told.
//!
//! Plain types, with what can be said of them alone.
pub mod direction;
pub mod event;
pub mod loss;
pub mod origin;
pub mod pod;
pub mod snapshot;
pub mod start;
pub mod subnet;
pub mod tap;
pub mod tap_point;
pub mod topology;
