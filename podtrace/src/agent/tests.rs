//! Agents whose program is a script, over real sockets.
#[cfg(feature = "tls")]
mod tls;

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;

/// A deadline of every wait.
const DEADLINE: Duration = Duration::from_secs(20);

/// An agent that listens in a folder of its own.
struct Served {
    folder: TempDir,
    _end: oneshot::Sender<()>,
}

impl Served {
    /// `script`: what traces, instead of podtrace.
    fn new(script: &str, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let (folder, mut options) = prepared(script);
        change(&mut options);
        let listener = Listener::unix(&folder.path().join("agent")).unwrap();
        Self::at(vec![listener], options, folder)
    }

    fn at(listeners: Vec<Listener>, options: ServeOptions, folder: TempDir) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        tokio::spawn(serve(listeners, options, async {
            let _ = ended.await;
        }));
        Self { folder, _end: end }
    }

    fn address(&self) -> Address {
        Address::Unix(self.folder.path().join("agent"))
    }

    async fn connect(&self) -> Agent {
        Agent::connect(&self.address(), Allow::default())
            .await
            .unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A folder with a program that is this script, and an agent that runs it.
fn prepared(script: &str) -> (TempDir, ServeOptions) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("podtrace");
    fs::write(&program, format!("#!/bin/sh\necho ready >&2\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let options = ServeOptions {
        program,
        arguments: Vec::new(),
        host: "worker1".to_owned(),
        nodes: vec!["node1".to_owned()],
        prober: None,
        gives_payload: false,
        traces_max: 1,
        max_rate: None,
        consoles: None,
        tells: false,
    };
    (folder, options)
}

/// Reads a session to its end.
async fn rest(mut session: fs::File) -> String {
    let reading = tokio::task::spawn_blocking(move || {
        let (mut text, begun) = (Vec::new(), Instant::now());
        loop {
            let mut bytes = [0; 4096];
            match session.read(&mut bytes) {
                Ok(0) => return String::from_utf8(text).unwrap(),
                Ok(len) => text.extend(&bytes[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    assert!(begun.elapsed() < DEADLINE, "no end");
                    thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    reading.await.unwrap()
}

async fn wait_for(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < DEADLINE, "it does not happen");
        tokio::task::yield_now().await;
    }
}

fn runs(pid: &Path) -> bool {
    let pid = fs::read_to_string(pid).unwrap_or_default();
    !pid.is_empty() && Path::new("/proc").join(pid.trim()).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn session_arrives_as_it_was_recorded() {
    let served = Served::new("seq 1 200000; echo over", |_| {});
    let mut agent = served.connect().await;
    assert_eq!(agent.host(), "worker1");
    assert_eq!(agent.nodes(), ["node1"]);
    assert!(agent.time().await.unwrap() <= agent.time().await.unwrap());
    let trace = agent.trace(&Request::default()).await.unwrap();
    let (session, control) = trace.into_parts();
    let text = rest(session).await;
    assert_eq!(text.lines().count(), 200_001);
    assert!(text.ends_with("200000\nover\n"));
    assert_eq!(control.failure(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_is_told_in_its_own_words() {
    let script =
        "echo header >&2; echo 'podtrace: no such thing' >&2; echo 'hint: none' >&2; exit 2";
    let served = Served::new(script, |_| {});
    let refused = served.connect().await.trace(&Request::default()).await;
    let words = refused.map(|_| ()).unwrap_err().to_string();
    assert_eq!(words, "no such thing\nhint: none");
    let served = Served::new("echo begin; kill -9 $$", |_| {});
    let trace = served.connect().await.trace(&Request::default()).await;
    let (session, control) = trace.unwrap().into_parts();
    assert_eq!(rest(session).await, "begin\n");
    wait_for(|| control.has_failed()).await;
    let words = control.failure().unwrap();
    assert_eq!(words, "podtrace was ended there by signal 9");
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_that_is_to_end_sends_what_is_left() {
    let script = "trap 'echo end; exit 0' INT; echo begin; while :; do sleep 0.01; done";
    let served = Served::new(script, |_| {});
    let trace = served.connect().await.trace(&Request::default()).await;
    let (session, mut control) = trace.unwrap().into_parts();
    control.end();
    assert_eq!(rest(session).await, "begin\nend\n");
    assert_eq!(control.failure(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn console_that_leaves_ends_its_trace() {
    let script =
        "echo $$ > \"$(dirname $0)/pid\"; echo begin; while :; do sleep 0.01; echo x; done";
    let served = Served::new(script, |_| {});
    let trace = served
        .connect()
        .await
        .trace(&Request::default())
        .await
        .unwrap();
    let pid = served.file("pid");
    assert!(runs(&pid));
    drop(trace);
    wait_for(|| !runs(&pid)).await;
    // There is room for another.
    let mut agent = served.connect().await;
    agent.trace(&Request::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_stops_holds_the_program_up() {
    let script =
        "i=0; while :; do seq 1 10000; i=$((i + 1)); echo $i > \"$(dirname $0)/count\"; done";
    let served = Served::new(script, |_| {});
    let trace = served
        .connect()
        .await
        .trace(&Request::default())
        .await
        .unwrap();
    let count = || fs::read_to_string(served.file("count")).unwrap_or_default();
    let mut before = String::new();
    let begun = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = count();
        // It has written at most what all buffers hold, a few megabytes.
        if now == before && !now.is_empty() {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "nothing holds it up: {now}");
        before = now;
    }
    drop(trace);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_given_is_refused() {
    let served = Served::new("echo begin; sleep 20", |_| {});
    let mut agent = served.connect().await;
    let ask = |request: Request| async { request };
    let payload = ask(Request {
        payload: true,
        ..Request::default()
    });
    let refused = agent.trace(&payload.await).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("--payload"), "{refused}");
    let nonsense = Request {
        expression: "no such word and".to_owned(),
        ..Request::default()
    };
    let refused = agent.trace(&nonsense).await.map(|_| ()).unwrap_err();
    assert!(!refused.to_string().is_empty());
    let _first = agent.trace(&Request::default()).await.unwrap();
    let refused = agent
        .trace(&Request::default())
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(refused.to_string().contains("--max-traces"), "{refused}");
}

/// Why nobody can listen there.
fn refusal(path: &Path) -> String {
    match Listener::unix(path) {
        Err(AgentError::Listen { source, .. }) => source.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it listens"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_is_its_owners_alone_and_taken_once() {
    let served = Served::new("echo begin", |_| {});
    let path = served.file("agent");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(refusal(&path), "another agent listens there");
    // One that nobody listens at any more is replaced.
    let left = served.file("left");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(Listener::unix(&left).is_ok());
    // A file is not.
    let file = served.file("podtrace");
    let taken = "something else has this name: choose another";
    assert_eq!(refusal(&file), taken);
    assert_eq!(refusal(served.folder.path()), taken);
    let long = served.file("").join("a".repeat(100));
    assert_eq!(refusal(&long), "the path of a socket has at most 107 bytes");
    assert!(file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn command_leads_to_an_agent_or_says_why_not() {
    for command in ["exit 3", "echo hello", "cat"] {
        let address = Address::Exec(command.to_owned());
        let error = Agent::connect(&address, Allow::default())
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(!error.to_string().is_empty(), "{command}");
    }
}
