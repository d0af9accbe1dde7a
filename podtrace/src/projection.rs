//! The one projection of events, paths and sessions that the JSON output, CSV, Parquet and
//! their documentation share.
//!
//! Each object lists its fields with their meaning once. serde writes them as JSON,
//! [`export`](crate::export) takes its columns from them, and a test writes the tables in
//! `docs/json.md` from them.
pub(crate) mod finding;
pub(crate) mod headers;
pub(crate) mod hop;
pub(crate) mod packet;
pub(crate) mod row;
pub(crate) mod session;
pub(crate) mod verdict;

use serde::Serialize;

use self::{
    finding::FindingObject,
    packet::{EventObject, PathObject},
    session::{LossObject, NoticeObject, StartObject, SummaryObject},
};

/// A line of the JSON output: `type` says which object it is.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    Start(StartObject<'a>),
    Event(EventObject<'a>),
    Path(PathObject<'a>),
    Loss(LossObject<'a>),
    Notice(NoticeObject<'a>),
    Finding(FindingObject<'a>),
    Summary(SummaryObject<'a>),
}
