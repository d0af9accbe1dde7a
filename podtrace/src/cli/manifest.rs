//! Options of the manifest for Kubernetes.
mod image;

use std::str::FromStr;

use clap::Args;

use crate::model::facts::is_plain;

/// Options of `manifest`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  podtrace manifest --image registry.example.com/podtrace:0.1.0 | kubectl apply -f -
  podtrace manifest --image podtrace:dev --namespace tracing --cri-socket /run/crio/crio.sock
  podtrace manifest --agent --image registry.example.com/podtrace:0.1.0 | kubectl apply -f -
  podtrace manifest --dashboard > dashboard.json      for Grafana, of what --metrics serves")]
pub struct ManifestArgs {
    /// An image with podtrace in its PATH, for example registry.example.com/podtrace:0.1.0
    #[arg(long, value_name = "IMAGE", value_parser = image, required_unless_present = "dashboard")]
    pub image: Option<String>,
    /// Print agents instead, which trace nothing until podtrace trace --cluster or another console
    /// asks
    #[arg(long, requires = "image")]
    pub agent: bool,
    /// Print a dashboard for Grafana instead
    #[arg(long, exclusive = true)]
    pub dashboard: bool,
    /// Namespace of the recorder, which the manifest creates; default and kube-system are there
    /// already
    #[arg(long, value_name = "NAME", default_value = "podtrace", value_parser = namespace)]
    pub namespace: String,
    /// Socket of the nodes' container runtime, for example /run/crio/crio.sock
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/containerd/containerd.sock"
    )]
    pub cri_socket: RuntimeSocket,
}

/// A socket by its directory and its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSocket {
    /// Its directory.
    pub directory: String,
    /// Its whole path.
    pub path: String,
}

/// Longest name of a namespace (RFC 1123 label).
const LABEL_MAX: usize = 63;

/// What names of namespaces begin with that are for Kubernetes itself.
const RESERVED: &str = "kube-";

/// Namespaces that each cluster has.
pub const OF_CLUSTER: [&str; 2] = ["default", "kube-system"];

fn namespace(text: &str) -> Result<String, String> {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = [text.chars().next(), text.chars().next_back()];
    let is_name = text.len() <= LABEL_MAX
        && text.chars().all(is_inside)
        && ends.iter().all(|end| end.is_some_and(|c| c != '-'));
    if !is_name {
        return Err(format!(
            "must have lower case letters, digits and hyphens between them, {LABEL_MAX} at most, as \
             in tracing"
        ));
    }
    if text.starts_with(RESERVED) && !OF_CLUSTER.contains(&text) {
        return Err(format!(
            "names that begin with {RESERVED} are for Kubernetes itself: give another, as in tracing"
        ));
    }
    Ok(text.to_owned())
}

fn image(text: &str) -> Result<String, String> {
    match image::mistake(text) {
        None => Ok(text.to_owned()),
        Some(mistake) => Err(format!(
            "{mistake}: give one, as in registry.example.com/podtrace:0.1.0"
        )),
    }
}

impl FromStr for RuntimeSocket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('/').filter(|(directory, name)| {
            directory.len() > 1 && !name.is_empty() && text.starts_with('/')
        });
        match parts.filter(|_| is_plain(text) && !text.contains("/..")) {
            Some((directory, _)) => Ok(Self {
                directory: directory.to_owned(),
                path: text.to_owned(),
            }),
            None => Err("must be a path, as in /run/containerd/containerd.sock".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_more_than_a_value_is_refused() {
        for good in [
            "podtrace",
            "a",
            "x-1",
            "1",
            "default",
            "kube-system",
            "kubernetes",
        ] {
            assert_eq!(namespace(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a\nb",
            "a: b",
            "kube-proxy",
            &"a".repeat(64),
        ] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
        let digest = format!("r.example.com:5000/a/b@sha256:{}", "0a".repeat(32));
        for good in ["podtrace:0.1.0", &digest] {
            assert_eq!(image(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            ":x",
            "a:",
            "a b",
            "a\n",
            "a#b",
            "-a",
            "{a}",
            "a'",
            "A",
            "a@sha256:0a",
        ] {
            let words = image(bad).unwrap_err();
            assert!(
                words.contains("as in registry.example.com/podtrace:0.1.0"),
                "{bad}: {words}"
            );
        }
        let socket = |text: &str| text.parse::<RuntimeSocket>();
        let crio = socket("/run/crio/crio.sock").unwrap();
        assert_eq!(crio.directory, "/run/crio");
        for bad in ["", "/", "/x", "run/x", "/run/", "/run/../x", "/run/a b"] {
            assert!(socket(bad).is_err(), "{bad}");
        }
    }
}
