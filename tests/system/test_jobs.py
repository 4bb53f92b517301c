"""Jobs with real processes: programs computed by the servers of other persons, in the sandbox, and what happens
when somebody dies, or computes something that ends badly."""
import json
import os
import subprocess
import unittest

from harness import SPATTER, NetworkTest, main

COUNT = r"""
#include <stdio.h>
#include <string.h>
/* Sums up its input so many times; argv: rounds. */
int main(int argc, char** argv) {
  static unsigned char bytes[1 << 20];
  size_t length = fread(bytes, 1, sizeof bytes, stdin);
  unsigned long long sum = 0, rounds = 1;
  if (argc > 1) sscanf(argv[1], "%llu", &rounds);
  for (unsigned long long r = 0; r < rounds; ++r)
    for (size_t i = 0; i < length; ++i) sum = sum * 31 + bytes[i];
  fprintf(stderr, "read %zu bytes\n", length);
  printf("%llu\n", sum);
  return length == 13 ? 7 : 0;
}
"""


def expected(content, rounds=1):
    total = 0
    for _ in range(rounds):
        for byte in content:
            total = (total * 31 + byte) % 2 ** 64
    return b"%d\n" % total


class Jobs(NetworkTest):
    SERVERS = 4
    SHARE = "80%"

    def module(self, source, name="count"):
        path = self.path(name + ".c")
        with open(path, "w") as f:
            f.write(source)
        subprocess.run(["clang-19", "--target=wasm32-wasi", "-O2", path, "-o", self.path(name + ".wasm")], check=True)
        return self.path(name + ".wasm")

    def start(self, servers=None):
        self.network(servers or self.SERVERS)
        for server in self.servers:
            server.run("pledge", self.SHARE)
        return self.servers[0]

    def put(self, owner, folder, contents):
        for name, content in contents.items():
            local = self.path(os.path.join(folder, name))
            os.makedirs(os.path.dirname(local), exist_ok=True)
            with open(local, "wb") as f:
                f.write(content)
        owner.run("put", self.path(folder), "/")

    def test_a_folder_is_computed_by_others(self):
        owner = self.start()
        module = self.module(COUNT)
        contents = {"a.txt": b"one", "b.txt": b"two and more", "deep/c.bin": self.random.randbytes(100_000), "empty": b""}
        self.put(owner, "in", contents)
        report = owner.json("jobs", "run", module, "--input", "/in", "--args", "3", "--output", "/out", timeout=300)
        self.assertEqual(report["state"], "done", report)
        self.assertEqual(report["pieces"], len(contents))
        for name, content in contents.items():
            got = owner.run("cat", "/out/" + name, binary=True).stdout
            self.assertEqual(got, expected(content, 3), name)
        show = owner.json("jobs", "show", report["job"])
        self.assertEqual({p["result"]["exit_code"] for p in show["of_pieces"]}, {0})
        self.assertTrue(all(p["result"]["fuel"] > 0 for p in show["of_pieces"]), show)
        # Nobody is known yet, so each piece that a stranger computed was computed by two.
        own = owner.id
        for piece in show["of_pieces"]:
            self.assertTrue(own in piece["workers"] or len(set(piece["workers"])) >= 2, piece)
        self.assertEqual((report["agreed"], show["agreed"]), (len(contents), len(contents)))
        self.assertEqual(show["fuel"], sum(p["result"]["fuel"] for p in show["of_pieces"]))
        self.assertIn("read 100000 bytes\n", [p["log"] for p in show["of_pieces"]])
        logs = owner.run("jobs", "logs", report["job"]).out
        self.assertIn("read 100000 bytes", logs)
        self.assertIn(report["job"], [j["job"] for j in owner.json("jobs", "ls")["jobs"]])

    def test_chunks_an_exit_code_and_a_trap(self):
        owner = self.start()
        module = self.module(COUNT)
        content = bytes(range(256)) * 12 + b"thirteen byte"
        self.put(owner, "in", {"one": content})
        failed = owner.run("jobs", "run", module, "--input", "/in/one", "--split", "chunks:1K", "--output", "/out",
                           ok=False, timeout=300)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("1 of 4 pieces failed: piece 3 (one.00003): exit code 7", failed.err)
        for number in range(4):  # what a piece wrote is there, whatever its exit code
            self.assertEqual(owner.run("cat", "/out/one.%05d" % number, binary=True).stdout,
                             expected(content[number * 1024:(number + 1) * 1024]))
        # By what is known now, ten seconds of it are all of it; of a program that is new here, 4 MiB are.
        for arguments in ([], ["--args", "2"]):
            out = "/auto%d" % len(arguments)
            done = owner.json("jobs", "run", module, "--input", "/in/one", "--split", "chunks:auto", *arguments, "--output", out, timeout=300)
            self.assertEqual((done["state"], done["pieces"]), ("done", 1))
            self.assertEqual(owner.run("cat", out + "/one.00000", binary=True).stdout, expected(content, 2 if arguments else 1))
        wrong = owner.run("jobs", "run", module, "--input", "/in/one", "--split", "chunks:some", "--output", "/wrong", ok=False)
        self.assertIn("some", wrong.err)
        trap = self.module("int main(int argc, char** argv) { volatile int zero = argc - 1; return 100 / zero; }", "trap")
        failed = owner.run("jobs", "run", trap, "--output", "/trapped", ok=False, timeout=300)
        self.assertIn("trapped", failed.err)
        forever = self.module("int main() { for (volatile int i = 0;; ++i) {} }", "forever")
        failed = owner.run("jobs", "run", forever, "--fuel", "50000000", "--output", "/forever", ok=False, timeout=300)
        self.assertIn("out of fuel", failed.err)

    def test_a_worker_dies_and_the_asker_too(self):
        owner = self.start()
        module = self.module(COUNT)
        contents = {"%02d" % n: self.random.randbytes(200_000) for n in range(8)}
        self.put(owner, "in", contents)
        rounds = 2000
        begun = owner.json("jobs", "run", module, "--input", "/in", "--args", rounds, "--output", "/out", "--detach")
        def at_work(server):
            return any(p["state"] == "computing" for p in server.json("cycles", "status")["work"]["pieces"])
        victim = self.servers[1]
        self.wait_for("somebody computes", lambda: at_work(victim))
        victim.kill()
        self.wait_for("another computes", lambda: at_work(self.servers[2]))
        owner.kill()
        owner.up()
        self.wait_up(3, [owner])
        done = owner.json("jobs", "wait", begun["job"], timeout=400)
        self.assertEqual(done["state"], "done", done)
        # One is enough to see that the right thing was computed: Python is slow.
        name = "00"
        got = owner.run("cat", "/out/" + name, binary=True).stdout
        native = self.path("native")
        subprocess.run(["clang-19", "-O2", self.path("count.c"), "-o", native], check=True)
        for name, content in contents.items():
            want = subprocess.run([native, str(rounds)], input=content, stdout=subprocess.PIPE).stdout
            self.assertEqual(owner.run("cat", "/out/" + name, binary=True).stdout, want)

    def test_wrong_input_is_told(self):
        owner = self.start(2)
        module = self.module(COUNT)
        def refused(*arguments):
            done = owner.run("jobs", *arguments, ok=False)
            self.assertNotEqual(done.returncode, 0)
            return done.err
        bad = self.path("bad.wasm")
        with open(bad, "wb") as f:
            f.write(b"\0asm\1\0\0\0\xff\xff")
        self.assertIn("bad.wasm", refused("run", bad, "--output", "/out"))
        self.assertIn("nothing.wasm", refused("run", self.path("nothing.wasm"), "--output", "/out"))
        self.assertIn("/nowhere", refused("run", module, "--input", "/nowhere", "--output", "/out"))
        self.put(owner, "in", {"a": b"1", "b/a": b"2"})
        self.assertIn("both", refused("run", module, "--input", "/in/a", "--input", "/in/b/a", "--output", "/out"))
        self.assertIn("chunks", refused("run", module, "--input", "/in", "--split", "lines", "--output", "/out"))
        self.assertIn("not empty", refused("run", module, "--input", "/in/a", "--output", "/in"))
        self.assertIn("no job", refused("show", "abcdef"))
        self.assertNotEqual(owner.run("pledge", "120%", ok=False).returncode, 0)
        owner.run("pledge", "none")
        self.assertIn("promises none", owner.run("pledge").out)

    def test_cancel(self):
        owner = self.start(2)
        forever = self.module("int main() { for (volatile int i = 0;; ++i) {} }", "forever")
        begun = owner.json("jobs", "run", forever, "--output", "/out", "--detach")
        self.wait_for("it is computed", lambda: any(
            s.json("cycles", "status")["work"]["pieces"] for s in self.servers))
        refused = owner.run("jobs", "rm", begun["job"], ok=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("running", refused.err)
        self.assertEqual(owner.json("jobs", "rm", "--ended")["removed"], 0)
        owner.run("jobs", "cancel", begun["job"])
        self.assertEqual(owner.json("jobs", "show", begun["job"])["state"], "cancelled")
        self.assertNotEqual(owner.run("jobs", "rm", ok=False).returncode, 0)
        self.assertNotEqual(owner.run("jobs", "rm", begun["job"], "--ended", ok=False).returncode, 0)
        self.wait_for("nobody computes it any more", lambda: not any(
            s.json("cycles", "status")["work"]["pieces"] for s in self.servers))

    def test_what_is_over_can_be_forgotten(self):
        owner = self.start(2)
        module = self.module('#include <stdio.h>\nint main() { puts("done"); fputs("a word", stderr); }', "brief")
        for number in range(3):
            report = owner.json("jobs", "run", module, "--output", "/out-%d" % number)
            self.assertEqual(report["state"], "done", report)
        first = owner.json("jobs", "ls")["jobs"][0]
        self.assertEqual(owner.json("jobs", "rm", first["job"][:12]), {"job": first["job"], "removed": 1})
        self.assertNotIn(first["job"], [j["job"] for j in owner.json("jobs", "ls")["jobs"]])
        self.assertIn("no job", owner.run("jobs", "logs", first["job"], ok=False).err)
        self.assertIn("removed 2 jobs", owner.run("jobs", "rm", "--ended").out)
        self.assertEqual(owner.json("jobs", "ls")["jobs"], [])
        # What they wrote is still there, and so it is after a restart.
        owner.stop()
        owner.up()
        self.assertEqual(owner.json("jobs", "ls")["jobs"], [])
        for number in range(3):
            self.assertEqual(len(owner.json("ls", "/out-%d" % number)), 1)

    def test_a_broken_database_of_jobs_keeps_no_server_down(self):
        owner = self.start(2)
        owner.stop()
        for name in os.listdir(owner.drive):
            if name.startswith("jobs.db"):
                os.unlink(os.path.join(owner.drive, name))
        with open(os.path.join(owner.drive, "jobs.db"), "wb") as f:
            f.write(b"this is no database. " * 500)
        owner.up()
        module = self.module("int main() {}", "nothing")
        for arguments in (["ls"], ["run", module, "--output", "/out"], ["show", "abcdef"], ["rm", "--ended"], ["cancel", "abcdef"]):
            refused = owner.run("jobs", *arguments, ok=False)
            self.assertNotEqual(refused.returncode, 0, arguments)
            self.assertIn("jobs.db", refused.err, arguments)
        self.put(owner, "in", {"a": b"all else works"})
        # Without it the jobs are forgotten, and new ones are taken.
        owner.stop()
        os.rename(os.path.join(owner.drive, "jobs.db"), self.path("broken"))
        owner.up()
        self.assertEqual(owner.json("jobs", "ls")["jobs"], [])


if __name__ == "__main__":
    main()
