"""Makes a lake of many hops, and measures questions about one pod in one hour.

    lake.py make LAKE FROM HOPS     FROM: a lake that podtrace export made, whose rows are repeated
    lake.py ask LAKE PODTRACE       seconds and peak memory of each question

Pods, addresses and times differ from row to row as in a cluster of 1000 pods over 24 hours.
"""
import os, resource, sys, time

PODS, HOURS, GROUP = 1000, 24, 65_536
DAY_NS = 1_796_083_200_000_000_000  # 2026-12-01
HOUR_NS = 3_600_000_000_000
QUESTIONS = [
    "SELECT count(*), sum(bytes) FROM hops WHERE date = '2026-12-01' AND hour = 9 AND pod = 'default/web-7'",
    "SELECT interface, direction, count(*), avg(delta_ns) FROM hops WHERE date = '2026-12-01' "
    "AND hour = 9 AND source_pod = 'default/web-7' GROUP BY 1, 2 ORDER BY 3 DESC",
    "SELECT * FROM hops WHERE date = '2026-12-01' AND hour = 9 AND source_pod = 'default/web-7' "
    "ORDER BY time_ns LIMIT 100",
]


def make(lake, source, hops):
    import glob
    import numpy as np, pyarrow as pa, pyarrow.parquet as pq
    [file] = glob.glob(f"{source}/hops/**/*.parquet", recursive=True)[:1]
    sample = pq.ParquetFile(file).read()
    groups = max(1, hops // HOURS // GROUP)
    random = np.random.default_rng(1)
    pods = pa.array([f"default/web-{n}" for n in range(PODS)])
    addresses = pa.array([f"10.244.{n // 250}.{n % 250}" for n in range(PODS)])
    names = {"pod": pods, "source_pod": pods, "destination_pod": pods,
             "source": addresses, "destination": addresses}
    for hour in range(HOURS):
        folder = f"{lake}/hops/date=2026-12-01/hour={hour:02}/pool=default"
        os.makedirs(folder, exist_ok=True)
        name = f"0123456789abcdef-{DAY_NS + hour * HOUR_NS:020}-{DAY_NS + (hour + 1) * HOUR_NS - 1:020}"
        with pq.ParquetWriter(f"{folder}/{name}.parquet", sample.schema, compression="zstd") as out:
            for group in range(groups):
                rows = sample.take(pa.array(random.integers(0, sample.num_rows, GROUP)))
                step = HOUR_NS // (groups * GROUP)
                begin = DAY_NS + hour * HOUR_NS + group * GROUP * step
                times = begin + np.arange(GROUP) * step + random.integers(0, step, GROUP)
                first = (hour * groups + group) * GROUP // 5
                made = {"time_ns": pa.array(times).cast(sample.schema.field("time_ns").type),
                        "packet": pa.array(first + np.arange(GROUP) // 5),
                        "delta_ns": pa.array(random.integers(0, 100_000, GROUP)),
                        "duration_ns": pa.array(random.integers(0, 1_000_000, GROUP))}
                for column, values in names.items():
                    made[column] = values.take(pa.array(random.integers(0, PODS, GROUP)))
                for column, values in made.items():
                    at = sample.schema.get_field_index(column)
                    values = values.cast(sample.schema.field(at).type)
                    rows = rows.set_column(at, sample.schema.field(at), values)
                out.write_table(rows, row_group_size=GROUP)
    print(HOURS * groups * GROUP, "hops")


def ask(lake, podtrace):
    for question in QUESTIONS:
        for _ in range(2):
            begin = time.monotonic()
            pid = os.posix_spawn(podtrace, [podtrace, "query", "--lake", lake, question], os.environ,
                                 file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
            _, status, used = os.wait4(pid, 0)
            seconds = time.monotonic() - begin
            assert status == 0, status
            print(f"{seconds:.2f} s, {used.ru_maxrss // 1024} MiB: {question[:60]}")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        ask(sys.argv[2], sys.argv[3])
