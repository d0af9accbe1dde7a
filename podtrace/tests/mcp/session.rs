//! A session with `podtrace mcp`, as a client has one.
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use podtrace::node::processes;
use serde_json::{Value, json};

/// No answer takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The recordings of the docs.
pub(crate) const RECORDED: [&str; 2] = ["worker1.pcapng", "worker2.pcapng"];

/// Where they are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs")
}

/// The command line, in the folder of the recordings.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    command.current_dir(folder()).arg("--no-config").arg("mcp");
    command.args(args).env("TZ", "UTC");
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server, and what it has written.
pub(crate) struct Session {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<Value>,
    early: Vec<Value>,
    next: u64,
}

/// How a server ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    /// What nobody had waited for.
    pub(crate) rest: Vec<Value>,
}

impl Session {
    /// Starts a server.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.unwrap();
                // Whatever is no message ends the session.
                let message: Value = serde_json::from_str(&line).expect(&line);
                assert_eq!(message["jsonrpc"], "2.0", "{line}");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            messages,
            early: Vec::new(),
            next: 1,
        }
    }

    /// Starts a server, and begins the session; returns what the server says of itself, too.
    pub(crate) fn begin(args: &[&str]) -> (Self, Value) {
        let mut session = Self::start(args);
        let client = json!({"name": "test", "version": "1"});
        let begun = session.ask(
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}),
        );
        session.tell("notifications/initialized", json!({}));
        (session, begun["result"].clone())
    }

    /// With the recordings of the docs.
    pub(crate) fn recorded() -> Self {
        Self::begin(&RECORDED).0
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    fn send(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    /// Sends a notification.
    pub(crate) fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends a request; returns its number.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Calls a tool; returns the number of the request.
    pub(crate) fn begin_call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Waits for the message that answers a request.
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            let is_it = |message: &Value| message["id"] == id;
            if let Some(at) = self.early.iter().position(is_it) {
                return self.early.remove(at);
            }
            let message = self.messages.recv_timeout(PATIENCE).unwrap();
            self.early.push(message);
        }
    }

    /// Sends a request, and waits for its answer.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        self.answer(id)
    }

    /// Calls a tool; returns whether it fails, and its text.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> (bool, String) {
        let id = self.begin_call(tool, arguments);
        result(&self.answer(id))
    }

    /// The JSON of a call that goes well.
    pub(crate) fn json(&mut self, tool: &str, arguments: Value) -> Value {
        let (is_error, text) = self.call(tool, arguments);
        assert!(!is_error, "{tool}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The words of a call that fails.
    pub(crate) fn mistake(&mut self, tool: &str, arguments: Value) -> String {
        let (is_error, text) = self.call(tool, arguments);
        assert!(is_error, "{tool}: {text}");
        text
    }

    /// Sends the server a signal.
    pub(crate) fn kill(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Closes its input.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    /// Closes its input, and waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        self.close();
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ended {
        let mut rest = self.early;
        loop {
            match self.messages.recv_timeout(PATIENCE) {
                Ok(message) => rest.push(message),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        drop(self.stdin);
        let output = self.child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ended {
            code: output.status.code(),
            stderr,
            rest,
        }
    }
}

/// The processes that a server runs.
pub(crate) fn children(server: u32) -> Vec<u32> {
    processes::children(server).unwrap()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// Whether a process has ended.
pub(crate) fn is_gone(pid: &u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// Whether the answer to a call is an error of its tool, and its text.
pub(crate) fn result(message: &Value) -> (bool, String) {
    let result = &message["result"];
    let Some([content]) = result["content"].as_array().map(Vec::as_slice) else {
        panic!("{message}");
    };
    let text = content["text"].as_str().unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    (result["isError"] == true, text.to_owned())
}

/// A capture of so many pings, in a folder of its own.
pub(crate) fn capture_of(pings: u32) -> (tempfile::TempDir, String) {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut bytes = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1]);
    for number in 0..pings {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 44];
        let [_, _, high, low] = number.to_be_bytes();
        frame.extend([high, low, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([8, 0, 0, 0, 0, 7, high, low]);
        frame.extend([b'x'; 16]);
        let len = u32::try_from(frame.len()).unwrap();
        bytes.extend(words(&[
            1_700_000_000 + number / 1000,
            number % 1000 * 1000,
            len,
            len,
        ]));
        bytes.extend(frame);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pings.pcap");
    fs::write(&file, bytes).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (folder, name)
}
