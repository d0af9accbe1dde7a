//! Lakes in an object storage.
use crate::{
    run::{HOPS, PATHS, RECORDED, failed, finished, parsed, replayed},
    storage::{Fate, Gate, Storage},
};

const LAKE: &str = "s3://traces/prod";

#[track_caller]
fn export(storage: &Storage, files: &[&str]) {
    let args = [&["export", "--lake", LAKE], files].concat();
    finished(storage.podtrace(&args).output().unwrap());
}

#[track_caller]
fn counts(storage: &Storage) -> [u64; 2] {
    [HOPS, PATHS].map(|sql| {
        let args = ["query", "-o", "json", "--lake", LAKE, sql];
        let answer = finished(storage.podtrace(&args).output().unwrap());
        parsed(&answer)[0]["n"].as_u64().unwrap()
    })
}

#[test]
fn a_bucket_holds_a_lake() {
    let Some(storage) = Storage::start() else {
        return;
    };
    export(&storage, &RECORDED);
    assert_eq!(counts(&storage), replayed(&RECORDED));
    export(&storage, &RECORDED);
    assert_eq!(counts(&storage), replayed(&RECORDED));
    let inside = finished(storage.podtrace(&["lake", LAKE]).output().unwrap());
    assert!(inside.starts_with("hops of default: 1 files, "), "{inside}");
    let expire = ["lake", LAKE, "--older-than", "1s"];
    finished(storage.podtrace(&expire).output().unwrap());
    assert_eq!(counts(&storage), [0, 0]);
}

#[test]
fn a_storage_that_comes_back_has_all() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let gate = Gate::new(&storage, |number, _| match number {
        1..6 => Fate::Fails,
        _ => Fate::Passes,
    });
    let args = [&["export", "--lake", LAKE], &RECORDED[..]].concat();
    finished(gate.podtrace(&args).output().unwrap());
    assert_eq!(counts(&storage), replayed(&RECORDED));
}

/// The second file does not get there: the command says so, and the next one makes up for it.
#[test]
fn a_storage_that_stays_away_is_told() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let gate = Gate::new(&storage, |_, line| match line.contains("/paths/") {
        true => Fate::Fails,
        false => Fate::Passes,
    });
    let args = [
        &["export", "--retry-for", "1s", "--lake", LAKE],
        &RECORDED[..],
    ]
    .concat();
    let says = failed(gate.podtrace(&args).output().unwrap());
    assert!(
        says.contains("is not in s3://traces/prod, which was tried for 1s"),
        "{says}"
    );
    assert!(says.contains("\nhint: run the command again"), "{says}");
    let [hops, paths] = replayed(&RECORDED);
    assert_eq!(counts(&storage), [hops, 0]);
    export(&storage, &RECORDED);
    assert_eq!(counts(&storage), [hops, paths]);
}

#[test]
fn compaction_may_be_killed_at_any_request() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let mut kills = 0;
    loop {
        // Anew, as what went before may have put the files together.
        finished(
            storage
                .podtrace(&["lake", LAKE, "--older-than", "1s"])
                .output()
                .unwrap(),
        );
        for file in RECORDED {
            export(&storage, &[file]);
        }
        let before = counts(&storage);
        let gate = Gate::new(&storage, move |number, _| match number == kills {
            true => Fate::Waits,
            false => Fate::Passes,
        });
        let mut child = gate.podtrace(&["lake", LAKE, "--compact"]).spawn().unwrap();
        let is_over = loop {
            if gate.waiting.try_recv().is_ok() {
                break false;
            }
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            std::thread::yield_now();
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(counts(&storage), before, "killed at request {kills}");
        if is_over {
            break;
        }
        // The next one brings it to its end.
        let compact = ["lake", LAKE, "--compact"];
        finished(storage.podtrace(&compact).output().unwrap());
        assert_eq!(
            counts(&storage),
            before,
            "killed at request {kills}, and done again"
        );
        let inside = finished(storage.podtrace(&["lake", LAKE]).output().unwrap());
        assert!(inside.starts_with("hops of default: 1 files, "), "{inside}");
        assert!(!inside.contains("whose rows others have"), "{inside}");
        kills += 1;
    }
    assert!(kills > 10, "{kills}");
}
