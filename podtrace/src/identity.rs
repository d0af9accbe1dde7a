//! Who lives in a network namespace.
use std::{collections::HashMap, path::Path, sync::Arc};

use thiserror::Error;

use crate::{node::netns::NetNs, output::sanitize::sanitize};

/// A source of pod names.
pub trait Identity: Send + Sync {
    /// The pod (`namespace/pod`) that a namespace belongs to; where no pod is
    /// known, the best name there is for the namespace itself.
    fn pod(&self, netns: &NetNs) -> Arc<str>;
}

/// A table of pods by namespace name (`--pods`); the rest by namespace name.
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
}

impl Identity for PodTable {
    fn pod(&self, netns: &NetNs) -> Arc<str> {
        let name = Path::new(&netns.name)
            .file_name()
            .map_or(netns.name.as_str().into(), |name| name.to_string_lossy());
        if let Some(pod) = self.pods.get(name.as_ref()) {
            return Arc::clone(pod);
        }
        // `/proc/<pid>/ns/net` says less than the namespace's number.
        if name == "net" {
            return format!("netns:{}", netns.inode).into();
        }
        sanitize(&name).into()
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
        for bad in ["a", "a b", "a b/c d"] {
            assert_eq!(PodTable::parse(bad).unwrap_err().line, 1);
        }
    }
}
