//! The progress of a recording, on a terminal.

use std::io::Read as _;

use podtrace::lab::traffic::ping;
use tempfile::TempDir;

use crate::cases::scenarios::lab;
use crate::cases::tracer::{Process, interrupt, podtrace, trace_nodes};

#[test]
fn terminal_shows_how_far_a_recording_is_and_nothing_at_its_end() {
    let (lab, dir) = (lab(), TempDir::new().unwrap());
    let file = dir.path().join("a.pcapng");
    let mut command = podtrace();
    command.args(["record", "--duration", "60s", "--flush", "50ms", "-w"]);
    command.arg(&file).env("TERM", "xterm");
    let _table = trace_nodes(&mut command, &lab, &[0]);
    let (mut child, mut terminal) = Process::on_terminal(command);
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let pods = &lab.nodes[0].pods;
    let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
    while !(has(&bytes, " 0 lost · 0 not recorded · ") && has(&bytes, "/a.pcapng")) {
        ping(&pods[0].netns, pods[1].ipv4.into(), 9, 1, 56).unwrap();
        let read = terminal.read(&mut buffer).unwrap();
        bytes.extend(&buffer[..read]);
    }
    interrupt(&child);
    // At the end no process writes to the terminal.
    while let Ok(read) = terminal.read(&mut buffer)
        && read > 0
    {
        bytes.extend(&buffer[..read]);
    }
    let shown = String::from_utf8(bytes).unwrap();
    assert!(child.wait().unwrap().success(), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "{shown:?}");
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert!(!text.contains(" · 0 not recorded"), "{text}");
}
