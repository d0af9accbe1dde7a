//! podtrace: every packet of a Kubernetes node, hop by hop, named by pod.
//!
//! One pipeline for live traces, replays and tests:
//! `source -> decode -> identify -> path -> output`.
#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "a test names its own files")
)]

pub mod agent;
mod backoff;
pub mod bucket;
mod cause;
pub mod cgroup;
pub mod cli;
pub mod clock;
pub mod command;
pub mod diagnosis;
pub mod export;
pub mod field;
pub mod filter;
pub mod findings;
pub mod identity;
pub mod lab;
#[cfg(feature = "cluster")]
mod lake;
mod live;
mod map;
mod metrics;
pub mod model;
pub mod netns;
mod nfnetlink;
pub mod node;
mod order;
pub mod output;
pub mod packet;
pub mod path;
pub mod pipeline;
pub mod privilege;
pub mod probe;
pub mod prober;
pub mod projection;
#[cfg(feature = "cluster")]
mod queue;
pub mod replay;
mod report;
pub mod rules;
mod ruleset;
pub mod schema;
pub mod select;
pub mod session;
pub mod signals;
pub mod sink;
pub mod stats;
#[cfg(test)]
mod tests;
pub mod text;
mod tui;
pub mod update;
pub mod verdict;
pub mod wire;
pub mod world;
