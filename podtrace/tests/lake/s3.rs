//! Lakes in an object storage.
use std::{env, fs};

use tempfile::tempdir;

use crate::{
    run::{HOPS, PATHS, RECORDED, failed, finished, half_of, parsed, podtrace, replayed},
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

/// A bucket that is not there, keys that are not those, and none: each is told at once, with what to do.
#[test]
fn mistakes_are_told() {
    let Some(storage) = Storage::start() else {
        return;
    };
    for command in [
        &["lake", "s3://nobody/prod"][..],
        &["query", "--lake", "s3://nobody/prod", HOPS],
        &["export", "--lake", "s3://nobody/prod", RECORDED[0]],
    ] {
        let says = failed(storage.podtrace(command).output().unwrap());
        assert!(
            says.contains("NoSuchBucket") || says.contains("bucket"),
            "{says}"
        );
        assert!(says.lines().count() <= 2, "{says}");
    }
    let mut nobody = podtrace(&["lake", "s3://traces/prod"]);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_")) {
            nobody.env_remove(name);
        }
    }
    // A machine of no cloud has no metadata.
    nobody.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    let says = failed(nobody.output().unwrap());
    assert!(says.contains("who asks is not known"), "{says}");
    assert!(
        says.ends_with("hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY\n"),
        "{says}"
    );
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

/// Runs podtrace until a request of a number, and kills it there; whether it came to its end before.
fn killed_at(storage: &Storage, request: usize, args: &[&str]) -> bool {
    let gate = Gate::new(storage, move |number, _| match number == request {
        true => Fate::Waits,
        false => Fate::Passes,
    });
    let mut child = gate.podtrace(args).spawn().unwrap();
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
    is_over
}

/// A recording went on after its hour was put together: at any moment each packet is there once, of
/// what was written before or of all.
#[test]
fn an_export_of_what_went_on_may_be_killed_at_any_request() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let folder = tempdir().unwrap();
    let begun = folder.path().join("begun.pcapng");
    fs::write(&begun, half_of(RECORDED[0])).unwrap();
    let [one, two] = [replayed(&RECORDED[..1]), replayed(&RECORDED[1..])];
    let all = [one[0] + two[0], one[1] + two[1]];
    for steps in [
        ["export", "--lake", LAKE, RECORDED[0]].as_slice(),
        &["lake", LAKE, "--compact"],
    ] {
        let mut kills = 0;
        loop {
            let expire = ["lake", LAKE, "--older-than", "1s"];
            finished(storage.podtrace(&expire).output().unwrap());
            export(&storage, &[begun.to_str().unwrap()]);
            export(&storage, &RECORDED[1..]);
            finished(
                storage
                    .podtrace(&["lake", LAKE, "--compact"])
                    .output()
                    .unwrap(),
            );
            let before = counts(&storage);
            if steps[0] == "lake" {
                export(&storage, &RECORDED[..1]);
            }
            let is_over = killed_at(&storage, kills, steps);
            for ((found, before), all) in counts(&storage).into_iter().zip(before).zip(all) {
                let known = if steps[0] == "lake" { all } else { before };
                assert!(
                    found == known || found == all,
                    "{steps:?} at {kills}: {found}"
                );
            }
            export(&storage, &RECORDED[..1]);
            assert_eq!(counts(&storage), all, "{steps:?} at {kills}");
            finished(
                storage
                    .podtrace(&["lake", LAKE, "--compact"])
                    .output()
                    .unwrap(),
            );
            assert_eq!(counts(&storage), all, "{steps:?} at {kills}, put together");
            if is_over {
                break;
            }
            kills += 1;
        }
        assert!(kills > 3, "{kills}");
    }
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
        let is_over = killed_at(&storage, kills, &["lake", LAKE, "--compact"]);
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
