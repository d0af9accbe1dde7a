//! A recorder that restarts: files of its earlier runs count towards its limits.
use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{
    model::tap::TapCounts,
    session::{
        files::{FileOptions, Keep, RecorderId, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        recorder::{Outline, Recorder, RecorderOptions},
    },
    world::World,
};

/// One run of a recorder; how long ago it was, in hours.
struct Run<'a> {
    directory: &'a Path,
    target: &'a str,
    node: &'a str,
    zstd: bool,
    hours: i64,
}

impl<'a> Run<'a> {
    fn new(directory: &'a Path, hours: i64) -> Self {
        Self {
            directory,
            target: "/var/log/podtrace/",
            node: "worker1",
            zstd: false,
            hours,
        }
    }

    fn start(&self, keep: Keep) -> Recorder {
        let nodes = vec![self.node.to_owned()];
        let now: jiff::Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let files = SessionFiles::open(FileOptions {
            target: Target::Path(self.directory.to_owned()),
            rotates: true,
            keep,
            max_file_bytes: Some(10_000),
            zstd: self.zstd,
            force: false,
            node: self.node.to_owned(),
            start: now - jiff::SignedDuration::from_hours(self.hours),
            recorder: Some(RecorderId {
                target: self.target.to_owned(),
                nodes: nodes.clone(),
            }),
        });
        let options = RecorderOptions {
            info: SectionInfo {
                format: FORMAT,
                session: format!("session-{}", self.hours),
                sessions: 1,
                nodes,
                recorder: Some(self.target.to_owned()),
                ..SectionInfo::default()
            },
            kernel: "Linux 6.12".into(),
            command: "podtrace record".into(),
            rotate_bytes: None,
            rotate_ns: None,
            flush_ns: 1,
            ticks_always: false,
            outline: Outline::ethernet(),
        };
        Recorder::new(options, files.unwrap(), 0)
    }

    /// Runs to its end; the file is as old as the run.
    fn end(&self, keep: Keep) {
        let before = names(self.directory);
        self.start(keep)
            .finish(&TapCounts::new(), 0, &World::default());
        let age = Duration::from_secs(3600 * self.hours.max(0).unsigned_abs());
        for name in names(self.directory) {
            if !before.contains(&name) {
                let path = self.directory.join(name);
                let file = File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - age).unwrap();
            }
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn keep_files(files: u64) -> Keep {
    Keep {
        files: Some(files),
        ..Keep::default()
    }
}

fn name(node: &str, hour: i64) -> String {
    format!("{node}_20261124T{hour:02}0000Z_00001.pcapng")
}

#[test]
fn files_of_earlier_runs_count_and_go_first() {
    let dir = TempDir::new().unwrap();
    let run = |hours| Run::new(dir.path(), hours);
    for hours in [5, 4, 3, 2] {
        run(hours).end(Keep::default());
    }
    Run {
        zstd: true,
        ..run(1)
    }
    .end(Keep::default());
    assert_eq!(names(dir.path()).len(), 5);
    run(0).end(keep_files(3));
    let kept = [
        name("worker1", 10),
        name("worker1", 11) + ".zst",
        name("worker1", 12),
    ];
    assert_eq!(names(dir.path()), kept);

    let bytes = kept
        .iter()
        .map(|name| fs::metadata(dir.path().join(name)).unwrap().len());
    let bytes: u64 = bytes.sum();
    let keep = Keep {
        bytes: Some(10_000 + bytes - 1),
        ..Keep::default()
    };
    run(-1).end(keep);
    assert_eq!(
        names(dir.path()),
        [&kept[1..], &[name("worker1", 13)]].concat()
    );

    let keep = Keep {
        age: Some(Duration::from_secs(1800)),
        ..Keep::default()
    };
    run(-2).end(keep);
    let kept = [12, 13, 14].map(|hour| name("worker1", hour));
    assert_eq!(names(dir.path()), kept);
}

#[test]
fn files_of_others_are_not_touched() {
    let dir = TempDir::new().unwrap();
    let run = |hours| Run::new(dir.path(), hours);
    // Of another recorder, of another node, of no recorder, and copies under other names.
    Run {
        target: "/elsewhere/",
        ..run(9)
    }
    .end(Keep::default());
    Run {
        node: "worker2",
        ..run(9)
    }
    .end(Keep::default());
    run(7).end(Keep::default());
    fs::write(dir.path().join(name("worker1", 4)), "no capture").unwrap();
    fs::create_dir(dir.path().join(name("worker1", 8))).unwrap();
    fs::copy(
        dir.path().join(name("worker1", 5)),
        dir.path().join("saved.pcapng"),
    )
    .unwrap();
    let hidden = dir.path().join("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::rename(dir.path().join(name("worker1", 5)), hidden.join("x")).unwrap();
    std::os::unix::fs::symlink(hidden.join("x"), dir.path().join(name("worker1", 6))).unwrap();
    // One that is being written.
    let running = run(2).start(Keep::default());
    let theirs = names(dir.path());
    run(1).end(keep_files(1));
    let mut expected = theirs;
    expected.push(name("worker1", 11));
    expected.sort();
    assert_eq!(names(dir.path()), expected);
    drop(running);
}
