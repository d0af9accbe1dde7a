//! Nodes, recorded for each answer: as root, in a lab.
use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Uid};
use podtrace::lab::{Lab, LabSpec, traffic::ping};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::session::{Session, children, is_gone, wait_until};

/// Between two pings.
const PACE: Duration = Duration::from_millis(10);

/// A node with two pods, and what its options are.
struct Node {
    lab: Lab,
    table: NamedTempFile,
}

impl Node {
    /// None, and says so, where that takes root.
    fn new() -> Option<Self> {
        if !Uid::effective().is_root() {
            println!("skipped: it takes root");
            return None;
        }
        let lab = Lab::new(LabSpec {
            nodes: 1,
            pods_per_node: 2,
            ipv6: false,
        })
        .unwrap();
        let mut table = NamedTempFile::new().unwrap();
        table.write_all(lab.pod_table().as_bytes()).unwrap();
        Some(Self { lab, table })
    }

    fn begin(&self, options: &[&str]) -> Session {
        let table = self.table.path().to_str().unwrap();
        let netns = &*self.lab.nodes[0].netns.name;
        let own = ["--", "--netns", netns, "--pods", table];
        Session::begin(&[&["--live"], options, &own].concat()).0
    }

    /// The address of an agent. `by`: a command that runs it.
    fn agent(&self, by: &str, name: &str) -> String {
        format!(
            "exec:exec {by} {} agent --stdio --node-name {name} --netns {} --pods {}",
            env!("CARGO_BIN_EXE_podtrace"),
            self.lab.nodes[0].netns.name,
            self.table.path().to_str().unwrap()
        )
    }

    /// The paths of pings during so many seconds; some have to be there.
    fn paths(&self, session: &mut Session, seconds: u64) -> Value {
        let asked = json!({"expression": "icmp", "seconds": seconds, "limit": 5});
        let paths = self.while_pinging(|| session.json("paths", asked));
        let delivered = paths["outcomes"]["delivered"].as_u64();
        assert!(delivered.unwrap() > 2, "{paths}");
        paths
    }

    /// Does something while one pod pings the other.
    fn while_pinging<T>(&self, work: impl FnOnce() -> T) -> T {
        let [from, to] = &self.lab.nodes[0].pods[..] else {
            panic!("not two pods");
        };
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let pinging = scope.spawn(|| {
                // Bounded, whatever becomes of the test.
                for number in 0..6000 {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    ping(&from.netns, to.ipv4.into(), number, 1, 56).unwrap();
                    thread::sleep(PACE);
                }
            });
            let done = work();
            is_over.store(true, Ordering::Relaxed);
            pinging.join().unwrap();
            done
        })
    }
}

const ENDS: [&str; 2] = ["default/mypod1", "default/mypod2"];

#[test]
fn each_answer_is_about_what_happens_meanwhile() {
    let Some(node) = Node::new() else { return };
    let mut session = node.begin(&[]);
    let paths = node.paths(&mut session, 2);
    assert_eq!(paths["outcomes"]["not_seen_further"], Value::Null);
    let (source, destination) = (ENDS[0], ENDS[1]);
    let ends = json!({"source": source, "destination": destination, "seconds": 2});
    let diagnosis = node.while_pinging(|| session.json("diagnose", ends.clone()));
    assert_eq!(
        diagnosis["diagnosis"]["conclusion"], "delivered",
        "{diagnosis}"
    );
    // Without traffic there is nothing to tell.
    let quiet = session.json("diagnose", ends);
    assert_eq!(quiet["diagnosis"]["conclusion"], "unknown", "{quiet}");
    let topology = session.json("topology", json!({"part": "pods", "seconds": 1}));
    assert!(topology.to_string().contains("mypod1"), "{topology}");
    let sql = "SELECT count(*) AS n FROM paths WHERE outcome = 'delivered'";
    let counted = node.while_pinging(|| session.json("query", json!({"sql": sql, "seconds": 2})));
    assert!(counted["rows"][0]["n"].as_u64().unwrap() > 2, "{counted}");
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn other_nodes_are_asked_by_their_agents() {
    let Some(node) = Node::new() else { return };
    let agent = node.agent("", "worker1");
    let (mut session, _) = Session::begin(&["--live", "--", "--agent", &agent]);
    let paths = node.paths(&mut session, 2);
    assert!(paths.to_string().contains("worker1"), "{paths}");
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn node_that_dies_is_named_and_the_others_are_told_of() {
    let Some(node) = Node::new() else { return };
    let (one, dying) = (
        node.agent("", "worker1"),
        node.agent("timeout 12", "worker2"),
    );
    let agents = ["--live", "--", "--agent", &one, "--agent", &dying];
    let (mut session, _) = Session::begin(&agents);
    let paths = node.paths(&mut session, 16);
    let notices = paths["notices"].to_string();
    assert!(notices.contains("worker2: the connection broke"), "{paths}");
}

#[test]
fn packets_are_sent_only_where_that_is_allowed() {
    let Some(node) = Node::new() else { return };
    let (source, destination) = (ENDS[0], ENDS[1]);
    let ends = json!({"source": source, "destination": destination, "probe": true, "seconds": 5});
    let mut session = node.begin(&[]);
    let told = session.mistake("diagnose", ends.clone());
    assert!(told.contains("no parameter probe"), "{told}");
    let mut session = node.begin(&["--allow-probe"]);
    let diagnosis = session.json("diagnose", ends);
    assert_eq!(
        diagnosis["diagnosis"]["conclusion"], "delivered",
        "{diagnosis}"
    );
}

#[test]
fn nothing_is_left_of_a_server_that_ends() {
    let Some(node) = Node::new() else { return };
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let mut session = node.begin(&[]);
        session.begin_call("summary", json!({"seconds": 30}));
        let server = session.child.id();
        wait_until("nothing is recorded", || !children(server).is_empty());
        let recording = children(server);
        session.kill(signal);
        wait_until("a recording is left", || recording.iter().all(is_gone));
        session.child.wait().unwrap();
    }
}

#[test]
fn recording_of_a_call_that_is_cancelled_ends() {
    let Some(node) = Node::new() else { return };
    let mut session = node.begin(&[]);
    let id = session.begin_call("summary", json!({"seconds": 30}));
    let server = session.child.id();
    wait_until("nothing is recorded", || !children(server).is_empty());
    session.tell("notifications/cancelled", json!({"requestId": id}));
    wait_until("a recording is left", || children(server).is_empty());
    assert_eq!(session.end().code, Some(0));
}
