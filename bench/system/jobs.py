#!/usr/bin/env python3
"""How good forecasts are, with real processes on this machine: servers with a share each, a job whose pieces take
about so many seconds, and what `spatter cycles accuracy` says of the forecasts afterwards.

    bench/system/jobs.py [--servers 7] [--share 10%] [--seconds 10] [--pieces 60] [--warm 40] [--json]

The first --warm pieces make the servers known and trusted; what was foretold of them is left out.
"""
import argparse
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

import harness  # noqa: E402

PROGRAM = r"""
#include <stdio.h>
#include <stdint.h>
/* Xorshift and a table walk, so many rounds as its input says. */
static uint32_t table[1 << 16];
int main(void) {
  unsigned long long rounds = 0;
  if (scanf("%llu", &rounds) != 1) return 2;
  uint32_t x = 2463534242u, sum = 0;
  for (unsigned i = 0; i < 1 << 16; ++i) table[i] = i * 2654435761u;
  for (unsigned long long r = 0; r < rounds; ++r) {
    x ^= x << 13; x ^= x >> 17; x ^= x << 5;
    sum += table[x & 0xffff] ^ x;
    table[sum & 0xffff] += x;
  }
  printf("%u\n", sum);
  return 0;
}
"""


def run(options):
    folder = tempfile.mkdtemp(prefix="spatter-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    servers = []
    try:
        for number in range(options.servers):
            server = harness.Server(os.path.join(folder, "server-%d" % number))
            if number:
                server.run("join", servers[0].json("invite")["link"], "--size", "1G")
            else:
                server.json("init", "--size", "1G")
            servers.append(server.up())
        owner = servers[0]
        while owner.status()["servers_up"] < options.servers:
            time.sleep(0.1)
        for server in servers[1:]:
            server.run("pledge", options.share)
        source = os.path.join(folder, "work.c")
        with open(source, "w") as f:
            f.write(PROGRAM)
        module = os.path.join(folder, "work.wasm")
        subprocess.run(["clang-19", "--target=wasm32-wasi", "-O2", source, "-o", module], check=True)
        native = os.path.join(folder, "work")
        subprocess.run(["clang-19", "-O2", source, "-o", native], check=True)
        rounds = 100_000_000
        began = time.monotonic()
        subprocess.run([native], input=b"%d" % rounds, stdout=subprocess.PIPE, check=True)
        per_s = rounds / (time.monotonic() - began)
        cores = float(options.share.rstrip("%")) / 100 * os.cpu_count()
        wanted = int(per_s * min(1.0, cores) * options.seconds)

        def job(name, pieces):
            inputs = os.path.join(folder, name)
            os.mkdir(inputs)
            for number in range(pieces):
                with open(os.path.join(inputs, "%04d" % number), "w") as f:
                    f.write("%d" % wanted)
            owner.run("put", inputs, "/")
            return owner.json("jobs", "run", module, "--input", "/" + name, "--output", "/out-" + name,
                              "--fuel", 10 ** 13, timeout=7200)

        job("warm", options.warm)
        before = len(owner.json("cycles", "accuracy")["errors"])
        began = time.monotonic()
        done = job("pieces", options.pieces)
        took = time.monotonic() - began
        errors = [e for e in owner.json("cycles", "accuracy")["errors"][before:] if e["kind"] != "job"]
        off = [abs(e["actual_s"] - e["p50_s"]) for e in errors]
        return {
            "servers": options.servers, "share": options.share, "pieces": options.pieces, "forecasts": len(errors),
            "seconds_of_a_piece": statistics.median(e["actual_s"] for e in errors),
            "median_error": statistics.median(o / e["actual_s"] for o, e in zip(off, errors)),
            "within": sum(o <= max(2, 0.2 * e["p50_s"]) for o, e in zip(off, errors)) / len(errors),
            "below_p90": sum(e["actual_s"] <= e["p90_s"] for e in errors) / len(errors),
            "copies": done["copies"], "job_seconds": took,
            "job_foretold": done["quoted"], "job_actual_s": (done["ended_ms"] - done["quoted_ms"]) / 1000,
        }
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=7, help="that compute, and the asker's own, which does not")
    parser.add_argument("--share", default="10%")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pieces", type=int, default=60)
    parser.add_argument("--warm", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.servers += 1
    figures = run(options)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print("%-20s %s" % (name, value))


if __name__ == "__main__":
    main()
