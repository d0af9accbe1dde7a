//! Lakes and queries, with the program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod outside;
mod run;
mod s3;
#[path = "../common/storage.rs"]
mod storage;

use std::{fs, path::Path};

use run::{HOPS, PATHS, RECORDED, export, fails, files, half_of, number, replayed, rows, succeeds};
use tempfile::tempdir;

#[test]
fn rows_are_those_of_replay() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    export(lake, &RECORDED);
    let [hops, paths] = replayed(&RECORDED);
    assert!(hops > paths && paths > 0);
    assert_eq!([number(HOPS, lake), number(PATHS, lake)], [hops, paths]);
    let flows = "SELECT sum(packets) AS n FROM flows";
    assert_eq!(number(flows, lake), paths);
    // Each hop finds its packet.
    let joined = "SELECT count(*) AS n FROM hops JOIN paths USING (session, packet)";
    assert_eq!(number(joined, lake), hops);
    let found = rows(HOPS, &RECORDED);
    assert_eq!(found[0]["n"], hops);
}

#[test]
fn what_is_written_twice_is_there_once() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    export(lake, &RECORDED);
    let once = files(folder.path());
    export(lake, &RECORDED);
    assert_eq!(files(folder.path()), once);
}

/// A recording is put into the lake while it goes on, and again at its end.
#[test]
fn a_recording_that_went_on_takes_the_place_of_its_beginning() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let lake = lake.to_str().unwrap();
    let begun = folder.path().join("begun.pcapng");
    fs::write(&begun, half_of(RECORDED[0])).unwrap();
    export(lake, &[begun.to_str().unwrap()]);
    let before = number(PATHS, lake);
    export(lake, &RECORDED[..1]);
    let [hops, paths] = replayed(&RECORDED[..1]);
    assert!(before < paths);
    assert_eq!([number(HOPS, lake), number(PATHS, lake)], [hops, paths]);
    // The other way round, too: it has less, and takes nothing away.
    export(lake, &[begun.to_str().unwrap()]);
    assert_eq!([number(HOPS, lake), number(PATHS, lake)], [hops, paths]);
}

#[test]
fn a_lake_is_looked_after() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    for file in RECORDED {
        export(lake, &[file]);
    }
    let before = [number(HOPS, lake), number(PATHS, lake)];
    assert_eq!(files(folder.path()).len(), 4);
    assert_eq!(
        succeeds(&["lake", lake, "--compact"]),
        "put 4 files together into 2 files\n"
    );
    assert_eq!(files(folder.path()).len(), 2);
    assert_eq!([number(HOPS, lake), number(PATHS, lake)], before);
    let sorted = "SELECT count(*) AS n FROM hops WHERE pod IS NOT NULL";
    let of_pod = number(sorted, lake);
    assert!(of_pod > 0 && of_pod < before[0]);
    // What was put together is not doubled by its parts.
    export(lake, &RECORDED[..1]);
    assert_eq!([number(HOPS, lake), number(PATHS, lake)], before);
    assert_eq!(
        succeeds(&["lake", lake, "--compact"]),
        "put 0 files together into 0 files\n"
    );

    let would = succeeds(&["lake", lake, "--older-than", "1s", "--dry-run"]);
    assert!(would.starts_with("would remove 4 files, "), "{would}");
    assert_eq!(files(folder.path()).len(), 2);
    succeeds(&["lake", lake, "--older-than", "8000h"]);
    assert_eq!(files(folder.path()).len(), 2);
    succeeds(&["lake", lake, "--older-than", "1s"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(number(HOPS, lake), 0);
}

/// A recording is put into the lake, the hour is put together, and the recording has gone on.
#[test]
fn a_recording_that_went_on_after_its_hour_was_put_together_is_there_once() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let lake = lake.to_str().unwrap();
    let begun = folder.path().join("begun.pcapng");
    fs::write(&begun, half_of(RECORDED[0])).unwrap();
    export(lake, &[begun.to_str().unwrap()]);
    export(lake, &RECORDED[1..]);
    succeeds(&["lake", lake, "--compact"]);

    let [one, two] = [replayed(&RECORDED[..1]), replayed(&RECORDED[1..])];
    let all = [one[0] + two[0], one[1] + two[1]];
    let count = || [number(HOPS, lake), number(PATHS, lake)];
    assert!(count()[1] < all[1]);
    export(lake, &RECORDED[..1]);
    assert_eq!(count(), all);
    let limited = "SELECT count(*) AS n FROM (SELECT packet FROM hops LIMIT 1000000)";
    assert_eq!(number(limited, lake), all[0]);
    let flows = "SELECT sum(packets) AS n FROM flows WHERE pool = 'default'";
    assert_eq!(number(flows, lake), all[1]);
    let whole = &rows(
        "SELECT * FROM hops ORDER BY time_ns LIMIT 1",
        &["--lake", lake],
    )[0];
    assert_eq!(whole["pool"], "default");
    assert_eq!(whole.get("part"), None);
    let joined = "SELECT count(*) AS n FROM hops JOIN paths USING (session, packet)";
    assert_eq!(number(joined, lake), all[0]);

    // Put together again, it takes the place of its beginning.
    succeeds(&["lake", lake, "--compact"]);
    assert_eq!(files(Path::new(lake)).len(), 2);
    assert_eq!(count(), all);
    // What was written of it before says nothing new.
    export(lake, &[begun.to_str().unwrap()]);
    export(lake, &RECORDED[..1]);
    assert_eq!(count(), all);
}

/// What was put together has times beside it: what is not asked for is not read.
#[test]
fn files_of_other_times_are_not_read() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    for file in RECORDED {
        export(lake, &[file]);
    }
    succeeds(&["lake", lake, "--compact"]);
    let all = number(HOPS, lake);
    let time = &rows(
        "SELECT CAST(min(time_ns) AS text) AS first, CAST(max(time_ns) AS text) AS last FROM hops",
        &["--lake", lake],
    )[0];
    let [first, last] = ["first", "last"].map(|end| time[end].as_str().unwrap());
    let between = format!("{HOPS} WHERE time_ns BETWEEN '{first}' AND '{last}'");
    assert_eq!(number(&between, lake), all);
    for hops in files(&folder.path().join("hops")) {
        fs::write(hops, "damaged").unwrap();
    }
    fails(&["query", "--lake", lake, &between]);
    for other in [
        format!("time_ns < '{first}'"),
        format!("time_ns > TIMESTAMP '{last}' + INTERVAL '1 second'"),
        "time_ns BETWEEN '2001-01-01T00:00:00Z' AND '2001-01-02'".into(),
    ] {
        let none = format!("{HOPS} WHERE {other}");
        assert_eq!(number(&none, lake), 0, "{other}");
    }
}

#[test]
fn damaged_files_are_told() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    export(lake, &RECORDED);
    let hops = &files(folder.path())[0];
    let bytes = fs::read(hops).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], b"PAR1", b""] {
        fs::write(hops, damaged).unwrap();
        let says = fails(&["query", "--lake", lake, HOPS]);
        assert!(says.starts_with("podtrace: the query failed: "), "{says}");
        assert_eq!(says.lines().count(), 1, "{says}");
    }
    fs::write(hops, &bytes).unwrap();
    let marker = hops.with_file_name("compact-0123456789abcdef.json");
    fs::write(marker, "{").unwrap();
    let says = fails(&["query", "--lake", lake, HOPS]);
    assert!(
        says.contains("compact-0123456789abcdef.json is damaged"),
        "{says}"
    );
    // What is no file of a lake is left alone.
    fs::write(folder.path().join("hops/README.parquet"), "x").unwrap();
    assert!(number(PATHS, lake) > 0);
}
