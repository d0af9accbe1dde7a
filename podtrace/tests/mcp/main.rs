//! `podtrace mcp`: sessions of the Model Context Protocol with the program.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod faults;
mod limits;
mod live;
mod query;
mod session;

use insta::assert_snapshot;
use serde_json::{Value, json};
use session::{RECORDED, Session, folder};

#[test]
fn server_tells_what_it_has() {
    let (mut session, begun) = Session::begin(&RECORDED);
    assert_eq!(begun["serverInfo"]["name"], "podtrace");
    assert_eq!(begun["capabilities"], json!({"tools": {}}));
    assert_snapshot!("instructions", begun["instructions"].as_str().unwrap());
    let tools = session.ask("tools/list", json!({}));
    assert_snapshot!("tools", pretty(&tools["result"]));
    let ended = session.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.rest.is_empty());
}

/// Every version of the protocol that clients have.
#[test]
fn versions_are_negotiated() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut session = Session::start(&RECORDED);
        let client = json!({"name": "test", "version": "1"});
        let begun = session.ask(
            "initialize",
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client}),
        );
        assert_eq!(begun["result"]["protocolVersion"], version);
    }
}

#[test]
fn summary_tells_what_is_wrong() {
    let mut session = Session::recorded();
    let all = session.json("summary", json!({}));
    assert_eq!(all["packets"], 36);
    assert_eq!(all["findings"][0]["kind"], "request_lost");
    assert_eq!(all["causes"][0]["last_seen"]["interface"], "flannel.1");
    let (is_error, text) = session.call("summary", json!({"pod": "db", "limit": 2}));
    assert!(!is_error, "{text}");
    assert_snapshot!("summary", readable(&text));
}

#[test]
fn paths_are_those_of_replay() {
    let mut session = Session::recorded();
    let arguments = json!({"expression": "icmp", "outcome": "not_seen_further"});
    let (is_error, text) = session.call("paths", arguments);
    assert!(!is_error, "{text}");
    assert_snapshot!("paths", text);
    let replayed = std::process::Command::new(env!("CARGO_BIN_EXE_podtrace"))
        .current_dir(folder())
        .args(["replay", "-o", "json"])
        .args(RECORDED)
        .args(["--", "icmp"])
        .output()
        .unwrap();
    let lines = String::from_utf8(replayed.stdout).unwrap();
    let expected: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["type"] == "path")
        .collect();
    let answer = session.json("paths", json!({"expression": "icmp"}));
    assert_eq!(answer["paths"].as_array(), Some(&expected));
    assert_eq!(answer["packets"], expected.len());
    // What is left out is where the hint says.
    let first = session.json("paths", json!({"expression": "icmp", "limit": 3}));
    let left_out = &first["paths_left_out"];
    assert_eq!(left_out["rows"], expected.len() - 3);
    let (_, since) = left_out["hint"]
        .as_str()
        .unwrap()
        .split_once("since=")
        .unwrap();
    let rest = session.json("paths", json!({"expression": "icmp", "since": since}));
    assert_eq!(rest["paths"].as_array().unwrap().len(), expected.len() - 3);
}

#[test]
fn flows_are_sorted_and_limited() {
    let mut session = Session::recorded();
    let (is_error, text) = session.call("flows", json!({"sort": "bytes", "limit": 2}));
    assert!(!is_error, "{text}");
    assert_snapshot!("flows", text);
    let lossy = session.json("flows", json!({"sort": "lost", "limit": 1}));
    assert_eq!(lossy["flows"][0]["server"]["name"]["name"], "default/db");
    let tcp = session.json("flows", json!({"protocol": "tcp", "port": 80}));
    assert_eq!(tcp["count"], 1);
}

#[test]
fn diagnosis_is_that_of_the_command() {
    let mut session = Session::recorded();
    let arguments = json!({"source": "client", "destination": "default/db"});
    let (is_error, text) = session.call("diagnose", arguments);
    assert!(!is_error, "{text}");
    assert_snapshot!("diagnose", readable(&text));
    for (destination, port, conclusion) in [("default/web", 80, "delivered"), ("db", 81, "unknown")]
    {
        let answer = session.json(
            "diagnose",
            json!({"source": "client", "destination": destination, "port": port}),
        );
        assert_eq!(
            answer["diagnosis"]["conclusion"], conclusion,
            "{destination}"
        );
    }
}

#[test]
fn topology_is_shown_in_parts() {
    let mut session = Session::recorded();
    let arguments = json!({"part": "pods", "node": "worker2", "pod": "web"});
    let (is_error, text) = session.call("topology", arguments);
    assert!(!is_error, "{text}");
    assert_snapshot!("topology", readable(&text));
    let all = session.json("topology", json!({}));
    assert_eq!(all["topologies"].as_array().unwrap().len(), 2);
    let network = session.json("topology", json!({"part": "network"}));
    let node = &network["topologies"][0]["topology"]["nodes"][0];
    assert!(node["bridges"].is_array() && node["pods"].is_null());
    let problems = session.json("topology", json!({"part": "problems"}));
    assert_eq!(problems["problems"], 0);
    assert!(problems["topologies"][0]["topology"]["nodes"].is_null());
    let cut = session.json("topology", json!({"part": "pods", "limit": 1}));
    assert_eq!(cut["topologies_left_out"]["rows"]["topologies"], 1);
    let one = session.json("topology", json!({"pod": "default/*", "node": "worker1"}));
    assert_eq!(one["topologies"].as_array().unwrap().len(), 1);
    for (arguments, words) in [
        (
            json!({"node": "worker9"}),
            "no node worker9 in the recorded topologies\nhint: there is worker",
        ),
        (
            json!({"pod": "webb"}),
            "no pod webb in the recorded topologies\nhint: there is default/web",
        ),
    ] {
        let text = session.mistake("topology", arguments);
        assert!(text.starts_with(words), "{text}");
    }
}

/// JSON with a line for each value.
fn readable(text: &str) -> String {
    pretty(&serde_json::from_str(text).unwrap())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}
