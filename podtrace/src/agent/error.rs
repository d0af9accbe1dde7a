//! Why an agent could not be reached, or failed.
use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;
use tonic::{Code, Status};

use crate::{
    cause::{causes, has_answer},
    text::{
        escape::shown,
        sanitize::{sanitize, sanitize_lines},
        system_error::without_numbers,
    },
};

/// How long an agent may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Upper bound of what is kept of an agent's words, in characters.
pub(super) const WORDS_MAX: usize = 1000;

/// Why an agent could not be reached, or failed.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The command that leads to it cannot be run.
    #[error("failed to run {program}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// There is no connection.
    #[error("no connection{}", beside(.reason))]
    Connect {
        /// Why, in words.
        reason: String,
    },
    /// It does not answer.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It answers that it cannot, or the connection broke.
    #[error("{0}")]
    Refused(String),
    /// A certificate, a key, or an authority.
    #[error("{0}")]
    Tls(String),
    /// The file that says who may ask.
    #[error("{0}")]
    Consoles(String),
    /// The socket or port to listen at.
    #[error("failed to listen at {}", shown(.path))]
    Listen {
        /// The socket or port.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the system refuses.
    #[error("{0}")]
    System(&'static str, #[source] io::Error),
}

impl AgentError {
    /// It does not answer in time.
    pub(super) const SILENT: Self = Self::Silent(PATIENCE);
}

fn beside(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}

impl From<Status> for AgentError {
    fn from(status: Status) -> Self {
        Self::Refused(in_words(&status))
    }
}

/// A status in words that are safe to show; an agent may send anything.
pub(super) fn in_words(status: &Status) -> String {
    let message: String = status.message().chars().take(WORDS_MAX).collect();
    let message = sanitize_lines(&message);
    match status.code() {
        Code::Unimplemented => {
            "it does not know this request: its podtrace is older, or no podtrace".to_owned()
        }
        // What breaks is told by layers of the transport in words of their own.
        _ if causes(status).nth(1).is_some() || message.contains("transport") => {
            match causes(status).last().map(ToString::to_string) {
                Some(cause) if is_of_system(status) => {
                    let cause = without_numbers(&sanitize(&cause));
                    format!("the connection broke: {cause}")
                }
                _ => "the connection broke".to_owned(),
            }
        }
        _ if message.is_empty() => format!("it answered {:?}", status.code()),
        _ => message,
    }
}

/// Whether the system says why.
fn is_of_system(status: &Status) -> bool {
    has_answer(status, |error| error.raw_os_error().is_some())
}
