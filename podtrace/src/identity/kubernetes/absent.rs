//! Stands in for the client of the Kubernetes API in a podtrace that is built without it.
#![cfg_attr(
    feature = "kubernetes",
    expect(
        dead_code,
        unreachable_pub,
        reason = "a podtrace with the client only tests it"
    )
)]

use std::{collections::BTreeSet, fmt, path::Path};

use thiserror::Error;
use tokio::{io::DuplexStream, sync::mpsc};

use super::{
    Asked, ClusterUpdate,
    config_source::{ConfigSource, Environment},
};

/// The source of a cluster's configuration, which is unusable here.
#[derive(Clone, Copy, Debug)]
pub enum ClusterSource {}

/// The configuration of a cluster: there is none.
#[derive(Clone, Copy, Debug)]
pub enum ClusterConfig {}

/// Why a cluster cannot be reached.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The client was left out of this podtrace.
    #[error(
        "this podtrace is built without the Kubernetes API\n\
         hint: build it with the feature kubernetes, as a plain cargo build --release does"
    )]
    NotBuilt,
}

impl ClusterSource {
    /// Finds no configuration; none if nothing names a cluster.
    ///
    /// # Errors
    /// When a file, the variable `KUBECONFIG` or a service account names a cluster.
    pub fn find(kubeconfig: Option<&Path>) -> Result<Option<ClusterConfig>, ClusterError> {
        refuse(Environment::of_process().config_source(kubeconfig))
    }
}

/// Refuses any source.
fn refuse(source: Option<ConfigSource>) -> Result<Option<ClusterConfig>, ClusterError> {
    source.map_or(Ok(None), |_| Err(ClusterError::NotBuilt))
}

impl fmt::Display for ClusterConfig {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// Follows nothing: there is no configuration.
pub fn watch(config: ClusterConfig, _: mpsc::Sender<ClusterUpdate>) {
    match config {}
}

/// The agents of a cluster: there are none.
#[derive(Debug)]
pub struct Agents(());

/// A pod that an agent can be run in: there is none.
#[derive(Clone, Debug)]
pub struct AgentPod(());

/// A command that runs in a pod: there is none.
pub struct Exec {
    /// Its standard input and output.
    pub stream: DuplexStream,
    /// What it says.
    pub said: Said,
}

/// What a command says: there is none.
#[derive(Debug)]
pub struct Said(());

#[expect(clippy::unused_async, reason = "as where there is a client")]
impl Agents {
    /// Finds nothing: there is no configuration.
    ///
    /// # Errors
    /// Never.
    pub async fn find(config: ClusterConfig, _: &str) -> Result<Self, String> {
        match config {}
    }

    /// No pods.
    #[must_use]
    pub fn pods(&self) -> &[AgentPod] {
        &[]
    }

    /// Runs nothing.
    ///
    /// # Errors
    /// Never.
    pub async fn run(
        &self,
        _: &AgentPod,
        _: impl Iterator<Item = &'static str>,
    ) -> Result<Exec, String> {
        Err(String::new())
    }

    /// Nothing is known.
    pub async fn nodes_of(&self, _: &Asked<'_>) -> Option<BTreeSet<String>> {
        None
    }
}

impl AgentPod {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        String::new()
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> String {
        String::new()
    }

    /// Why it cannot be asked now.
    #[must_use]
    pub fn absence(&self) -> Option<&str> {
        None
    }
}

impl Said {
    /// Why it has failed.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_is_asked_for_is_an_error_that_says_how_to_have_it() {
        let error = ClusterSource::find(Some(Path::new("/no/such"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this podtrace is built without the Kubernetes API\n\
             hint: build it with the feature kubernetes, as a plain cargo build --release does"
        );
        assert!(refuse(Some(ConfigSource::InCluster)).is_err());
        assert!(refuse(None).unwrap().is_none());
    }
}
