#!/usr/bin/env python3
"""What Spatter does end to end, measured with real processes on this machine, beside restic and
beside the best this machine could do.

    bench/system/measure.py [OPERATION...] [--runs 5] [--servers 7] [--json] [--brief]

Operations (all of them when none is named):

  put         put of one incompressible file (--size, 1 GiB), waiting for full, into the servers
  get         get of it from the other servers only
  restic      restic backup of the same file into a local folder, and restic restore
  small_puts  put of 16 KiB files one after another, each waiting for safe: as commands, and over
              one open control connection; and all of them named to one command
  random_cat  64 KiB at random offsets of one large file (--large, 4 GiB) from the other servers
              only: as commands, and over one open control connection
  memory      resident memory of idle servers, and during the put of the large file

Every run makes new networks of servers on loopback. Within a run put and restic backup follow each
other, then get and restic restore; in every other run restic comes first, and nothing is removed
in between, because whoever comes second would find warm memory. bench_limits measures the costs from
which the bound comes. What is read back is compared with what was put. Medians over the runs; --json
has every value.
"""
import argparse
import filecmp
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "system"))
sys.path.insert(0, HERE)

from control_client import ControlClient  # noqa: E402
from report import table  # noqa: E402

SMALL_BYTES = 16 << 10
CAT_BYTES = 64 << 10


class Network:
    """Some servers that know each other, in a folder that goes away with them."""

    def __init__(self, servers, size, folder):
        import harness

        class Made(harness.NetworkTest):
            def runTest(self):
                pass

        os.environ["TMPDIR"] = folder
        self.made = Made()
        self.made.setUp()
        try:
            self.servers = self.made.network(servers, size=str(size))
        except BaseException:
            self.close()
            raise
        self.owner = self.servers[0]

    def close(self):
        self.made.tearDown()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def cpu_seconds(self):
        """Processor seconds so far: of the owner's process, and of all the others together."""
        each = [cpu_seconds(server.process.pid) for server in self.servers]
        return each[0], sum(each[1:])


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_cpu_seconds():
    """Of all commands that have ended so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def memory_mib(pid):
    """Resident memory, and the part of it that no file backs."""
    with open("/proc/%d/status" % pid) as f:
        lines = dict(line.split(":", 1) for line in f)
    return tuple(int(lines[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon"))


class MemoryPeak:
    """Samples some processes and keeps the highest of each."""

    def __init__(self, pids):
        self.peaks = {pid: (0.0, 0.0) for pid in pids}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(0.05):
            for pid, before in self.peaks.items():
                self.peaks[pid] = tuple(map(max, before, memory_mib(pid)))

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.peaks


def timed(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def make_file(path, size):
    """Incompressible, and in the page cache when it is read."""
    with open(path, "wb") as f:
        left = size
        while left:
            piece = os.urandom(min(left, 4 << 20))
            f.write(piece)
            left -= len(piece)
        f.flush()
        os.fsync(f.fileno())


def demand(condition, what):
    if not condition:
        raise SystemExit("measure: " + what)


class Measurement:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.values = {}
        self.notes = []
        self.file = os.path.join(folder, "file")
        if self.wanted("restic") and not shutil.which("restic"):
            options.operations = [one for one in options.operations if one != "restic"]
            self.notes.append("restic is missing: install the package restic to have it measured beside")
            print("measure: " + self.notes[-1], file=sys.stderr)
        if self.wanted("put", "get", "restic"):
            make_file(self.file, options.size)

    def wanted(self, *operations):
        return any(one in self.options.operations for one in operations)

    def keep(self, name, value):
        self.values.setdefault(name, []).append(value)
        if not self.options.quiet:
            print("  %-34s %.4g" % (name, value), file=sys.stderr, flush=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    # One run of everything about the middle-sized file.

    def transfers(self, run):
        if self.wanted("put"):
            self.limits()
        with Network(self.options.servers, 8 * self.options.size + (1 << 30), self.folder) as network:
            ours = [self.put] if self.wanted("put", "get") else []
            ours_back = [self.get] if self.wanted("get") else []
            theirs = [self.restic_backup] if self.wanted("restic") else []
            theirs_back = [self.restic_restore] if self.wanted("restic") else []
            first, second = (ours, theirs) if run % 2 == 0 else (theirs, ours)
            for step in first + second:
                step(network)
            first, second = (ours_back, theirs_back) if run % 2 == 0 else (theirs_back, ours_back)
            for step in first + second:
                step(network)
        for name in ("got", "restic", "restored"):
            path = self.path(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.unlink(path)

    def limits(self):
        k = max(1, min(16, self.options.servers - 1)) if self.options.servers > 4 else 1
        brief = ["--mib", "1", "--rounds", "1"] if self.options.brief else []
        made = subprocess.run(
            [self.options.limits, "--k", str(k), "--put-gb", str(self.options.size / 1e9),
             "--folder", self.folder, *brief], stdout=subprocess.PIPE, check=True)
        limits = json.loads(made.stdout)
        self.keep("put_bound_s", limits["put"]["bound_s"])
        self.keep("put_disk_s", limits["put"]["disk_s"])
        self.keep("get_bound_s", limits["get"]["bound_s"])
        for part, cost in limits["costs"].items():
            self.keep("cost_%s_s_per_gb" % part, cost["cpu_s_per_gb"])

    def put(self, network):
        before = network.cpu_seconds()
        self.keep("put_s", timed(lambda: network.owner.run("put", self.file, "/file", "--wait", "full", timeout=3600)))
        after = network.cpu_seconds()
        self.keep("put_owner_cpu_s", after[0] - before[0])
        self.keep("put_holders_cpu_s", after[1] - before[1])
        status = network.owner.status()
        demand(status["stripes"]["full"] == status["stripes"]["total"], "put --wait full returned before all was full")
        if "put_s" in self.values and "put_bound_s" in self.values:
            self.keep("put_share_of_bound", self.values["put_bound_s"][-1] / self.values["put_s"][-1])

    def get(self, network):
        before = network.cpu_seconds()
        out = self.path("got")
        self.keep("get_s", timed(lambda: network.owner.run("get", "--remote", "/file", out, timeout=3600)))
        after = network.cpu_seconds()
        self.keep("get_owner_cpu_s", after[0] - before[0])
        self.keep("get_holders_cpu_s", after[1] - before[1])
        demand(filecmp.cmp(self.file, out, shallow=False), "what get brought differs from what was put")
        if "get_bound_s" in self.values:
            self.keep("get_share_of_bound", self.values["get_bound_s"][-1] / self.values["get_s"][-1])

    def restic(self, *arguments):
        environment = dict(os.environ, RESTIC_PASSWORD="measure", RESTIC_CACHE_DIR=self.path("restic-cache"))
        subprocess.run(["restic", "-q", "-r", self.path("restic"), *arguments], env=environment, check=True,
                       stdout=subprocess.DEVNULL)

    def restic_backup(self, _):
        self.restic("init")
        before = children_cpu_seconds()
        self.keep("restic_backup_s", timed(lambda: self.restic("backup", self.file)))
        self.keep("restic_backup_cpu_s", children_cpu_seconds() - before)

    def restic_restore(self, _):
        target = self.path("restored")
        before = children_cpu_seconds()
        self.keep("restic_restore_s", timed(lambda: self.restic("restore", "latest", "--target", target)))
        self.keep("restic_restore_cpu_s", children_cpu_seconds() - before)
        demand(filecmp.cmp(self.file, target + self.file, shallow=False), "restic restored something else")

    # Small files.

    def small_puts(self):
        with Network(self.options.servers, 2 << 30, self.folder) as network:
            owner = network.owner
            commands, requests = self.options.small
            names = []
            for i in range(max(commands, requests)):
                names.append(self.path("small-%d" % i))
                make_file(names[-1], SMALL_BYTES)
            owner.run("mkdir", "/commands")
            owner.run("mkdir", "/requests")
            owner.run("mkdir", "/together")
            spent = timed(lambda: [owner.run("put", names[i], "/commands/%d" % i, "--wait", "safe") for i in range(commands)])
            self.keep("small_puts_commands_per_s", commands / spent)
            spent = timed(lambda: owner.run("put", *names, "/together", "--wait", "safe"))
            self.keep("small_puts_one_command_per_s", len(names) / spent)
            client = ControlClient(owner.drive)
            before = network.cpu_seconds()
            latencies = [timed(lambda i=i: self._small_put(client, names[i], i)) for i in range(requests)]
            after = network.cpu_seconds()
            self.keep("small_puts_per_s", requests / sum(latencies))
            self.keep("small_put_p50_ms", 1000 * percentile(latencies, 0.5))
            self.keep("small_put_p99_ms", 1000 * percentile(latencies, 0.99))
            self.keep("small_put_owner_cpu_ms", 1000 * (after[0] - before[0]) / requests)
            self.keep("small_put_holders_cpu_ms", 1000 * (after[1] - before[1]) / requests)
            for i in random.sample(range(requests), min(requests, 10)):
                _, data = client.request("read", path=b"/requests/%d" % i, remote=True)
                with open(names[i], "rb") as f:
                    demand(data == f.read(), "a small file came back altered")
            for name in names:
                os.unlink(name)

    @staticmethod
    def _small_put(client, name, i):
        fd = os.open(name, os.O_RDONLY)
        try:
            client.request("put_file", [fd], path=b"/requests/%d" % i, mode=0o644, wait="safe")
        finally:
            os.close(fd)

    # The large file.

    def large(self):
        with Network(self.options.servers, 8 * self.options.large + (1 << 30), self.folder) as network:
            if self.wanted("memory"):
                self.idle_memory(network)
            large = self.path("large")
            make_file(large, self.options.large)
            peaks = MemoryPeak([server.process.pid for server in network.servers])
            self.keep("large_put_s", timed(lambda: network.owner.run("put", large, "/large", "--wait", "full", timeout=3600)))
            peaks = peaks.stop()
            if self.wanted("memory"):
                owner = peaks.pop(network.owner.process.pid)
                self.keep("put_owner_rss_mib", owner[0])
                self.keep("put_owner_anon_mib", owner[1])
                self.keep("put_holder_rss_mib", max(rss for rss, _ in peaks.values()))
                self.keep("put_holder_anon_mib", max(anon for _, anon in peaks.values()))
            if self.wanted("random_cat"):
                self.random_cat(network, large)
            os.unlink(large)

    def idle_memory(self, network):
        """A while after the start, so that what only starting needed has been given back."""
        time.sleep(1 if self.options.brief else 10)
        each = [memory_mib(server.process.pid) for server in network.servers]
        self.keep("idle_rss_mib", statistics.median(rss for rss, _ in each))
        self.keep("idle_anon_mib", statistics.median(anon for _, anon in each))

    def random_cat(self, network, large):
        chance = random.Random(1)
        commands, requests = self.options.cats
        client = ControlClient(network.owner.drive)

        def as_command(offset):
            return network.owner.run("cat", "--remote", "--offset", str(offset), "--length", str(CAT_BYTES), "/large",
                                     binary=True).out

        def as_request(offset):
            return client.request("read", path=b"/large", offset=offset, length=CAT_BYTES, remote=True)[1]
        with open(large, "rb") as f:
            for name, read, count in (("cat_command", as_command, commands), ("cat", as_request, requests)):
                before = network.cpu_seconds()
                latencies = []
                for _ in range(count):
                    offset = chance.randrange(0, self.options.large - CAT_BYTES)
                    begin = time.monotonic()
                    got = read(offset)
                    latencies.append(time.monotonic() - begin)
                    f.seek(offset)
                    demand(got == f.read(CAT_BYTES), "cat at %d gave other bytes" % offset)
                after = network.cpu_seconds()
                self.keep(name + "_p50_ms", 1000 * percentile(latencies, 0.5))
                self.keep(name + "_p99_ms", 1000 * percentile(latencies, 0.99))
                if name == "cat":
                    self.keep("cat_owner_cpu_ms", 1000 * (after[0] - before[0]) / count)
                    self.keep("cat_holders_cpu_ms", 1000 * (after[1] - before[1]) / count)

    def run(self):
        for run in range(self.options.runs):
            if not self.options.quiet:
                print("run %d of %d" % (run + 1, self.options.runs), file=sys.stderr)
            if self.wanted("put", "get", "restic"):
                self.transfers(run)
            if self.wanted("small_puts"):
                self.small_puts()
            if self.wanted("memory", "random_cat"):
                self.large()


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return {"processor": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release(),
            "load_before": round(os.getloadavg()[0], 2)}


def size_of(text):
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    return int(text[:-1]) << units[text[-1]] if text[-1] in units else int(text)


def parse(arguments):
    operations = ["put", "get", "restic", "small_puts", "random_cat", "memory"]
    build = os.path.join(HERE, "..", "..", "build")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operations", nargs="*", metavar="OPERATION", help="any of " + ", ".join(operations))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--servers", type=int, default=7)
    parser.add_argument("--size", type=size_of, default=1 << 30, help="of the file that is put and fetched")
    parser.add_argument("--large", type=size_of, default=4 << 30, help="of the file for memory and random_cat")
    parser.add_argument("--small", type=int, nargs=2, default=[50, 500], metavar=("COMMANDS", "REQUESTS"))
    parser.add_argument("--cats", type=int, nargs=2, default=[100, 1000], metavar=("COMMANDS", "REQUESTS"))
    parser.add_argument("--folder", default=os.environ.get("TMPDIR", "/var/tmp"), help="where servers and files go")
    parser.add_argument("--spatter", default=os.environ.get("SPATTER", os.path.join(build, "spatter")))
    parser.add_argument("--limits", default=os.environ.get("BENCH_LIMITS", os.path.join(build, "bench_limits")))
    parser.add_argument("--json", action="store_true", help="every value of every run, on standard output")
    parser.add_argument("--quiet", action="store_true", help="no values on standard error as they come")
    parser.add_argument("--brief", action="store_true", help="everything once with a few MiB, to see that it works")
    options = parser.parse_args(arguments)
    unknown = [one for one in options.operations if one not in operations]
    if unknown:
        parser.error("there is no operation '%s': choose from %s" % (unknown[0], ", ".join(operations)))
    options.operations = options.operations or operations
    if options.brief:
        options.runs, options.servers, options.size, options.large = 1, 5, 8 << 20, 24 << 20
        options.small, options.cats = [2, 10], [2, 20]
    return options


def main():
    options = parse(sys.argv[1:])
    options.spatter = os.path.abspath(options.spatter)
    os.environ["SPATTER"] = options.spatter
    for program in (options.spatter, options.limits):
        demand(os.access(program, os.X_OK), "%s is missing: build it first" % program)
    found = {"machine": machine(), "command": " ".join(["bench/system/measure.py", *sys.argv[1:]]),
             "runs": options.runs, "servers": options.servers, "size": options.size, "large": options.large}
    folder = tempfile.mkdtemp(prefix="spatter-measure-", dir=options.folder)
    try:
        measurement = Measurement(options, folder)
        measurement.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found["values"] = measurement.values
    found["medians"] = {name: statistics.median(values) for name, values in measurement.values.items()}
    found["notes"] = measurement.notes
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        print()
    else:
        print(table(found))


if __name__ == "__main__":
    main()
