"""Real servers on loopback for the system tests: start, invite, join, kill, and look from outside.

Every test makes its network in a temporary folder of its own, and every process it starts dies with
it. Waiting is always for a line, an exit or a state, never for an amount of time.
"""
import ctypes
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SPATTER = os.environ.get("SPATTER") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "spatter")
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def spatter(drive, *arguments, ok=True, input=None, timeout=120, binary=False, prefix=()):
    """Runs one command to its end. With ok=True a failure raises with what it said."""
    command = [*prefix, SPATTER, "--drive", drive, *[a if isinstance(a, (bytes, str)) else str(a) for a in arguments]]
    done = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    done.out = done.stdout if binary else done.stdout.decode("utf-8", "surrogateescape")
    done.err = done.stderr.decode("utf-8", "surrogateescape")
    if ok and done.returncode != 0:
        raise AssertionError("%s ended with %d: %s" % (command[len(prefix) + 3:], done.returncode, done.err))
    return done


class Server:
    """One drive and, while it is up, the process that serves it."""

    def __init__(self, drive):
        self.drive = drive
        self.process = None
        self.id = self.address = None

    def run(self, *arguments, **options):
        return spatter(self.drive, *arguments, **options)

    def json(self, *arguments, **options):
        return json.loads(self.run(*arguments, "--json", **options).out)

    def status(self):
        return self.json("status")

    def up(self, *arguments, listen="127.0.0.1:0", prefix=()):
        log = open(self.drive + ".log", "ab")
        self.process = subprocess.Popen(
            [*prefix, SPATTER, "--drive", self.drive, "up", "--listen", listen, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, preexec_fn=_die_with_parent)
        log.close()
        for line in self.process.stdout:
            words = line.decode().split()
            if words and words[0] == "ready":
                self.id, self.address = words[1], words[2]
                return self
        raise AssertionError("the server did not get ready: " + self.log())

    def log(self):
        with open(self.drive + ".log", errors="replace") as f:
            return f.read()[-4000:]

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def stop(self):
        """Asks it to end, and says how it ended."""
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.process = None
        return code

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def shard_files(self):
        found = []
        for folder, _, names in os.walk(os.path.join(self.drive, "server", "shards")):
            found += [os.path.join(folder, name) for name in names]
        return sorted(found)


class NetworkTest(unittest.TestCase):
    SIZE = "2G"

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="spatter-test-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.servers = []
        self.random = random.Random(os.environ.get("SPATTER_SEED", self.id()))

    def tearDown(self):
        for server in self.servers:
            server.kill()
        failed = any(error for _, error in getattr(self._outcome, "errors", [])) if self._outcome else False
        if failed or os.environ.get("SPATTER_KEEP"):
            for server in self.servers:
                sys.stderr.write("---- log of %s\n%s\n" % (server.drive, server.log() if os.path.exists(server.drive + ".log") else ""))
        if not os.environ.get("SPATTER_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def first(self, size=None, up=True):
        server = Server(self.path("server-0"))
        made = server.json("init", "--size", size or self.SIZE)
        server.words = made["words"]
        self.servers.append(server)
        return server.up() if up else server

    def join(self, by=None, size=None, up=True):
        by = by or self.servers[0]
        server = Server(self.path("server-%d" % len(self.servers)))
        server.run("join", by.json("invite")["link"], "--size", size or self.SIZE)
        self.servers.append(server)
        return server.up() if up else server

    def network(self, count, size=None):
        self.first(size)
        for _ in range(count - 1):
            self.join(size=size)
        self.wait_up(count)
        return self.servers

    def wait_for(self, what, condition, seconds=60):
        """Polls a state that only a command can tell."""
        until = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > until:
                self.fail("not in %d s: %s" % (seconds, what))
            time.sleep(0.05)

    def wait_up(self, count, servers=None):
        for server in servers or self.servers:
            if server.process:
                self.wait_for("%s sees %d servers" % (server.drive, count), lambda: server.status()["servers_up"] == count)

    def wait_settled(self, server, seconds=120):
        """Nothing left to ship, widen or move."""
        def settled():
            s = server.status()
            return s if s["backlog_bytes"] == 0 and s["stripes"]["full"] == s["stripes"]["total"] and s.get("settled", True) else None
        return self.wait_for("%s has everything in full shape" % server.drive, settled, seconds)

    def file(self, name, size, seed=None):
        """A file of incompressible bytes."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        chance = random.Random(seed if seed is not None else name)
        with open(path, "wb") as f:
            left = size
            while left > 0:
                piece = chance.randbytes(min(left, 1 << 20))
                f.write(piece)
                left -= len(piece)
        return path

    def assert_same_file(self, a, b):
        self.assertTrue(os.path.isfile(b), "%s is missing" % b)
        self.assertTrue(filecmp.cmp(a, b, shallow=False), "%s differs from %s" % (b, a))

    def assert_same_tree(self, a, b):
        """Types, modes, times, targets, hard links and bytes."""
        self.assertEqual(_listing(a), _listing(b))
        for folder, _, names in os.walk(os.fsencode(a)):
            for name in names:
                left = os.path.join(folder, name)
                if os.path.isfile(left) and not os.path.islink(left):
                    self.assert_same_file(left, os.fsencode(b) + left[len(os.fsencode(a)):])


def _listing(top):
    top = os.fsencode(top)
    entries, groups = {}, {}
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            kind = info.st_mode if not os.path.islink(path) else "link to " + repr(os.readlink(path))
            group = None
            if info.st_nlink > 1 and os.path.isfile(path):
                group = groups.setdefault(info.st_ino, len(groups))
            entries[path[len(top):]] = (kind, info.st_mtime_ns, info.st_size if not os.path.isdir(path) else None, group is not None)
    return entries


def main():
    unittest.main(verbosity=2, warnings="ignore")
