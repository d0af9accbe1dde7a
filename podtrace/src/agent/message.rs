//! Messages as they come: what an agent makes of a console's, and a console of an agent's.
use std::ffi::OsString;

use prost::Message as _;

use super::{
    error::WORDS_MAX,
    proto::{TraceReply, TraceRequest, trace_reply::Part},
    request::Request,
};
use crate::text::sanitize::{sanitize, sanitize_lines};

/// What a console takes of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The next bytes of a session.
    Session(Vec<u8>),
    /// The end, and why it failed, safe to show.
    End(String),
    /// Words for the user, safe to show.
    Notice(String),
    /// Of a newer agent.
    Nothing,
}

impl Taken {
    pub(super) fn of(part: Option<Part>) -> Self {
        match part {
            Some(Part::Session(bytes)) => Self::Session(bytes),
            Some(Part::End(end)) => Self::End(sanitize_lines(&cut(&end.error, WORDS_MAX))),
            Some(Part::Notice(words)) => Self::Notice(sanitize(&cut(&words, WORDS_MAX))),
            None => Self::Nothing,
        }
    }

    /// Reads the bytes of a reply; none if they are no message.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let TraceReply { part } = TraceReply::decode(bytes).ok()?;
        Some(Self::of(part))
    }
}

/// What a console asks for, before anything of it was checked.
pub struct Asked(TraceRequest);

impl Asked {
    /// Reads the bytes of a request; none if they are no message.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        TraceRequest::decode(bytes).ok().map(Self)
    }

    /// The expression.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.0.expression
    }

    /// The arguments of the command that traces it.
    ///
    /// # Errors
    /// When it is refused, in words for the console.
    pub fn arguments(self) -> Result<Vec<OsString>, String> {
        Request::of(self.0).map(|request| request.arguments())
    }
}

/// The begin of a text.
pub(super) fn cut(text: &str, len: usize) -> String {
    text.chars().take(len).collect()
}
