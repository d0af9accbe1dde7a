"""Measures joiners with a real server of NATS.

    joiners.py rate PODTRACE DIR [OPTION…]          hops a second, where all has been published before
    joiners.py lag PODTRACE DIR HOPS [OPTION…]      from the time at which a hop is handed to podtrace publish
                                                  to that at which its path is in a file, with so many a second

DIR has worker1.pcapng and worker2.pcapng: PODTRACE_STAGES=DIR writes them (benches/stages). Options are
those of podtrace join. nats-server is in the path.
"""
import glob, json, os, re, resource, struct, subprocess, sys, tempfile, threading, time, zlib

NODES = ["worker1.pcapng", "worker2.pcapng"]
SECONDS = 10
STEP_NS = 10_000_000
# Types of the blocks of a packet, and of what podtrace has beside packets.
PACKET, ENTRY = 6, 0x8074_6470


class Server:
    def __init__(self, folder):
        command = ["nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "--store_dir", f"{folder}/store"]
        self.process = subprocess.Popen(command + ["--ports_file_dir", folder], stderr=subprocess.DEVNULL)
        ports = f"{folder}/nats-server_{self.process.pid}.ports"
        while not os.path.exists(ports) or not os.path.getsize(ports):
            time.sleep(0.01)
        with open(ports) as file:
            self.url = json.load(file)["nats"][0]

    def end(self):
        self.process.kill()
        self.process.wait()


def said(process):
    """What a process that has to succeed said."""
    words = process.stderr.read().decode()
    if process.wait():
        sys.exit(words)
    return words.strip()


def joined(podtrace, url, folder, options):
    """What a joiner said, its seconds, and those of its processors."""
    command = [podtrace, "--no-config", "join", "--nats", url, "--nodes", "2", "--write", folder]
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    words = said(subprocess.Popen(command + options, stderr=subprocess.PIPE))
    took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return words, took, used


def publisher(podtrace, url, file, **how):
    command = [podtrace, "--no-config", "publish", "--nats", url, file]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **how)


def rate(podtrace, folder, *options):
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(temporary)
        publishers = [publisher(podtrace, server.url, f"{folder}/{node}") for node in NODES]
        begun = time.monotonic()
        for one in publishers:
            print(said(one))
        print(f"published in {time.monotonic() - begun:.1f} s")
        words, took, used = joined(podtrace, server.url, f"{temporary}/out", list(options))
        server.end()
    hops = int(re.search(r"(\d+) hops:", words)[1])
    print(words)
    print(f"joined in {took:.1f} s, {used:.1f} s of a core: {hops / took:,.0f} hops/s, "
          f"{hops / used:,.0f} hops/s and core")


def blocks(recorded):
    """Each block of a recording, with the time of a packet."""
    at = 0
    while at < len(recorded):
        kind, length = struct.unpack_from("<II", recorded, at)
        high, low = struct.unpack_from("<II", recorded, at + 12) if kind == PACKET else (0, 0)
        yield recorded[at:at + length], high << 32 | low
        at += length


def moved(block, ns):
    """A packet at another time: its last option has a checksum of what comes before."""
    block = bytearray(block)
    struct.pack_into("<II", block, 12, ns >> 32, ns & 0xffff_ffff)
    value = block.index(b"pdtP") + 4
    end = value + struct.unpack_from("<H", block, value - 10)[0] - 12
    struct.pack_into("<I", block, end, zlib.crc32(block[:end]))
    return bytes(block)


def told(block, ns):
    """What is told beside packets, with other times: they are its only numbers of so many digits."""
    if struct.unpack_from("<I", block)[0] != ENTRY:
        return block
    block = re.sub(rb"\d{19}", lambda number: b"%d" % ns(int(number[0])), block[:-8]) + block[-8:]
    return block[:-8] + struct.pack("<I", zlib.crc32(block[:-8])) + block[-4:]


def paced(file, first_ns, factor, until_ns):
    """What is handed on in each step of time: a recording as if it took so much longer."""
    steps, step = [], b""
    later = lambda ns: first_ns + int((ns - first_ns) * factor)
    for block, ns in blocks(file):
        if ns:
            ns = later(ns)
            if ns > until_ns:
                break
            while ns >= first_ns + (len(steps) + 1) * STEP_NS:
                steps.append(step)
                step = b""
        step += moved(block, ns) if ns else told(block, later)
    return steps + [step]


def hand_on(process, steps, begin):
    for number, step in enumerate(steps):
        # What was seen in a step is handed on when it is over.
        time.sleep(max(0, begin + (number + 1) * STEP_NS / 1e9 - time.time()))
        process.stdin.write(step)
        process.stdin.flush()
    process.stdin.close()


def lag(podtrace, folder, hops, *options):
    recorded = [open(f"{folder}/{node}", "rb").read() for node in NODES]
    times = sorted(ns for file in recorded for _, ns in blocks(file) if ns)
    factor = len(times) / (times[-1] - times[0]) * 1e9 / int(hops)
    until_ns = times[0] + SECONDS * 1_000_000_000
    steps = [paced(file, times[0], factor, until_ns) for file in recorded]
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(temporary)
        publishers = [publisher(podtrace, server.url, "-", stdin=subprocess.PIPE) for _ in NODES]
        begin = time.time() + 1
        threads = [threading.Thread(target=hand_on, args=(*pair, begin)) for pair in zip(publishers, steps)]
        [thread.start() for thread in threads]
        words, _, used = joined(podtrace, server.url, f"{temporary}/out", list(options))
        [thread.join() for thread in threads]
        print(*map(said, publishers), sep="\n")
        server.end()
        print(words)
        print_lags(f"{temporary}/out", times[0], begin, used)


def print_lags(out, first_ns, begin, used):
    lags = []
    for name in glob.glob(f"{out}/*.json"):
        written = os.stat(name).st_mtime
        for line in open(name):
            path = json.loads(line)
            if path["type"] == "path":
                last_ns = max(hop["time_ns"] for hop in path["hops"])
                lags.append(written - begin - (last_ns - first_ns) / 1e9)
    lags.sort()
    at = lambda share: lags[int(share * (len(lags) - 1))]
    print(f"{len(lags)} paths, {used:.1f} s of a core; from hop to file "
          f"{at(0.5):.2f} s (p50), {at(0.99):.2f} s (p99), {lags[-1]:.2f} s at most")


if __name__ == "__main__":
    commands = {"rate": rate, "lag": lag}
    if len(sys.argv) < 4 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
