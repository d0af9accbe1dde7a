//! What clients and files get wrong.
use std::{fs, process::Stdio};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use super::session::{RECORDED, Session, capture_of, command, folder};

#[test]
fn wrong_arguments_are_told_with_hints() {
    let mut session = Session::recorded();
    for (tool, arguments, words) in [
        (
            "paths",
            json!({"pods": "web"}),
            "there is no parameter pods\nhint: there is ",
        ),
        (
            "paths",
            json!({"limit": 0}),
            "limit must be a whole number from 1 to 1000",
        ),
        (
            "paths",
            json!({"limit": 1e300}),
            "limit must be a whole number",
        ),
        ("paths", json!({"pod": {}}), "pod must be a text"),
        (
            "paths",
            json!({"pod": "webb"}),
            "no pod webb in the files\nhint: there is default/web",
        ),
        (
            "paths",
            json!({"pod": "a/b/c"}),
            "must be a pod, as default/web",
        ),
        (
            "paths",
            json!({"outcome": "gone"}),
            "outcome must be one of delivered",
        ),
        (
            "paths",
            json!({"expression": "tcp prot 80"}),
            "  tcp prot 80\n      ^^^^",
        ),
        ("paths", json!({"expression": "-r /etc/passwd"}), "^"),
        ("paths", json!({"since": "2026-11-24"}), "must be "),
        ("paths", json!({"since": "+10h"}), ""),
        (
            "paths",
            json!({"interface": "nosuch"}),
            "no interface nosuch in the files",
        ),
        ("paths", json!({"node": "worker9"}), "no node worker9"),
        (
            "flows",
            json!({"sort": "size"}),
            "sort must be one of packets, bytes",
        ),
        ("summary", json!({"min_latency": "soon"}), "must be "),
        ("diagnose", json!({}), "source is missing"),
        (
            "diagnose",
            json!({"source": "client"}),
            "destination is missing",
        ),
        (
            "diagnose",
            json!({"source": "--probe", "destination": "web"}),
            "must not begin with -",
        ),
        (
            "diagnose",
            json!({"source": "clien", "destination": "web"}),
            "hint: ",
        ),
        (
            "topology",
            json!({"part": "half"}),
            "part must be one of all",
        ),
        (
            "topology",
            json!({"files": "/etc"}),
            "there is no parameter files",
        ),
    ] {
        let text = session.mistake(tool, arguments.clone());
        assert!(text.contains(words), "{tool} {arguments}: {text}");
        assert!(!text.contains("Usage"), "{text}");
    }
    let text = session.mistake("paths", json!({"pod": "\u{1b}[31m\u{202e}"}));
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn wrong_messages_end_nothing() {
    let mut session = Session::recorded();
    let unknown = session.ask("tools/call", json!({"name": "exec\u{1b}", "arguments": {}}));
    assert_eq!(unknown["error"]["code"], -32602);
    assert_eq!(unknown["error"]["message"], "unknown tool: exec\\x1b");
    let unknown = session.ask("resources/list", json!({}));
    assert!(unknown["error"].is_object() || unknown["result"]["resources"] == json!([]));
    let unknown = session.ask("no/such", json!({}));
    assert_eq!(unknown["error"]["code"], -32601);
    for line in [
        "nonsense\n",
        "\n",
        "{\"jsonrpc\":\"2.0\"}\n",
        "[]\n",
        "{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"tools/call\",\"params\":[]}\n",
        "\u{fffd}\u{0}\n",
    ] {
        session.write(line.as_bytes());
    }
    session.write(b"\xff\xfe\n");
    // A line beyond all bounds is passed over.
    session.write(&vec![b'x'; 3 << 20]);
    session.write(b"\n");
    assert_eq!(session.ask("ping", json!({}))["result"], json!({}));
    assert_eq!(session.json("flows", json!({}))["count"], 8);
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn bad_files_are_told_at_the_start() {
    for (args, words) in [
        (&["nosuch.pcapng"][..], "nosuch.pcapng"),
        (&["../docs.rs"], "docs.rs"),
        (&["-"], "is no file"),
        (&["worker1.pcapng", "/dev/null"], "is no file"),
        (&[], "required"),
    ] {
        let output = command(args).stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(
            output.stdout.is_empty() && error.contains(words),
            "{args:?}: {error}"
        );
    }
}

#[test]
fn damaged_files_are_read_as_far_as_they_are_whole() {
    let mut bytes = fs::read(folder().join("worker1.pcapng")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 200].fill(0xff);
    let damaged = tempfile::tempdir().unwrap();
    let file = damaged.path().join("damaged.pcapng");
    fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();
    let (mut session, _) = Session::begin(&[file]);
    for tool in ["paths", "flows", "summary"] {
        let answer = session.json(tool, json!({}));
        let notices = answer["notices"].to_string();
        assert!(notices.contains("is damaged"), "{tool}: {notices}");
    }
    let arguments = json!({"source": "client", "destination": "10.244.2.2"});
    session.json("diagnose", arguments);
    // What is gone since the start is an error of the answer.
    fs::remove_file(file).unwrap();
    let text = session.mistake("paths", json!({}));
    assert!(text.contains("No such file"), "{text}");
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn captures_of_other_tools_have_no_topology() {
    let (_folder, file) = capture_of(10);
    let (mut session, _) = Session::begin(&[&file]);
    let text = session.mistake("topology", json!({}));
    assert!(text.starts_with("no topology was recorded in "), "{text}");
    assert_eq!(
        session.json("paths", json!({}))["outcomes"],
        json!({"unknown": 10})
    );
}

#[test]
fn end_of_input_ends_it_at_any_place() {
    // Before the session begins, in the middle of a line, and of an answer.
    assert_eq!(Session::start(&RECORDED).end().code, Some(0));
    let mut session = Session::start(&RECORDED);
    session.write(b"{\"jsonrpc\":");
    assert_eq!(session.end().code, Some(0));
    let mut session = Session::recorded();
    session.write(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",");
    let ended = session.end();
    assert_eq!((ended.code, ended.rest.len()), (Some(0), 0));
    // What was asked for before is still answered, if that is soon.
    let mut session = Session::recorded();
    let id = session.begin_call("summary", json!({}));
    let ended = session.end();
    assert_eq!((ended.code, ended.rest.len()), (Some(0), 1));
    assert_eq!(ended.rest[0]["id"], id);
}

#[test]
fn signals_end_it() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (_folder, file) = capture_of(60_000);
        // At rest, and while it works.
        for is_busy in [false, true] {
            let (mut session, _) = Session::begin(&[&file]);
            if is_busy {
                session.begin_call("summary", json!({}));
                session.ask("ping", json!({}));
            }
            let pid = i32::try_from(session.child.id()).unwrap();
            kill(Pid::from_raw(pid), signal).unwrap();
            assert_eq!(session.wait().code, Some(0), "{signal}");
        }
    }
}
