//! Recordings to be read, and podtrace's replays of them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Output;

use podtrace::lab::traffic::{ping, tcp_exchange, udp_exchange};
use podtrace::lab::{Lab, LabPod};
use serde_json::Value;
use tempfile::TempDir;

use super::live::{Live, tail};
use crate::cases::scenarios::lab;
use crate::cases::tracer::{is_attach_progress, podtrace};

/// The live output, and the file of the recording.
pub(in crate::cases) struct Recorded {
    pub(super) lines: Vec<String>,
    pub(in crate::cases) file: PathBuf,
    /// The directory of the file.
    pub(super) dir: TempDir,
}

/// Traces both nodes of the usual lab during the usual traffic, and records.
pub(in crate::cases) fn recorded(name: &str, options: &[&str]) -> Recorded {
    recorded_during(name, options, traffic)
}

/// As [`recorded`], during some work.
pub(super) fn recorded_during(name: &str, options: &[&str], work: impl FnOnce(&Lab)) -> Recorded {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join(name);
    let mut args: Vec<&OsStr> = vec!["trace".as_ref(), "-w".as_ref(), file.as_os_str()];
    args.extend(options.iter().map(OsStr::new));
    let live = Live::on(&lab, &[0, 1], &args);
    work(&lab);
    let lines = live.finish();
    Recorded { lines, file, dir }
}

/// From mypod1 to each kind of end: over localhost, on the node, to the other node.
pub(super) fn scenarios(lab: &Lab) -> Vec<(&LabPod, &LabPod, IpAddr)> {
    let one = &lab.nodes[0].pods[0];
    let mut scenarios = vec![
        (one, one, Ipv4Addr::LOCALHOST.into()),
        (one, one, Ipv6Addr::LOCALHOST.into()),
    ];
    for other in [&lab.nodes[0].pods[1], &lab.nodes[1].pods[0]] {
        scenarios.push((one, other, other.ipv4.into()));
        scenarios.push((one, other, other.ipv6.into()));
    }
    scenarios
}

/// Pings, UDP and TCP, with the required ARP and ND, in every scenario.
pub(super) fn traffic(lab: &Lab) {
    try_traffic(lab).unwrap();
}

/// As [`traffic`], until a packet does not arrive: a kernel without TCX drops packets when a
/// session ends.
pub(super) fn try_traffic(lab: &Lab) -> io::Result<()> {
    for (from, to, address) in scenarios(lab) {
        ping(&from.netns, address, 23, 3, 56)?;
        let service = SocketAddr::new(address, 5353);
        udp_exchange(&from.netns, &to.netns, service, 3, b"same payload")?;
        let service = SocketAddr::new(address, 8080);
        tcp_exchange(&from.netns, &to.netns, service, 20_000)?;
    }
    Ok(())
}

/// Runs podtrace to its end.
pub(super) fn run<A: AsRef<OsStr>>(args: &[A]) -> Output {
    podtrace().args(args).output().unwrap()
}

/// Runs podtrace, which succeeds without complaints; returns its output.
#[track_caller]
pub(super) fn succeeds<A: AsRef<OsStr>>(args: &[A]) -> String {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    assert_eq!(error, "");
    String::from_utf8(output.stdout).unwrap()
}

/// `podtrace replay` of the files in this format; returns its lines.
#[track_caller]
pub(super) fn replay<A: AsRef<OsStr>>(format: &str, files: &[A]) -> Vec<String> {
    let mut args: Vec<OsString> = ["replay", "-o", format].map(OsString::from).to_vec();
    args.extend(files.iter().map(|file| file.as_ref().to_owned()));
    lines(&succeeds(&args))
}

/// The same as JSON.
#[track_caller]
pub(super) fn replay_json<A: AsRef<OsStr>>(files: &[A]) -> Vec<Value> {
    let values = parse(&replay("json", files));
    assert!(values.last().is_some_and(|last| last["type"] == "summary"));
    values
}

pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
pub(super) fn parse(lines: &[String]) -> Vec<Value> {
    let values = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    values.collect()
}

/// The values of a type.
pub(super) fn of_type<'a>(
    values: &'a [Value],
    name: &'a str,
) -> impl Iterator<Item = &'a Value> + Clone {
    values.iter().filter(move |value| value["type"] == name)
}

/// The texts of all notices.
pub(super) fn notices(values: &[Value]) -> Vec<&str> {
    let notices = of_type(values, "notice");
    notices
        .map(|notice| notice["text"].as_str().unwrap())
        .filter(|text| !is_attach_progress(text))
        .collect()
}

#[track_caller]
pub(super) fn number(value: &Value, field: &str) -> u64 {
    let number = value[field].as_u64();
    number.unwrap_or_else(|| panic!("{field} in {value}"))
}

/// Every tap adds up: seen = emitted + filtered + lost. Returns the total.
#[track_caller]
pub(super) fn conserved(values: &[Value]) -> &Value {
    let summary = values.last().unwrap();
    assert_eq!(summary["type"], "summary", "{}", tail(values));
    let taps = summary["taps"].as_array().unwrap();
    for count in taps.iter().chain([&summary["total"]]) {
        let unrecorded = count["unrecorded"].as_u64().unwrap_or(0);
        let accounted = number(count, "emitted")
            + number(count, "filtered")
            + number(count, "lost_ring")
            + number(count, "undecodable")
            + unrecorded;
        assert_eq!(number(count, "seen"), accounted, "{count}");
    }
    &summary["total"]
}

/// The content of a directory, by name.
pub(super) fn names(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}
