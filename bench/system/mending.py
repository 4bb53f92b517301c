#!/usr/bin/env python3
"""How fast Spatter mends, with real processes on this machine, beside what the machine could do at best.

    bench/system/mending.py [OPERATION...] [--size 512M] [--json] [--brief]

Operations (all of them when none is named):

  heal        one of eight servers, which keeps --size of shards, dies for good while the owner is up: the
              time from when its shards count as lost until everything is full again, and the time that the
              bytes need by the costs that bench_limits measures in the same run
  foreground  get by one person from the others while they rebuild, with the default dial, what
              another person whose machine is off has lost, against the same get without that
  alone       the speed of rebuilding while the network does nothing else, against that with the default
              dial: twelve servers, of which seven die, or five
  audit       what audits cost: bytes sent, bytes read and processor seconds for each leaf, both ends and
              everything else that the servers do meanwhile included, and what that makes a TB and day
  mass        14 of the 23 other servers die at once: every file comes back

Everything runs on loopback with short epochs, so what counts as lost does so after ten or twenty seconds; that
wait is not counted. What is read back is compared with what was put.
"""
import argparse
import datetime
import filecmp
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "system"))
sys.path.insert(0, HERE)

from measure import cpu_seconds, demand, machine, make_file, size_of  # noqa: E402

EPOCH_SECONDS, GRACE_EPOCHS = 2, 5  # unless an operation says otherwise
OPERATIONS = ["heal", "foreground", "alone", "audit", "mass"]


def wait(what, condition, seconds=600, every=0.1):
    """Polls a state that only a command can tell, seldom enough not to be what is measured; returns when it was first
    seen."""
    until = time.monotonic() + seconds
    while not condition():
        demand(time.monotonic() < until, "not in %d s: %s" % (seconds, what))
        time.sleep(every)
    return time.monotonic()


class Network:
    """Servers that know each other, and whose short epochs make what is away count as lost soon."""

    def __init__(self, servers, size, folder, persons=0, epoch_seconds=EPOCH_SECONDS, grace_epochs=GRACE_EPOCHS, absent_epochs=None):
        """With `persons` the servers after so many are second ones of theirs."""
        import harness

        class Made(harness.NetworkTest):
            def runTest(self):
                pass

            def first(self, size=None, up=True):
                server = harness.Server(self.path("server-0"))
                made = server.json("init", "--size", size, "--epoch-seconds", epoch_seconds,
                                   "--grace-epochs", grace_epochs, "--absent-epochs", absent_epochs or 3 * grace_epochs)
                server.words = made["words"]
                self.servers.append(server)
                return server.up()

            def join(self, by=None, size=None, up=True):
                number = len(self.servers)
                server = harness.Server(self.path("server-%d" % number))
                link = self.servers[0].json("invite")["link"]
                words = []
                if persons and number >= persons:
                    with open(server.drive + ".words", "w") as f:
                        f.write(self.servers[number - persons].words)
                    words = ["--words-file", server.drive + ".words"]
                made = server.json("join", link, "--size", size, *words)
                server.words = made.get("words")
                self.servers.append(server)
                return server.up()

        os.environ["TMPDIR"] = folder
        self.made = Made()
        self.made.setUp()
        try:
            self.servers = self.made.network(servers, size=str(size))
        except BaseException:
            self.made.tearDown()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.made.tearDown()

    def put(self, owner, path, name):
        owner.run("put", path, name, "--wait", "full", timeout=3600)
        wait("all is settled", lambda: owner.status()["settled"])
        others = [one for one in self.servers if one is not owner and one.process]
        wait("holders know each other", lambda: owner.json("repair")["own"]["lists_waiting"] == 0
             and all(one.json("repair")["untold"] == 0 for one in others))

    def kept_by(self, owner, server):
        return sum(one["bytes"] for one in owner.status()["held"] if one["server"] == server.id)

    def repairs(self, servers):
        return [one.json("repair") for one in servers]


def last_said(server, words):
    """When a server's log last said these words, in seconds since 1970."""
    line = [line for line in server.log().splitlines() if words in line][-1]
    return datetime.datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S.%f").timestamp()


def left(reports):
    return sum(one["due"] + one["urgent"] for one in reports)


class Measurement:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.values = {}

    def keep(self, name, value):
        self.values[name] = value
        if not self.options.quiet:
            print("  %-44s %.4g" % (name, value), file=sys.stderr, flush=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, size):
        path = self.path(name)
        make_file(path, size)
        return path

    def same(self, owner, name, path):
        out = self.path("back")
        owner.run("get", "--remote", name, out, timeout=3600)
        demand(filecmp.cmp(path, out, shallow=False), "what came back of %s differs" % name)
        os.unlink(out)

    def costs(self, k):
        brief = ["--mib", "1", "--rounds", "1"] if self.options.brief else []
        made = subprocess.run([self.options.limits, "--k", str(k), "--folder", self.folder, *brief], stdout=subprocess.PIPE,
                              check=True)
        costs = json.loads(made.stdout)["costs"].items()
        return {name: cost["cpu_s_per_gb"] for name, cost in costs}, {name: cost["wall_s_per_gb"] for name, cost in costs}

    def heal(self):
        # Seven others keep three times what is put.
        size = self.options.size * 7 // 3
        # An epoch's audits are not to fall into what is measured: they are to cost little of an hour, not of two seconds.
        epoch = 20
        with Network(8, 6 * size + (1 << 30), self.folder, epoch_seconds=epoch, grace_epochs=1) as network:
            owner, victim = network.servers[0], network.servers[3]
            path = self.file("heal", size)
            network.put(owner, path, "/heal")
            lost = network.kept_by(owner, victim)
            k = owner.status()["widest_k"]
            victim.kill()
            before = {one: cpu_seconds(one.process.pid) for one in network.servers if one.process}
            # Its shards count as lost when the grace has passed; what was at risk before has only waited.
            begin = time.monotonic() + epoch
            # Seldom: the asking is not to be what is measured. The owner's log has the time itself.
            wait("all is full again", lambda: self.is_healed(owner, network, victim), 3600, every=1)
            healed = time.monotonic() - (time.time() - last_said(owner, "nothing is left to mend"))
            after = {one: cpu_seconds(one.process.pid) for one in before}
            self.same(owner, "/heal", path)
        cost, wall = self.costs(k)
        # Of a stripe's n = 3k shards the victim had a seventh. For every lost byte so many are read of the pack, which
        # has all k plain columns; a lost byte itself is encoded (a third of what encoding makes a byte of data
        # cost), proven, sent, proven by the receiver, and written.
        read = 7 / 3
        per_gb = read * cost["cache"] + cost["encode"] / 3 + 2 * cost["leaf"] + cost["tls"] + cost["disk"]
        # Both cores at once, or the disk, whichever needs longer.
        limit = lost / 1e9 * max(per_gb / os.cpu_count(), wall["disk"])
        self.keep("heal_lost_mb", lost / 1e6)
        self.keep("heal_s", healed - begin)
        self.keep("heal_limit_s", limit)
        self.keep("heal_times_the_limit", (healed - begin) / limit)
        self.keep("heal_cpu_s", sum(after[one] - before[one] for one in before))

    @staticmethod
    def is_healed(owner, network, victim):
        status = owner.status()
        return status["settled"] and status["stripes"]["full"] == status["stripes"]["total"] and \
            all(one["server"] != victim.id or one["bytes"] == 0 for one in status["held"])

    def foreground(self):
        size = self.options.size
        with Network(10, 10 * size + (1 << 30), self.folder) as network:
            reader, owner, others = network.servers[0], network.servers[1], network.servers[2:]
            mine, his = self.file("mine", size // 2), self.file("his", 2 * size)
            network.put(reader, mine, "/mine")
            network.put(owner, his, "/his")
            rest = others[3:] + [reader]

            def get():
                begin = time.monotonic()
                self.same(reader, "/mine", mine)
                return time.monotonic() - begin

            get()
            owner.kill()
            for dead in others[:3]:
                dead.kill()
            # They are passed over from now on; and nothing is rebuilt before the grace has passed.
            quiet = [get() for _ in range(2)]
            demand(sum(one["rebuilt_shards"] for one in network.repairs(rest)) == 0, "the grace is too short to measure within")
            wait("the rebuilding begins", lambda: sum(one["running"] for one in network.repairs(rest)) > 0)
            busy = []
            moved = sum(one["moved_bytes"] for one in network.repairs(rest))
            begin = time.monotonic()
            while left(network.repairs(rest)) > 0 and len(busy) < 20:
                busy.append(get())
            rate = (sum(one["moved_bytes"] for one in network.repairs(rest)) - moved) / (time.monotonic() - begin)
            demand(busy, "the rebuilding was over before a get")
            self.keep("foreground_quiet_mb_s", size / 2e6 / statistics.median(quiet))
            self.keep("foreground_mending_mb_s", size / 2e6 / statistics.median(busy))
            self.keep("foreground_ratio", statistics.median(quiet) / statistics.median(busy))
            self.keep("foreground_mended_mb_s", rate / 1e6)

    def mending_speed(self, die):
        """MB/s moved by all while something is due, and whether the network does nothing else."""
        size = self.options.size
        with Network(12, 10 * size + (1 << 30), self.folder, persons=6, absent_epochs=GRACE_EPOCHS) as network:
            # Of nearly every person a server stays, so that those who are left may say what all are to do.
            owner = network.servers[6]
            path = self.file("alone", size)
            network.put(owner, path, "/file")
            dead = [owner] + [one for one in network.servers[5:] if one is not owner][:die]
            for one in dead:
                one.kill()
            rest = [one for one in network.servers if one.process]
            begin = wait("the rebuilding begins", lambda: sum(one["moved_bytes"] for one in network.repairs(rest)) > 0)
            first = sum(one["moved_bytes"] for one in network.repairs(rest))
            alone = False

            def over():
                nonlocal alone
                alone = alone or any(one.json("mode")["mode"] == "repair-only" for one in rest[:2])
                return left(network.repairs(rest)) == 0
            end = wait("all is rebuilt", over, 3600)
            moved = sum(one["moved_bytes"] for one in network.repairs(rest)) - first
            return moved / 1e6 / (end - begin), alone

    def alone(self):
        background, alone = self.mending_speed(4)
        demand(not alone, "four of eleven holders are not to be a threat")
        self.keep("alone_background_mb_s", background)
        speed, alone = self.mending_speed(6)
        demand(alone, "six of eleven holders are to be a threat")
        self.keep("alone_mb_s", speed)
        self.keep("alone_ratio", speed / background)

    def audit(self):
        with Network(8, 10 * self.options.size + (1 << 30), self.folder) as network:
            owner = network.servers[0]
            network.put(owner, self.file("audit", self.options.size), "/file")
            kept = sum(one["bytes"] for one in owner.status()["held"])
            pids = [one.process.pid for one in network.servers]

            def spent():
                """Processor seconds, bytes read, leaves shown and bytes sent for them; epochs ask as well."""
                io = [dict(line.strip().split(": ") for line in open("/proc/%d/io" % pid)) for pid in pids]
                audits = [one.json("audit") for one in network.servers]
                return sum(map(cpu_seconds, pids)), sum(int(one["rchar"]) for one in io), \
                    sum(one["shown"] for one in audits), sum(one["shown_bytes"] for one in audits)
            before = spent()
            for _ in range(1 if self.options.brief else 20):
                for server in network.servers:
                    server.run("audit", "--now", timeout=600)
            cpu, read, leaves, sent = (b - a for a, b in zip(before, spent()))
            shards = sum(one["shards"] for one in owner.status()["held"])
            self.keep("audit_leaves", leaves)
            self.keep("audit_shard_bytes", kept / shards)
            self.keep("audit_sent_bytes_per_leaf", sent / leaves)
            self.keep("audit_read_bytes_per_leaf", read / leaves)
            self.keep("audit_cpu_us_per_leaf", 1e6 * cpu / leaves)
            # Two auditors ask each shard for a leaf a day.
            per_day = 2 * 1e12 / (kept / shards)
            self.keep("audit_sent_gb_per_tb_and_day", per_day * sent / leaves / 1e9)
            self.keep("audit_read_gb_per_tb_and_day", per_day * read / leaves / 1e9)
            self.keep("audit_cpu_s_per_tb_and_day", per_day * cpu / leaves)

    def mass(self):
        with Network(24, 4 * self.options.size + (1 << 30), self.folder) as network:
            owner, others = network.servers[0], network.servers[1:]
            paths = [self.file("mass-%d" % i, size) for i, size in enumerate((self.options.size // 4, 1_000_000, 40_000, 1))]
            for i, path in enumerate(paths):
                network.put(owner, path, "/mass-%d" % i)
            for dead in others[:14]:
                dead.kill()
            lost = 0
            for i, path in enumerate(paths):
                out = self.path("back")
                # The network may have stopped serving: then it has to mend first.
                wait("it comes back", lambda: owner.run("get", "--remote", "/mass-%d" % i, out, ok=False, timeout=600).returncode == 0, 900)
                lost += not filecmp.cmp(path, out, shallow=False)
                os.unlink(out)
            self.keep("mass_died", 14)
            self.keep("mass_files", len(paths))
            self.keep("mass_files_lost", lost)


def parse(arguments):
    build = os.path.join(HERE, "..", "..", "build")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operations", nargs="*", metavar="OPERATION", help="any of " + ", ".join(OPERATIONS))
    parser.add_argument("--size", type=size_of, default=512 << 20)
    parser.add_argument("--folder", default=os.environ.get("TMPDIR", "/var/tmp"), help="where servers and files go")
    parser.add_argument("--spatter", default=os.environ.get("SPATTER", os.path.join(build, "spatter")))
    parser.add_argument("--limits", default=os.environ.get("BENCH_LIMITS", os.path.join(build, "bench_limits")))
    parser.add_argument("--json", action="store_true", help="every value, on standard output")
    parser.add_argument("--quiet", action="store_true", help="no values on standard error as they come")
    parser.add_argument("--brief", action="store_true", help="heal and audit with a few MiB, to see that they work")
    options = parser.parse_args(arguments)
    unknown = [one for one in options.operations if one not in OPERATIONS]
    if unknown:
        parser.error("there is no operation '%s': choose from %s" % (unknown[0], ", ".join(OPERATIONS)))
    options.operations = options.operations or (["heal", "audit"] if options.brief else OPERATIONS)
    if options.brief:
        options.size = 6 << 20
    return options


def main():
    options = parse(sys.argv[1:])
    options.spatter = os.path.abspath(options.spatter)
    os.environ["SPATTER"] = options.spatter
    for program in (options.spatter, options.limits):
        demand(os.access(program, os.X_OK), "%s is missing: build it first" % program)
    folder = tempfile.mkdtemp(prefix="spatter-mending-", dir=options.folder)
    try:
        measurement = Measurement(options, folder)
        for one in options.operations:
            getattr(measurement, one)()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {"machine": machine(), "command": " ".join(["bench/system/mending.py", *sys.argv[1:]]), "size": options.size,
             "values": measurement.values}
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        print()
    else:
        for name, value in measurement.values.items():
            print("%-44s %.4g" % (name, value))


if __name__ == "__main__":
    main()
