//! SQL.
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::session::{RECORDED, Session, children, command, folder, is_gone, wait_until};

const COUNT: &str = "SELECT count(*) AS n FROM paths";

#[test]
fn sql_is_answered_with_rows() {
    let mut session = Session::recorded();
    let answer = session.json("query", json!({"sql": COUNT}));
    assert_eq!(answer, json!({"shown": 1, "rows": [{"n": 36}]}));
    let some = "SELECT packet FROM hops ORDER BY time_ns";
    let answer = session.json("query", json!({"sql": some, "limit": 2}));
    assert_eq!(answer["rows"].as_array().unwrap().len(), 2);
    assert_eq!(answer["rows_left_out"]["why"], "more than 2 rows");
    let whole = session.json("query", json!({"sql": COUNT, "limit": 1}));
    assert_eq!(whole["rows_left_out"], Value::Null);
    let long = "SELECT repeat('x', 300000) AS x FROM paths";
    let words = session.mistake("query", json!({"sql": long}));
    assert!(words.contains("a row has more than"), "{words}");
}

#[test]
fn sql_that_is_none_or_writes_is_refused() {
    let mut session = Session::recorded();
    for (sql, words) in [
        ("SELEC 1", "SELEC"),
        ("SELECT nope FROM paths", "nope"),
        ("DROP TABLE paths", "DROP"),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY"),
        (
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE",
        ),
    ] {
        let told = session.mistake("query", json!({"sql": sql}));
        assert!(!told.contains("podtrace:"), "{told}");
        assert!(
            told.to_uppercase().contains(&words.to_uppercase()),
            "{sql}: {told}"
        );
    }
    let told = session.mistake("query", json!({"sql": "--lake=/etc"}));
    assert!(told.contains("must not begin with -"), "{told}");
    let told = session.mistake("query", json!({}));
    assert!(told.starts_with("sql is missing"), "{told}");
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn lake_has_sql_alone() {
    let made = tempfile::tempdir().unwrap();
    let lake = made.path().join("lake");
    let lake = lake.to_str().unwrap();
    let mut export = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    export
        .current_dir(folder())
        .args(["export", "--lake", lake]);
    let exported = export.args(RECORDED).output().unwrap();
    assert!(exported.status.success(), "{exported:?}");
    let (mut session, begun) = Session::begin(&["--lake", lake]);
    assert!(begun["instructions"].as_str().unwrap().contains("lake"));
    let tools = session.ask("tools/list", json!({}));
    let tools = tools["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, [&json!("query")]);
    assert_eq!(
        session.json("query", json!({"sql": COUNT}))["rows"],
        json!([{"n": 36}])
    );
    let absent = session.ask("tools/call", json!({"name": "paths", "arguments": {}}));
    assert!(
        absent["error"]["message"]
            .as_str()
            .unwrap()
            .contains("unknown tool")
    );
}

const ENDLESS: &str = "SELECT count(*) FROM hops a, hops b, hops c, hops d, hops e, hops f";

#[test]
fn question_ends_with_its_server() {
    let mut session = Session::recorded();
    session.begin_call("query", json!({"sql": ENDLESS}));
    let server = session.child.id();
    wait_until("nothing is asked", || !children(server).is_empty());
    let asked = children(server);
    session.kill(Signal::SIGKILL);
    wait_until("a question is left", || asked.iter().all(is_gone));
    session.child.wait().unwrap();
}

#[test]
fn question_that_is_cancelled_ends() {
    let mut session = Session::recorded();
    let id = session.begin_call("query", json!({"sql": ENDLESS}));
    session.tell("notifications/cancelled", json!({"requestId": id}));
    assert_eq!(session.json("query", json!({"sql": COUNT}))["shown"], 1);
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn sources_do_not_go_together() {
    for args in [
        &["--lake", "x", "worker1.pcapng"][..],
        &["--live", "worker1.pcapng"],
        &["--allow-probe", "worker1.pcapng"],
        &["worker1.pcapng", "--", "--netns", "x"],
        &["--live", "--", "--no-such-option"],
        &["--live", "--", "--sample", "0"],
        &["--live", "--allow-probe", "--", "icmp"],
        &[],
    ] {
        let output = command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
}
