//! What is written when standard output is a closed pipe, or full.
use std::{
    fs::{self, OpenOptions},
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
};

use nix::pty::openpty;
use serde_json::Value;

const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/tests/data/before-0.2.pcapng"
);

/// Every command that writes what it reads from a file.
const COMMANDS: [&[&str]; 13] = [
    &["export", "--format", "csv"],
    &["export", "--format", "json"],
    &["export", "--format", "pcapng"],
    &["export", "--format", "parquet"],
    &["export", "--format", "perfetto"],
    &["export", "--format", "otlp"],
    &["report", "-o", "-"],
    &["replay"],
    &["replay", "-o", "json"],
    &["replay", "-o", "pcapng"],
    &["stats"],
    &["stats", "-o", "json"],
    &["topology"],
];

fn podtrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    command.args(args).arg(RECORDED).stderr(Stdio::piped());
    command
}

/// Whether this podtrace can do it: a small build has no Parquet.
fn can(args: &[&str]) -> bool {
    cfg!(feature = "parquet") || args.last() != Some(&"parquet")
}

#[test]
fn closed_pipe_is_no_error() {
    for args in COMMANDS.into_iter().filter(|args| can(args)) {
        // After the first byte, and before it.
        for is_read in [true, false] {
            let mut child = podtrace(args).stdout(Stdio::piped()).spawn().unwrap();
            let mut stdout = child.stdout.take().unwrap();
            if is_read {
                stdout.read_exact(&mut [0]).unwrap();
            }
            drop(stdout);
            let output = child.wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{args:?}: {error}");
            assert!(
                !error.contains("reader") && !error.contains("pipe"),
                "{args:?}: {error}"
            );
            // What the pipe had room for was recorded before its reader left.
            let missing = error.replace(", 0 not recorded", "");
            assert!(!missing.contains("not recorded"), "{args:?}: {error}");
        }
    }
}

#[test]
fn full_standard_output_is_named() {
    for args in COMMANDS.into_iter().filter(|args| can(args)) {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = podtrace(args).stdout(full).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains("standard output"), "{args:?}: {error}");
        assert!(
            error.contains("No space left on device"),
            "{args:?}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
    }
}

#[test]
fn file_that_cannot_be_written_is_named() {
    // A device is written to as it is.
    for format in ["csv", "json", "pcapng", "perfetto"] {
        let output = podtrace(&["export", "--format", format, "-w", "/dev/full"])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{format}: {error}");
        assert!(error.contains("/dev/full"), "{format}: {error}");
    }
}

/// What to do instead fits what is written: Wireshark reads packets only.
#[test]
fn terminal_is_refused_with_what_to_do() {
    for (args, is_for_wireshark) in [
        (&["export", "--format", "pcapng"][..], true),
        (&["replay", "-o", "pcapng"], true),
        (&["export", "--format", "parquet"], false),
        (&["report", "-o", "-"], false),
    ] {
        if !can(args) {
            continue;
        }
        let terminal = openpty(None, None).unwrap();
        let output = podtrace(args).stdout(terminal.slave).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains("is a terminal"), "{args:?}: {error}");
        assert!(error.contains("\nhint: "), "{args:?}: {error}");
        assert_eq!(
            error.contains("wireshark"),
            is_for_wireshark,
            "{args:?}: {error}"
        );
    }
}

#[test]
fn recording_on_standard_output_is_whole() {
    let tshark = |pcapng: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("piped.pcapng");
        fs::write(&file, pcapng).unwrap();
        let input = fs::File::open(&file).unwrap();
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-r", "-"]).stdin(input);
        tshark.output().ok().map(|output| {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{error}");
            String::from_utf8_lossy(&output.stdout).lines().count()
        })
    };
    let run = |args: &[&str]| {
        let output = podtrace(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        output.stdout
    };
    let piped = run(&["replay", "-o", "pcapng"]);
    let events = run(&["replay", "-o", "events"]);
    let events = String::from_utf8_lossy(&events);
    let events = events.lines().filter(|line| line.contains("  #")).count();
    assert!(events > 0);
    match tshark(&piped) {
        Some(packets) => assert_eq!(packets, events),
        None => eprintln!("there is no tshark: its part is skipped"),
    }
}

#[test]
fn recording_on_standard_output_is_refused_where_it_would_lie() {
    for (args, words) in [
        (
            &["trace", "-o", "pcapng", "-w", "x.pcapng"][..],
            "podtrace record -w FILE",
        ),
        (
            &[
                "replay",
                "-o",
                "pcapng",
                "--only-matching",
                RECORDED,
                "--",
                "icmp",
            ],
            "--only-matching leaves hops out",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
        let output = command.args(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(output.stdout.is_empty() && error.contains(words), "{error}");
    }
}

/// Some have one fault, a ping that does not reach its pod; each node alone sees its part of it.
#[test]
fn recordings_show_their_fault_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (one, other) = ("tests/docs/worker1.pcapng", "tests/docs/worker2.pcapng");
    for (recordings, expected) in [
        (&[one, other][..], &["request_lost 10.244.2.3"][..]),
        (&[one], &["one_way 10.244.2.3"]),
        (&[other], &["request_lost 10.244.2.3"]),
        (&["src/tests/data/before-0.2.pcapng"], &[]),
    ] {
        let mut replay = Command::new(env!("CARGO_BIN_EXE_podtrace"));
        replay.args(["replay", "-o", "json"]);
        replay.args(recordings.iter().map(|recording| folder.join(recording)));
        let output = replay.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let values = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let findings = values.filter(|value| value["type"] == "finding");
        let shown = findings.map(|finding| {
            let word = |value: &Value| value.as_str().unwrap().to_owned();
            let (kind, server) = (&finding["kind"], &finding["server"]["address"]);
            format!("{} {}", word(kind), word(server))
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{recordings:?}");
    }
}

/// A podtrace without a feature says how to get it.
#[cfg(not(feature = "cluster"))]
#[test]
fn mcp_is_told_to_be_missing() {
    let output = podtrace(&["--no-config", "mcp"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(output.stdout.is_empty(), "{error}");
    assert!(
        error.contains("built without mcp\nhint: build it with the feature cluster"),
        "{error}"
    );
}
