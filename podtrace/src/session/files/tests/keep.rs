//! Kept and deleted files.
use proptest::prelude::*;

use super::*;

const THEIRS: [&str; 2] = ["a", "node_20261124T120000Z_00000.pcapng"];

#[derive(Clone, Debug)]
struct Case {
    keep: Keep,
    zstd: bool,
    /// Whether the caller keeps to the stated size.
    is_exact: bool,
    chunks: Vec<(Begins, usize)>,
}

const MAX_FILE: u64 = 1000;

fn cases() -> impl Strategy<Value = Case> {
    let begins = prop_oneof![
        4 => Just(Begins::Nothing),
        1 => Just(Begins::Section),
        1 => Just(Begins::File),
    ];
    (
        proptest::option::of(1..5_u64),
        proptest::option::of(MAX_FILE..5 * MAX_FILE),
        any::<bool>(),
        any::<bool>(),
        proptest::collection::vec((begins, 1..400_usize), 1..60),
    )
        .prop_map(|(files, bytes, zstd, is_exact, chunks)| Case {
            keep: Keep {
                files,
                bytes,
                age: None,
            },
            zstd,
            is_exact,
            chunks,
        })
}

/// Our files in order, with their contents.
fn ours(directory: &Path) -> Vec<Vec<u8>> {
    names(directory)
        .iter()
        .filter(|name| !THEIRS.contains(&name.as_str()))
        .map(|name| fs::read(directory.join(name)).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_disk_is_bounded_at_every_step(case in cases()) {
        let dir = TempDir::new().unwrap();
        for name in THEIRS {
            fs::write(dir.path().join(name), vec![0; 5000]).unwrap();
        }
        let mut recorder = Recorder::open(FileOptions {
            rotates: true,
            keep: case.keep,
            max_file_bytes: Some(MAX_FILE),
            zstd: case.zstd,
            ..options(dir.path())
        });
        let (mut in_file, mut written, mut refused) = (0, Vec::new(), 0);
        for (i, (mut begins, size)) in case.chunks.into_iter().enumerate() {
            // Hard to compress, so that frames are a little larger.
            let bytes: Vec<u8> = (0..size).map(|at| (i * 31 + at * at * 7) as u8).collect();
            if case.is_exact && in_file + size as u64 > MAX_FILE {
                begins = Begins::File;
            }
            in_file = if begins == Begins::File { 0 } else { in_file } + size as u64;
            recorder.send(begins, &bytes, 1);
            if recorder.status.is_failing() {
                refused += 1;
            } else {
                written.extend(bytes);
            }
            let ours = ours(dir.path());
            let total: usize = ours.iter().map(Vec::len).sum();
            prop_assert!(case.keep.bytes.is_none_or(|most| total as u64 <= most));
            prop_assert!(case.keep.files.is_none_or(|most| ours.len() as u64 <= most));
            // The newest file remains, complete.
            let kept = ours.concat();
            let kept = if case.zstd { ::zstd::stream::decode_all(&*kept).unwrap() } else { kept };
            prop_assert!(written.ends_with(&kept));
            prop_assert!(refused > 0 || kept.len() >= size);
        }
        prop_assert!(!case.is_exact || case.zstd || refused == 0);
        let not_written: u64 = recorder.status.reports().iter().map(|report| match report {
            Report::NotWritten(counts) => counts.total(),
            _ => 0,
        }).sum();
        prop_assert_eq!(not_written, refused);
        for name in THEIRS {
            prop_assert_eq!(fs::metadata(dir.path().join(name)).unwrap().len(), 5000);
        }
    }
}

fn recorder(dir: &Path, keep: Keep) -> Recorder {
    Recorder::open(FileOptions {
        rotates: true,
        keep,
        ..options(dir)
    })
}

#[test]
fn files_go_when_they_are_too_old() {
    let dir = TempDir::new().unwrap();
    let age = Duration::from_secs(60);
    let keep = Keep {
        age: Some(age),
        ..Keep::default()
    };
    let mut recorder = recorder(dir.path(), keep);
    recorder.send(Begins::File, b"a", 1);
    assert_eq!(recorder.writer.next_expiry(Instant::now()), None);
    recorder.send(Begins::File, b"b", 1);
    let now = Instant::now();
    let wait = recorder.writer.next_expiry(now).unwrap();
    assert!(wait <= age);
    recorder.writer.expire(now);
    assert_eq!(ours(dir.path()), [b"a", b"b"]);
    recorder.writer.expire(now + wait);
    // The file being written remains, however old.
    recorder.writer.expire(now + 10 * age);
    assert_eq!(ours(dir.path()), [b"b"]);
    assert_eq!(recorder.writer.next_expiry(now), None);
}

#[test]
fn old_files_go_also_while_nothing_comes() {
    let dir = TempDir::new().unwrap();
    let files = SessionFiles::open(FileOptions {
        rotates: true,
        keep: Keep {
            age: Some(Duration::from_millis(1)),
            ..Keep::default()
        },
        ..options(dir.path())
    })
    .unwrap();
    for bytes in [b"a", b"b"] {
        files.try_send(chunk(Begins::File, bytes, 1)).unwrap();
    }
    let started = Instant::now();
    let mut reports = Vec::new();
    while !reports
        .iter()
        .any(|report| matches!(report, Report::Deleted { .. }))
    {
        assert!(started.elapsed() < Duration::from_secs(60), "{reports:?}");
        reports.extend(files.reports());
        thread::yield_now();
    }
    assert_eq!(files.close(Duration::from_secs(60)).unwrap().deleted, 1);
    assert_eq!(ours(dir.path()), [b"b"]);
}

#[test]
fn a_file_that_is_another_s_now_stays() {
    let dir = TempDir::new().unwrap();
    let keep = Keep {
        files: Some(1),
        ..Keep::default()
    };
    let mut recorder = recorder(dir.path(), keep);
    recorder.send(Begins::File, b"a", 1);
    let first = dir.path().join(&names(dir.path())[0]);
    fs::rename(&first, dir.path().join("saved")).unwrap();
    fs::write(&first, "theirs").unwrap();
    recorder.send(Begins::File, b"b", 1);
    recorder.send(Begins::File, b"c", 1);
    assert_eq!(
        ours(dir.path()),
        [&b"theirs"[..], b"c", b"a"],
        "{:?}",
        names(dir.path())
    );
}
