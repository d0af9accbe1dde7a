"""Makes a lake of many hops, and measures questions about one pod in one hour.

    lake.py make LAKE FROM HOPS     FROM: a lake that podtrace export made, whose paths are repeated
    lake.py ask LAKE PODTRACE       seconds and peak memory of each question

Pods, nodes, addresses and times are those of 5000 pods on 200 nodes over 24 hours, where each pod
talks to 20 others. Two files an hour, as two exports would have made them.
"""
import glob, os, sys, time

PODS, NODES, PARTNERS, HOURS, FILES, GROUP = 5000, 200, 20, 24, 2, 65_536
DAY, DAY_NS = "2026-11-30", 1_795_996_800_000_000_000
HOUR_NS = 3_600_000_000_000
POD, HOUR = "default/web-7", f"date = '{DAY}' AND hour = 9"
BETWEEN = f"time_ns BETWEEN '{DAY}T09:00:00Z' AND '{DAY}T09:59:59.999999999Z'"
QUESTIONS = [
    f"SELECT * FROM hops WHERE {HOUR} AND pod = '{POD}'",
    f"SELECT * FROM hops WHERE pod = '{POD}' AND {BETWEEN}",
    f"SELECT count(*), sum(bytes) FROM hops WHERE {HOUR} AND pod = '{POD}'",
    f"SELECT interface, direction, count(*), avg(delta_ns) FROM hops WHERE {HOUR} "
    f"AND source_pod = '{POD}' GROUP BY 1, 2 ORDER BY 3 DESC",
    f"SELECT * FROM hops WHERE {HOUR} AND source_pod = '{POD}' ORDER BY time_ns LIMIT 100",
]


class Sample:
    """The paths of a lake, to repeat them."""

    def __init__(self, source):
        import numpy as np, pyarrow as pa, pyarrow.parquet as pq
        [file] = glob.glob(f"{source}/hops/**/*.parquet", recursive=True)[:1]
        schema = pq.read_schema(file)
        texts = [field.name for field in schema if field.type == pa.string()]
        self.rows = pq.ParquetFile(file, read_dictionary=texts).read().combine_chunks()
        packets = self.column("packet")
        self.starts = np.flatnonzero(np.r_[True, packets[1:] != packets[:-1]])
        self.lengths = np.diff(np.r_[self.starts, len(packets)])
        times = self.rows["time_ns"].cast(pa.int64()).to_numpy()
        self.since = times - np.repeat(times[self.starts], self.lengths)
        text = lambda name: self.rows[name].cast(pa.string()).to_numpy(zero_copy_only=False)
        pod = text("pod")
        # Whose interface it is: 0 nobody's, 1 the source's, 2 the destination's.
        self.whose = np.where(pod == None, 0, np.where(pod == text("source_pod"), 1, 2))

    def column(self, name):
        return self.rows[name].to_numpy()


def hour(sample, random, partners, number, hops):
    """The rows of an hour, by time."""
    import numpy as np, pyarrow as pa
    paths = int(hops / sample.lengths.mean())
    chosen = random.integers(0, len(sample.starts), paths)
    lengths = sample.lengths[chosen]
    path = np.repeat(np.arange(paths), lengths)
    within = np.arange(len(path)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    at = sample.starts[chosen][path] + within
    rows = sample.rows.take(pa.array(at))
    begins = np.sort(random.integers(0, HOUR_NS - 1_000_000_000, paths)) + DAY_NS + number * HOUR_NS
    one, other = random.integers(0, PODS, paths), random.integers(0, PARTNERS, paths)
    other = partners[one, other]
    ends = np.where(random.random(paths) < .5, [one, other], [other, one])
    whose = sample.whose[at]
    of = {"source": ends[0][path], "destination": ends[1][path]}
    of["pod"] = np.where(whose == 1, of["source"], of["destination"])
    texts = {kind: pa.array([text(n) for n in range(PODS)]) for kind, text in {
        "pod": lambda n: f"default/web-{n}", "address": lambda n: f"10.244.{n // 250}.{n % 250}",
        "node": lambda n: f"worker-{n % NODES}"}.items()}
    made = {
        "time_ns": pa.array(begins[path] + sample.since[at]),
        "packet": pa.array(number * paths + path),
        "delta_ns": pa.array(random.integers(0, 100_000, len(path))),
        "duration_ns": pa.array(random.integers(0, 1_000_000, paths)[path]),
        "source_port": pa.array(random.integers(32768, 61000, paths)[path]),
        "payload_bytes": pa.array(random.integers(0, 1400, paths)[path]),
    }
    named = {"pod": ("pod", "pod"), "node": ("pod", "node"), "source": ("source", "address"),
             "source_pod": ("source", "pod"), "source_node": ("source", "node"),
             "destination": ("destination", "address"), "destination_pod": ("destination", "pod"),
             "destination_node": ("destination", "node")}
    for column, (whom, kind) in named.items():
        mask = whose == 0 if column == "pod" else None
        codes = pa.array(of[whom].astype("int32"), mask=mask)
        made[column] = pa.DictionaryArray.from_arrays(codes, texts[kind])
    for column, values in made.items():
        place = rows.schema.get_field_index(column)
        field = rows.schema.field(place)
        if not pa.types.is_dictionary(values.type):
            values = values.cast(field.type)
        rows = rows.set_column(place, pa.field(column, values.type, field.nullable), values)
    first, last = int(begins[0]), int(begins[-1])
    return rows, path, first, last


def make(lake, source, hops):
    import numpy as np, pyarrow.parquet as pq
    sample, random, total = Sample(source), np.random.default_rng(1), 0
    partners = random.integers(0, PODS, (PODS, PARTNERS))
    for number in range(HOURS):
        folder = f"{lake}/hops/date={DAY}/hour={number:02}/pool=default"
        os.makedirs(folder, exist_ok=True)
        rows, path, first, last = hour(sample, random, partners, number, hops / HOURS)
        total += len(rows)
        for file in range(FILES):
            name = f"{folder}/{file:016x}-{first:020}-{last:020}.parquet"
            some = rows.filter(path % FILES == file)
            pq.write_table(some, name, compression="zstd", row_group_size=GROUP, store_schema=False)
    print(total, "hops")


def ask(lake, podtrace):
    for question in QUESTIONS:
        for _ in range(3):
            begin = time.monotonic()
            pid = os.posix_spawn(podtrace, [podtrace, "query", "--lake", lake, question], os.environ,
                                 file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
            _, status, used = os.wait4(pid, 0)
            seconds = time.monotonic() - begin
            assert status == 0, status
            print(f"{seconds:.2f} s, {used.ru_maxrss // 1024} MiB: {question}")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        ask(sys.argv[2], sys.argv[3])
