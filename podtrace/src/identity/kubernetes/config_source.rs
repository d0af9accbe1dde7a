//! The sources that name a cluster: an option, the environment, or the pod that podtrace
//! runs in.
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Where a pod finds the token of its service account.
const SERVICE_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A source that names a cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConfigSource {
    /// These kubeconfigs, merged; at least one.
    Files(Vec<PathBuf>),
    /// The service account of the pod that podtrace runs in.
    InCluster,
}

/// The parts of the environment that may name a cluster.
#[derive(Default)]
pub(super) struct Environment {
    /// The variable `KUBECONFIG`.
    pub(super) kubeconfig: Option<OsString>,
    /// Whether podtrace runs in a pod that has a service account.
    pub(super) in_cluster: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub(super) fn of_process() -> Self {
        let set = |name| env::var_os(name).is_some_and(|value: OsString| !value.is_empty());
        Self {
            kubeconfig: env::var_os("KUBECONFIG"),
            in_cluster: set("KUBERNETES_SERVICE_HOST")
                && set("KUBERNETES_SERVICE_PORT")
                && Path::new(SERVICE_TOKEN).exists(),
        }
    }

    /// The first source that there is: the requested file, else the files of `KUBECONFIG` (missing
    /// ones are skipped if one exists), else the service account. None if nothing names a
    /// cluster.
    pub(super) fn config_source(&self, requested: Option<&Path>) -> Option<ConfigSource> {
        if let Some(path) = requested {
            return Some(ConfigSource::Files(vec![path.to_owned()]));
        }
        let listed = self.kubeconfig.iter().flat_map(env::split_paths);
        let paths: Vec<_> = listed.filter(|path| !path.as_os_str().is_empty()).collect();
        if !paths.is_empty() {
            let there: Vec<_> = paths.iter().filter(|path| path.exists()).cloned().collect();
            return Some(ConfigSource::Files(if there.is_empty() {
                paths
            } else {
                there
            }));
        }
        self.in_cluster.then_some(ConfigSource::InCluster)
    }
}
