//! The types that the rooms above exchange: tap points, events, counts and reports.
//!
//! Plain types that depend on no room above.
pub mod direction;
pub mod drop;
pub mod event;
pub mod facts;
pub mod frame;
pub mod hook;
pub mod left_out;
pub mod link_type;
pub mod loss;
pub mod origin;
pub mod pod;
pub mod probes;
pub mod ruleset;
pub mod snapshot;
pub mod start;
pub mod subnet;
pub mod tables;
pub mod tap;
pub mod tap_name;
pub mod tap_point;
pub mod topology;
pub mod translation;
