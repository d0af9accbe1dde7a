//! A joiner whose disk is full.
use std::{
    fs::{self, File},
    io::{self, Write as _},
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};

use super::{
    Running, broker::Broker, files, in_words, join, joined, publish, replayed, wait_until,
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
    Running::start(join(broker, 2, disk).stderr(File::create(says).unwrap()))
}

/// Publishes all, and runs with a full disk that a joiner is to write to, the file with what it says,
/// and that which takes the room.
fn without_room(work: impl FnOnce(&Broker, &Path, &Path, PathBuf) + Send) {
    let broker = Broker::start();
    publish(&broker);
    let outside = tempfile::tempdir().unwrap();
    let says = outside.path().join("says");
    on_small_disk(|disk| work(&broker, disk, &says, fill(disk)));
}

/// Waits until it is told that there is no room, and nothing is written.
fn wait_for_no_room(disk: &Path, says: &Path) {
    wait_until("it does not say that there is no room", || {
        let words = fs::read_to_string(says).unwrap();
        words.contains("no space in ")
    });
    assert!(files(disk).is_empty(), "something is written");
}

/// All is joined by one that goes to its end; returns what was said.
fn check(joiner: Running, disk: &Path, says: &Path) -> String {
    let (code, _) = joiner.end();
    let words = fs::read_to_string(says).unwrap();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("as many as were published"), "{words}");
    assert_eq!(in_words(&joined(disk)), in_words(&replayed()));
    words
}

#[test]
fn joiner_waits_for_room_and_goes_on() {
    without_room(|broker, disk, says, ballast| {
        let joiner = joiner(broker, disk, says);
        wait_for_no_room(disk, says);
        fs::remove_file(ballast).unwrap();
        let words = check(joiner, disk, says);
        assert_eq!(words.matches("no space in ").count(), 1, "{words}");
        assert_eq!(words.matches("there is space in ").count(), 1, "{words}");
        assert!(
            words.contains(" 0 too late, 0 missing, 0 unreadable"),
            "{words}"
        );
    });
}

/// Ctrl-C does not wait for room. What was not written is told, and is there for the next joiner.
#[test]
fn joiner_without_room_can_be_ended() {
    without_room(|broker, disk, says, ballast| {
        let first = joiner(broker, disk, says);
        wait_for_no_room(disk, says);
        kill(
            Pid::from_raw(first.0.id().try_into().unwrap()),
            Signal::SIGINT,
        )
        .unwrap();
        let (code, _) = first.end();
        let words = fs::read_to_string(says).unwrap();
        assert_eq!(code, Some(2), "{words}");
        assert!(words.contains(" are not written: no space in "), "{words}");
        assert!(words.contains("hint: free some"), "{words}");
        assert!(!words.contains("there is space"), "{words}");
        assert!(files(disk).is_empty(), "something is written");
        fs::remove_file(ballast).unwrap();
        check(joiner(broker, disk, says), disk, says);
    });
}
