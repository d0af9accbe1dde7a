//! The crates in the program, by what cargo says of them.

use std::{collections::BTreeSet, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cmd::{Workspace, output};

/// A crate that is linked.
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// Its licence, as SPDX expression.
    pub(super) licence: String,
    pub(super) authors: String,
    pub(super) repository: String,
    pub(super) folder: PathBuf,
}

/// The crates of others that podtrace is linked with, by name and version.
pub(super) fn linked(
    workspace: &Workspace,
    machine: &super::content::Machine,
) -> Result<Vec<Crate>> {
    let target = format!("{}-unknown-linux-gnu", machine.rust);
    let mut tree = workspace.cargo()?;
    tree.args(["tree", "--locked", "-p", "podtrace", "--target", &target])
        .args(["-e", "normal,no-proc-macro", "--prefix", "none"])
        .args(["--no-dedupe", "-f", "{p}"])
        .stderr(Stdio::inherit());
    let tree = output(&mut tree)?;
    let linked: BTreeSet<_> = tree.lines().filter_map(name_and_version).collect();

    let mut metadata = workspace.cargo()?;
    metadata
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", &target])
        .stderr(Stdio::inherit());
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo lists no packages")?;
    let mut crates = Vec::new();
    for package in packages {
        let of_others = !package["source"].is_null();
        let found = read(package).context("cargo describes a package in a way of its own")?;
        if of_others && linked.contains(&(found.name.as_str(), found.version.as_str())) {
            crates.push(found);
        }
    }
    crates.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    ensure!(!crates.is_empty(), "cargo knows none of podtrace's crates");
    Ok(crates)
}

/// Of a line of `cargo tree`: `clap v4.5.0`, with the path of a crate of the workspace.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

fn read(package: &Value) -> Option<Crate> {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let authors = package["authors"].as_array();
    let authors = authors.into_iter().flatten().filter_map(Value::as_str);
    let manifest = PathBuf::from(package["manifest_path"].as_str()?);
    Some(Crate {
        name: text("name"),
        version: text("version"),
        // An older way to write it.
        licence: text("license").replace('/', " OR "),
        authors: authors.collect::<Vec<_>>().join(", "),
        repository: text("repository"),
        folder: manifest.parent()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_read_from_lines_and_metadata() {
        assert_eq!(name_and_version("clap v4.5.0"), Some(("clap", "4.5.0")));
        assert_eq!(name_and_version(""), None);
        let package = serde_json::json!({
            "name": "x", "version": "1.0.0", "license": "MIT/Apache-2.0",
            "authors": ["A", "B"], "manifest_path": "/r/x/Cargo.toml",
        });
        let found = read(&package).unwrap();
        assert_eq!(found.licence, "MIT OR Apache-2.0");
        assert_eq!(
            (found.authors.as_str(), found.repository.as_str()),
            ("A, B", "")
        );
        assert_eq!(found.folder, PathBuf::from("/r/x"));
    }
}
