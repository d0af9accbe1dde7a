//! Messages of nf_tables: requests for the rules of a network namespace, the answers, and what a
//! trace of a packet says.
//!
//! Pure: bytes in, rules of [`crate::model::ruleset`] out.
pub(crate) mod answer;
pub(crate) mod chosen;
mod expression;
mod fields;
pub(crate) mod message;
mod prune;
mod rule;
pub(crate) mod sets;
pub(crate) mod trace;
