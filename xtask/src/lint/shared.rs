//! Checks that builds with and without podtrace's features, and of its tests, share their
//! compiled crates: if one feature differs, cargo compiles a crate again, and all crates that
//! depend on it.

use std::{collections::BTreeSet, process::Stdio};

use anyhow::{Result, bail};

use crate::cmd::{Workspace, output};

/// A build, and the arguments with which `cargo tree` lists its crates.
type Build<'a> = (&'a str, &'a [&'a str]);

const QUICK: Build<'_> = (
    "cargo xtask demo",
    &[
        "-p",
        "podtrace",
        "-e",
        "normal,build",
        "--no-default-features",
    ],
);
const RELEASE: Build<'_> = ("cargo build", &["-p", "podtrace", "-e", "normal,build"]);
const STAGES: Build<'_> = (
    "cargo xtask guard",
    &["-p", "podtrace", "-e", "normal,build,dev"],
);
const TESTS: Build<'_> = (
    "cargo xtask bench",
    &["-p", "podtrace-tests", "-e", "normal,build"],
);
const FUZZ: Build<'_> = (
    "cargo xtask fuzz",
    &[
        "-p",
        "podtrace-fuzz",
        "-e",
        "normal,build",
        "--features",
        "libfuzzer",
    ],
);

const CASES: Build<'_> = (
    "cargo test -p podtrace-tests",
    &["-p", "podtrace-tests", "-e", "normal,build,dev"],
);
const ALL_TESTS: Build<'_> = (
    "cargo test --workspace",
    &["--workspace", "-e", "normal,build,dev"],
);

/// Fails if a build has a crate with other features than another build.
///
/// Those of the feature `cluster` are left out: the query engine and the object storage want more of
/// `tokio`, `flate2`, `rand` and others, down to an allocator of zlib's own, which every podtrace
/// would have to carry. That build compiles hundreds of crates of its own anyway.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let mut report = String::new();
    let builds = [
        (QUICK, RELEASE),
        (RELEASE, STAGES),
        (RELEASE, TESTS),
        (RELEASE, FUZZ),
        (CASES, ALL_TESTS),
    ];
    for (less, more) in builds {
        for line in missing(&crates(workspace, less)?, &crates(workspace, more)?) {
            report += &format!("\n    {line} in {}, but not in {}", less.0, more.0);
        }
    }
    if report.is_empty() {
        return Ok(());
    }
    bail!("crates that are compiled twice; podtrace/Cargo.toml can name their features:{report}")
}

/// A line for each crate of a build: name, version and features.
fn crates(workspace: &Workspace, (_, args): Build<'_>) -> Result<String> {
    let mut tree = workspace.cargo()?;
    tree.arg("tree")
        .args(args)
        .args(["--prefix", "none", "--no-dedupe", "-f", "{p} [{f}]"])
        .stderr(Stdio::inherit());
    output(&mut tree)
}

/// The crates in `less` that differ in `more`, except for podtrace's own. What only one of the
/// builds has is compiled once.
fn missing<'a>(less: &'a str, more: &str) -> BTreeSet<&'a str> {
    let names: BTreeSet<_> = more.lines().map(name).collect();
    let more: BTreeSet<_> = more.lines().collect();
    less.lines()
        .filter(|line| !line.starts_with("podtrace") && !more.contains(line))
        .filter(|line| names.contains(name(line)))
        .collect()
}

/// The name and version in the line of a crate.
fn name(line: &str) -> &str {
    line.split_once(" [").map_or(line, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_with_other_features_is_missing() {
        let less = "podtrace v0.1.0 (/p) []\nserde v1.0.0 [derive]\nlog v0.4.0 []\nlog v0.4.0 []\n\
                    rmcp v3.0.0 [server]";
        let more = "podtrace v0.1.0 (/p) [parquet]\nserde v1.0.0 [alloc,derive]\nlog v0.4.0 []";
        let found: Vec<_> = missing(less, more).into_iter().collect();
        assert_eq!(found, ["serde v1.0.0 [derive]"]);
        assert!(missing(less, less).is_empty());
    }
}
