//! Failures of a container runtime, with what to do about them.
use std::{
    error::Error as _,
    fmt::Display,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;
use tonic::{Code, Status};

use crate::{
    cause::causes,
    text::{escape::shown, sanitize::sanitize},
};

/// Upper bound of a runtime's own message in characters: enough to show its meaning, short
/// enough for one line of a terminal.
const MAX_DETAIL: usize = 200;

/// Why a container runtime cannot be asked.
#[derive(Debug, Error)]
pub enum CriError {
    /// There is no file at the path.
    #[error("no socket at {0}: no container runtime listens there", shown(.socket))]
    NoSocket {
        /// The path.
        socket: PathBuf,
    },
    /// The file at the path is not a socket.
    #[error("{0} is not a socket: a container runtime listens on one", shown(.socket))]
    NotASocket {
        /// The path.
        socket: PathBuf,
    },
    /// None of the known sockets exists.
    #[error(
        "no container runtime found: none of {tried} exists; name its socket with --cri-socket"
    )]
    NoRuntime {
        /// The paths tried.
        tried: String,
    },
    /// The socket may not be opened.
    #[error("permission denied on {0}: run as root", shown(.socket))]
    Permission {
        /// The path.
        socket: PathBuf,
    },
    /// Nobody listens on the socket.
    #[error("nobody listens on {0}: the container runtime is not running; start it", shown(.socket))]
    Refused {
        /// The path.
        socket: PathBuf,
    },
    /// The socket's queue of connections is full.
    #[error("{0} accepts no connections: the container runtime hangs; look at its log or restart it", shown(.socket))]
    Busy {
        /// The path.
        socket: PathBuf,
    },
    /// A call was not answered in time.
    #[error(
        "{0} did not answer {call} within {1} s: the container runtime hangs, or this is not one; \
         look at its log",
        shown(.socket), .waited.as_secs_f32()
    )]
    Silent {
        /// The path.
        socket: PathBuf,
        /// The call.
        call: &'static str,
        /// How long podtrace waited.
        waited: Duration,
    },
    /// The other side speaks another protocol.
    #[error("{0} does not speak CRI ({detail}): this is not a container runtime's socket", shown(.socket))]
    NotCri {
        /// The path.
        socket: PathBuf,
        /// Its answer.
        detail: String,
    },
    /// The other side has no CRI service.
    #[error(
        "{0} offers no CRI v1 ({detail}): enable the CRI plugin \
         (containerd: take \"cri\" out of disabled_plugins) or update the runtime",
        shown(.socket)
    )]
    NoCri {
        /// The path.
        socket: PathBuf,
        /// Its answer.
        detail: String,
    },
    /// The runtime is still starting.
    #[error("the container runtime at {0} is still starting ({detail}): wait a moment", shown(.socket))]
    Starting {
        /// The path.
        socket: PathBuf,
        /// Its answer.
        detail: String,
    },
    /// The connection broke.
    #[error("the container runtime at {0} closed the connection ({detail}): it stopped or was restarted", shown(.socket))]
    Closed {
        /// The path.
        socket: PathBuf,
        /// How it broke.
        detail: String,
    },
    /// The runtime refused a call.
    #[error("the container runtime at {0} failed {call} ({detail}): look at its log", shown(.socket))]
    Call {
        /// The path.
        socket: PathBuf,
        /// The call.
        call: &'static str,
        /// Its answer.
        detail: String,
    },
    /// The socket cannot be used for another reason.
    #[error("connect to {0}", shown(.socket))]
    Io {
        /// The path.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first list took longer than the caller wanted to wait.
    #[error("no answer of a container runtime within {0} s: names follow when it answers", .waited.as_secs_f32())]
    NotReady {
        /// How long podtrace waited.
        waited: Duration,
    },
}

impl CriError {
    /// Converts a failure to inspect the socket or to connect to it.
    pub(super) fn from_io(socket: &Path, source: io::Error) -> Self {
        let socket = socket.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoSocket { socket },
            io::ErrorKind::PermissionDenied => Self::Permission { socket },
            io::ErrorKind::ConnectionRefused => Self::Refused { socket },
            io::ErrorKind::WouldBlock => Self::Busy { socket },
            _ => Self::Io { socket, source },
        }
    }

    /// Converts the status of a call on a connection that has worked before.
    pub(super) fn from_status(socket: &Path, call: &'static str, status: &Status) -> Self {
        let detail = detail(status);
        let socket = socket.to_owned();
        if status.message().contains("not initialized") {
            Self::Starting { socket, detail }
        } else if broke(status) {
            Self::Closed { socket, detail }
        } else if status.code() == Code::Unimplemented {
            Self::NoCri { socket, detail }
        } else {
            Self::Call {
                socket,
                call,
                detail,
            }
        }
    }

    /// Converts the status of the first call: a broken transport then means that the other side
    /// speaks another protocol.
    pub(super) fn from_first_status(socket: &Path, call: &'static str, status: &Status) -> Self {
        let foreign = status.message().contains("grpc-status header missing")
            || status.code() == Code::Internal;
        match Self::from_status(socket, call, status) {
            Self::Closed { socket, detail } => Self::NotCri { socket, detail },
            Self::NoCri { socket, detail } | Self::Call { socket, detail, .. } if foreign => {
                Self::NotCri { socket, detail }
            }
            other => other,
        }
    }
}

/// Whether the transport failed, as opposed to a refusal.
fn broke(status: &Status) -> bool {
    status.source().is_some()
}

/// The innermost cause is the most specific: the outer ones are `transport error`.
fn detail(status: &Status) -> String {
    match causes(status).skip(1).last() {
        Some(cause) => printable(cause),
        None => printable(status.message()),
    }
}

/// Makes external text printable in one line.
pub(super) fn printable(words: impl Display) -> String {
    let words = sanitize(&words.to_string());
    match words.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_safe_and_short() {
        let words = printable(format!("\x1b[31m{}", "ü".repeat(500)));
        assert!(!words.contains('\x1b'));
        assert_eq!(words.chars().count(), MAX_DETAIL + 1);
    }

    #[test]
    fn statuses_are_distinguished() {
        let path = Path::new("/s");
        let of = |status: Status| CriError::from_status(path, "ListPodSandbox", &status);
        assert!(matches!(
            of(Status::unimplemented(
                "unknown service runtime.v1.RuntimeService"
            )),
            CriError::NoCri { .. }
        ));
        assert!(matches!(
            of(Status::unknown("server is not initialized yet")),
            CriError::Starting { .. }
        ));
        assert!(matches!(
            of(Status::from_error(Box::new(io::Error::other(
                "broken pipe"
            )))),
            CriError::Closed { .. }
        ));
        assert!(matches!(of(Status::internal("no")), CriError::Call { .. }));
        let html =
            Status::unimplemented("grpc-status header missing, mapped from HTTP status code 404");
        assert!(matches!(
            CriError::from_first_status(path, "Version", &html),
            CriError::NotCri { .. }
        ));
    }
}
