//! Metrics of a running session, in Prometheus's text exposition format.
//!
//! [`Metrics`] counts paths as they end, and takes over the counters that the pipeline has
//! anyway; [`Source`] makes text of the last state when somebody asks; [`Server`] listens.
//!
//! The number of series is bounded whatever the traffic: no label has the name of a pod, an
//! address or an interface. Counts only grow. A path that is corrected later is counted again as
//! what it is, and its first outcome as corrected.
mod consumer;
mod counts;
mod exposition;
mod hops;
mod server;
mod workload;

pub(crate) use self::{consumer::Metrics, server::Server};
