//! Files on disk after chunks of all kinds.
use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use podtrace_ebpf::record::Direction;
use tempfile::TempDir;

use super::*;

mod disk;
mod keep;
mod replacement;
mod zstd;

const KEY: (u32, Direction) = (7, Direction::Egress);

/// The thread's side without a thread: a chunk is processed when `send` returns.
struct Recorder {
    writer: Writer,
    status: Arc<Status>,
}

impl Recorder {
    fn open(options: FileOptions) -> Self {
        let status = Arc::new(Status::default());
        let destination = Destination::find(&options).unwrap();
        let writer = Writer::new(options, destination, Arc::clone(&status)).unwrap();
        Self { writer, status }
    }

    fn send(&mut self, begins: Begins, bytes: &[u8], events: u64) {
        let chunk = chunk(begins, bytes, events);
        self.status.queued(&chunk.events);
        self.writer.take(chunk);
    }

    /// The reports in short, without directories.
    fn reports(&self) -> Vec<String> {
        self.status.reports().iter().map(in_short).collect()
    }
}

fn chunk(begins: Begins, bytes: &[u8], events: u64) -> Chunk {
    let mut counts = EventCounts::default();
    counts.add(KEY.0, KEY.1, events);
    Chunk {
        bytes: bytes.to_vec(),
        begins,
        events: counts,
    }
}

fn in_short(report: &Report) -> String {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    match report {
        Report::Opened { path } => format!("opened {}", name(path)),
        Report::Deleted { path, bytes } => format!("deleted {} of {bytes}", name(path)),
        Report::NotDeleted(error) => format!("not deleted: {error}"),
        Report::Failed(error) => {
            let error = format!("{error:?}");
            let end = error.find(['(', ' ']).unwrap_or(error.len());
            format!("failed: {}", &error[..end])
        }
        Report::Resumed { path } => format!("resumed {}", name(path)),
        Report::NotWritten(counts) => format!("not written: {}", counts.total()),
    }
}

fn options(target: impl AsRef<Path>) -> FileOptions {
    FileOptions {
        target: Target::Path(target.as_ref().to_owned()),
        rotates: false,
        keep: Keep::default(),
        max_file_bytes: None,
        zstd: false,
        force: false,
        node: "node".into(),
        start: "2026-11-24T12:00:00Z".parse().unwrap(),
        recorder: None,
    }
}

fn open_error(options: FileOptions) -> String {
    match SessionFiles::open(options) {
        Ok(_) => "opened".into(),
        Err(error) => error.to_string(),
    }
}

/// The names of a directory in order.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_lone_file_has_all_chunks_and_is_private() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.pcapng");
    let files = SessionFiles::open(options(&path)).unwrap();
    assert!(files.has_room() && !files.is_failing());
    for (begins, bytes) in [
        (Begins::File, b"one"),
        (Begins::Nothing, b"two"),
        (Begins::File, b"six"),
    ] {
        files.try_send(chunk(begins, bytes, 1)).unwrap();
    }
    let closed = files.close(Duration::from_secs(60)).unwrap();
    assert_eq!((closed.bytes, closed.files, closed.deleted), (9, 1, 0));
    assert_eq!(closed.last.as_deref(), Some(&*path));
    assert_eq!(fs::read(&path).unwrap(), b"onetwosix");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        closed.reports.iter().map(in_short).collect::<Vec<_>>(),
        ["opened a.pcapng"]
    );
}

#[test]
fn existing_file_is_kept_unless_forced() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "theirs").unwrap();
    symlink(at("file"), at("link")).unwrap();
    symlink(at("nothing"), at("dangling")).unwrap();
    for force in [false, true] {
        let with = |name: &str| FileOptions {
            force,
            ..options(at(name))
        };
        for link in ["link", "dangling"] {
            let error = open_error(with(link));
            assert!(error.contains("is a symbolic link"), "{error}");
        }
        let error = open_error(with("missing/a"));
        assert!(error.contains("create it first"), "{error}");
    }
    let error = open_error(options(at("file")));
    assert!(
        error.ends_with("exists already: --force replaces it"),
        "{error}"
    );
    assert_eq!(fs::read(at("file")).unwrap(), b"theirs");

    fs::hard_link(at("file"), at("other-name")).unwrap();
    let mut forced = Recorder::open(FileOptions {
        force: true,
        ..options(at("file"))
    });
    forced.send(Begins::File, b"ou", 1);
    assert_eq!(fs::read(at("file")).unwrap(), b"theirs");
    let replacement = forced.writer.replacement().unwrap();
    replacement.confirm().unwrap();
    forced.send(Begins::Nothing, b"rs", 1);
    assert_eq!(fs::read(at("file")).unwrap(), b"ours");
    assert_eq!(fs::read(at("other-name")).unwrap(), b"theirs");
    assert!(!at("nothing").exists());
}

#[test]
fn options_that_cannot_be_held_are_refused() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let with = |target: &Path, keep| FileOptions {
        rotates: true,
        keep,
        max_file_bytes: Some(10),
        ..options(target)
    };
    let keep = |files, bytes| Keep {
        files,
        bytes,
        age: None,
    };
    let path = dir.path().join("a");
    for (options, text) in [
        (with(&fifo, Keep::default()), "cannot be rotated"),
        (with(&path, keep(Some(0), None)), "at least one file"),
        (
            with(&path, keep(None, Some(9))),
            "do not fit in the 9 bytes",
        ),
    ] {
        let error = open_error(options);
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(names(dir.path()), ["fifo"]);
}

#[test]
fn a_directory_is_made_and_filled_with_numbered_files() {
    let dir = TempDir::new().unwrap();
    let made = dir.path().join("x/y/");
    let mut recorder = Recorder::open(FileOptions {
        rotates: true,
        ..options(&made)
    });
    // A file of another process is skipped.
    fs::write(made.join("node_20261124T120000Z_00002.pcapng"), "theirs").unwrap();
    recorder.send(Begins::File, b"a", 1);
    recorder.send(Begins::Section, b"b", 1);
    recorder.send(Begins::File, b"c", 1);
    let found: Vec<_> = names(&made)
        .into_iter()
        .map(|name| (fs::read_to_string(made.join(&name)).unwrap(), name))
        .collect();
    let expected = [("ab", 1), ("theirs", 2), ("c", 3)].map(|(text, number)| {
        let name = format!("node_20261124T120000Z_{number:05}.pcapng");
        (text.to_owned(), name)
    });
    assert_eq!(found, expected);
}

#[test]
fn a_device_takes_all_or_says_that_it_is_full() {
    let files = SessionFiles::open(options("/dev/null")).unwrap();
    files.try_send(chunk(Begins::File, b"gone", 1)).unwrap();
    assert_eq!(files.close(Duration::from_secs(60)).unwrap().bytes, 4);

    let mut full = Recorder::open(options("/dev/full"));
    full.send(Begins::File, b"a", 1);
    full.send(Begins::Nothing, b"b", 2);
    full.send(Begins::Section, b"c", 4);
    assert!(full.status.is_failing());
    assert_eq!(full.reports(), ["failed: Full", "not written: 7"]);
    full.send(Begins::Section, b"d", 8);
    assert_eq!(full.reports(), ["not written: 8"]);
    assert_eq!(full.reports(), [""; 0]);
}

#[test]
fn a_fifo_begins_with_a_section_for_each_reader() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let mut recorder = Recorder::open(options(&fifo));
    recorder.send(Begins::File, b"a", 1);
    assert_eq!(recorder.reports(), ["failed: NoReader", "not written: 1"]);
    for text in ["first", "second"] {
        let mut reader = reader(&fifo);
        recorder.send(Begins::Nothing, b"b", 1);
        recorder.send(Begins::Section, text.as_bytes(), 1);
        assert_eq!(
            recorder.reports(),
            ["not written: 1", "opened fifo", "resumed fifo"]
        );
        let mut read = [0; 64];
        let n = reader.read(&mut read).unwrap();
        assert_eq!(&read[..n], text.as_bytes());
        drop(reader);
        recorder.send(Begins::Nothing, b"c", 1);
        assert_eq!(recorder.reports(), ["failed: ReaderGone", "not written: 1"]);
    }
}

fn reader(fifo: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(fifo)
        .unwrap()
}

#[test]
fn a_hung_disk_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let reader = reader(&fifo);
    let files = SessionFiles::open(options(&fifo)).unwrap();
    let large = vec![0; 1 << 20];
    let mut sent = 0;
    let back = loop {
        match files.try_send(chunk(Begins::Section, &large, 3)) {
            Ok(()) => sent += 1,
            // The thread may not have taken the first chunk yet.
            Err(_) if sent <= QUEUE => thread::yield_now(),
            Err(back) => break back,
        }
    };
    assert_eq!(sent, QUEUE + 1);
    assert!(!files.has_room());
    assert_eq!((back.bytes.len(), back.events.total()), (1 << 20, 3));
    let started = Instant::now();
    let error = files.close(Duration::from_millis(20)).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(error.not_written.total(), 3 * sent as u64);
    assert!(error.to_string().contains("the last 51 events"), "{error}");
    // Its thread ends.
    drop(reader);
}

#[test]
fn a_dropped_writer_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let _reader = reader(&fifo);
    let files = SessionFiles::open(options(&fifo)).unwrap();
    let large = vec![0; 1 << 20];
    files.try_send(chunk(Begins::File, &large, 1)).unwrap();
    drop(files);
}

#[test]
fn buffers_come_back_empty() {
    let status = Status::default();
    assert_eq!(status.buffer().capacity(), 0);
    for _ in 0..=2 * QUEUE {
        status.recycle(vec![1; 100]);
    }
    let spare = std::iter::repeat_with(|| status.buffer());
    let spare = spare.take_while(|buffer| buffer.capacity() > 0 && buffer.is_empty());
    assert_eq!(spare.count(), QUEUE + 1);
}

#[test]
fn a_file_that_lost_its_name_is_made_anew() {
    let dir = TempDir::new().unwrap();
    let inner = dir.path().join("d");
    let path = inner.join("a");
    fs::create_dir(&inner).unwrap();
    let mut recorder = Recorder::open(options(&path));
    recorder.send(Begins::File, b"a", 1);
    fs::remove_dir_all(&inner).unwrap();
    recorder.send(Begins::Nothing, b"b", 2);
    recorder.send(Begins::Section, b"c", 4);
    recorder.send(Begins::Nothing, b"d", 8);
    assert_eq!(
        recorder.reports(),
        [
            "opened a",
            "failed: Moved",
            "not written: 2",
            "failed: NoDirectory",
            "not written: 12"
        ]
    );
    fs::create_dir(&inner).unwrap();
    recorder.send(Begins::Section, b"e", 16);
    recorder.send(Begins::Nothing, b"f", 32);
    assert_eq!(recorder.reports(), ["opened a", "resumed a"]);
    assert_eq!(fs::read(&path).unwrap(), b"ef");

    // The file is renamed, and another file takes its name: the next section detects that and
    // is not written.
    fs::rename(&path, inner.join("kept")).unwrap();
    fs::write(&path, "theirs").unwrap();
    recorder.send(Begins::Section, b"g", 1);
    assert_eq!(
        recorder.reports(),
        ["failed: Moved", "failed: Exists", "not written: 1"]
    );
    fs::remove_file(&path).unwrap();
    recorder.send(Begins::Section, b"h", 1);
    assert_eq!(recorder.reports(), ["opened a", "resumed a"]);
    assert_eq!(fs::read(inner.join("kept")).unwrap(), b"ef");
    assert_eq!(fs::read(&path).unwrap(), b"h");
}

#[test]
fn file_changed_by_another_is_not_continued() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let mut recorder = Recorder::open(options(&path));
    recorder.send(Begins::File, b"abc", 1);
    let set_len = |len| {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len).unwrap();
    };
    for (len, goes_on) in [(2, None), (0, Some("x")), (100, Some("xx"))] {
        set_len(len);
        recorder.send(Begins::Nothing, b"n", 1);
        recorder.send(Begins::Section, b"x", 1);
        assert_eq!(recorder.status.is_failing(), goes_on.is_none(), "{len}");
        if let Some(text) = goes_on {
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{len}");
        }
    }
}
