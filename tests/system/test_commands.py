"""The command line itself: what it prints, refuses, and how it ends."""
import json
import os
import signal
import stat
import subprocess

from harness import SPATTER, NetworkTest, _die_with_parent, main, spatter


class Usage(NetworkTest):
    def usage_error(self, drive, *arguments, names):
        done = spatter(drive, *arguments, ok=False)
        self.assertEqual(done.returncode, 2, done.out + done.err)
        self.assertIn(names, done.out + done.err)

    def test_wrong_words_are_named(self):
        drive = self.path("drive")
        for size in ("0", "1M", "many", "-5G", "5X"):
            self.usage_error(drive, "init", "--size=" + size, names="--size")
        self.assertFalse(os.path.exists(drive))
        self.usage_error(drive, "bogus", names="'bogus'")
        self.usage_error(drive, "--json", "bogus", "x", names="")
        self.usage_error(drive, "cat", "/x", "--offset", "-1", names="--offset")
        self.usage_error(drive, "cat", "/x", "--length", "1e3", names="--length")
        self.usage_error(drive, "up", "--listen", "*:0", names="0.0.0.0")
        self.usage_error(drive, "up", "--listen", "nowhere", names="nowhere")

    def test_a_drive_is_its_owners_only(self):
        os.umask(0)
        self.addCleanup(os.umask, 0o22)
        os.makedirs(self.path("server-0"), mode=0o777)
        server = self.first()
        server.run("put", self.file("f", 100_000), "/f")
        self.assertEqual(stat.S_IMODE(os.stat(server.drive).st_mode), 0o700)
        for folder, folders, names in os.walk(server.drive):
            for name in folders + names:
                mode = os.lstat(os.path.join(folder, name)).st_mode
                self.assertEqual(mode & 0o077, 0, "%s/%s is open to others" % (folder, name))


class Output(NetworkTest):
    def test_no_two_names_look_alike(self):
        server = self.first()
        os.makedirs(self.path("t"))
        odd = [b"new\nline", b"back\\slash", b"back\\x0aslash", b"bell\x07", b"\xff", "\u009b1m".encode(), "grün".encode()]
        for name in odd:
            open(os.path.join(os.fsencode(self.path("t")), name), "w").close()
        server.run("put", self.path("t"), "/")
        lines = server.run("ls", "/t").out.split("\n")
        self.assertEqual(sorted(lines), sorted([r"new\x0aline", r"back\x5cslash", r"back\x5cx0aslash", r"bell\x07", r"\xff", r"\xc2\x9b1m", "grün", ""]))
        for entry in server.json("ls", "/t"):
            name = bytes.fromhex(entry["name_hex"]) if "name_hex" in entry else entry["name"].encode()
            self.assertIn(name, odd)
            self.assertEqual("name_hex" in entry, name != "grün".encode())
        missing = server.run("cat", b"/no\nsuch", ok=False)
        self.assertEqual(missing.err.count("\n"), 1)
        self.assertIn(r"no\x0asuch", missing.err)

    def test_whoever_reads_may_stop(self):
        server = self.first()
        server.run("put", self.file("big", 20_000_000), "/big")
        for command in ("cat /big", "ls -l /", "status"):
            done = subprocess.run("%s --drive %s %s | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}" % (SPATTER, server.drive, command),
                                  shell=True, executable="/bin/bash", stderr=subprocess.PIPE, timeout=60)
            self.assertIn(done.returncode, (0, 128 + signal.SIGPIPE))
            self.assertEqual(done.stderr, b"")

    def test_one_document_whatever_happens(self):
        server = self.first()
        server.run("put", self.file("f", 3_000_000), "/f")
        server.stop()
        packs = os.path.join(server.drive, "user", "packs")
        for name in os.listdir(packs):
            with open(os.path.join(packs, name), "r+b") as f:
                f.seek(100_000)
                f.write(b"rot")
        found = server.run("fsck", "--deep", "--json", ok=False)
        self.assertEqual(found.returncode, 1)
        document = json.loads(found.out)
        self.assertIs(document["clean"], False)
        self.assertTrue(document["findings"])
        for command in (["status"], ["ls"], ["du", "/x"], ["contracts"], ["invite"]):
            done = server.run(*command, "--json", ok=False)  # nobody serves
            self.assertEqual(done.returncode, 1)
            self.assertEqual(json.loads(done.out)["code"], "unavailable")
        again = server.run("init", "--json", ok=False)
        self.assertEqual(json.loads(again.out)["code"], "exists")

    def test_status_says_what_is_true(self):
        server = self.first()
        self.assertIn("alone", server.run("status").out)
        self.join()
        self.wait_up(2)
        self.assertIn("Nothing is stored here yet", server.run("status").out.splitlines()[0])
        server.run("put", self.file("f", 100_000), "/f")
        self.assertNotIn("Nothing is", server.run("status").out)


class Unwritten(NetworkTest):
    def test_what_cannot_be_printed_is_no_success(self):
        server = self.first()
        for arguments in (["status"], ["ls", "/", "--json"], ["invite"], ["man"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([SPATTER, "--drive", server.drive, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(b"could not be written", done.stderr)

    def test_words_are_read_from_a_small_file(self):
        for path, named in (("/dev/zero", "/dev/zero"), (self.folder, self.folder)):
            done = spatter(self.path("drive"), "init", "--size", "1G", "--words-file", path, ok=False, timeout=20)
            self.assertEqual(done.returncode, 1)
            self.assertIn(named, done.err)

    def test_words_are_read_as_they_were_printed(self):
        printed = spatter(self.path("a"), "init", "--size", "1G").out
        with open(self.path("printed"), "w") as f:
            f.write(printed)
        again = json.loads(spatter(self.path("b"), "init", "--size", "1G", "--words-file", self.path("printed"), "--json").out)
        self.assertEqual(again["words"].split()[0], printed.split("1. ")[1].split()[0])
        with open(self.path("bare"), "w") as f:
            f.write(again["words"])
        bare = json.loads(spatter(self.path("c"), "init", "--size", "1G", "--words-file", self.path("bare"), "--json").out)
        self.assertEqual(bare["person"], again["person"])

    def test_a_get_that_is_ended_leaves_nothing(self):
        server = self.first()
        server.run("put", self.file("big", 60_000_000), "/big", "--wait", "local")
        os.makedirs(self.path("out"))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            server.pause()
            get = subprocess.Popen([SPATTER, "--drive", server.drive, "get", "/big", self.path("out/big")], stderr=subprocess.DEVNULL)
            get.send_signal(number)
            get.wait(timeout=60)
            server.resume()
            self.assertEqual(os.listdir(self.path("out")), [])


class LookingOnly(NetworkTest):
    def contents(self, server):
        found = {}
        for folder, _, names in os.walk(server.drive):
            for name in names:
                if name == "lock" or name.endswith(".sock"):
                    continue
                with open(os.path.join(folder, name), "rb") as f:
                    found[os.path.relpath(os.path.join(folder, name), server.drive)] = f.read()
        return found

    def test_fsck_changes_nothing(self):
        server = self.first()
        server.run("put", self.file("f", 300_000), "/f")
        server.run("rm", "/f")
        server.stop()
        os.unlink(os.path.join(server.drive, "user", "packs.reserve"))
        server.run("fsck")  # folds the databases' logs in, as their closing does
        before = self.contents(server)
        server.run("fsck", "--deep")
        self.assertEqual(self.contents(server), before)


class Endings(NetworkTest):
    def test_a_server_ends_cleanly_on_each_signal(self):
        server = self.first()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            server.process.send_signal(number)
            self.assertEqual(server.process.wait(timeout=60), 0)
            server.process.stdout.close()
            server.up()

    def test_nohup_is_respected(self):
        server = self.first(up=False)
        old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGHUP, old)
        server.up()
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual(server.status()["mode"], "serving")

    def children_of(self, pid):
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return f.read().split()

    def test_try_cleans_up_when_it_is_stopped(self):
        self.file("data/f", 1_000_000)
        for number in (signal.SIGINT, signal.SIGTERM):
            story = subprocess.Popen([SPATTER, "try", "--servers", "3", "--kill", "1", "--data", self.path("data")],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_die_with_parent,
                                     env={**os.environ, "TMPDIR": self.folder})
            children = self.wait_for("it has started servers", lambda: self.children_of(story.pid))
            story.send_signal(number)
            _, err = story.communicate(timeout=60)
            self.assertEqual(story.returncode, -number, err)
            self.assertEqual([n for n in os.listdir(self.folder) if n.startswith("spatter-try")], [])
            for child in children:
                self.assertFalse(os.path.exists("/proc/" + child))


if __name__ == "__main__":
    main()
