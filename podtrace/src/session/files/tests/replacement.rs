//! Earlier files, and what is to replace them.
use super::*;

/// Until somebody confirms it, an earlier file is not replaced; nothing is left aside.
#[test]
fn earlier_file_stays_until_its_replacement_is_confirmed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.pcapng");
    let read = || (fs::read(&path).unwrap(), names(dir.path()).len());
    let options = FileOptions {
        force: true,
        ..options(&path)
    };
    let patience = Duration::from_secs(60);
    for is_sent in [false, true] {
        fs::write(&path, "old").unwrap();
        let begin = || {
            let files = SessionFiles::open(options.clone()).unwrap();
            if is_sent {
                files.try_send(chunk(Begins::File, b"new", 1)).unwrap();
            }
            files
        };
        // Nobody asks.
        begin().close(patience).unwrap();
        assert_eq!(read(), (b"old".to_vec(), 1));
        // It is refused before or after the end.
        let mut files = begin();
        drop(files.replacement());
        files.try_send(chunk(Begins::Section, b"more", 2)).unwrap();
        let closed = files.close(patience).unwrap();
        assert_eq!((closed.kept.as_deref(), closed.last), (Some(&*path), None));
        assert_eq!(
            closed
                .reports
                .iter()
                .filter(|one| matches!(one, Report::Failed(_)))
                .count(),
            0
        );
        assert_eq!(read(), (b"old".to_vec(), 1));
        let mut files = begin();
        let replacement = files.replacement();
        files.close(patience).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(replacement);
        assert_eq!(read(), (b"old".to_vec(), 1));
        // Or what would have decided it fails.
        drop(begin());
        assert_eq!(read(), (b"old".to_vec(), 1));
    }
    for is_closed in [true, false] {
        fs::write(&path, "old").unwrap();
        let mut files = SessionFiles::open(options.clone()).unwrap();
        let replacement = files.replacement().unwrap();
        assert_eq!(replacement.target(), path);
        files.try_send(chunk(Begins::File, b"new", 1)).unwrap();
        if is_closed {
            assert_eq!(files.close(patience).unwrap().last.as_deref(), Some(&*path));
            replacement.confirm().unwrap();
        } else {
            replacement.confirm().unwrap();
            files.close(patience).unwrap();
        }
        assert_eq!(read(), (b"new".to_vec(), 1));
    }
}

/// A process that is killed before its first chunk is written leaves the earlier file.
#[test]
fn earlier_file_stays_until_something_is_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.pcapng");
    fs::write(&path, "old").unwrap();
    let read = || (fs::read(&path).unwrap(), names(dir.path()).len());
    let mut recorder = Recorder::open(FileOptions {
        force: true,
        ..options(&path)
    });
    recorder.writer.replacement().unwrap().confirm().unwrap();
    assert!(recorder.writer.may_replace());
    assert_eq!(read(), (b"old".to_vec(), 2));
    recorder.send(Begins::File, b"new", 1);
    assert!(!recorder.writer.may_replace());
    assert_eq!(read(), (b"new".to_vec(), 1));
    recorder.send(Begins::Nothing, b"er", 1);
    assert_eq!(read(), (b"newer".to_vec(), 1));
    // What ends without a chunk leaves nothing aside.
    let mut recorder = Recorder::open(FileOptions {
        force: true,
        ..options(&path)
    });
    recorder.writer.replacement().unwrap().confirm().unwrap();
    let closed = recorder.writer.close();
    assert_eq!((closed.kept.as_deref(), closed.last), (Some(&*path), None));
    assert_eq!(read(), (b"newer".to_vec(), 1));
}

/// A chunk behind which the file cannot take the name is not written: the next one tries again.
#[test]
fn chunk_counts_once_the_earlier_file_is_replaced() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.pcapng");
    let other = dir.path().join("b");
    for is_mended in [true, false] {
        fs::write(&path, "old").unwrap();
        let mut recorder = Recorder::open(FileOptions {
            force: true,
            ..options(&path)
        });
        recorder.writer.replacement().unwrap().confirm().unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        recorder.send(Begins::File, b"first", 1);
        assert_eq!(recorder.reports(), ["failed: Symlink", "not written: 1"]);
        if is_mended {
            fs::remove_file(&path).unwrap();
            fs::write(&path, "another").unwrap();
            recorder.send(Begins::Section, b"second", 1);
            assert_eq!(fs::read(&path).unwrap(), b"second");
            assert_eq!(recorder.writer.close().last.as_deref(), Some(&*path));
        } else {
            assert_eq!(recorder.writer.close().kept.as_deref(), Some(&*path));
        }
        assert_eq!(names(dir.path()), ["a.pcapng"]);
    }
}

/// What has taken the name meanwhile is not replaced, unless it is a file.
#[test]
fn only_a_file_is_replaced() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let begin = || {
        fs::write(at("a"), "old").unwrap();
        let (file, replacement) = create(&at("a"), true).unwrap();
        drop(file);
        fs::remove_file(at("a")).unwrap();
        replacement.unwrap()
    };
    let replacement = begin();
    symlink(at("b"), at("a")).unwrap();
    let error = replacement.confirm().unwrap_err().to_string();
    assert!(error.contains("is a symbolic link"), "{error}");
    assert_eq!(names(dir.path()), ["a"]);
    fs::remove_file(at("a")).unwrap();
    begin().confirm().unwrap();
    assert_eq!(names(dir.path()), ["a"]);
    // Another removed what was written.
    let replacement = begin();
    for name in names(dir.path()) {
        fs::remove_file(at(&name)).unwrap();
    }
    let error = replacement.confirm().unwrap_err().to_string();
    assert!(error.contains("a was removed"), "{error}");
}
