//! Options of the manifest for Kubernetes.
use std::str::FromStr;

use clap::Args;

use crate::model::facts::is_plain;

/// Options of `manifest`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  podtrace manifest --image registry.example.com/podtrace:0.1.0 | kubectl apply -f -
  podtrace manifest --image podtrace:dev --namespace tracing --cri-socket /run/crio/crio.sock
  podtrace manifest --dashboard > dashboard.json      for Grafana, of what --metrics serves")]
pub struct ManifestArgs {
    /// An image with podtrace in its PATH, for example registry.example.com/podtrace:0.1.0
    #[arg(long, value_name = "IMAGE", value_parser = image, required_unless_present = "dashboard")]
    pub image: Option<String>,
    /// Print a dashboard for Grafana instead
    #[arg(long, exclusive = true)]
    pub dashboard: bool,
    /// Namespace of the recorder, which the manifest creates
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

fn namespace(text: &str) -> Result<String, String> {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = [text.chars().next(), text.chars().next_back()];
    let is_name = text.len() <= LABEL_MAX
        && text.chars().all(is_inside)
        && ends.iter().all(|end| end.is_some_and(|c| c != '-'));
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "must have lower case letters, digits and hyphens between them, {LABEL_MAX} at most"
        )
    })
}

fn image(text: &str) -> Result<String, String> {
    // What a reference has; it stands in YAML as it is.
    let is_known = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    (begins && text.chars().all(is_known) && !text.ends_with([':', '/', '@']))
        .then(|| text.to_owned())
        .ok_or_else(|| "must be an image, as in registry.example.com/podtrace:0.1.0".to_owned())
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
        for good in ["podtrace", "a", "x-1"] {
            assert_eq!(namespace(good).as_deref(), Ok(good));
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a\nb", "a: b", &"a".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
        for good in ["podtrace:0.1.0", "r.example.com:5000/a/b@sha256:0a"] {
            assert_eq!(image(good).as_deref(), Ok(good));
        }
        for bad in ["", ":x", "a:", "a b", "a\n", "a#b", "-a", "{a}", "a'"] {
            assert!(image(bad).is_err(), "{bad}");
        }
        let socket = |text: &str| text.parse::<RuntimeSocket>();
        let crio = socket("/run/crio/crio.sock").unwrap();
        assert_eq!(crio.directory, "/run/crio");
        for bad in ["", "/", "/x", "run/x", "/run/", "/run/../x", "/run/a b"] {
            assert!(socket(bad).is_err(), "{bad}");
        }
    }
}
