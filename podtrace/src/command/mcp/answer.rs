//! Answers: JSON of a bounded length that says what it leaves out.
use std::collections::BTreeMap;

use anyhow::bail;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::text::sanitize::sanitize;

/// Upper bound of an answer, in bytes.
pub(super) const BYTES_MAX: usize = 256 << 10;
/// Bytes of an answer that are kept free for what stands behind its rows.
const REST_BYTES: usize = 32 << 10;
/// Bytes that rows or a document may take.
pub(super) const BODY_MAX: usize = BYTES_MAX - REST_BYTES;
/// Upper bounds of the notices, and of the bytes of one.
const NOTICES_MAX: usize = 20;
const NOTICE_BYTES: usize = 400;
/// Upper bound of the lists that are named where a document is cut.
const LISTS_MAX: usize = 40;

/// An answer that is being written: an object whose fields stay in order.
pub(super) struct Answer(String);

impl Answer {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a field with text that is JSON.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push_str(",\n");
        }
        // No name needs an escape.
        self.0 += &format!("\"{name}\":{json}");
    }

    /// Adds a field.
    pub(super) fn field(&mut self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.raw(name, &serde_json::to_string(value)?);
        Ok(())
    }

    /// Adds rows, each of which is JSON, and how many are left out. `hint`: how to see these.
    pub(super) fn rows(&mut self, name: &str, rows: &Rows, hint: &str) -> anyhow::Result<()> {
        self.raw(name, &rows.list());
        match rows.why() {
            Some(why) => {
                let rows = rows.left_out;
                self.field(&format!("{name}_left_out"), &LeftOut { rows, why, hint })
            }
            None => Ok(()),
        }
    }

    /// Adds a document that is cut to lists of at most so many rows, and to so many bytes, and
    /// which rows are left out. `hint`: how to see these.
    pub(super) fn document(
        &mut self,
        name: &str,
        document: &Value,
        (rows, bytes): (usize, usize),
        hint: &str,
    ) -> anyhow::Result<()> {
        let (text, lists) = fit(name, document, rows, bytes)?;
        self.raw(name, &text);
        if lists.is_empty() {
            return Ok(());
        }
        let left_out = json!({"rows": lists, "hint": hint});
        self.field(&format!("{name}_left_out"), &left_out)
    }

    /// The answer, with what there is to know about it.
    pub(super) fn finish(mut self, notices: Notices) -> anyhow::Result<String> {
        if !notices.kept.is_empty() {
            self.field("notices", &notices.kept)?;
        }
        if notices.left_out > 0 {
            self.field("notices_left_out", &notices.left_out)?;
        }
        self.0.push('}');
        if self.0.len() > BYTES_MAX {
            bail!(
                "the answer would have {} bytes, which is above the limit of {BYTES_MAX}\nhint: \
                 ask for less: a lower limit, one pod, a shorter time",
                self.0.len()
            );
        }
        Ok(self.0)
    }
}

/// Rows that are left out.
#[derive(Serialize)]
pub(super) struct LeftOut<'a> {
    rows: u64,
    why: String,
    hint: &'a str,
}

/// Rows of an answer, as JSON, up to a number and to a number of bytes.
pub(super) struct Rows {
    rows: Vec<String>,
    limit: usize,
    bytes_max: usize,
    bytes: usize,
    left_out: u64,
    is_too_long: bool,
}

impl Rows {
    pub(super) fn new(limit: usize, bytes_max: usize) -> Self {
        Self {
            rows: Vec::new(),
            limit,
            bytes_max,
            bytes: 0,
            left_out: 0,
            is_too_long: false,
        }
    }

    /// Adds a row, or counts it as left out: once one has no room, all behind it are. Returns
    /// whether it is there.
    pub(super) fn add(&mut self, row: impl FnOnce() -> String) -> bool {
        if self.left_out > 0 || self.rows.len() >= self.limit {
            self.left_out += 1;
            return false;
        }
        let row = row();
        if self.bytes + row.len() > self.bytes_max {
            self.is_too_long = true;
            self.left_out += 1;
            return false;
        }
        self.bytes += row.len() + ",\n".len();
        self.rows.push(row);
        true
    }

    pub(super) fn shown(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts rows that were left out before.
    pub(super) fn leave_out(&mut self, rows: u64) {
        self.left_out += rows;
    }

    /// Why some are left out, if any are.
    pub(super) fn why(&self) -> Option<String> {
        (self.left_out > 0).then(|| match self.is_too_long {
            true => format!("the rows would have more than {} bytes", self.bytes_max),
            false => format!("more than {} rows", self.limit),
        })
    }

    /// Them as a list in JSON.
    pub(super) fn list(&self) -> String {
        format!("[{}]", self.rows.join(",\n"))
    }
}

/// Notices, as many as an answer may hold.
#[derive(Default)]
pub(super) struct Notices {
    kept: Vec<String>,
    left_out: u64,
}

impl Notices {
    pub(super) fn add(&mut self, words: &str) {
        if self.kept.len() >= NOTICES_MAX {
            self.left_out += 1;
            return;
        }
        let mut words = sanitize(words);
        if words.len() > NOTICE_BYTES {
            words.truncate(words.floor_char_boundary(NOTICE_BYTES));
            words.push('…');
        }
        self.kept.push(words);
    }
}

/// A document with lists of at most so many rows, and of at most so many bytes; and how many rows
/// are left out of which lists. Its texts are made safe. `name`: the document's.
fn fit(
    name: &str,
    document: &Value,
    rows: usize,
    bytes: usize,
) -> anyhow::Result<(String, BTreeMap<String, u64>)> {
    let mut rows = rows;
    loop {
        let mut left_out = BTreeMap::new();
        let cut = cut(document, rows, name, &mut left_out);
        let text = serde_json::to_string(&cut)?;
        if text.len() <= bytes {
            let beyond = left_out.len().saturating_sub(LISTS_MAX);
            let mut named: BTreeMap<_, _> = left_out.into_iter().take(LISTS_MAX).collect();
            if beyond > 0 {
                named.insert("(other lists)".to_owned(), beyond as u64);
            }
            return Ok((text, named));
        }
        if rows == 0 {
            bail!(
                "{name} has more than {bytes} bytes, even without its lists\n\
                 hint: ask for a part of it"
            );
        }
        rows /= 2;
    }
}

/// `at`: where a value stands in its document, with `*` for a place in a list.
fn cut(value: &Value, rows: usize, at: &str, left_out: &mut BTreeMap<String, u64>) -> Value {
    match value {
        Value::Array(values) => {
            let more = values.len().saturating_sub(rows);
            if more > 0 {
                *left_out.entry(at.to_owned()).or_default() += more as u64;
            }
            let kept = values.iter().take(rows);
            let below = format!("{at}.*");
            Value::Array(kept.map(|one| cut(one, rows, &below, left_out)).collect())
        }
        Value::Object(fields) => {
            let kept = fields.iter().map(|(name, value)| {
                let name = sanitize(name);
                let below = format!("{at}.{name}");
                (name, cut(value, rows, &below, left_out))
            });
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::String(text) => Value::String(sanitize(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_at_their_number_and_their_bytes() {
        let mut rows = Rows::new(2, 100);
        let added: Vec<_> = (0..4).map(|row| rows.add(|| row.to_string())).collect();
        assert_eq!(added, [true, true, false, false]);
        let mut answer = Answer::new();
        answer.rows("rows", &rows, "less").unwrap();
        let text = answer.finish(Notices::default()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let left_out = json!({"rows": 2, "why": "more than 2 rows", "hint": "less"});
        assert_eq!(value, json!({"rows": [0, 1], "rows_left_out": left_out}));
        let mut rows = Rows::new(9, 5);
        // What has no room ends the list, also where a later one would have.
        let added = ["1234", "567", "8"].map(|row| rows.add(|| row.to_owned()));
        assert_eq!(added, [true, false, false]);
        assert_eq!((rows.shown(), rows.left_out), (1, 2));
    }

    #[test]
    fn notices_are_bounded_and_safe() {
        let mut notices = Notices::default();
        for _ in 0..25 {
            notices.add(&format!("\x1b[31m{}", "ä".repeat(1000)));
        }
        assert_eq!((notices.kept.len(), notices.left_out), (20, 5));
        assert!(notices.kept.iter().all(|words| words.len() < 410));
        let text = Answer::new().finish(notices).unwrap();
        assert!(
            !text.contains('\x1b') && !text.contains("\\u001b"),
            "{text}"
        );
    }

    #[test]
    fn documents_are_cut_where_they_are_long() {
        let pods: Vec<_> = (0..100)
            .map(|pod| json!({"name": format!("p{pod}\u{202e}"), "addresses": [1, 2, 3]}))
            .collect();
        let document = json!({"nodes": [{"pods": pods}], "problems": []});
        let (text, left_out) = fit("d", &document, 1000, 1 << 20).unwrap();
        assert!(left_out.is_empty() && !text.contains('\u{202e}'));
        let (_, left_out) = fit("d", &document, 2, 1 << 20).unwrap();
        let expected = [("d.nodes.*.pods", 98), ("d.nodes.*.pods.*.addresses", 2)];
        assert!(
            left_out
                .iter()
                .map(|(at, rows)| (at.as_str(), *rows))
                .eq(expected),
            "{left_out:?}"
        );
        let (text, left_out) = fit("d", &document, 1000, 500).unwrap();
        assert!(text.len() <= 500 && left_out["d.nodes.*.pods"] > 90);
        assert!(fit("d", &json!({"long": "x".repeat(999)}), 1000, 500).is_err());
    }
}
