//! podtrace: every packet of a Kubernetes node, hop by hop, named by pod.
//!
//! One pipeline for live traces, replays and tests:
//! `source -> decode -> identify -> path -> output`.
pub mod cli;
pub mod clock;
pub mod command;
pub mod event;
pub mod identity;
pub mod lab;
pub mod node;
pub mod output;
pub mod packet;
pub mod path;
pub mod pipeline;
pub mod probe;
