//! Joiners that write into a lake.
use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    DEADLINE, Running,
    broker::Broker,
    publish, replayed,
    run::podtrace,
    storage::{Fate, Gate, Storage},
};

/// Options of a joiner into a lake.
fn options<'a>(url: &'a str, folder: &'a str, lake: &'a str) -> Vec<&'a str> {
    let begin = ["join", "--nats", url, "--nodes", "2", "--every", "50ms"];
    [&begin[..], &["--write", folder, "--lake", lake]].concat()
}

fn joined(mut command: Command) -> String {
    let (code, words) = Running::start(command.stderr(Stdio::piped())).end();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("as many as were published"), "{words}");
    let none = " 0 too late, 0 missing, 0 unreadable";
    assert!(words.contains(none), "{words}");
    words
}

/// Rows of an answer.
fn rows(mut query: Command) -> Vec<Value> {
    let output = query.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How many hops are in the paths of a bucket, how many packets these are, and as what these were seen:
/// what a lake has to have.
fn expected() -> (u64, u64, Vec<String>) {
    let all = replayed();
    let hops = all
        .iter()
        .map(|path| path["hops"].as_array().unwrap().len());
    let whats = all
        .iter()
        .map(|path| path["what"].as_str().unwrap().to_owned());
    let mut whats: Vec<_> = whats.collect();
    whats.sort_unstable();
    (hops.sum::<usize>() as u64, all.len() as u64, whats)
}

const COUNTS: [&str; 3] = [
    "SELECT count(*) AS n FROM hops",
    "SELECT count(*) AS n FROM (SELECT DISTINCT session, packet, hop FROM hops)",
    "SELECT count(*) AS n FROM (SELECT DISTINCT session, packet FROM hops)",
];

/// Each hop and each packet is there once, with the same numbers in both tables.
fn check(query: impl Fn(&str) -> Command) {
    let (hops, packets, whats) = expected();
    let found = COUNTS.map(|sql| rows(query(sql))[0]["n"].as_u64().unwrap());
    assert_eq!(found, [hops, hops, packets]);
    let both =
        "SELECT count(*) AS n FROM hops JOIN paths USING (session, packet, date, hour, pool)";
    assert_eq!(rows(query(both))[0]["n"], hops);
    let shown = rows(query("SELECT what FROM paths ORDER BY what"));
    let shown: Vec<_> = shown
        .iter()
        .map(|row| row["what"].as_str().unwrap())
        .collect();
    assert_eq!(shown, whats);
}

/// Files of a directory with this ending.
fn ending(folder: &Path, end: &str) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_str().unwrap().ends_with(end))
        .count()
}

#[test]
fn lake_has_the_paths_of_replay() {
    let broker = Broker::start();
    publish(&broker);
    let (folder, lake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [out, into] = [&folder, &lake].map(|folder| folder.path().to_str().unwrap());
    let url = broker.url();
    let words = joined(podtrace(&options(&url, out, into)));
    let query = |sql: &str| podtrace(&["query", "-o", "json", "--lake", into, sql]);
    check(query);
    // One file a bucket is left there, with what is known of its hops.
    assert_eq!(ending(folder.path(), ".json"), 8);
    assert_eq!(ending(folder.path(), ".parquet"), 0);
    // Another joiner has nothing to do, also once the files are put together.
    assert_eq!(joined(podtrace(&options(&url, out, into))), words);
    let compact = podtrace(&["lake", into, "--compact"]).output().unwrap();
    assert!(compact.status.success(), "{compact:?}");
    check(query);
    // What goes elsewhere begins anew elsewhere.
    let elsewhere = format!("{into}/elsewhere");
    for other in [
        &options(&url, out, &elsewhere)[..],
        &options(&url, out, into)[..9],
    ] {
        let output = podtrace(other).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("it is joined into "), "{words}");
    }
    pyarrow_reads(into);
}

/// The columns, and what tells readers which parts they need.
const LOOK: &str = r#"
import sys, pyarrow.dataset as ds, pyarrow.parquet as pq
for table in "hops", "paths":
    data = ds.dataset(f"{sys.argv[1]}/{table}", partitioning="hive", exclude_invalid_files=True)
    for file in data.files:
        metadata = pq.read_metadata(file)
        assert metadata.metadata[b"podtrace.lake"] == b"1"
        names = metadata.schema.names
        for column in "time_ns", "source", "destination":
            chunk = metadata.row_group(0).column(names.index(column))
            assert chunk.statistics.has_min_max, column
    print(data.count_rows())
"#;

fn pyarrow_reads(lake: &str) {
    let Some(python) = env::var_os("PODTRACE_PYARROW") else {
        println!("skipped: no Python with pyarrow to read the lake");
        return;
    };
    let output = Command::new(python).args(["-c", LOOK, lake]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let (hops, packets, _) = expected();
    let counts = String::from_utf8(output.stdout).unwrap();
    assert_eq!(counts, format!("{hops}\n{packets}\n"));
}

/// A joiner is killed when some of its files are there, and another one takes over, until nothing is
/// left to do.
#[test]
fn joiners_into_a_folder_may_be_killed() {
    let broker = Broker::start();
    publish(&broker);
    let (folder, lake) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [out, into] = [&folder, &lake].map(|folder| folder.path().to_str().unwrap());
    let url = broker.url();
    for files in [1, 2, 5] {
        let mut command = podtrace(&options(&url, out, into));
        let mut killed = Running::start(command.stderr(Stdio::null()));
        let deadline = Instant::now() + DEADLINE;
        let hours = || {
            rows(podtrace(&[
                "query",
                "-o",
                "json",
                "--lake",
                into,
                "SELECT DISTINCT session FROM paths",
            ]))
        };
        while killed.0.try_wait().unwrap().is_none() && hours().len() < files {
            assert!(Instant::now() < deadline, "nothing comes into the lake");
            thread::sleep(Duration::from_millis(1));
        }
        killed.kill();
    }
    joined(podtrace(&options(&url, out, into)));
    check(|sql| podtrace(&["query", "-o", "json", "--lake", into, sql]));
}

/// A joiner is killed at each request to the storage in turn, before the storage hears of it.
#[test]
fn joiner_into_a_storage_may_be_killed_at_any_request() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let broker = Broker::start();
    publish(&broker);
    let url = broker.url();
    let mut kills = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let lake = format!("s3://traces/{kills}");
        let gate = Gate::new(&storage, move |number, _| match number == kills {
            true => Fate::Waits,
            false => Fate::Passes,
        });
        let mut command = gate.podtrace(&options(&url, out, &lake));
        let mut killed = Running::start(command.stderr(Stdio::null()));
        let is_over = loop {
            if gate.waiting.try_recv().is_ok() {
                break false;
            }
            if killed.0.try_wait().unwrap().is_some() {
                break true;
            }
            thread::sleep(Duration::from_millis(1));
        };
        killed.kill();
        joined(storage.podtrace(&options(&url, out, &lake)));
        check(|sql| storage.podtrace(&["query", "-o", "json", "--lake", &lake, sql]));
        assert_eq!(ending(folder.path(), ".parquet"), 0);
        if is_over {
            break;
        }
        kills += 1;
    }
    assert!(kills > 10, "{kills}");
}

/// The storage is away: the files wait in the directory, and the next joiner puts them there.
#[test]
fn storage_that_stays_away_is_told() {
    let Some(storage) = Storage::start() else {
        return;
    };
    let broker = Broker::start();
    publish(&broker);
    let (url, folder) = (broker.url(), tempfile::tempdir().unwrap());
    let out = folder.path().to_str().unwrap();
    let gate = Gate::new(&storage, |_, _| Fate::Fails);
    let mut command = gate.podtrace(&options(&url, out, "s3://traces/away"));
    command.args(["--retry-for", "1s"]);
    let (code, words) = Running::start(command.stderr(Stdio::piped())).end();
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("is not in s3://traces/away"), "{words}");
    assert!(ending(folder.path(), ".parquet") > 0, "nothing waits");
    joined(storage.podtrace(&options(&url, out, "s3://traces/away")));
    check(|sql| storage.podtrace(&["query", "-o", "json", "--lake", "s3://traces/away", sql]));
}
