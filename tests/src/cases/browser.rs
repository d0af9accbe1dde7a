//! Chromium without a window, by its debugging protocol over a pipe.
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer may take, in milliseconds.
const DEADLINE_MS: u16 = 60_000;
/// Events that tell of complaints.
const COMPLAINTS: [&str; 3] = [
    "Runtime.consoleAPICalled",
    "Runtime.exceptionThrown",
    "Log.entryAdded",
];

/// A page in a browser that ends with it.
pub(super) struct Browser {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    unread: Vec<u8>,
    session: String,
    calls: u64,
    complaints: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// An empty page.
    pub(super) fn start() -> Self {
        let profile = TempDir::new().unwrap();
        // Its descriptors 3 and 4 are the protocol's.
        let line = r#"exec chromium --headless --no-sandbox --disable-gpu --hide-scrollbars \
            --remote-debugging-pipe --user-data-dir="$1" about:blank 3<&0 4>&1 </dev/null >/dev/null"#;
        let mut child = Command::new("sh")
            .args(["-c", line, "sh"])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut browser = Self {
            to: child.stdin.take().unwrap(),
            from: child.stdout.take().unwrap(),
            child,
            unread: Vec::new(),
            session: String::new(),
            calls: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let targets = browser.call("Target.getTargets", json!({}));
        let mut targets = targets["targetInfos"].as_array().into_iter().flatten();
        let page = targets.find(|target| target["type"] == "page");
        let target = &page.unwrap()["targetId"];
        let attached = browser.call(
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        );
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sets the size of the page, and its colours: `light` or `dark`.
    pub(super) fn look(&mut self, width: u32, height: u32, colours: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        let feature = json!({"name": "prefers-color-scheme", "value": colours});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]}));
    }

    /// Opens a file, and returns once its scripts have run.
    pub(super) fn open(&mut self, file: &Path) {
        let url = format!("file://{}", file.display());
        self.call("Page.navigate", json!({"url": url}));
        while self.next()["method"] != "Page.loadEventFired" {}
    }

    /// The value of an expression in the page.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let result = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Presses and releases a key.
    pub(super) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key});
            if key.chars().count() == 1 && kind == "keyDown" {
                event["text"] = key.into();
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// A picture of what is seen, as PNG in base64.
    pub(super) fn picture(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        shot["data"].as_str().unwrap_or_default().to_owned()
    }

    /// What the page has complained of so far.
    pub(super) fn complaints(&self) -> &[Value] {
        &self.complaints
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let message = format!("{message}\0");
        self.to.write_all(message.as_bytes()).unwrap();
        loop {
            let mut answer = self.next();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// Reads more; false at the end, or if nothing comes for long.
    fn receive(&mut self) -> bool {
        let mut fds = [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)];
        if !poll(&mut fds, PollTimeout::from(DEADLINE_MS)).is_ok_and(|ready| ready > 0) {
            return false;
        }
        let mut bytes = [0; 65_536];
        let read = self.from.read(&mut bytes).unwrap_or(0);
        self.unread.extend(&bytes[..read]);
        read > 0
    }

    /// The next message.
    fn next(&mut self) -> Value {
        let end = loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == 0) {
                break end;
            }
            assert!(self.receive(), "the browser does not answer");
        };
        let message: Vec<u8> = self.unread.drain(..=end).collect();
        let message: Value = serde_json::from_slice(&message[..end]).unwrap();
        if COMPLAINTS.iter().any(|name| message["method"] == *name) {
            self.complaints.push(message.clone());
        }
        message
    }
}

impl Drop for Browser {
    /// Its other processes end with it, and leave the profile alone.
    fn drop(&mut self) {
        let _ = self
            .to
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        while self.receive() {
            self.unread.clear();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
