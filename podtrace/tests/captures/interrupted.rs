//! The first signal ends the reading, whatever the input does.
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until something is so.
#[track_caller]
fn until<T>(mut is_so: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = is_so() {
            return value;
        }
        assert!(Instant::now() < end, "it never comes");
        thread::yield_now();
    }
}

/// Whether a process takes SIGINT by itself.
fn is_listening(process: &Child) -> Option<()> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))?;
    let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
    (caught >> (Signal::SIGINT as u32 - 1) & 1 == 1).then_some(())
}

/// Starts a command that reads a pipe, in which there are some bytes.
fn start(mut command: Command, bytes: &[u8]) -> (Child, ChildStdin) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(bytes).unwrap();
    until(|| is_listening(&process));
    (process, input)
}

/// Sends one signal; what was said until it ended.
#[track_caller]
fn interrupt(mut process: Child, signal: Signal) -> RunOutput {
    let pid = Pid::from_raw(process.id().try_into().unwrap());
    kill(pid, signal).unwrap();
    until(|| process.try_wait().unwrap());
    RunOutput::of(process.wait_with_output().unwrap())
}

#[test]
fn silent_input_is_left_at_the_first_signal() {
    let files = Files::new();
    nix::unistd::mkfifo(&files.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for (args, is_file) in [
            (&["replay", "-"][..], false),
            (&["stats", "-"], false),
            (&["topology", "-"], false),
            (&["replay", "pipe"], false),
            (&["export", "--format", "csv", "-w", "out", "-"], true),
        ] {
            let (process, _input) = start(files.command(args), b"");
            let output = interrupt(process, signal);
            assert_eq!(output.code, Some(130), "{args:?} {output:?}");
            assert!(output.stderr.contains("interrupted"), "{output:?}");
            assert!(!is_file || !files.path("out").exists());
        }
    }
}

#[test]
fn interrupted_output_is_shown_and_called_partial() {
    let files = Files::new();
    // Enough for the first lines to be shown.
    let capture = pcap(1, &pings(0..3000));
    let (mut process, _input) = start(files.command(&["replay", "-"]), &capture);
    let mut out = BufReader::new(process.stdout.take().unwrap());
    let mut lines = String::new();
    while !lines.contains("ICMP echo request id 7 seq 100 ") {
        assert!(out.read_line(&mut lines).unwrap() > 0, "{lines}");
    }
    let rest = thread::spawn(move || out.lines().map_while(Result::ok).collect::<Vec<_>>());
    let output = interrupt(process, Signal::SIGINT);
    let rest = rest.join().unwrap();
    assert_eq!(output.code, Some(130), "{output:?}");
    let notice = "-- interrupted: what follows in the files was not read";
    assert!(rest.iter().any(|line| line == notice), "{rest:?}");
    assert!(
        !rest.iter().any(|line| line.contains("damaged")),
        "{rest:?}"
    );
    assert!(
        rest.iter().any(|line| line.contains("packets · ")),
        "{rest:?}"
    );
}

#[test]
fn partial_export_is_named() {
    let files = Files::new();
    for format in ["csv", "json", "parquet", "pcapng", "perfetto"] {
        let out = files.path("out");
        let args = ["export", "--format", format, "-w", "out", "-"];
        let (process, _input) = start(files.command(&args), &pcap(1, &pings(0..3000)));
        until(|| out.exists().then_some(()));
        let output = interrupt(process, Signal::SIGTERM);
        assert_eq!(output.code, Some(130), "{output:?}");
        assert!(output.stderr.contains("out is partial"), "{output:?}");
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn pauses_of_a_slow_replay_end_as_well() {
    let files = Files::new();
    let day_us = 3_600_000_000;
    files.add("slow", &pcap(1, &[(0, frame(1)), (day_us, frame(2))]));
    let args = ["replay", "--speed", "1", "slow"];
    let (process, _input) = start(files.command(&args), b"");
    assert_eq!(interrupt(process, Signal::SIGINT).code, Some(130));
}
