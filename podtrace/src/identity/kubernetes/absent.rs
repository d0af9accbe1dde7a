//! Stands in for the client of the Kubernetes API in a podtrace that is built without it.
#![cfg_attr(
    feature = "kubernetes",
    expect(
        dead_code,
        unreachable_pub,
        reason = "a podtrace with the client only tests it"
    )
)]

use std::{fmt, path::Path};

use thiserror::Error;
use tokio::sync::mpsc;

use super::{
    ClusterUpdate,
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
