//! Patterns of names, as a shell has them: `*` is any text, `?` any character.
use std::{fmt, str::FromStr};

/// A pattern; one without `*` and `?` is a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(Box<str>);

impl Glob {
    /// Takes any text for a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (&*self.0, name);
        // What to go on with if the text behind the last `*` does not fit here.
        let mut retry: Option<(&str, &str)> = None;
        loop {
            let (wanted, given) = (first(pattern), first(rest));
            match (wanted, given) {
                (Some(('*', behind)), _) => {
                    retry = Some((behind, rest));
                    pattern = behind;
                }
                (Some((c, behind)), Some((d, left))) if c == '?' || c == d => {
                    (pattern, rest) = (behind, left);
                }
                (None, None) => return true,
                _ => {
                    let Some((behind, (_, left))) =
                        retry.and_then(|(behind, from)| Some((behind, first(from)?)))
                    else {
                        return false;
                    };
                    retry = Some((behind, left));
                    (pattern, rest) = (behind, left);
                }
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a pod or Service, with or without its namespace, as a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullName {
    namespace: Option<Glob>,
    name: Glob,
}

impl FullName {
    /// Whether `namespace/name` fits. A name that has no namespace fits a pattern without one.
    #[must_use]
    pub fn matches(&self, full: &str) -> bool {
        match (&self.namespace, full.split_once('/')) {
            (Some(namespace), Some((of, name))) => namespace.matches(of) && self.name.matches(name),
            (Some(_), None) => false,
            (None, split) => self.name.matches(split.map_or(full, |(_, name)| name)),
        }
    }

    /// Whether it has a namespace.
    #[must_use]
    pub fn has_namespace(&self) -> bool {
        self.namespace.is_some()
    }
}

/// The text has more than one slash, or nothing beside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAName;

impl FromStr for FullName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        if name.is_empty() || name.contains('/') || namespace == Some("") {
            return Err(NotAName);
        }
        Ok(Self {
            namespace: namespace.map(Glob::new),
            name: Glob::new(name),
        })
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}", self.name)
    }
}

fn first(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    Some((chars.next()?, chars.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn star_and_question_mark_stand_for_text() {
        for (pattern, fits, differs) in [
            ("web", &["web"][..], &["web1", "we", "", "WEB"][..]),
            ("web-*", &["web-", "web-1", "web-*"], &["web", "my-web-1"]),
            ("*-?b*", &["a-bb", "a-b-bb-", "--ab"], &["-b", "a-", ""]),
            ("*", &["", "a", "ä*"], &[]),
            ("?", &["a", "ä", "*"], &["", "ab"]),
            ("**a", &["a", "ba", "aa"], &["", "ab"]),
            ("", &[""], &["a"]),
        ] {
            let glob = Glob::new(pattern);
            for name in fits {
                assert!(glob.matches(name), "{pattern} {name}");
            }
            for name in differs {
                assert!(!glob.matches(name), "{pattern} {name}");
            }
        }
    }

    /// The definition, which may take exponential time.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', behind @ ..], _) => {
                (0..=name.len()).any(|skipped| by_definition(behind, &name[skipped..]))
            }
            ([c, behind @ ..], [d, left @ ..]) if *c == '?' || c == d => {
                by_definition(behind, left)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "[ab?*]{0,6}", name in "[abä]{0,8}") {
            let (p, n): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(Glob::new(&pattern).matches(&name), by_definition(&p, &n));
        }
    }
}
