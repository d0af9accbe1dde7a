//! The client of the Kubernetes API.
mod client;
mod config;
mod crypto;
mod failure;
mod objects;
mod watch;

#[cfg(test)]
mod tests;

pub use config::{ClusterConfig, ClusterError, ClusterSource};
pub use watch::watch;

use super::{ClusterNode, ClusterPod, ClusterUpdate, Resource, way};
