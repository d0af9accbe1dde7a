//! Paths to one value of a JSON document, by the interface of the crate `jsonpath-rust`.
//!
//! kube asks for them in one place: the `token-key` and `expiry-key` of a kubeconfig's
//! `auth-provider`, as `{.credential.access_token}`, and takes the first value. The whole of
//! JSONPath, with its regular expressions and the tables of Unicode, would be a twentieth of
//! podtrace. This is what RFC 9535 calls singular queries: names and indices.

use std::fmt;

use serde_json::Value;

/// A path that cannot be followed: it is no JSONPath, or it may lead to several values.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsupported {
    rest: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "only names and indices are supported, as $.a['b'][0], not {:?}",
            self.rest
        )
    }
}

impl std::error::Error for Unsupported {}

/// A document in which paths lead to values.
pub trait JsonPath {
    /// The value that this path leads to, if there is one.
    ///
    /// # Errors
    /// When the path consists of something else than names and indices.
    fn query(&self, path: &str) -> Result<Vec<&Self>, Unsupported>;
}

impl JsonPath for Value {
    fn query(&self, path: &str) -> Result<Vec<&Self>, Unsupported> {
        let mut rest = path.strip_prefix('$').ok_or_else(|| unsupported(path))?;
        let mut found = Some(self);
        // To the end even if nothing is found: a path is wrong in every document.
        while !rest.is_empty() {
            let (segment, after) = segment(rest).ok_or_else(|| unsupported(rest))?;
            found = found.and_then(|value| segment.of(value));
            rest = after;
        }
        Ok(found.into_iter().collect())
    }
}

fn unsupported(rest: &str) -> Unsupported {
    let rest = rest.to_owned();
    Unsupported { rest }
}

/// A step from a value to one inside it.
enum Segment<'a> {
    Name(&'a str),
    /// Counted from the end if it is negative.
    Index(i64),
}

impl Segment<'_> {
    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Name(name) => value.as_object()?.get(*name),
            Self::Index(index) => {
                let values = value.as_array()?;
                let distance = usize::try_from(index.unsigned_abs()).ok()?;
                match *index < 0 {
                    true => values.get(values.len().checked_sub(distance)?),
                    false => values.get(distance),
                }
            }
        }
    }
}

/// The first segment of a path, and what follows it.
fn segment(path: &str) -> Option<(Segment<'_>, &str)> {
    let path = path.trim_start();
    if let Some(name) = path.strip_prefix('.') {
        let is_other = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_';
        let (name, rest) = name.split_at(name.find(is_other).unwrap_or(name.len()));
        let is_name = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
        return is_name.then_some((Segment::Name(name), rest));
    }
    let selector = path.strip_prefix('[')?.trim_start();
    let (segment, rest) = match selector.chars().next()? {
        quote @ ('"' | '\'') => {
            let (name, rest) = selector[1..].split_once(quote)?;
            // A name with an escape would need to be put together.
            (!name.contains('\\')).then_some((Segment::Name(name), rest))?
        }
        _ => {
            let is_other = |c: char| !c.is_ascii_digit() && c != '-';
            let (index, rest) = selector.split_at(selector.find(is_other)?);
            (Segment::Index(index.parse().ok()?), rest)
        }
    };
    Some((segment, rest.trim_start().strip_prefix(']')?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_indices_lead_to_a_value() {
        let document = json!({
            "credential": { "access_token": "ya29", "token_expiry": "2026-01-01T00:00:00Z" },
            "list": [{ "of things": "first" }, { "of things": "last" }],
            "größe": 1,
        });
        for (path, value) in [
            ("$.credential.access_token", json!("ya29")),
            ("$['credential'][\"access_token\"]", json!("ya29")),
            ("$.list[0]['of things']", json!("first")),
            ("$ .list[ -1 ][ 'of things' ]", json!("last")),
            ("$.größe", json!(1)),
        ] {
            assert_eq!(document.query(path), Ok(vec![&value]), "{path}");
        }
        assert_eq!(document.query("$"), Ok(vec![&document]));
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let document = json!({ "a": ["b"] });
        for path in ["$.b", "$.a.b", "$.a[1]", "$.a[-2]", "$.b[0].c", "$[0]"] {
            assert_eq!(document.query(path), Ok(vec![]), "{path}");
        }
    }

    #[test]
    fn other_paths_are_refused() {
        let document = json!({ "a": ["b"] });
        for (path, rest) in [
            ("a", "a"),
            ("", ""),
            ("$.", "."),
            ("$.1", ".1"),
            ("$..a", "..a"),
            ("$.a[*]", "[*]"),
            ("$.a[0:1]", "[0:1]"),
            ("$.a[?@.x == 1]", "[?@.x == 1]"),
            ("$.missing[?@]", "[?@]"),
            ("$['a\\u0062']", "['a\\u0062']"),
            ("$['a", "['a"),
            ("$[", "["),
            ("$[0", "[0"),
            ("$[--1]", "[--1]"),
            ("$.a-b", "-b"),
        ] {
            let rest = rest.to_owned();
            assert_eq!(document.query(path), Err(Unsupported { rest }), "{path}");
        }
        let error = document.query("$..a").unwrap_err().to_string();
        assert!(error.ends_with(r#"not "..a""#), "{error}");
    }
}
