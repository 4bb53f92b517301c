#!/usr/bin/env python3
"""A Stratum V1 pool on loopback that checks shares like a real one. Standard library only.

    pool.py [--port N] [--difficulty D] [--user NAME] [--misbehave WHAT ...]

Prints JSON lines: {"event":"listening","port":...}, {"event":"connected","connection":...}, one per share
{"event":"share","ok":...,"reason":...,"difficulty":...,"hash":...}, {"event":"closed"}. Ends at the end
of its standard input. Ways to misbehave, all at once if wanted:

    silent        accepts connections and never says anything
    disconnect    hangs up at each connection's third share
    rubbish       sends lines that are no Stratum between all others
    endless       after the first share, one line without an end
    difficulty    a new difficulty after every second share, up and down
    jobs          a new job after every share, every second one clean
    redirect      tells the miner to go to evil.example after the first share
    unauthorized  refuses the user
    noconfigure   does not know mining.configure
    reject        rejects every share
"""
import argparse
import asyncio
import fractions
import hashlib
import json
import os
import random
import struct
import sys

DIFFICULTY_ONE = 0xffff << 208
VERSION_MASK = 0x1fffe000
RUBBISH = [b"rubbish", b"\xff\xfe\x00", b"[]", b'{"id":[],"result":{}}', b'{"method":"mining.notify","params":[1]}',
           b'{"method":"mining.set_difficulty","params":["high"]}', b'{"id":1e400}']


def say(**event):
    print(json.dumps(event), flush=True)


def twice(data):
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


class Job:
    made = 0

    def __init__(self, difficulty, extranonce1):
        Job.made += 1
        self.id = "job%d" % Job.made
        self.difficulty = difficulty
        self.extranonce1 = extranonce1
        self.previous = os.urandom(32)
        self.coinbase1 = os.urandom(random.randrange(40, 80))
        self.coinbase2 = os.urandom(random.randrange(0, 100))
        self.branches = [os.urandom(32) for _ in range(random.randrange(0, 6))]
        self.version, self.bits, self.time = 0x20000000, 0x1703255b, 1_764_000_000 + Job.made

    def params(self, clean):
        swapped = b"".join(self.previous[i:i + 4][::-1] for i in range(0, 32, 4))
        return [self.id, swapped.hex(), self.coinbase1.hex(), self.coinbase2.hex(), [b.hex() for b in self.branches],
                "%08x" % self.version, "%08x" % self.bits, "%08x" % self.time, clean]


class Connection:
    def __init__(self, pool, reader, writer):
        self.pool, self.reader, self.writer = pool, reader, writer
        self.difficulty = pool.options.difficulty
        self.extranonce1, self.extranonce2_bytes = os.urandom(4), 4
        self.jobs, self.seen = {}, set()
        self.authorized, self.rolls, self.shares = False, False, 0

    def send(self, **message):
        if "rubbish" in self.pool.options.misbehave:
            self.writer.write(random.choice(RUBBISH) + b"\n" if self.shares < 10 else b"")
        self.writer.write(json.dumps(message).encode() + b"\n")

    def notify(self, method, params):
        self.send(id=None, method=method, params=params)

    def job(self, clean):
        if clean:
            self.jobs.clear()
            self.seen.clear()
        job = Job(self.difficulty, self.extranonce1)
        self.jobs[job.id] = job
        self.notify("mining.notify", job.params(clean))

    def check(self, params):
        """The reason to refuse the share (none if it is good), its hash and its job's difficulty."""
        if not self.authorized or params[0] != self.pool.options.user:
            return "Unauthorized worker", None, None
        job = self.jobs.get(params[1])
        if job is None:
            return "Job not found", None, None
        if len(params) != (6 if self.rolls else 5):
            return "wrong number of parameters", None, job.difficulty
        extranonce2, time, nonce = bytes.fromhex(params[2]), int(params[3], 16), int(params[4], 16)
        if len(extranonce2) != self.extranonce2_bytes or any(len(word) != 8 for word in params[3:]):
            return "wrong size", None, job.difficulty
        if not job.time <= time <= job.time + 7000:
            return "Time out of range", None, job.difficulty
        version = job.version
        if self.rolls:
            bits = int(params[5], 16)
            if bits & ~VERSION_MASK:
                return "version bits outside the mask", None, job.difficulty
            version = version & ~VERSION_MASK | bits
        if tuple(params) in self.seen:
            return "Duplicate share", None, job.difficulty
        self.seen.add(tuple(params))
        root = twice(job.coinbase1 + job.extranonce1 + extranonce2 + job.coinbase2)
        for branch in job.branches:
            root = twice(root + branch)
        header = struct.pack("<I", version) + job.previous + root + struct.pack("<III", time, job.bits, nonce)
        number = int.from_bytes(twice(header), "little")
        if number > DIFFICULTY_ONE / fractions.Fraction(job.difficulty):
            return "Low difficulty share", number, job.difficulty
        return None, number, job.difficulty

    def submitted(self, request):
        misbehave = self.pool.options.misbehave
        self.shares += 1
        reason, number, difficulty = self.check(request["params"])
        if "reject" in misbehave:
            reason = "Rejected at will"
        say(event="share", ok=reason is None, reason=reason, difficulty=difficulty,
            hash=None if number is None else "%064x" % number)
        code = 21 if reason == "Job not found" else 23
        self.send(id=request["id"], result=True if reason is None else None,
                  error=None if reason is None else [code, reason, None])
        if "difficulty" in misbehave and self.shares % 2 == 0:
            self.difficulty = self.pool.options.difficulty * random.choice([0.5, 1, 1.5, 3])
            self.notify("mining.set_difficulty", [self.difficulty])
            self.job(clean=False)
        if "jobs" in misbehave:
            self.job(clean=self.shares % 2 == 0)
        if "redirect" in misbehave and self.shares == 1:
            self.notify("client.reconnect", ["evil.example", 3333, 0])
        if "endless" in misbehave and self.shares == 1 and self.pool.connections == 1:
            self.writer.write(b"x" * (1 << 20))
        return not ("disconnect" in misbehave and self.shares == 3)

    def handle(self, request):
        """False when the connection shall end."""
        misbehave = self.pool.options.misbehave
        method, number = request.get("method"), request.get("id")
        if "silent" in misbehave:
            return True
        if method == "mining.configure" and "noconfigure" not in misbehave:
            self.rolls = True
            self.send(id=number, result={"version-rolling": True, "version-rolling.mask": "%08x" % VERSION_MASK},
                      error=None)
        elif method == "mining.subscribe":
            self.send(id=number, result=[[["mining.notify", "1"]], self.extranonce1.hex(), self.extranonce2_bytes],
                      error=None)
        elif method == "mining.authorize":
            self.authorized = request["params"][0] == self.pool.options.user and "unauthorized" not in misbehave
            self.send(id=number, result=self.authorized, error=None)
            if self.authorized:
                self.notify("mining.set_difficulty", [self.difficulty])
                self.job(clean=True)
        elif method == "mining.submit":
            return self.submitted(request)
        elif method == "mining.extranonce.subscribe":
            self.send(id=number, result=True, error=None)
        elif method is not None:
            self.send(id=number, result=None, error=[-3, "unknown method", None])
        return True

    async def serve(self):
        try:
            while line := await self.reader.readline():
                if not self.handle(json.loads(line)):
                    break
                await self.writer.drain()
        except ConnectionError:
            pass
        finally:
            say(event="closed")
            self.writer.close()


class Pool:
    def __init__(self, options):
        self.options, self.connections = options, 0

    async def serve(self, reader, writer):
        self.connections += 1
        say(event="connected", connection=self.connections)
        await Connection(self, reader, writer).serve()


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--difficulty", type=float, default=0.001)
    parser.add_argument("--user", default="alice.1")
    parser.add_argument("--misbehave", nargs="*", default=[])
    server = await asyncio.start_server(Pool(parser.parse_args()).serve, "127.0.0.1", parser.parse_args().port)
    say(event="listening", port=server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
