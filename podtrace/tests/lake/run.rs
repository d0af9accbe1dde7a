//! Runs podtrace, and looks at what it says.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// The recordings of the docs.
pub(crate) const RECORDED: [&str; 2] = ["worker1.pcapng", "worker2.pcapng"];

pub(crate) const HOPS: &str = "SELECT count(*) AS n FROM hops";
pub(crate) const PATHS: &str = "SELECT count(*) AS n FROM paths";

/// podtrace in the folder of the recordings.
pub(crate) fn podtrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    command.current_dir(folder).env("TZ", "UTC");
    command.arg("--no-config").args(args);
    command
}

#[track_caller]
pub(crate) fn succeeds(args: &[&str]) -> String {
    finished(podtrace(args).output().unwrap())
}

#[track_caller]
pub(crate) fn finished(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is said by a command that fails.
#[track_caller]
pub(crate) fn fails(args: &[&str]) -> String {
    failed(podtrace(args).output().unwrap())
}

#[track_caller]
pub(crate) fn failed(output: Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
pub(crate) fn export(lake: &str, files: &[&str]) {
    succeeds(&[&["export", "--lake", lake], files].concat());
}

/// The rows of an answer.
#[track_caller]
pub(crate) fn rows(sql: &str, from: &[&str]) -> Vec<Value> {
    parsed(&succeeds(&[&["query", "-o", "json", sql], from].concat()))
}

pub(crate) fn parsed(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
pub(crate) fn number(sql: &str, lake: &str) -> u64 {
    rows(sql, &["--lake", lake])[0]["n"].as_u64().unwrap()
}

/// The first half of a recording: it was still going on.
pub(crate) fn half_of(recorded: &str) -> Vec<u8> {
    let whole = podtrace(&[]).get_current_dir().unwrap().join(recorded);
    let mut bytes = fs::read(whole).unwrap();
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// How many hops and paths a replay has.
pub(crate) fn replayed(files: &[&str]) -> [u64; 2] {
    let lines = parsed(&succeeds(&[&["replay", "-o", "json"], files].concat()));
    let paths = lines.iter().filter(|line| line["type"] == "path");
    let hops = paths
        .clone()
        .map(|path| path["hops"].as_array().unwrap().len());
    [hops.sum(), paths.count()].map(|count: usize| count.try_into().unwrap())
}

/// The Parquet files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}
