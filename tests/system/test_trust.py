"""A network with reviews, from the outside: guests, clips made by a real encoder, verdicts, and what they
change. Epochs are seconds long."""
import json
import os
import subprocess
import unittest

from harness import NetworkTest, Server, main


def clip(path, seconds, *more, size="320x240"):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=%s:rate=10:duration=%d" % (size, seconds),
                    "-f", "lavfi", "-i", "sine=frequency=440:duration=%d" % seconds, *more, path], check=True)
    return path


def can_sandbox():
    probe = subprocess.run(["bwrap", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--unshare-all", "/usr/bin/true"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return probe.returncode == 0


class Trust(NetworkTest):
    def founder(self, reviewers):
        server = Server(self.path("server-0"))
        server.words = server.json("init", "--size", self.SIZE, "--reviewers", str(reviewers), "--epoch-seconds", "3", "--renew-days", "0")["words"]
        self.servers.append(server)
        return server.up()

    def state(self, at, of):
        person = of.json("trust")["own"]["person"]
        return {one["person"]: one["state"] for one in at.json("trust")["persons"]}.get(person)

    def guest(self):
        server = self.join()
        self.wait_for("the inviter vouches", lambda: server.json("trust")["clips"])
        return server

    def announce(self, server, path):
        """The phrase is of few seconds: it may have to be asked for again."""
        def tried():
            words = server.run("announce", "--json", ok=False)
            if words.returncode != 0:
                return None
            self.assertEqual(len(json.loads(words.out)["key_words"].split()), 12)
            self.assertEqual(len(json.loads(words.out)["phrase"].split()), 6)
            done = server.run("announce", "--file", path, "--json", ok=False)
            return json.loads(done.out)["id"] if done.returncode == 0 else None
        return self.wait_for("the clip is announced", tried)

    def next_epoch(self, server):
        epoch = server.json("trust")["epoch"]
        self.wait_for("an epoch begins", lambda: server.json("trust")["epoch"] > epoch)

    @unittest.skipUnless(can_sandbox(), "no sandbox can be made here, and without one no clip is looked at")
    def test_a_newcomer_becomes_trusted(self):
        founder = self.founder(1)
        second = self.guest()
        self.assertEqual(self.state(founder, second), "guest")
        self.assertIn("guest", second.run("trust").out)
        kept = self.file("kept", 2_000_000)
        second.run("put", kept, "/kept")  # a guest keeps things for himself
        self.assertEqual([one for one in second.status()["held"] if one["server"] != second.id], [])

        # What is no clip is refused before anybody is bothered.
        second.run("announce")
        for name, made in (("noise.webm", self.file("noise.webm", 50_000)), ("short.webm", clip(self.path("short.webm"), 1)),
                           ("song.mp4", clip(self.path("song.mp4"), 6, "-vn", "-c:a", "aac"))):
            refused = second.run("announce", "--file", made, ok=False)
            self.assertEqual(refused.returncode, 1, name)
            self.assertTrue(refused.err.startswith("spatter announce: "), refused.err)
        self.assertEqual(second.run("announce", "--file", self.path("nowhere"), ok=False).returncode, 1)

        good = clip(self.path("good.webm"), 6)
        self.announce(second, good)
        self.wait_for("trusted", lambda: self.state(founder, second) == "trusted" and self.state(second, second) == "trusted")
        self.wait_for("the founder keeps his file", lambda: any(one["server"] == founder.id for one in second.status()["held"]))

        # The next newcomer is judged by him, for the founder vouches.
        self.next_epoch(founder)
        third = self.guest()
        said = self.announce(third, good)
        listed = self.wait_for("he is asked", lambda: second.json("reviews")["reviews"])
        self.assertEqual(listed[0]["id"], said)
        self.assertEqual(founder.json("reviews")["reviews"], [])
        seen = self.path("seen.webm")
        told = second.run("review", said[:12], "--watch", "--to", seen).out
        self.assertIn(listed[0]["phrase"], told)
        self.assert_same_file(good, seen)
        self.assertEqual(second.run("review", said[:12], "--watch", "--to", seen, ok=False).returncode, 1)  # is there already
        self.assertEqual(second.run("review", said[:12], "--refuse", ok=False).returncode, 1)  # no reason
        self.assertEqual(founder.run("review", said[:12], "--vouch", ok=False).returncode, 1)  # not asked
        self.assertEqual(second.run("review", "000000000000", "--vouch", ok=False).returncode, 1)
        second.run("review", said[:12], "--vouch")
        self.wait_for("trusted", lambda: all(self.state(at, third) == "trusted" for at in self.servers))

    @unittest.skipUnless(can_sandbox(), "no sandbox can be made here, and without one no clip is looked at")
    def test_a_refused_newcomer_stays_a_guest(self):
        founder = self.founder(1)
        good = clip(self.path("good.webm"), 6)
        second = self.guest()
        self.announce(second, good)
        self.wait_for("trusted", lambda: self.state(founder, second) == "trusted")
        self.next_epoch(founder)
        third = self.guest()
        said = self.announce(third, good)
        self.wait_for("he is asked", lambda: second.json("reviews")["reviews"])
        second.run("review", said[:12], "--refuse", "--reason", "a test pattern is no face")
        self.wait_for("refused", lambda: [c for c in third.json("trust")["clips"] if c["state"] == "refused"])
        self.assertEqual(self.state(founder, third), "guest")
        self.assertEqual(third.run("announce", ok=False).returncode, 1)

    def test_wrong_words(self):
        server = self.first()
        self.assertIn("is trusted", server.run("trust").out)
        self.assertEqual(server.run("vouch", "000000000000", ok=False).returncode, 1)
        self.assertEqual(server.run("vouch", "nobody", ok=False).returncode, 2)
        self.assertEqual(server.run("review", "123456789abc", ok=False).returncode, 1)
        self.assertEqual(server.run("renew", ok=False).returncode, 1)
        self.assertEqual(server.run("doubt", "123456789abc", ok=False).returncode, 2)
        drive = Server(self.path("other"))
        self.assertEqual(drive.run("init", "--size", "1G", "--vouches", "2", ok=False).returncode, 1)
        self.assertEqual(drive.run("init", "--size", "1G", "--reviewers", "99", ok=False).returncode, 2)
        self.assertEqual(drive.run("init", "--size", "1G", "--reviewers", "2", "--vouches", "3", ok=False).returncode, 1)
        self.assertFalse(os.path.exists(os.path.join(drive.drive, "format")))


if __name__ == "__main__":
    main()
