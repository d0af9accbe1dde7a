//! Failures of requests to the API server, with what to do about them.
use std::{error::Error, fmt::Write as _, io, time::Duration};

use kube::{client::AuthError, core::Status};
use rustls::CertificateError;

use crate::text::{escape::shown, sanitize::sanitize};

/// Upper bound of a quoted server message, in characters.
const MAX_QUOTE: usize = 240;

/// The longest time a server may ask for before the next request.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// The remedy of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remedy {
    /// Time: the failure passes, or the server comes back.
    Wait,
    /// A change of a permission or a kubeconfig.
    Act,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiFailure {
    /// Its remedy.
    pub(super) remedy: Remedy,
    /// In one line, safe to print.
    pub(super) reason: String,
    /// How long the server asks to wait.
    pub(super) retry_after: Duration,
    /// Whether other credentials than those in use may help.
    pub(super) stale_credentials: bool,
    /// Whether the server may never have the version that it was asked for.
    pub(super) unknown_version: bool,
}

impl ApiFailure {
    /// A failure that passes.
    pub(super) fn passing(reason: &str) -> Self {
        Self {
            remedy: Remedy::Wait,
            reason: quote(reason),
            retry_after: Duration::ZERO,
            stale_credentials: false,
            unknown_version: false,
        }
    }

    fn lasting(reason: &str) -> Self {
        Self {
            remedy: Remedy::Act,
            ..Self::passing(reason)
        }
    }

    /// Why a request to `server` failed.
    pub(super) fn of(error: &kube::Error, server: &str) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status),
            kube::Error::Auth(error) => Self::of_credentials(error),
            kube::Error::SerdeError(error) => Self::passing(&format!(
                "{server} does not speak the Kubernetes API: {error}"
            )),
            kube::Error::InferKubeconfig(error) => Self {
                stale_credentials: true,
                ..Self::lasting(&error.to_string())
            },
            error => Self::of_connection(error, server),
        }
    }

    /// Why the server refused a request.
    pub(super) fn of_status(status: &Status) -> Self {
        let message = quote(&status.message);
        let details = status.details.as_ref();
        let retry_after = details.map_or(0, |details| u64::from(details.retry_after_seconds));
        let failure = match status.code {
            401 => Self {
                stale_credentials: true,
                ..Self::lasting(
                    "the server does not accept the credentials (401): \
                     renew the token or certificate of the kubeconfig",
                )
            },
            403 => Self::lasting(&format!(
                "not permitted (403): a ClusterRole must allow the verbs list and watch \
                 on pods, nodes, services and endpointslices; the server says: {message}"
            )),
            code => Self {
                unknown_version: matches!(code, 400 | 504),
                ..Self::passing(&format!("the server answers {code}: {message}"))
            },
        };
        Self {
            retry_after: Duration::from_secs(retry_after).min(MAX_RETRY_AFTER),
            ..failure
        }
    }

    fn of_credentials(error: &AuthError) -> Self {
        Self {
            stale_credentials: true,
            ..Self::lasting(&credentials(error))
        }
    }

    fn of_connection(error: &kube::Error, server: &str) -> Self {
        // Credentials that were to be renewed for this request.
        if let Some(error) = find::<AuthError>(error) {
            return Self::of_credentials(error);
        }
        if let Some(error) = find::<rustls::Error>(error) {
            return Self {
                stale_credentials: true,
                ..Self::lasting(&tls(error, server))
            };
        }
        let cause = match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
            Some(io::ErrorKind::TimedOut) => "no answer".to_owned(),
            _ => innermost(error),
        };
        Self::passing(&format!("{server} cannot be reached: {cause}"))
    }
}

/// Quotes external text in one line, safe to print and of bounded length.
pub(super) fn quote(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        let space = if line.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(line, "{space}{word}");
        if line.len() > 4 * MAX_QUOTE {
            break;
        }
    }
    match line.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => sanitize(&line[..end]) + "…",
        None => sanitize(&line),
    }
}

fn credentials(error: &AuthError) -> String {
    match error {
        // Its output may hold a secret, so only the outcome is reported.
        AuthError::AuthExecRun { out, .. } => format!(
            "the credential plugin of the kubeconfig failed ({}): try kubectl with it",
            out.status
        ),
        AuthError::AuthExecStart(error) => {
            format!("the credential plugin of the kubeconfig cannot be run: {error}")
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the credential plugin of the kubeconfig gives no credentials".to_owned()
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("the token file {} cannot be read: {error}", shown(path))
        }
        error => format!("the credentials of the kubeconfig cannot be used: {error}"),
    }
}

fn tls(error: &rustls::Error, server: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error, server),
        rustls::Error::AlertReceived(alert) => format!(
            "{server} refuses the TLS connection ({alert:?}): \
             is the client certificate of the kubeconfig of this cluster, and still valid?"
        ),
        error => format!("no TLS connection to {server}: {error}"),
    }
}

fn certificate(error: &CertificateError, server: &str) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature => format!(
            "the certificate of {server} is not signed by the authority of the kubeconfig: \
             check server and certificate-authority"
        ),
        E::NotValidForName | E::NotValidForNameContext { .. } => format!(
            "the certificate of {server} is for another name: \
             check server, or set tls-server-name in the kubeconfig"
        ),
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            format!(
                "the certificate of {server} is not valid at this time: \
                 renew it, or set the clock of this node"
            )
        }
        error => format!("the certificate of {server} is not valid: {error}"),
    }
}

/// The innermost error of a kind in a chain of causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        found = error.downcast_ref().or(found);
        next = cause(error);
    }
    found
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = cause(last) {
        last = next;
    }
    last.to_string()
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // The source of an io::Error that wraps another one skips the wrapped one.
    if let Some(inner) = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        return Some(inner);
    }
    error.source()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_say_what_is_needed() {
        let status = |code| Status {
            code,
            message: "pods is forbidden:\n User \"x\x1b\"".into(),
            ..Status::default()
        };
        let refused = ApiFailure::of_status(&status(403));
        assert_eq!(refused.remedy, Remedy::Act);
        assert_eq!(
            refused.reason,
            "not permitted (403): a ClusterRole must allow the verbs list and watch on pods, \
             nodes, services and endpointslices; the server says: pods is forbidden: User \"x\u{fffd}\""
        );
        assert!(ApiFailure::of_status(&status(401)).stale_credentials);
        let busy = ApiFailure::of_status(&status(503));
        assert_eq!((busy.remedy, busy.stale_credentials), (Remedy::Wait, false));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(quote(&"ü".repeat(1000)).chars().count(), MAX_QUOTE + 1);
        assert_eq!(quote(" a \n b\t"), "a b");
    }

    #[test]
    fn causes_inside_io_errors_are_found() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = kube::Error::Service(io::Error::other(io::Error::other(tls)).into());
        let failure = ApiFailure::of(&error, "api:6443");
        assert_eq!(
            failure.reason,
            "the certificate of api:6443 is not signed by the authority of the kubeconfig: \
             check server and certificate-authority"
        );
        assert_eq!(failure.remedy, Remedy::Act);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = kube::Error::Service(refused.into());
        let failure = ApiFailure::of(&error, "api:6443");
        assert_eq!(
            failure.reason,
            "api:6443 cannot be reached: connection refused"
        );
    }
}
