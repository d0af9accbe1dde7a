//! The client of the Kubernetes API.
#[doc(hidden)]
pub mod answers;
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

use super::{
    ClusterNode, ClusterPod, ClusterService, ClusterServicePort, ClusterUpdate, Resource,
    config_source,
};
