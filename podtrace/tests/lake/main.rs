//! Lakes and queries, with the program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod outside;
mod run;
mod s3;
mod storage;

use std::fs;

use run::{
    HOPS, PATHS, RECORDED, export, fails, files, number, podtrace, replayed, rows, succeeds,
};
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
    let all = podtrace(&[]).get_current_dir().unwrap().join(RECORDED[0]);
    let bytes = fs::read(&all).unwrap();
    let begun = folder.path().join("begun.pcapng");
    fs::write(&begun, &bytes[..bytes.len() / 2]).unwrap();
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
