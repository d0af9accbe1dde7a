//! Others read a lake.
use std::{env, process::Command};

use tempfile::tempdir;

use crate::run::{HOPS, PATHS, RECORDED, finished, number, replayed, succeeds};

/// Counts with both, of hops and of paths.
const COUNT: &str = r#"
import sys, duckdb, pyarrow as pa, pyarrow.dataset as ds, pyarrow.parquet as pq
for table in "hops", "paths":
    folder = f"{sys.argv[1]}/{table}"
    data = ds.dataset(folder, partitioning="hive", exclude_invalid_files=True)
    assert data.schema.field("time_ns").type == pa.timestamp("ns", tz="UTC"), data.schema
    assert {"session", "date", "hour", "pool"} <= set(data.schema.names)
    for file in data.files:
        metadata = pq.read_metadata(file).metadata
        assert metadata[b"podtrace.lake"] == b"1" and metadata[b"podtrace.table"] == table.encode()
        group = pq.read_metadata(file).row_group(0)
        assert group.column(group.num_columns - 1) is not None
        names = [group.column(i).path_in_schema for i in range(group.num_columns)]
        time = group.column(names.index("time_ns"))
        assert time.statistics.has_min_max
    found = duckdb.sql(f"select count(*), count(distinct (session, packet)) from "
                       f"read_parquet('{folder}/**/*.parquet', hive_partitioning=true) "
                       f"where pool = 'workers' and hour < 24").fetchone()
    assert found[0] == data.count_rows(), (found, data.count_rows())
    print(*found)
"#;

#[test]
fn pyarrow_and_duckdb_read_it() {
    let folder = tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    succeeds(&[
        "export",
        "--lake",
        lake,
        "--pool",
        "workers",
        RECORDED[0],
        RECORDED[1],
    ]);
    let Some(python) = env::var_os("PODTRACE_PYARROW") else {
        println!("skipped: no Python with pyarrow and duckdb to read the lake");
        return;
    };
    let count = || {
        let mut counting = Command::new(&python);
        finished(counting.args(["-c", COUNT, lake]).output().unwrap())
    };
    let [hops, paths] = replayed(&RECORDED);
    assert_eq!(count(), format!("{hops} {paths}\n{paths} {paths}\n"));

    // And what was put together of several files.
    for file in RECORDED {
        succeeds(&[
            "export", "--lake", lake, "--pool", "workers", "-c", "5", file,
        ]);
    }
    let before = [number(HOPS, lake), number(PATHS, lake)];
    succeeds(&["lake", lake, "--compact"]);
    let counts = count();
    let counts: Vec<_> = counts
        .lines()
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(counts, before.map(|count| count.to_string()));
}
