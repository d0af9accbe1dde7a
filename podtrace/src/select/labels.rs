//! Selectors of labels, in the syntax of Kubernetes: `app=web,tier in (a, b),!canary`.
use std::{collections::BTreeMap, fmt, str::FromStr};

/// What the labels of a pod have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// As it was given.
    text: String,
    needs: Vec<Need>,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    key: String,
    value: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// The label is there.
    Any,
    /// It is not there.
    None,
    /// It has one of these values.
    In(Vec<String>),
    /// It has none of these values, or is not there.
    NotIn(Vec<String>),
}

/// The text is no selector of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLabels;

impl Labels {
    /// Whether the labels of a pod meet all requirements.
    #[must_use]
    pub fn match_all(&self, labels: &BTreeMap<String, String>) -> bool {
        self.needs.iter().all(|need| {
            let value = labels.get(&need.key);
            match &need.value {
                Wanted::Any => value.is_some(),
                Wanted::None => value.is_none(),
                Wanted::In(values) => value.is_some_and(|value| values.contains(value)),
                Wanted::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            }
        })
    }
}

impl FromStr for Labels {
    type Err = NoLabels;

    fn from_str(text: &str) -> Result<Self, NoLabels> {
        let needs = split(text)?.into_iter().map(need);
        Ok(Self {
            text: text.to_owned(),
            needs: needs.collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The requirements: between commas outside of parentheses.
fn split(text: &str) -> Result<Vec<&str>, NoLabels> {
    let (mut parts, mut begin, mut is_inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' | ')' if is_inside == (c == '(') => return Err(NoLabels),
            '(' | ')' => is_inside = c == '(',
            ',' if !is_inside => {
                parts.extend(text.get(begin..at));
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(begin..));
    (!is_inside).then_some(parts).ok_or(NoLabels)
}

fn need(text: &str) -> Result<Need, NoLabels> {
    let text = text.trim();
    if let Some(absent) = text.strip_prefix('!') {
        return key(absent, Wanted::None);
    }
    for (sign, is_in) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((name, only)) = text.split_once(sign) {
            let values = vec![value(only)?];
            return key(name, of(values, is_in));
        }
    }
    let Some((name, values)) = text.split_once('(') else {
        return key(text, Wanted::Any);
    };
    let values = values.trim_end().strip_suffix(')').ok_or(NoLabels)?;
    let values = values.split(',').map(value).collect::<Result<_, _>>()?;
    let (name, sign) = name
        .trim_end()
        .rsplit_once(char::is_whitespace)
        .ok_or(NoLabels)?;
    match sign {
        "in" => key(name, of(values, true)),
        "notin" => key(name, of(values, false)),
        _ => Err(NoLabels),
    }
}

fn of(values: Vec<String>, is_in: bool) -> Wanted {
    if is_in {
        Wanted::In(values)
    } else {
        Wanted::NotIn(values)
    }
}

fn key(text: &str, value: Wanted) -> Result<Need, NoLabels> {
    let text = text.trim();
    let is_key = !text.is_empty() && text.chars().all(|c| is_plain(c) || c == '/');
    let key = is_key.then(|| text.to_owned()).ok_or(NoLabels)?;
    Ok(Need { key, value })
}

/// A value, which may be empty.
fn value(text: &str) -> Result<String, NoLabels> {
    let text = text.trim();
    text.chars()
        .all(is_plain)
        .then(|| text.to_owned())
        .ok_or(NoLabels)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn requirements_are_those_of_kubernetes() {
        let web = labels(&[("app", "web"), ("tier", "front"), ("example.com/x", "")]);
        for (text, fits) in [
            ("app", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier = front", true),
            ("app=web,tier=back", false),
            ("app!=web", false),
            ("app!=db", true),
            ("none!=db", true),
            ("!none", true),
            ("! app", false),
            ("none", false),
            ("none=", false),
            ("example.com/x=", true),
            ("tier in (front, back)", true),
            ("tier in (back),app", false),
            ("tier notin (back,side)", true),
            ("none notin (back)", true),
            ("tier in(front)", true),
        ] {
            let parsed: Labels = text.parse().unwrap();
            assert_eq!(parsed.match_all(&web), fits, "{text}");
        }
    }

    #[test]
    fn mistakes_are_refused() {
        for text in [
            "",
            ",",
            "app=web,",
            "a b",
            "=web",
            "app=a=b",
            "app in",
            "app in (a",
            "app in a)",
            "app in ((a))",
            "app like (a)",
            "in (a)",
            "(a)",
            "!app=web",
            "ä=b",
            "app>1",
            "a in (b) c",
        ] {
            assert_eq!(text.parse::<Labels>(), Err(NoLabels), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", odd in "[a!=(), inot]{0,20}") {
            let _ = text.parse::<Labels>();
            let _ = odd.parse::<Labels>();
        }

        #[test]
        fn not_in_is_not_in(key in "[a-c]", value in "[x-z]", values in "[x-z](,[x-z]){0,2}") {
            let known = labels(&[("a", &value)]);
            let is = |sign: &str| {
                let parsed: Labels = format!("{key} {sign} ({values})").parse().unwrap();
                parsed.match_all(&known)
            };
            prop_assert_ne!(is("in"), is("notin"));
        }
    }
}
