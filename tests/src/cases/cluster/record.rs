//! The sessions of nodes, each recorded to a file.
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podtrace::lab::traffic::ping;
use serde_json::Value;

use super::super::tracer::{Process, podtrace};
use super::{Cluster, DEADLINE, is_path, nodes_of};

/// A `podtrace record --agent` that runs.
struct Recording {
    process: Process,
    words: Receiver<String>,
}

impl Recording {
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (tell, words) = channel();
        thread::spawn(move || {
            let mut lines = stderr.lines().map_while(Result::ok);
            lines.all(|line| tell.send(line).is_ok())
        });
        Self { process, words }
    }

    fn wait_for(&self, part: &str) -> String {
        loop {
            let line = self.words.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("it does not say {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap());
        kill(pid, Signal::SIGINT).unwrap();
    }

    /// Waits for its end; returns all that it says by then.
    fn end(mut self) -> (ExitStatus, String) {
        let status = self.process.wait().unwrap();
        let lines: Vec<_> = self.words.iter().collect();
        (status, lines.join("\n"))
    }
}

fn record(cluster: &Cluster, folder: &Path) -> Command {
    let mut command = cluster.console("record");
    command.arg("--write").arg(folder);
    command
}

/// The paths that a replay shows.
fn replayed(folder: &Path) -> Vec<Value> {
    let mut replay = podtrace();
    let output = replay.args(["replay", "-o", "json"]).arg(folder).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let values = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    values.filter(is_path).collect()
}

#[test]
fn each_node_has_a_file_and_a_replay_makes_one_of_them() {
    let cluster = Cluster::new(3);
    let folder = cluster.folder.path().join("recordings");
    let mut command = record(&cluster, &folder);
    command.arg("icmp");
    let recording = Recording::start(command);
    recording.wait_for("recording 3 nodes");
    let (one, three) = (cluster.pod(0), cluster.pod(2));
    let answers = ping(&one.netns, three.ipv4.into(), 1, 5, 56).unwrap();
    assert_eq!(answers.len(), 5);
    recording.interrupt();
    let (status, words) = recording.end();
    assert!(status.success(), "{words}");
    for node in 0..3 {
        cluster.wait_for_quiet(node);
        let name = format!("worker{}.pcapng.zst", node + 1);
        assert!(
            folder.join(&name).exists() && words.contains(&name),
            "{words}"
        );
    }
    let paths = replayed(&folder);
    assert_eq!(paths.len(), 10, "{paths:#?}");
    for path in &paths {
        assert_eq!(path["outcome"], "delivered", "{path}");
        assert_eq!(nodes_of(path).len(), 2, "{path}");
    }
    // What is there stays, unless the user says otherwise.
    let before = fs::read(folder.join("worker1.pcapng.zst")).unwrap();
    let (status, words) = Recording::start(record(&cluster, &folder)).end();
    assert_eq!(status.code(), Some(2), "{words}");
    assert!(words.contains("--force"), "{words}");
    assert_eq!(fs::read(folder.join("worker1.pcapng.zst")).unwrap(), before);
    let mut command = record(&cluster, &folder);
    command.args(["--force", "--duration", "300ms"]);
    let (status, words) = Recording::start(command).end();
    assert!(status.success(), "{words}");
    assert_ne!(fs::read(folder.join("worker1.pcapng.zst")).unwrap(), before);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

#[test]
fn node_that_dies_is_named_and_its_file_is_read_to_its_end() {
    let cluster = Cluster::new(2);
    let folder = cluster.folder.path().join("recordings");
    let recording = Recording::start(record(&cluster, &folder));
    recording.wait_for("recording 2 nodes");
    let (one, two) = (cluster.pod(0), cluster.pod(1));
    ping(&one.netns, two.ipv4.into(), 1, 2, 56).unwrap();
    kill(cluster.trace_on(1), Signal::SIGKILL).unwrap();
    let words = recording.wait_for("its recording ends here");
    assert!(
        words.contains("worker2") && words.contains("signal 9"),
        "{words}"
    );
    // The other goes on.
    ping(&one.netns, two.ipv4.into(), 2, 2, 56).unwrap();
    recording.interrupt();
    let (status, words) = recording.end();
    assert_eq!(status.code(), Some(2), "{words}");
    replayed(&folder.join("worker2.pcapng.zst"));
    let paths = replayed(&folder.join("worker1.pcapng.zst"));
    let of_second = |path: &&Value| path["icmp_id"] == 2;
    assert_eq!(paths.iter().filter(of_second).count(), 4, "{paths:#?}");
}

#[test]
fn file_that_takes_no_more_ends_all_in_words() {
    let cluster = Cluster::new(2);
    let folder = cluster.folder.path().join("recordings");
    let recorded = record(&cluster, &folder);
    let mut command = Command::new("sh");
    // 64 KiB for each file, in blocks of 512 bytes.
    command.args(["-c", "ulimit -f 128; exec \"$@\"", "sh"]);
    command
        .arg(recorded.get_program())
        .args(recorded.get_args());
    let mut recording = Recording::start(command);
    recording.wait_for("recording 2 nodes");
    let (one, two) = (cluster.pod(0), cluster.pod(1));
    let mut id = 0;
    while recording.process.try_wait().unwrap().is_none() {
        id += 1;
        ping(&one.netns, two.ipv4.into(), id, 50, 56).unwrap();
    }
    let (status, words) = recording.end();
    assert_eq!(status.code(), Some(2), "{words}");
    assert!(words.contains("limit of a file's size"), "{words}");
    for node in 0..2 {
        cluster.wait_for_quiet(node);
    }
    assert!(!replayed(&folder).is_empty());
}
