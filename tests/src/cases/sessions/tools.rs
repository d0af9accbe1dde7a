//! Other programs that read recordings; `cargo xtask setup` installs them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Runs a program that succeeds; returns its output and its complaints.
#[track_caller]
pub(super) fn output<A: AsRef<OsStr>>(program: &str, args: &[A]) -> (String, String) {
    let mut command = Command::new(program);
    let output = command
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}: {error}",
        output.status
    );
    (String::from_utf8(output.stdout).unwrap(), error)
}

/// The fields of every packet, as tshark reads them without complaints.
#[track_caller]
pub(super) fn tshark(file: &Path, options: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let mut args: Vec<&OsStr> = vec!["-r".as_ref(), file.as_os_str()];
    args.extend(options.iter().map(OsStr::new));
    args.extend(["-T", "fields", "-E", "occurrence=f"].map(OsStr::new));
    for field in fields {
        args.extend(["-e", field].map(OsStr::new));
    }
    let (text, error) = output("tshark", &args);
    let complaints: Vec<_> = error
        .lines()
        .filter(|line| !line.starts_with("Running as user") && !line.is_empty())
        .collect();
    assert_eq!(complaints, [""; 0], "{}", file.display());
    let rows = text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect());
    rows.collect()
}

/// How many packets tshark reads without complaints.
#[track_caller]
pub(super) fn tshark_packets(file: &Path) -> u64 {
    tshark(file, &[], &["frame.number"]).len() as u64
}

/// How many packets tcpdump reads without complaints.
#[track_caller]
pub(super) fn tcpdump_packets(file: &Path) -> u64 {
    let args: [&OsStr; 3] = ["--count".as_ref(), "-r".as_ref(), file.as_os_str()];
    let (text, error) = output("tcpdump", &args);
    assert!(error.starts_with("reading from file"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let count = text.strip_suffix(" packets\n");
    count.and_then(|count| count.parse().ok()).expect(&text)
}

/// How many packets remain after each tool has rewritten a file.
#[track_caller]
pub(super) fn rewritten(file: &Path) -> [(&'static str, u64); 3] {
    let dir = TempDir::new().unwrap();
    ["editcap", "mergecap", "reordercap"].map(|tool| {
        let made = dir.path().join(tool);
        let (file, made) = (file.as_os_str(), made.as_os_str());
        let args = match tool {
            "mergecap" => vec!["-w".as_ref(), made, file],
            _ => vec![file, made],
        };
        output(tool, &args);
        (tool, tshark_packets(made.as_ref()))
    })
}
