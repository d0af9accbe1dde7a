//! The choice of a cluster, and its configuration: kubeconfigs and service accounts.
mod kubeconfig;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use kube::{
    Config,
    client::ClientBuilder,
    config::{Kubeconfig, KubeconfigError},
};
use thiserror::Error;

use super::{
    config_source::{ConfigSource, Environment},
    failure::{ApiFailure, quote},
};
use crate::text::{escape::shown, names::listed, sanitize::sanitize};

/// The source of a cluster's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterSource {
    /// The context of this name (safe to print) of a kubeconfig.
    Context(String),
    /// The service account of the pod that podtrace runs in.
    InCluster,
}

/// The configuration of a cluster. Holds secrets: printing it shows none.
#[derive(Clone)]
pub struct ClusterConfig {
    source: ClusterSource,
    server: String,
    config: Config,
}

/// Why a cluster cannot be reached as requested.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// A kubeconfig cannot be read.
    #[error(
        "cannot read the kubeconfig {path}: {cause}\nhint: give a file with --kubeconfig or in KUBECONFIG"
    )]
    Read {
        /// Path of the file, safe to print.
        path: String,
        /// The system's error; part of the text already, so it is no source.
        cause: io::Error,
    },
    /// A file is no kubeconfig.
    #[error("{path} is not a kubeconfig{place}\nhint: is it the file that kubectl uses?")]
    Yaml {
        /// Path of the file, safe to print.
        path: String,
        /// Where in it, as ` (line 3, column 1)`, or empty.
        place: String,
    },
    /// A kubeconfig does not say which context to use.
    #[error("{path} names no current context\nhint: kubectl config use-context NAME; {known}")]
    NoContext {
        /// Path of the file, safe to print.
        path: String,
        /// The existing contexts.
        known: String,
    },
    /// The current context does not exist.
    #[error("{path} has no context {name}, which it calls the current one\nhint: {known}")]
    UnknownContext {
        /// Path of the file, safe to print.
        path: String,
        /// Name of the context, safe to print.
        name: String,
        /// The existing contexts.
        known: String,
    },
    /// The current context leads to no cluster.
    #[error("{path} has no cluster {name}, which its context {context} names\nhint: {known}")]
    UnknownCluster {
        /// Path of the file, safe to print.
        path: String,
        /// Name of the cluster, safe to print.
        name: String,
        /// Name of the context, safe to print.
        context: String,
        /// The existing clusters.
        known: String,
    },
    /// The cluster of the current context cannot be used.
    #[error("the cluster of {path} cannot be used: {reason}")]
    Unusable {
        /// Path of the file, safe to print.
        path: String,
        /// Why, and what to do; safe to print.
        reason: String,
    },
    /// The service account cannot be used.
    #[error(
        "the service account of this pod cannot be used: {reason}\nhint: --kubeconfig FILE gives another way"
    )]
    InCluster {
        /// Why, safe to print.
        reason: String,
    },
}

impl ClusterSource {
    /// Reads the configuration from the requested file; else from the files of
    /// the variable `KUBECONFIG` (merged as kubectl does, missing ones skipped
    /// while one exists); else from the service account of the pod that podtrace
    /// runs in, if it has one. `~/.kube/config` is used only on request. None if
    /// nothing names a cluster.
    ///
    /// Nothing is sent yet and no program is run. A kubeconfig may name a
    /// credential plugin (`exec`, or `auth-provider` with `cmd-path`): as with
    /// kubectl it is run when the first request is made and whenever its
    /// credentials have expired, as the user podtrace runs as, often root. Its
    /// errors and questions go to the terminal unless its `interactiveMode` is
    /// `Never`. It is run for all resources together, but again if it gives a
    /// certificate (kube asks for its parts one by one), or if it hangs while
    /// it renews a token. Nothing ends it: it may outlive podtrace. Give only
    /// kubeconfigs that you trust. Of an `auth-provider`, `token-key` and
    /// `expiry-key` are paths of names and indices: `{.credential.access_token}`.
    ///
    /// `HTTPS_PROXY` is not used, and a `proxy-url` is an error.
    ///
    /// # Errors
    /// When the file or variable leads to no cluster, or certificates, keys or
    /// tokens that it names cannot be read.
    pub fn find(kubeconfig: Option<&Path>) -> Result<Option<ClusterConfig>, ClusterError> {
        resolve(Environment::of_process().config_source(kubeconfig))
    }
}

impl ClusterConfig {
    /// Host and port of the API server, safe to print.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The configuration for a client.
    pub(super) fn client_config(&self) -> Config {
        self.config.clone()
    }
}

/// As `10.0.0.1:6443 (context admin@prod)` or `10.96.0.1 (in-cluster)`.
impl fmt::Display for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            ClusterSource::Context(name) => write!(f, "{} (context {name})", self.server),
            ClusterSource::InCluster => write!(f, "{} (in-cluster)", self.server),
        }
    }
}

impl fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn resolve(source: Option<ConfigSource>) -> Result<Option<ClusterConfig>, ClusterError> {
    match source {
        Some(ConfigSource::Files(paths)) => from_files(&paths).map(Some),
        Some(ConfigSource::InCluster) => in_cluster().map(Some),
        None => Ok(None),
    }
}

fn in_cluster() -> Result<ClusterConfig, ClusterError> {
    let config = Config::incluster().map_err(|error| ClusterError::InCluster {
        reason: quote(&error.to_string()),
    })?;
    let made = made(ClusterSource::InCluster, config);
    made.map_err(|reason| ClusterError::InCluster { reason })
}

fn from_files(paths: &[PathBuf]) -> Result<ClusterConfig, ClusterError> {
    let shown = paths.iter().map(shown);
    let path = shown.collect::<Vec<_>>().join(":");
    let unusable = |reason: String| ClusterError::Unusable {
        path: path.clone(),
        reason,
    };
    let kubeconfig = read(paths)?;
    let (context, proxy) = check(&kubeconfig, &path)?;
    if proxy {
        return Err(unusable(
            "it is reached through a proxy (proxy-url), which podtrace does not do\n\
             hint: give a kubeconfig whose server can be reached directly"
                .to_owned(),
        ));
    }
    let config = Config::try_from(kubeconfig).map_err(|error| unusable(loading(&error)))?;
    made(ClusterSource::Context(context), config).map_err(unusable)
}

/// Checks the material that a client is made of; what is wrong with it if it
/// cannot be used.
fn made(source: ClusterSource, mut config: Config) -> Result<ClusterConfig, String> {
    let uri = &config.cluster_url;
    let host = uri.authority().map(ToString::to_string);
    let server = match (uri.scheme_str(), host) {
        (Some("https" | "http"), Some(host)) => sanitize(&host),
        _ => {
            let url = quote(&uri.to_string());
            return Err(format!(
                "its server {url} is no URL\nhint: it looks like https://HOST:6443"
            ));
        }
    };
    if config.root_cert.as_ref().is_some_and(Vec::is_empty) {
        return Err(
            "its certificate-authority holds no certificate\nhint: it must be PEM".to_owned(),
        );
    }
    // From the environment: the kubeconfig has none.
    config.proxy_url = None;
    // The follower repeats requests itself, at its own pace.
    config.default_retry = false;
    super::crypto::install_crypto();
    let auth = &config.auth_info;
    if auth.exec.is_none() && auth.auth_provider.is_none() {
        ClientBuilder::try_from(config.clone())
            .map(drop)
            .map_err(|error| unusable_material(&error, &server))?;
    }
    Ok(ClusterConfig {
        source,
        server,
        config,
    })
}

fn unusable_material(error: &kube::Error, server: &str) -> String {
    match error {
        kube::Error::InferKubeconfig(error) => loading(error),
        kube::Error::RustlsTls(error) => format!(
            "{}\nhint: check its certificate-authority, client-certificate and client-key",
            quote(&error.to_string())
        ),
        error => ApiFailure::of(error, server).reason,
    }
}

fn loading(error: &KubeconfigError) -> String {
    let hint = match error {
        KubeconfigError::LoadCertificateAuthority(_) | KubeconfigError::ParseCertificates(_) => {
            "check its certificate-authority"
        }
        KubeconfigError::LoadClientCertificate(_) | KubeconfigError::LoadClientKey(_) => {
            "check its client-certificate and client-key"
        }
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "its server looks like https://HOST:6443"
        }
        _ => "kubectl config view shows what it says",
    };
    format!("{}\nhint: {hint}", quote(&error.to_string()))
}

fn read(paths: &[PathBuf]) -> Result<Kubeconfig, ClusterError> {
    let mut merged = Kubeconfig::default();
    for path in paths {
        let path_shown = shown(path);
        let next = kubeconfig::read(path).map_err(|error| reading(error, &path_shown))?;
        merged = merged
            .merge(next)
            .map_err(|error| reading(error, &path_shown))?;
    }
    Ok(merged)
}

fn reading(error: KubeconfigError, path: &str) -> ClusterError {
    let path = path.to_owned();
    match error {
        KubeconfigError::ReadConfig(cause, _) => ClusterError::Read { path, cause },
        // The parser's message may quote a secret, so only the position is reported.
        KubeconfigError::Parse(error) => {
            let place = error.location().map_or_else(String::new, |location| {
                format!(" (line {}, column {})", location.line(), location.column())
            });
            ClusterError::Yaml { path, place }
        }
        error => ClusterError::Unusable {
            path,
            reason: loading(&error),
        },
    }
}

/// The current context's name, and whether its cluster has a proxy.
fn check(kubeconfig: &Kubeconfig, path: &str) -> Result<(String, bool), ClusterError> {
    let path = path.to_owned();
    let contexts = known(
        "context",
        kubeconfig.contexts.iter().map(|named| &named.name),
    );
    let current = kubeconfig.current_context.as_deref().unwrap_or_default();
    if current.is_empty() {
        let known = contexts;
        return Err(ClusterError::NoContext { path, known });
    }
    let mut named = kubeconfig.contexts.iter();
    let context = named.find(|context| context.name == current);
    let Some(context) = context.and_then(|context| context.context.as_ref()) else {
        return Err(ClusterError::UnknownContext {
            path,
            name: sanitize(current),
            known: contexts,
        });
    };
    let mut named = kubeconfig.clusters.iter();
    let cluster = named.find(|cluster| cluster.name == context.cluster);
    let Some(cluster) = cluster.and_then(|cluster| cluster.cluster.as_ref()) else {
        return Err(ClusterError::UnknownCluster {
            path,
            name: sanitize(&context.cluster),
            context: sanitize(current),
            known: known(
                "cluster",
                kubeconfig.clusters.iter().map(|cluster| &cluster.name),
            ),
        });
    };
    let proxy = cluster
        .proxy_url
        .as_ref()
        .is_some_and(|url| !url.is_empty());
    Ok((sanitize(current), proxy))
}

/// As `there is the context a, b`.
fn known<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names = listed(names.map(String::as_str), None);
    if names.is_empty() {
        format!("there is no {what}")
    } else {
        format!("there is the {what} {names}")
    }
}

#[cfg(test)]
mod tests;
