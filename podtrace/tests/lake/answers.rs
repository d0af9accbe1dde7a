//! What is answered, and what is refused.
use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use insta::assert_snapshot;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::tempdir;

use crate::run::{RECORDED, export, fails, podtrace, succeeds};

const ECHOES: &str = "SELECT packet, hops, what, source_pod, outcome FROM paths
                      WHERE what LIKE '%seq 1' ORDER BY packet";

#[test]
fn answers_have_formats() {
    let [one, two] = RECORDED;
    for format in ["text", "json", "csv"] {
        let answer = succeeds(&["query", "-o", format, ECHOES, one, two]);
        assert_snapshot!(format, answer);
    }
    let answer = succeeds(&[
        "query",
        "-o",
        "csv",
        "--limit",
        "2",
        "SELECT packet FROM hops",
        one,
    ]);
    assert_eq!(answer.lines().count(), 3);
    let none = "SELECT packet, what FROM paths WHERE outcome = 'x'";
    assert_eq!(succeeds(&["query", none, one]), "packet  what\n");
}

/// The hour is a number in questions, and has two digits in the names of folders.
#[test]
fn hours_are_numbers() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    export(lake, &RECORDED);
    for from in ["hops", "paths"] {
        let date = fs::read_dir(folder.path().join(from)).unwrap().next();
        let date = date.unwrap().unwrap().path();
        let hour = fs::read_dir(&date).unwrap().next().unwrap().unwrap().path();
        fs::rename(hour, date.join("hour=09")).unwrap();
    }
    let ask = |filter: &str| {
        let sql = format!("SELECT count(*) > 0 FROM paths WHERE {filter}");
        succeeds(&["query", "-o", "csv", "--lake", lake, &sql])
    };
    let all = succeeds(&[
        "query",
        "-o",
        "csv",
        "--lake",
        lake,
        "SELECT date FROM paths LIMIT 1",
    ]);
    let date = all.lines().nth(1).unwrap();
    for filter in ["hour = 9", "hour = '09'", "hour < 10", "hour IN (8, 9)"] {
        assert!(ask(filter).ends_with("true\n"), "{filter}");
        let with_date = format!("date = '{date}' AND {filter}");
        assert!(ask(&with_date).ends_with("true\n"), "{with_date}");
    }
    assert!(ask("hour = 10").ends_with("false\n"));
}

#[test]
fn nothing_is_written() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    export(lake, &RECORDED[..1]);
    let target = folder.path().join("new.parquet");
    let copy = format!("COPY paths TO '{}'", target.to_str().unwrap());
    let writes = [
        &copy,
        "EXPLAIN ANALYZE INSERT INTO paths SELECT * FROM paths",
        "INSERT INTO paths SELECT * FROM paths",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "DROP TABLE paths",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE x AS SELECT 1",
        "DELETE FROM paths",
        "UPDATE paths SET packet = 1",
        "TRUNCATE TABLE paths",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "EXPLAIN CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc/passwd'",
        "EXPLAIN COPY paths TO '/tmp/podtrace.csv'",
    ];
    for sql in writes {
        let says = fails(&["query", "--lake", lake, sql]);
        let hint = "hint: queries only read: SELECT, WITH, EXPLAIN, DESCRIBE, SHOW TABLES\n";
        assert!(says.ends_with(hint), "{sql}: {says}");
    }
    assert!(!target.exists());
    // Files of others are no tables.
    for from in [
        "'/etc/passwd'",
        "\"/etc/passwd\"",
        "read_parquet('/etc/passwd')",
        "read_csv('/etc/passwd')",
        "parquet_metadata('/etc/passwd')",
        "\"file:///etc/passwd\"",
    ] {
        let says = fails(&["query", "--lake", lake, &format!("SELECT * FROM {from}")]);
        assert!(
            says.starts_with("podtrace: the query failed: "),
            "{from}: {says}"
        );
        assert!(!says.contains("root:"), "{from}: {says}");
    }
    fails(&["query", "--lake", lake, "SELECT 1; SELECT 2"]);
    fails(&["query", "--lake", lake, "BEGIN"]);
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let file = RECORDED[0];
    let says = [
        fails(&["query", "SELECT pods FROM hops", file]),
        fails(&["query", "SELECT 1 FROM packets", file]),
        fails(&["query", "SELEC 1", file]),
        fails(&["query", "SELECT 1", "--lake", "nowhere"]),
        fails(&["query", "SELECT 1", "--lake", "ftp://a/b"]),
        fails(&["query", "SELECT 1", "--lake", ""]),
        fails(&["query", "SELECT 1", "--lake", "s3://"]),
        fails(&["query", "SELECT 1", "--lake", "file://host/lake"]),
        fails(&["query", "", file]),
        fails(&["query", "SELECT 1"]),
        fails(&["export", "--lake", "x", "--format", "csv", file]),
        fails(&["export", "--lake", "x", "--pool", "a/b", file]),
    ];
    assert_snapshot!(says.join("---\n"));
}

/// Texts of a recording, and of a question, are no orders to a terminal.
#[test]
fn cells_are_safe() {
    let sql = "SELECT chr(27) || '[31m' AS \"a\u{1b}b\", array_agg(chr(27) || '\u{202e}') AS c FROM (SELECT 1) GROUP BY 1";
    for format in ["text", "json", "csv"] {
        let answer = succeeds(&["query", "-o", format, sql, RECORDED[0]]);
        let is_safe = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
        assert!(answer.chars().all(is_safe), "{answer:?}");
    }
}

#[test]
fn ctrl_c_ends_a_query_and_leaves_nothing() {
    let folder = tempdir().unwrap();
    let sql = "SELECT count(*) FROM generate_series(1, 1000000000000000) WHERE value % 7 = 8";
    let mut query = podtrace(&["query", sql, RECORDED[0]]);
    query.env("TMPDIR", folder.path()).stdout(Stdio::null());
    let mut child = query.spawn().unwrap();
    let id = child.id();
    // Once its engine computes, it takes more than the threads that read files.
    let deadline = Instant::now() + Duration::from_secs(60);
    let threads = || fs::read_dir(format!("/proc/{id}/task")).unwrap().count();
    while threads() < 4 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    kill(Pid::from_raw(id.try_into().unwrap()), Signal::SIGINT).unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// What does not fit into memory is sorted by files, which are gone afterwards.
#[test]
fn memory_is_bounded() {
    let folder = tempdir().unwrap();
    let sql = "SELECT value, repeat('x', 100) AS x FROM generate_series(1, 300000) ORDER BY x, value DESC";
    let mut query = podtrace(&[
        "query",
        "--memory-limit",
        "24MiB",
        "-o",
        "csv",
        sql,
        RECORDED[0],
    ]);
    let answer = query.env("TMPDIR", folder.path()).output().unwrap();
    assert!(
        answer.status.success(),
        "{}",
        String::from_utf8_lossy(&answer.stderr)
    );
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(text.lines().count(), 300_001);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
