//! Tracing outlives its disk, and the recording states what it lacks.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use podtrace::lab::Lab;
use podtrace::lab::traffic::ping;
use serde_json::Value;
use tempfile::TempDir;

use super::live::{Live, tail};
use super::peers::agree;
use super::record::{conserved, notices, number, of_type, parse, replay_json, run};
use crate::cases::scenarios::lab;

/// Runs with a directory on a small disk of its own, which is removed with the thread.
fn on_disk(options: &str, work: impl FnOnce(&Path) + Send) {
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    let joined = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
            mount(none, "/", none, private, none).unwrap();
            let kind = Some("tmpfs");
            mount(kind, path, kind, MsFlags::empty(), Some(options)).unwrap();
            work(path);
        });
        thread.join()
    });
    if let Err(panic) = joined {
        std::panic::resume_unwind(panic);
    }
    assert!(fs::read_dir(path).unwrap().next().is_none());
}

/// Pings on a node during some work.
fn pinged<T>(lab: &Lab, work: impl FnOnce() -> T) -> T {
    let pods = &lab.nodes[0].pods;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                ping(&pods[0].netns, pods[1].ipv4.into(), 9, 5, 56).unwrap();
                // Only limits the output.
                thread::sleep(Duration::from_millis(2));
            }
        });
        // Ends the thread even if the work panics.
        let _over = Over(&over);
        work()
    })
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Breaks the disk during a recording, checks the notice, and repairs the disk.
fn check(dir: &Path, break_disk: impl FnOnce(), notice: &str, repair: impl FnOnce()) {
    let lab = lab();
    let file = dir.join("sessions/a.pcapng");
    fs::create_dir(dir.join("sessions")).unwrap();
    let mut args = vec!["trace", "-o", "json", "--strict", "--flush", "50ms"];
    args.extend(["-w", file.to_str().unwrap()]);
    let mut live = Live::on(&lab, &[0], &args);
    let has = |line: &str, text: &str| line.contains(r#""type":"notice""#) && line.contains(text);
    pinged(&lab, || {
        live.wait_for(|line| line.contains(r#""type":"path""#));
        break_disk();
        let line = live.wait_for(|line| has(line, "recording stopped, tracing goes on"));
        assert!(line.contains(notice), "{line}");
        // Live output continues.
        for _ in 0..100 {
            live.wait_for(|line| line.contains(r#""type":"path""#));
        }
        live.wait_for(|line| has(line, "events not recorded: the recording has stopped"));
        repair();
        live.wait_for(|line| has(line, "recording again"));
    });
    let pods = &lab.nodes[0].pods;
    // A tick later it has started again: later events are in the file.
    let args = ["replay", file.to_str().unwrap()];
    let started = Instant::now();
    while !String::from_utf8_lossy(&run(&args).stdout).contains("id 76 ") {
        assert!(started.elapsed() < Duration::from_secs(20));
        ping(&pods[0].netns, pods[1].ipv4.into(), 76, 1, 56).unwrap();
    }
    ping(&pods[0].netns, pods[1].ipv4.into(), 77, 3, 56).unwrap();
    let (status, lines) = live.stop();
    let shown = parse(&lines);
    let recorded = notices(&shown)
        .into_iter()
        .find(|text| text.starts_with("recorded "));
    assert!(recorded.is_some(), "{}", tail(&shown));
    let not_recorded: u64 = notices(&shown)
        .iter()
        .filter_map(|text| text.split_once(" not recorded: "))
        .filter_map(|(events, _)| events.split_once(' ')?.0.parse::<u64>().ok())
        .sum();
    assert!(not_recorded > 0, "{:?}", notices(&shown));
    assert_eq!(status.code(), Some(4), "{:?}", notices(&shown));

    // The written part is intact, and states what it lacks.
    let values = replay_json(&[&file]);
    let total = conserved(&values);
    let all = of_type(&shown, "event").count() as u64;
    let read = of_type(&values, "event").count() as u64;
    assert_eq!(number(total, "emitted"), read);
    let notices = notices(&values);
    let damaged = notices
        .iter()
        .any(|text| text.contains("is damaged") || text.contains("ends without"));
    assert!(!damaged, "{notices:?}");
    let is_late = |value: &&Value| {
        value["what"]
            .as_str()
            .is_some_and(|what| what.contains("id 77 "))
    };
    let late = of_type(&values, "path").filter(is_late);
    assert!(late.clone().count() == 6, "{}", late.count());
    let is_delivered = |path: &Value| path["outcome"] == "delivered";
    assert!(of_type(&values, "path").filter(is_late).all(is_delivered));
    // What came after the gap lacks nothing.
    let is_whole = |path: &Value| path["incomplete"] == false;
    assert!(of_type(&values, "path").filter(is_late).all(is_whole));
    if file_was_kept(notice) {
        assert_eq!(all, read + not_recorded, "{total}");
        assert_eq!(number(total, "unrecorded"), not_recorded, "{total}");
        assert_eq!(number(total, "seen"), all);
        // The kernel has lost none of them.
        let text = run(&["replay", file.to_str().unwrap()]).stdout;
        let text = String::from_utf8(text).unwrap();
        let sum = format!("{read} emitted + 0 filtered + 0 lost + {not_recorded} not recorded");
        assert!(text.contains(&sum), "{}", text.lines().last().unwrap());
        let news = text
            .lines()
            .filter(|line| line.contains("every interface is traced"));
        assert!(news.count() <= 1);
        let args = ["replay", "--strict", file.to_str().unwrap()];
        assert_eq!(run(&args).status.code(), Some(4));
    }
    agree(&file);
}

/// A removed file is lost with its content.
fn file_was_kept(notice: &str) -> bool {
    notice.contains("no space")
}

#[test]
fn full_disk_stops_the_recording_and_not_the_tracing() {
    on_disk("size=2m", |dir| {
        let ballast = dir.join("ballast");
        fs::write(&ballast, vec![0; 1_000_000]).unwrap();
        check(
            dir,
            || {},
            "no space for",
            || fs::remove_file(&ballast).unwrap(),
        );
    });
}

#[test]
fn removed_directory_stops_the_recording_and_not_the_tracing() {
    let dir = TempDir::new().unwrap();
    let sessions = dir.path().join("sessions");
    let remove = || fs::remove_dir_all(&sessions).unwrap();
    let again = || fs::create_dir(&sessions).unwrap();
    check(dir.path(), remove, "was removed", again);
}
