//! Errors for files that cannot be written or read.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::record::{names, recorded, run};
use crate::cases::{one_node, tracer::podtrace};

/// It failed with one line for the reason, perhaps a hint, and no output.
#[track_caller]
fn refuses(output: &Output, expected: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(output.stdout, b"", "{error}");
    for part in expected {
        assert!(error.contains(part), "{part} in\n{error}");
    }
    let is_ours = |line: &str| line.starts_with("podtrace: ") || line.starts_with("error: ");
    let lines: Vec<_> = error.lines().collect();
    assert!(is_ours(lines[0]), "{error}");
    assert_eq!(
        lines.iter().filter(|line| is_ours(line)).count(),
        1,
        "{error}"
    );
    // clap's errors have more lines.
    if lines[0].starts_with("podtrace: ") {
        let hints = &lines[1..];
        assert!(hints.len() <= 1, "{error}");
        assert!(
            hints.iter().all(|line| line.starts_with("hint: ")),
            "{error}"
        );
    }
}

/// What an earlier recording holds is worth more than one that does not begin.
#[test]
fn earlier_file_outlives_a_start_that_fails() {
    let (lab, dir) = (one_node(1), TempDir::new().unwrap());
    let old = dir.path().join("old");
    let netns = lab.nodes[0].netns.name.as_str();
    let target = ["--netns", netns, "--force", "-w", old.to_str().unwrap()];
    let nobody = ["--", "/no/such/command"];
    for (command, rest) in [
        ("record", &["-i", "nosuch"][..]),
        ("trace", &["-i", "nosuch"]),
        ("record", &["--pod", "nosuch"]),
        ("record", &["-N", "nosuch"]),
        ("trace", &nobody),
        ("record", &nobody),
    ] {
        fs::write(&old, "keep me").unwrap();
        let output = run(&[&[command], &target[..], rest].concat());
        assert!(!output.status.success(), "{command} {rest:?}: {output:?}");
        assert_eq!(fs::read(&old).unwrap(), b"keep me", "{command} {rest:?}");
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 1, "{command} {rest:?}");
    }
    let output = run(&[&["record", "--duration", "100ms"], &target[..]].concat());
    assert!(output.status.success(), "{output:?}");
    assert_ne!(fs::read(&old).unwrap(), b"keep me");
    let output = run(&[&["trace"], &target[..], &["--", "true"]].concat());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn files_that_cannot_be_recorded_to_are_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("old"), "keep me").unwrap();
    symlink(path("old"), path("link")).unwrap();
    let record = |args: &[&str]| run(&[&["record", "--duration", "1s"], args].concat());
    for command in ["record", "trace"] {
        let output = run(&[command, "--duration", "1s", "-w", &path("old")]);
        refuses(&output, &["old exists already", "--force"]);
    }
    refuses(&record(&["-w", &path("link")]), &["is a symbolic link"]);
    refuses(
        &record(&["--force", "-w", &path("link")]),
        &["is a symbolic link"],
    );
    refuses(
        &record(&["-w", &path("no/a.pcapng")]),
        &["there is no directory", "create it first"],
    );
    refuses(&record(&["-W", "3"]), &["--write"]);
    refuses(&run(&["trace", "-W", "3"]), &["--write"]);
    refuses(
        &record(&["-w", &path("a"), "--keep-size", "1MB"]),
        &["--rotate-size"],
    );
    let keep = [
        "-w",
        &path("a"),
        "--rotate-size",
        "2MB",
        "--keep-size",
        "1MB",
    ];
    refuses(&record(&keep), &["do not fit"]);
    refuses(
        &record(&["-w", &path("a"), "--rotate-size", "1"]),
        &["at least 100kB"],
    );
    // Not even the begin of a file.
    for wrong in [["-i", "no-such-link"], ["--netns", "no-such-namespace"]] {
        let args = ["-w", &path("a"), wrong[0], wrong[1]];
        refuses(&record(&args), &[wrong[1]]);
    }
    assert_eq!(fs::read_to_string(path("old")).unwrap(), "keep me");
    assert_eq!(
        names(dir.path()),
        [dir.path().join("link"), dir.path().join("old")]
    );
}

#[test]
fn files_that_cannot_be_read_are_named_with_a_hint() {
    let recorded = recorded("a.pcapng", &[]);
    let (dir, file) = (recorded.dir.path(), recorded.file.to_str().unwrap());
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    fs::write(
        path("text"),
        "a long text that is not a capture\n".repeat(9),
    )
    .unwrap();
    fs::write(path("empty"), "").unwrap();
    // Two bytes compressed by gzip.
    fs::write(path("packed"), b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x0a\x00\xf5\xffno capture\x0d\x09\x9a@\x0a\x00\x00\x00").unwrap();
    fs::create_dir(path("nothing")).unwrap();
    let before = names(dir);
    for command in ["replay", "stats"] {
        refuses(
            &run(&[command, &path("text")]),
            &["text is neither pcapng nor pcap"],
        );
        refuses(&run(&[command, &path("empty")]), &["empty"]);
        refuses(
            &run(&[command, &path("packed")]),
            &["packed is neither pcapng nor pcap, nor is one packed in it"],
        );
        refuses(
            &run(&[command, &path("missing")]),
            &["missing", "No such file"],
        );
        refuses(&run(&[command, &path("nothing")]), &["no capture in"]);
        refuses(&run(&[command, file, file]), &["named twice"]);
        let offset = ["--clock-offset", "nobody=1ms", file];
        refuses(
            &run(&[&[command], &offset[..]].concat()),
            &["nobody", "node1"],
        );
    }
    let mut command = podtrace();
    command.args(["replay", "--last", "3", "-"]);
    command.stdin(Stdio::from(fs::File::open(&recorded.file).unwrap()));
    refuses(&command.output().unwrap(), &["--last", "standard input"]);
    refuses(
        &run(&["replay", "--last", "3", "--first", "3", file]),
        &["--first"],
    );
    refuses(
        &run(&["replay", "--since", "yesterday", file]),
        &["yesterday"],
    );
    let export = ["export", "--format", "csv", "-w"];
    let export = |more: &[&str]| run(&[&export[..], more].concat());
    refuses(
        &export(&[&path("text"), file]),
        &["text", "exists", "--force"],
    );
    refuses(
        &export(&[&path("no/x.csv"), file]),
        &["no directory", &path("no")],
    );
    refuses(&export(&[&path("x.csv"), &path("missing")]), &["missing"]);
    let args = [
        "export",
        "--format",
        "pcapng",
        "-w",
        &path("x.pcapng"),
        &path("missing"),
    ];
    refuses(&run(&args), &["missing"]);
    let args = [
        "export",
        "--format",
        "csv",
        "--zstd",
        "-w",
        &path("x.csv"),
        file,
    ];
    refuses(&run(&args), &["--zstd"]);
    assert_eq!(names(dir), before);
}

/// As another user, with a copy of podtrace that may be executed.
fn as_nobody(dir: &Path, args: &[&str]) -> Output {
    let program = dir.join("podtrace");
    if !program.exists() {
        fs::copy(podtrace().get_program(), &program).unwrap();
        for path in [dir, &program] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let mut command = Command::new(program);
    command.args(args).uid(65_534).gid(65_534);
    command.output().unwrap()
}

#[test]
fn recordings_are_private_and_replay_needs_no_privileges() {
    let recorded = recorded("a.pcapng", &[]);
    let mode = fs::metadata(&recorded.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let dir = TempDir::new().unwrap();
    let open = dir.path().join("open.pcapng");
    fs::copy(&recorded.file, &open).unwrap();
    let output = as_nobody(dir.path(), &["replay", open.to_str().unwrap()]);
    refuses(&output, &["open.pcapng", "no permission to read", "sudo"]);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let output = as_nobody(dir.path(), &["replay", open.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}
