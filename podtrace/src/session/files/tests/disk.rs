//! Small disks that fill up. Each is mounted for one thread and vanishes with it.
use std::{io, os::fd::OwnedFd, panic::resume_unwind};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use super::{super::output_file::OutputFile, *};

const SIZE: u64 = 1 << 20;
/// Not a multiple of a page, so that a full disk takes part of a chunk.
const CHUNK: usize = 100_001;

/// Runs with a directory on a disk of its own.
fn on_disk(mount_options: &str, run: impl FnOnce(&Path) + Send) {
    if !geteuid().is_root() {
        println!("skipped: needs root to mount a tmpfs");
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    let joined = thread::scope(|scope| {
        scope
            .spawn(move || {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
                mount(none, "/", none, private, none).unwrap();
                let kind = Some("tmpfs");
                mount(kind, path, kind, MsFlags::empty(), Some(mount_options)).unwrap();
                run(path);
            })
            .join()
    });
    if let Err(panic) = joined {
        resume_unwind(panic);
    }
    assert_eq!(names(path), [""; 0]);
}

fn events(reports: &[Report]) -> u64 {
    let of = |report: &Report| match report {
        Report::NotWritten(counts) => counts.total(),
        _ => 0,
    };
    reports.iter().map(of).sum()
}

#[test]
fn a_full_disk_takes_whole_chunks_and_goes_on_when_there_is_space() {
    on_disk(&format!("size={SIZE}"), |dir| {
        let ballast = dir.join("ballast");
        fs::write(&ballast, vec![0; 300_000]).unwrap();
        let path = dir.join("a");
        let files = SessionFiles::open(options(&path)).unwrap();
        let fit = (SIZE - 300_000) / CHUNK as u64;
        for i in 0..12_u8 {
            let begins = if i == 0 {
                Begins::File
            } else {
                Begins::Nothing
            };
            let bytes = vec![i; CHUNK];
            files.try_send(chunk(begins, &bytes, 1 << i)).unwrap();
        }
        let mut reports = wait_for(&files, |reports| events(reports) == (1 << 12) - (1 << fit));
        let short: Vec<_> = reports.iter().map(in_short).collect();
        assert_eq!(short[..2], ["opened a", "failed: Full"]);
        assert!(files.is_failing());
        assert_eq!(fs::metadata(&path).unwrap().len(), fit * CHUNK as u64);

        fs::remove_file(&ballast).unwrap();
        reports.clear();
        for begins in [Begins::Nothing, Begins::Section, Begins::Nothing] {
            files.try_send(chunk(begins, &vec![77; CHUNK], 1)).unwrap();
        }
        let closed = files.close(Duration::from_secs(60)).unwrap();
        let short: Vec<_> = closed.reports.iter().map(in_short).collect();
        assert_eq!(short, ["not written: 1", "resumed a"]);
        let expected: Vec<u8> = (0..fit as u8)
            .chain([77, 77])
            .flat_map(|i| vec![i; CHUNK])
            .collect();
        assert!(fs::read(&path).unwrap() == expected);
        assert_eq!((closed.files, closed.bytes), (1, expected.len() as u64));
    });
}

fn wait_for(files: &SessionFiles, done: impl Fn(&[Report]) -> bool) -> Vec<Report> {
    let started = Instant::now();
    let mut reports = Vec::new();
    while !done(&reports) {
        assert!(started.elapsed() < Duration::from_secs(60), "{reports:?}");
        reports.extend(files.reports());
        thread::yield_now();
    }
    reports
}

#[test]
fn on_a_full_disk_the_oldest_go_before_anything_is_lost() {
    // Without space, or without names for more files.
    for mount_options in [format!("size={SIZE}"), "nr_inodes=6".into()] {
        on_disk(&mount_options, |dir| {
            let mut recorder = Recorder::open(FileOptions {
                rotates: true,
                keep: Keep {
                    files: Some(1000),
                    ..Keep::default()
                },
                ..options(dir)
            });
            for i in 0..60_u8 {
                let begins = if i % 3 == 0 {
                    Begins::File
                } else {
                    Begins::Nothing
                };
                recorder.send(begins, &vec![i; CHUNK], 1);
                assert!(!recorder.status.is_failing(), "{i}");
            }
            let files = names(dir);
            let newest = fs::read(dir.join(files.last().unwrap())).unwrap();
            assert!(newest == [57, 58, 59].map(|i| vec![i; CHUNK]).concat());
            let deleted = recorder
                .reports()
                .iter()
                .filter(|report| report.starts_with("deleted"))
                .count();
            assert_eq!(deleted, 20 - files.len());
        });
    }
}

#[test]
fn without_anything_to_keep_nothing_is_deleted() {
    on_disk(&format!("size={SIZE}"), |dir| {
        let mut recorder = Recorder::open(FileOptions {
            rotates: true,
            ..options(dir)
        });
        for i in 0..30_u8 {
            recorder.send(Begins::File, &vec![i; CHUNK], 1);
        }
        // A file that could not be begun must not remain.
        let files = names(dir);
        assert_eq!(files.len(), SIZE as usize / CHUNK);
        for name in files {
            assert_eq!(fs::metadata(dir.join(name)).unwrap().len(), CHUNK as u64);
        }
        assert_eq!(events(&recorder.status.reports()), 20);
    });
}

#[test]
fn a_read_only_disk_is_said_to_be_one() {
    on_disk("size=64k", |dir| {
        let none = None::<&str>;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, dir, none, flags, none).unwrap();
        let error = open_error(options(dir.join("a")));
        assert!(error.contains("read-only file system"), "{error}");
    });
}

#[test]
fn a_full_standard_output_keeps_what_was_before_and_whole_chunks() {
    on_disk("size=64k", |dir| {
        let path = dir.join("out");
        fs::write(&path, "before").unwrap();
        let ballast = dir.join("ballast");
        fs::write(&ballast, vec![0; 20_000]).unwrap();
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        let mut output = OutputFile::given(file, Path::new("standard output")).unwrap();
        let chunk = vec![1; 30_000];
        output.write(&chunk).unwrap();
        assert!(output.write(&chunk).unwrap_err().is_full());
        assert_eq!(fs::metadata(&path).unwrap().len(), 30_006);
        fs::remove_file(&ballast).unwrap();
        output.mend().unwrap();
        output.write(&chunk).unwrap();
        let expected = [b"before", &*chunk, &*chunk].concat();
        assert!(fs::read(&path).unwrap() == expected);
    });
}

#[test]
fn standard_output_that_nobody_reads_is_given_up() {
    let (reader, writer) = io::pipe().unwrap();
    let writer = File::from(OwnedFd::from(writer));
    let mut output = OutputFile::given(writer, Path::new("standard output")).unwrap();
    output.write(b"section").unwrap();
    drop(reader);
    let error = output.write(b"more").unwrap_err();
    assert!(error.is_final(), "{error}");
    // A pipeline that its last program ends is no failure.
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_file_that_cannot_be_deleted_counts_and_the_next_goes() {
    on_disk("size=64k", |dir| {
        let mut recorder = Recorder::open(FileOptions {
            rotates: true,
            keep: Keep {
                files: Some(2),
                ..Keep::default()
            },
            ..options(dir)
        });
        recorder.send(Begins::File, b"a", 1);
        let stuck = dir.join(&names(dir)[0]);
        // A mount point cannot be removed.
        let none = None::<&str>;
        mount(Some(&stuck), &stuck, none, MsFlags::MS_BIND, none).unwrap();
        for bytes in [b"b", b"c", b"d"] {
            recorder.send(Begins::File, bytes, 1);
            assert!(!recorder.status.is_failing());
        }
        let left: Vec<_> = names(dir)
            .iter()
            .map(|name| fs::read(dir.join(name)).unwrap())
            .collect();
        assert_eq!(left, [b"a", b"d"]);
        let reports = recorder.reports();
        let stuck = reports
            .iter()
            .filter(|report| report.starts_with("not deleted"));
        assert_eq!(stuck.count(), 1, "{reports:?}");
    });
}
