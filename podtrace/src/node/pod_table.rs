//! Pods named by a table that the user gives (`--pods`).
use std::{collections::HashMap, os::unix::ffi::OsStrExt as _, path::Path, sync::Arc};

use thiserror::Error;

use crate::text::{escape::escape_bytes, sanitize::sanitize};

/// A table of pods by the name of their network namespace.
#[derive(Clone, Debug, Default)]
pub struct PodTable {
    pods: HashMap<String, Arc<str>>,
}

/// A line of a pod table that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("line {line} of the pod table is not `NETNS NAMESPACE/POD`: {text}")]
pub struct PodTableError {
    line: usize,
    text: String,
}

impl PodTable {
    /// The text of a table.
    ///
    /// # Errors
    /// When it is not UTF-8; names the first such line.
    pub fn text(bytes: &[u8]) -> Result<&str, PodTableError> {
        std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count();
            let bad = bytes.split(|byte| *byte == b'\n').nth(line);
            PodTableError {
                line: line + 1,
                text: escape_bytes(bad.unwrap_or_default()).into_owned(),
            }
        })
    }

    /// Reads lines of `NETNS NAMESPACE/POD`; `#` starts a comment.
    ///
    /// # Errors
    /// When a line has another form.
    pub fn parse(text: &str) -> Result<Self, PodTableError> {
        let mut pods = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            let mut words = content.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (None, ..) => {}
                (Some(netns), Some(pod), None) if pod.contains('/') => {
                    pods.insert(netns.to_owned(), sanitize(pod).into());
                }
                _ => {
                    return Err(PodTableError {
                        line: number + 1,
                        text: sanitize(line),
                    });
                }
            }
        }
        Ok(Self { pods })
    }

    /// The pod of the namespace with this name or path.
    #[must_use]
    pub fn pod(&self, netns: &Path) -> Option<&Arc<str>> {
        let name = netns.file_name()?;
        self.pods.get(&*escape_bytes(name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_lines_are_read_and_checked() {
        let table = PodTable::parse("# lab\nnode1-pod1 default/mypod1\n\n b x/y # more\n").unwrap();
        assert_eq!(table.pods["node1-pod1"].as_ref(), "default/mypod1");
        assert_eq!(table.pods.len(), 2);
        let pod = |path: &str| table.pod(Path::new(path)).map(AsRef::as_ref);
        assert_eq!(pod("/run/netns/b"), Some("x/y"));
        assert_eq!(pod("c"), None);
        let error = PodTable::text(b"a b/c\nd \xff/e\nf").unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (2, "d \\xff/e"));
        assert_eq!(PodTable::text("a ü/b".as_bytes()), Ok("a ü/b"));
        for bad in ["a", "a b", "a b/c d"] {
            assert_eq!(PodTable::parse(bad).unwrap_err().line, 1);
        }
    }
}
