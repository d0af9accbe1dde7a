//! How a screen ends, on a terminal of its own.
#![cfg(feature = "tui")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docs/worker1.pcapng");
const SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};
/// Sequences that want more bytes.
const UNFINISHED: [&[u8]; 5] = [b"\x1b[", b"\x1bO", b"\x1b[M", b"\x1b[200~", b"\xe2\x82"];
/// What a screen has on its first line. Of the others only what changes is drawn anew.
const HEAD: &str = "? help";
/// How long everything may take.
const LONGEST: Duration = Duration::from_secs(20);
/// How long a key takes to arrive.
const KEY: Duration = Duration::from_millis(300);

/// Held while a terminal is opened and its process is started.
static SPAWNING: Mutex<()> = Mutex::new(());

/// A screen and the other end of its terminal.
struct Shown {
    process: Child,
    master: File,
    text: String,
}

impl Shown {
    /// Replays behind a shell's words; waits until everything was read and drawn.
    fn replay(words: &str, stderr: Option<File>) -> Self {
        // No other process may keep the terminal open.
        let alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
        let pty = openpty(Some(&SIZE), None).unwrap();
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        // The first process of a session is sent SIGHUP when its terminal is closed.
        let process = Command::new("setsid")
            .args(["--ctty", "--wait", "sh", "-mc", words])
            .args([env!("CARGO_BIN_EXE_podtrace"), "replay", "--tui", RECORDED])
            .env("TERM", "xterm")
            .stdin(slave())
            .stdout(slave())
            .stderr(stderr.map_or_else(slave, Stdio::from))
            .spawn()
            .unwrap();
        let mut shown = Self {
            process,
            master: File::from(pty.master),
            text: String::new(),
        };
        drop(pty.slave);
        drop(alone);
        shown.wait_for(HEAD);
        // The end of the file is drawn.
        while shown.read_once(KEY) {}
        shown
    }

    /// Reads what is drawn, for so long at most; returns whether there was any.
    fn read_once(&mut self, limit: Duration) -> bool {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(limit).unwrap()).unwrap();
        let is_there = fds[0].any() == Some(true);
        let mut bytes = [0; 4096];
        // Nobody has it open any more: an error.
        let length = is_there.then(|| self.master.read(&mut bytes).unwrap_or(0));
        let length = length.unwrap_or(0);
        self.text += &String::from_utf8_lossy(&bytes[..length]);
        length > 0
    }

    fn read_for(&mut self, limit: Duration) {
        let begin = Instant::now();
        while let Some(left) = limit.checked_sub(begin.elapsed()) {
            if !self.read_once(left) {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn wait_for(&mut self, words: &str) {
        let begin = Instant::now();
        loop {
            if let Some((_, after)) = self.text.split_once(words) {
                self.text = after.to_owned();
                return;
            }
            assert!(begin.elapsed() < LONGEST, "{words}: {:?}", self.text);
            self.read_once(KEY);
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
        self.read_for(KEY);
    }

    /// The exit status once it has ended.
    fn end(&mut self) -> Option<i32> {
        let begin = Instant::now();
        while begin.elapsed() < LONGEST {
            if let Some(status) = self.process.try_wait().unwrap() {
                while self.read_once(Duration::ZERO) {}
                return status.code();
            }
            if !self.read_once(Duration::ZERO) {
                thread::sleep(Duration::from_millis(10));
            }
        }
        self.process.kill().unwrap();
        panic!("it does not end: {:?}", self.text);
    }

    /// Closes the terminal; returns the exit status.
    fn close(mut self) -> Option<i32> {
        self.master = File::open("/dev/null").unwrap();
        self.end()
    }
}

#[test]
fn signal_ends_a_screen_that_waits_for_the_rest_of_a_sequence() {
    for keys in UNFINISHED {
        let mut shown = Shown::replay(r#"exec "$0" "$@""#, None);
        shown.press(keys);
        let pid = Pid::from_raw(shown.process.id().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        assert_eq!(shown.end(), Some(0), "{keys:?}: {}", shown.text);
        // The terminal is given back, and the summary is printed.
        let (_, after) = shown.text.split_once("\x1b[?1049l").unwrap();
        assert!(after.contains("packets"), "{keys:?}: {after}");
    }
}

/// Whether SIGHUP tells of it, or nothing as with nohup.
#[test]
fn closed_terminal_ends_the_screen_as_usual() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr");
    for words in [r#"exec "$0" "$@""#, r#"trap "" HUP; exec "$0" "$@""#] {
        for keys in UNFINISHED.into_iter().chain([&b""[..]]) {
            let mut shown = Shown::replay(words, None);
            shown.press(keys);
            assert_eq!(shown.close(), Some(0), "{words} {keys:?}");
        }
        let mut shown = Shown::replay(words, Some(File::create(&path).unwrap()));
        shown.press(b"\x1b[");
        assert_eq!(shown.close(), Some(0), "{words}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "", "{words}");
    }
}

#[test]
fn suspended_screen_is_drawn_anew() {
    let mut shown = Shown::replay(r#""$0" "$@"; echo stopped; fg"#, None);
    shown.press(b"\x1a");
    shown.wait_for("stopped");
    shown.wait_for(HEAD);
    shown.press(b"\x1b[");
    // The rest of a key.
    shown.press(b"B");
    shown.press(b"q");
    assert_eq!(shown.end(), Some(0), "{}", shown.text);
}
