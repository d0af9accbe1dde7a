//! The client of the Kubernetes API.
mod agents;
#[doc(hidden)]
pub mod answers;
mod client;
mod config;
mod crypto;
mod exec;
mod failure;
mod objects;
mod watch;

#[cfg(test)]
mod tests;

pub use agents::{AgentPod, Agents};
pub use config::{ClusterConfig, ClusterError, ClusterSource};
pub use exec::{Exec, Said};
pub use watch::watch;

use super::{
    ClusterNode, ClusterPod, ClusterService, ClusterServicePort, ClusterUpdate, Resource,
    config_source,
};
