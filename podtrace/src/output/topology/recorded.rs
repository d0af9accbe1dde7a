//! A topology's JSON document, as a recording has it. A file can hold anything: what is not there is
//! left out, and texts are made safe.
use serde::Serialize;
use serde_json::Value;

use crate::{order::Order as _, text::sanitize::sanitize};

/// How many problems are kept of a document.
const PROBLEMS_MAX: usize = 100;

/// A problem of the network.
#[derive(Serialize)]
pub(crate) struct Problem {
    pub(super) severity: String,
    pub(super) node: String,
    pub(super) subject: String,
    pub(super) problem: String,
    hint: String,
}

impl Problem {
    fn of(json: &Value) -> Self {
        let text = |name| text(json, name).unwrap_or_default();
        Self {
            severity: text("severity"),
            node: text("node"),
            subject: text("subject"),
            problem: text("problem"),
            hint: text("hint"),
        }
    }
}

/// What is broken in the network by itself, the worst first.
pub(crate) fn problems<'a>(documents: impl Iterator<Item = &'a Value>) -> Vec<Problem> {
    let all = documents.flat_map(|json| list(json, "problems").take(PROBLEMS_MAX));
    let mut all: Vec<_> = all.map(Problem::of).collect();
    all.order_by(|one, other| one.severity.cmp(&other.severity));
    all
}

/// A text of an object.
pub(super) fn text(json: &Value, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(sanitize)
}

pub(super) fn number(json: &Value, name: &str) -> u64 {
    json.get(name).and_then(Value::as_u64).unwrap_or_default()
}

pub(super) fn list<'a>(json: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let values = json.get(name).and_then(Value::as_array);
    values.into_iter().flatten()
}
