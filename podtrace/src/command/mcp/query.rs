//! The tool `query`: SQL, answered by `podtrace query` in a process of its own, as a question may take
//! more memory than there is.
use std::{ffi::OsString, ops::ControlFlow};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{
    answer::{Answer, BODY_MAX, Rows},
    params::SQL,
    play::Request,
    source::Source,
};

/// Answers with rows.
pub(super) fn answer(request: &Request) -> anyhow::Result<String> {
    let sql = request.given.text(SQL.name).context("sql is missing")?;
    let limit = request.given.limit();
    let mut line: Vec<OsString> = vec!["query".into(), "--output=json".into()];
    // One more tells whether there are more.
    line.push(format!("--limit={}", limit + 1).into());
    if let Source::Lake(url) = &*request.source {
        line.push(format!("--lake={url}").into());
    }
    // A storage that is gone is named before time is up.
    line.push(format!("--retry-for={}ms", (request.timeout / 2).as_millis()).into());
    line.extend(["--".into(), sql.into()]);
    line.extend(request.files.iter().map(OsString::from));
    let mut rows = Rows::new(limit, BODY_MAX);
    let mut text = Vec::new();
    super::child::run(&line, &request.stop, |bytes| {
        text.extend_from_slice(bytes);
        let end = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for row in text.drain(..end).as_slice().split(|byte| *byte == b'\n') {
            if !row.is_empty() && !rows.add(|| String::from_utf8_lossy(row).into_owned()) {
                return Ok(ControlFlow::Break(()));
            }
        }
        match text.len() > BODY_MAX {
            true => bail!(
                "a row has more than {BODY_MAX} bytes, the limit of an answer\nhint: ask for fewer \
                 columns"
            ),
            false => Ok(ControlFlow::Continue(())),
        }
    })?
    .answered()?;
    let mut answer = Answer::new();
    answer.field("shown", &rows.shown())?;
    answer.raw("rows", &rows.list());
    if let Some(why) = rows.why() {
        let hint = "count or group them, or ask for fewer with WHERE; limit is 1000 at most";
        answer.field("rows_left_out", &json!({"why": why, "hint": hint}))?;
    }
    answer.finish(request.notices())
}
