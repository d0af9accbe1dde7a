//! `podtrace publish` and `podtrace join`, with a real server of NATS between them.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod broker;
mod disk;
mod lake;
mod late;
mod many;
mod run;
mod session;
#[path = "../common/storage.rs"]
mod storage;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use broker::Broker;
use session::{RECORDED, halves};

const DEADLINE: Duration = Duration::from_secs(60);

fn podtrace() -> Command {
    run::podtrace(&[])
}

/// A process that a failed test does not leave behind.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Its exit code, and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + DEADLINE;
        while self.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        let mut words = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut words).unwrap();
        }
        (self.0.try_wait().unwrap().unwrap().code(), words)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn publisher(broker: &Broker, file: &str) -> Running {
    let mut command = podtrace();
    command.args(["publish", "--nats", &broker.url(), file]);
    Running::start(command.stdin(Stdio::piped()).stderr(Stdio::piped()))
}

/// Publishes the recordings of both nodes; returns what that says.
fn publish(broker: &Broker) -> [String; 2] {
    RECORDED.map(|file| {
        let (code, words) = publisher(broker, file).end();
        assert_eq!(code, Some(0), "{words}");
        words
    })
}

/// The command of a joiner that begins with so many nodes.
fn join(broker: &Broker, nodes: usize, out: &Path) -> Command {
    let mut command = podtrace();
    command.args(["join", "--nats", &broker.url()]);
    command.args(["--nodes", &nodes.to_string(), "--every", "50ms", "--write"]);
    command.arg(out);
    command
}

fn joiner(broker: &Broker, out: &Path) -> Running {
    Running::start(join(broker, 2, out).stderr(Stdio::piped()))
}

/// Waits until something is so; fails in these words if it does not come.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn paths(lines: &str) -> Vec<Value> {
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["type"] == "path")
        .collect()
}

/// The files of all buckets.
fn files(out: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(out) else {
        return Vec::new();
    };
    let files = entries.map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "json"));
    files
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

fn joined(out: &Path) -> Vec<Value> {
    files(out).iter().flat_map(|file| paths(file)).collect()
}

fn replayed() -> Vec<Value> {
    replayed_of(&RECORDED.map(Path::new))
}

fn replayed_of(files: &[&Path]) -> Vec<Value> {
    let mut command = podtrace();
    command.args(["replay", "-o", "json"]).args(files);
    paths(&String::from_utf8(command.output().unwrap().stdout).unwrap())
}

/// How often each hop is in the paths.
fn hops(paths: &[Value]) -> BTreeMap<String, usize> {
    let mut hops = BTreeMap::new();
    for hop in paths
        .iter()
        .flat_map(|path| path["hops"].as_array().unwrap())
    {
        let place = ["node", "pod", "interface", "direction"].map(|field| hop[field].to_string());
        // Each joiner corrects the clocks by what it has seen.
        *hops
            .entry(format!("{place:?} {}", hop["bytes"]))
            .or_default() += 1;
    }
    hops
}

/// What is the same whatever the clocks are.
fn in_words(paths: &[Value]) -> Vec<String> {
    let words = paths.iter().map(|path| {
        let hops = path["hops"].as_array().unwrap().iter();
        let hops: Vec<_> = hops
            .map(|hop| format!("{} {} {}", hop["node"], hop["interface"], hop["direction"]))
            .collect();
        format!("{} {} {hops:?}", path["what"], path["outcome"])
    });
    let mut words: Vec<_> = words.collect();
    words.sort_unstable();
    words
}

#[test]
fn paths_are_those_of_replay() {
    let broker = Broker::start();
    for words in publish(&broker) {
        assert!(words.contains(" 0 lost, 0 too long"), "{words}");
    }
    let out = tempfile::tempdir().unwrap();
    let (code, words) = joiner(&broker, out.path()).end();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("as many as were published"), "{words}");
    assert!(
        words.contains(" 0 too late, 0 missing, 0 unreadable"),
        "{words}"
    );
    assert_eq!(in_words(&joined(out.path())), in_words(&replayed()));
    // It is done: another one has nothing to do, and says the same.
    let (_, again) = joiner(&broker, out.path()).end();
    assert_eq!(again, words);
}

/// On standard output, as text or as JSON; a file is always in JSON.
#[test]
fn paths_are_printed() {
    let broker = Broker::start();
    publish(&broker);
    let printed = |options: &[&str]| {
        let mut command = podtrace();
        command.args(["join", "--nats", &broker.url(), "--nodes", "2"]);
        let output = command.args(options).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text, words)
    };
    let expected = in_words(&replayed());
    let (code, json, words) = printed(&["-o", "json"]);
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(in_words(&paths(&json)), expected);
    let (code, text, words) = printed(&["--color", "never"]);
    assert_eq!(code, Some(0), "{words}");
    let is_header = |line: &&str| !line.starts_with(' ');
    assert_eq!(text.lines().filter(is_header).count(), expected.len());
    for path in replayed() {
        let what = path["what"].as_str().unwrap();
        let first: Vec<_> = what.split(' ').take(2).collect();
        assert!(text.contains(&first.join(" ")), "{what}");
    }
    let (code, _, words) = printed(&["-o", "text", "--write", "a"]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("cannot be used with"), "{words}");
}

/// The server and the joiner are killed in the midst, and another joiner takes over, which waited.
#[test]
fn nothing_is_lost_or_doubled_when_all_are_killed() {
    let mut broker = Broker::start();
    let out = tempfile::tempdir().unwrap();
    let halves = RECORDED.map(halves);
    let mut publishers = RECORDED.map(|_| publisher(&broker, "-"));
    for (publisher, (first, _)) in publishers.iter_mut().zip(&halves) {
        publisher
            .0
            .stdin
            .as_mut()
            .unwrap()
            .write_all(first)
            .unwrap();
    }
    let first = joiner(&broker, out.path());
    wait_until("nothing is written", || !joined(out.path()).is_empty());
    let second = joiner(&broker, out.path());
    first.kill();
    let before = joined(out.path());
    broker.kill_and_restart();
    for (publisher, (_, rest)) in publishers.iter_mut().zip(&halves) {
        let mut stdin = publisher.0.stdin.take().unwrap();
        stdin.write_all(rest).unwrap();
    }
    for publisher in publishers {
        let (code, words) = publisher.end();
        assert_eq!(code, Some(0), "{words}");
    }
    let (code, words) = second.end();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("as many as were published"), "{words}");
    assert!(words.contains(" 0 missing, 0 unreadable"), "{words}");
    let all = joined(out.path());
    assert!(before.len() < all.len(), "all was written before");
    let expected = hops(&replayed());
    for (hop, times) in hops(&all) {
        assert!(
            Some(&times) <= expected.get(&hop),
            "{hop} is there {times} times"
        );
    }
    if words.contains(" 0 too late") {
        assert_eq!(hops(&all), expected, "{words}");
    }
}

/// A node that is killed holds nobody up, and what it has published is joined.
#[test]
fn publisher_that_is_killed_is_left_behind() {
    let broker = Broker::start();
    let out = tempfile::tempdir().unwrap();
    let (begin, _) = halves(RECORDED[1]);
    let mut killed = publisher(&broker, "-");
    killed.0.stdin.as_mut().unwrap().write_all(&begin).unwrap();
    let (code, words) = publisher(&broker, RECORDED[0]).end();
    assert_eq!(code, Some(0), "{words}");
    let joiner = joiner(&broker, out.path());
    let has_node = |path: &Value, node: &str| {
        let hops = path["hops"].as_array().unwrap();
        hops.iter().any(|hop| hop["node"] == node)
    };
    wait_until("nothing is joined", || {
        let paths = joined(out.path());
        paths.iter().any(|path| has_node(path, "worker2"))
    });
    killed.kill();
    let ends = replayed().len();
    wait_until("the others are held up", || {
        joined(out.path()).len() >= ends / 2
    });
    let pid = i32::try_from(joiner.0.id()).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let (_, words) = joiner.end();
    assert!(words.contains("not all nodes have ended"), "{words}");
    let expected = hops(&replayed());
    for (hop, times) in hops(&joined(out.path())) {
        assert!(
            Some(&times) <= expected.get(&hop),
            "{hop} is there {times} times"
        );
    }
}

#[test]
fn what_is_wrong_is_said() {
    let broker = Broker::start();
    for (args, said) in [
        (
            &["publish", "--nats", "nats://127.0.0.1:1", "worker1.pcapng"][..],
            "no connection",
        ),
        (&["join", "--run", "a.b", "--nodes", "1"], "letters, digits"),
        (&["join", "--buckets", "3-1", "--nodes", "1"], "such as 0-3"),
    ] {
        let output = podtrace().args(args).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains(said), "{words}");
    }
    let url = broker.url();
    let output = podtrace()
        .args(["publish", "--nats", &url, "../docs.rs"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
