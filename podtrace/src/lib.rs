//! podtrace: every packet of a Kubernetes node, hop by hop, named by pod.
//!
//! One pipeline for live traces, replays and tests:
//! `source -> decode -> identify -> path -> output`.
pub mod packet;
pub mod event;
pub mod node;
pub mod identity;
pub mod probe;
pub mod path;
pub mod output;
pub mod pipeline;
pub mod lab;
pub mod cli;
pub mod command;
