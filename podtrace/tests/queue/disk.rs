//! A joiner whose disk is full.
use std::{
    fs::{self, File},
    io::{self, Write as _},
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};

use super::{
    DEADLINE, Running, broker::Broker, files, in_words, joined, podtrace, publisher, replayed,
    session::RECORDED,
};

/// Runs with a directory on a disk of its own, of a MiB, which goes with the thread.
fn on_small_disk(work: impl FnOnce(&Path) + Send) {
    if !Uid::effective().is_root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let joined = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
            mount(none, "/", none, private, none).unwrap();
            let kind = Some("tmpfs");
            mount(kind, path, kind, MsFlags::empty(), Some("size=1m")).unwrap();
            work(path);
        });
        thread.join()
    });
    if let Err(panic) = joined {
        resume_unwind(panic);
    }
}

/// Takes all room there is.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("ballast");
    let mut ballast = File::create(&path).unwrap();
    let full = loop {
        if let Err(error) = ballast.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    path
}

/// A joiner, and the file with what it says.
fn joiner(broker: &Broker, disk: &Path, says: &Path) -> Running {
    let mut command = podtrace();
    command.args(["join", "--nats", &broker.url(), "--nodes", "2"]);
    command.args(["--every", "50ms", "--write"]).arg(disk);
    Running::start(command.stderr(File::create(says).unwrap()))
}

/// Waits until a joiner says something.
fn wait_for(says: &Path, words: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !fs::read_to_string(says).unwrap().contains(words) {
        assert!(Instant::now() < deadline, "it does not say: {words}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn publish(broker: &Broker) {
    for file in RECORDED {
        let (code, words) = publisher(broker, file).end();
        assert_eq!(code, Some(0), "{words}");
    }
}

#[test]
fn joiner_waits_for_room_and_goes_on() {
    let broker = Broker::start();
    publish(&broker);
    let outside = tempfile::tempdir().unwrap();
    let says = outside.path().join("says");
    on_small_disk(|disk| {
        let ballast = fill(disk);
        let joiner = joiner(&broker, disk, &says);
        wait_for(&says, "no space in ");
        assert!(files(disk).is_empty(), "something is written");
        fs::remove_file(ballast).unwrap();
        let (code, _) = joiner.end();
        let words = fs::read_to_string(&says).unwrap();
        assert_eq!(code, Some(0), "{words}");
        assert_eq!(words.matches("no space in ").count(), 1, "{words}");
        assert_eq!(words.matches("there is space in ").count(), 1, "{words}");
        assert!(words.contains("as many as were published"), "{words}");
        assert!(
            words.contains(" 0 too late, 0 missing, 0 unreadable"),
            "{words}"
        );
        assert_eq!(in_words(&joined(disk)), in_words(&replayed()));
    });
}

/// Ctrl-C does not wait for room. What was not written is told, and is there for the next joiner.
#[test]
fn joiner_without_room_can_be_ended() {
    let broker = Broker::start();
    publish(&broker);
    let outside = tempfile::tempdir().unwrap();
    let says = outside.path().join("says");
    on_small_disk(|disk| {
        let ballast = fill(disk);
        let first = joiner(&broker, disk, &says);
        wait_for(&says, "no space in ");
        kill(
            Pid::from_raw(first.0.id().try_into().unwrap()),
            Signal::SIGINT,
        )
        .unwrap();
        let (code, _) = first.end();
        let words = fs::read_to_string(&says).unwrap();
        assert_eq!(code, Some(2), "{words}");
        assert!(words.contains(" are not written: no space in "), "{words}");
        assert!(words.contains("hint: free some"), "{words}");
        assert!(!words.contains("there is space"), "{words}");
        assert!(files(disk).is_empty(), "something is written");
        fs::remove_file(ballast).unwrap();
        let (code, _) = joiner(&broker, disk, &says).end();
        let words = fs::read_to_string(&says).unwrap();
        assert_eq!(code, Some(0), "{words}");
        assert!(words.contains("as many as were published"), "{words}");
        assert_eq!(in_words(&joined(disk)), in_words(&replayed()));
    });
}
