//! An export has exactly the recorded data.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::record::{
    Recorded, lines, number, of_type, recorded, replay, replay_json, run, succeeds,
};
use super::tools::tshark;

/// Reads both files and compares every cell; prints the rows.
const COMPARE: &str = r#"
import csv, sys
import pyarrow as pa, pyarrow.parquet as pq
rows = list(csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8")))
table = pq.read_table(sys.argv[2])
assert table.schema.field("time_ns").type == pa.timestamp("ns", tz="UTC")
assert table.schema.field("packet").type == pa.int64()
assert not table.schema.field("packet").nullable and table.schema.field("pod").nullable
assert len(rows) == table.num_rows, (len(rows), table.num_rows)
assert set(rows[0]) - {"time"} == set(table.column_names)
def text(value):
    if value is None: return ""
    if isinstance(value, bool): return str(value).lower()
    return str(value)
for name in table.column_names:
    column = table[name].cast(pa.int64()) if name == "time_ns" else table[name]
    assert [text(v) for v in column.to_pylist()] == [row[name] for row in rows], name
print(table.num_rows)
"#;

/// Exports to a file beside the recording.
#[track_caller]
fn export(recorded: &Recorded, format: &str, name: &str, more: &[&str]) -> PathBuf {
    let file = recorded.dir.path().join(name);
    export_to(&file, format, more, &[&recorded.file]);
    file
}

#[track_caller]
pub(super) fn export_to<A: AsRef<Path>>(file: &Path, format: &str, more: &[&str], from: &[A]) {
    let mut args: Vec<OsString> = ["export", "--format", format, "-w"].map(Into::into).into();
    args.push(file.into());
    args.extend(more.iter().map(Into::into));
    args.extend(from.iter().map(|from| from.as_ref().into()));
    let output = run(&args);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn json_is_that_of_the_replay() {
    let recorded = recorded("a.pcapng", &[]);
    let file = export(&recorded, "json", "a.json", &[]);
    let written = fs::read_to_string(&file).unwrap();
    assert!(lines(&written) == replay("json", &[&recorded.file]));
}

#[test]
fn rows_are_the_hops_of_the_replay() {
    let recorded = recorded("a.pcapng", &[]);
    let csv = export(&recorded, "csv", "a.csv", &[]);
    let parquet = export(&recorded, "parquet", "a.parquet", &[]);
    let values = replay_json(&[&recorded.file]);
    let mut hops = Vec::new();
    for path in of_type(&values, "path") {
        for (at, hop) in path["hops"].as_array().unwrap().iter().enumerate() {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            hops.push([
                number(path, "packet").to_string(),
                at.to_string(),
                number(hop, "time_ns").to_string(),
                text(&hop["interface"]),
                text(&hop["direction"]),
                text(&path["outcome"]),
            ]);
        }
    }
    let table = fs::read_to_string(&csv).unwrap();
    let mut rows = table.lines();
    let header: Vec<_> = rows.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    // The first columns have no quoted text.
    let numbers = ["packet", "hop", "time_ns"].map(column);
    let first: Vec<_> = rows
        .clone()
        .map(|row| row.split(',').collect::<Vec<_>>())
        .collect();
    assert_eq!(first.len(), hops.len());
    let base: u64 = first[0][numbers[1]].parse().unwrap();
    for (row, hop) in first.iter().zip(&hops) {
        assert_eq!(row[numbers[0]], hop[0]);
        assert_eq!(
            row[numbers[1]].parse::<u64>().unwrap() - base,
            hop[1].parse::<u64>().unwrap()
        );
        assert_eq!(row[numbers[2]], hop[2]);
    }
    for (row, hop) in rows.zip(&hops) {
        assert!(
            hop[3..].iter().all(|text| row.contains(text.as_str())),
            "{row} {hop:?}"
        );
    }

    let Some(python) = std::env::var_os("PODTRACE_PYARROW") else {
        println!("skipped: no Python with pyarrow to read Parquet back");
        return;
    };
    let mut compare = Command::new(python);
    let output = compare
        .args(["-c", COMPARE])
        .arg(&csv)
        .arg(&parquet)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let read = String::from_utf8(output.stdout).unwrap();
    assert_eq!(read.trim(), hops.len().to_string());
}

#[test]
fn one_place_has_each_packet_once() {
    let recorded = recorded("a.pcapng", &[]);
    let options = ["--vantage", "default/mypod1/eth0"];
    let file = export(&recorded, "pcapng", "pod.pcapng", &options);
    let values = replay_json(&[&recorded.file]);
    let is_there = |event: &&serde_json::Value| {
        event["pod"] == "default/mypod1" && event["interface"] == "eth0"
    };
    let expected: Vec<_> = of_type(&values, "event").filter(is_there).collect();
    let again = replay_json(&[&file]);
    let exported: Vec<_> = of_type(&again, "event").collect();
    assert_eq!(exported.len(), expected.len());
    for (exported, expected) in exported.iter().zip(&expected) {
        for field in [
            "time_ns",
            "what",
            "pod",
            "interface",
            "direction",
            "bytes",
            "socket",
        ] {
            assert_eq!(exported[field], expected[field], "{expected}");
        }
    }
    let ids: BTreeSet<_> = exported
        .iter()
        .map(|event| number(event, "packet"))
        .collect();
    assert_eq!(ids.len(), exported.len());
    let text = succeeds(&["replay", file.to_str().unwrap()]);
    assert!(text.contains("default/mypod1"));

    let again = [
        "tcp.analysis.retransmission",
        "frame.packet_id",
        "tcp.stream",
    ];
    let rows = tshark(&file, &[], &again);
    assert_eq!(rows.len(), expected.len());
    let tcp = rows.iter().filter(|row| !row[2].is_empty());
    assert!(tcp.clone().count() > 20);
    assert_eq!(tcp.filter(|row| !row[0].is_empty()).count(), 0);
    // All interfaces together have it several times.
    let rows = tshark(&recorded.file, &[], &again);
    assert!(rows.iter().any(|row| !row[0].is_empty()));
}
