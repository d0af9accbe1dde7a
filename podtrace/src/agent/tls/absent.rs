//! Stands in for TLS in a podtrace that is built without it.
use std::{path::Path, sync::Arc};

use tokio::sync::mpsc;

use crate::agent::{
    AgentError,
    journal::Journal,
    peer::{Connection, Link, Seats},
};

const NOT_BUILT: &str = "this podtrace is built without TLS\nhint: build it with the feature tls, \
                         as a plain cargo build --release does";

/// A port that agents listen at: there is none.
pub(in crate::agent) enum Port {}

impl Port {
    pub(in crate::agent) async fn open(_: &str, _: &Path) -> Result<Self, AgentError> {
        Err(AgentError::Tls(NOT_BUILT.to_owned()))
    }

    pub(in crate::agent) fn address(&self) -> String {
        match *self {}
    }

    pub(in crate::agent) async fn accept(
        self,
        _: Arc<Journal>,
        _: Arc<Seats>,
        _: mpsc::Sender<Link>,
    ) {
        match self {}
    }
}

pub(in crate::agent) async fn connect(
    _: &str,
    _: u16,
    _: &Path,
) -> Result<Box<dyn Connection>, AgentError> {
    Err(AgentError::Tls(NOT_BUILT.to_owned()))
}
