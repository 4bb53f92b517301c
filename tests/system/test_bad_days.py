"""Killed processes, damaged shards, peers and users that do the wrong thing."""
import base64
import hashlib
import json
import os
import socket
import subprocess
import threading

from harness import SPATTER, NetworkTest, Server, _die_with_parent, main, spatter


class Crashes(NetworkTest):
    def test_no_acknowledged_file_is_lost_when_servers_are_killed_at_random(self):
        servers = self.network(5)
        owner = servers[0]
        acknowledged = {}
        for round in range(24):
            victim = self.random.choice(servers if round % 2 else [owner])
            name = "f%d" % round
            source = self.file(name, self.random.choice([100, 40_000, 700_000, 5_000_000]))
            level = self.random.choice(["local", "safe", "full"])
            put = subprocess.Popen([SPATTER, "--drive", owner.drive, "put", source, "/" + name, "--wait", level],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent)
            timer = threading.Timer(self.random.uniform(0.0, 0.25), victim.process.kill)
            timer.start()
            try:
                if put.wait(timeout=90) == 0:
                    acknowledged[name] = source
            finally:
                timer.join()
            victim.kill()
            victim.up()
        self.assertGreater(len(acknowledged), 3)
        for name, source in acknowledged.items():
            owner.run("get", "/" + name, self.path("back"))
            self.assert_same_file(source, self.path("back"))
        self.wait_up(len(servers))
        self.wait_settled(owner)
        for server in servers:
            server.run("fsck", "--deep")
        for name, source in acknowledged.items():
            owner.run("get", "--remote", "/" + name, self.path("back"))
            self.assert_same_file(source, self.path("back"))

    def test_what_was_called_safe_survives_a_kill_at_that_moment(self):
        servers = self.network(5)
        owner = servers[0]
        owner.run("mkdir", "/safe")
        acknowledged = {}
        for round in range(12):
            name = "f%d" % round
            acknowledged[name] = self.file(name, self.random.choice([0, 100, 16384, 200_000]))
            # Into the folder, or under a name of its own: the server finds out.
            owner.run("put", acknowledged[name], self.random.choice(["/safe", "/safe/" + name]), "--wait", "safe")
            owner.kill()
            owner.up()
            owner.run("get", "/safe/" + name, self.path("back"))
            self.assert_same_file(acknowledged[name], self.path("back"))
            self.assertEqual(owner.json("fsck", "--deep")["findings"], [])
        owner.kill()
        heir = Server(self.path("heir"))
        words = self.path("words")
        with open(words, "w") as f:
            f.write(owner.words)
        # Nothing of the owner's machine is needed, not even what it did not live to write down.
        heir.run("recover", servers[1].json("invite")["link"], "--words-file", words, "--size", self.SIZE)
        self.servers.append(heir)
        heir.up()
        for name, source in acknowledged.items():
            heir.run("get", "/safe/" + name, self.path("back"))
            self.assert_same_file(source, self.path("back"))

    def test_too_many_dead_gives_a_prompt_clear_list_and_no_partial_file(self):
        servers = self.network(5)
        owner = servers[0]
        self.file("data/big", 9_000_000)
        self.file("data/small", 90_000)
        owner.run("put", self.path("data"), "/")
        for server in servers[1:]:
            server.kill()
        failed = owner.run("get", "--remote", "/data", self.path("back"), ok=False, timeout=60)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("/data/big", failed.err)
        self.assertIn("/data/small", failed.err)
        self.assertEqual(os.listdir(self.path("back")), [])
        owner.run("get", "/data", self.path("local"))
        self.assert_same_tree(self.path("data"), self.path("local"))


class Damage(NetworkTest):
    def test_damaged_shards_are_found_named_and_read_around(self):
        servers = self.network(5)
        owner = servers[0]
        source = self.file("big", 30_000_000)
        owner.run("put", source, "/")
        victim = servers[1]
        files = victim.shard_files()
        self.assertGreaterEqual(len(files), 4)
        with open(files[0], "r+b") as f:  # a flipped byte
            f.seek(os.path.getsize(files[0]) // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 1]))
        os.truncate(files[1], os.path.getsize(files[1]) // 3)
        os.remove(files[2])
        with open(files[3], "wb") as f:   # another shard's bytes
            f.write(open(files[-1], "rb").read())
        found = victim.run("fsck", "--deep", ok=False)
        self.assertEqual(found.returncode, 1)
        for path in files[:4]:
            stem = os.path.basename(path).split(".")[0][:12]
            self.assertIn(stem, found.out + found.err)
        owner.run("get", "--remote", "/big", self.path("back"))
        self.assert_same_file(source, self.path("back"))

    def test_damaged_packs_are_found_and_fetched_from_the_others(self):
        servers = self.network(5)
        owner = servers[0]
        source = self.file("big", 30_000_000)
        owner.run("put", source, "/")
        packs = os.path.join(owner.drive, "user", "packs")
        path = max((os.path.join(packs, n) for n in os.listdir(packs)), key=os.path.getsize)
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 2)
            f.write(b"rotten rotten rotten")
        self.assertEqual(owner.run("fsck", "--deep", ok=False).returncode, 1)
        owner.run("fsck", "--deep", "--mend")
        owner.run("fsck", "--deep")
        owner.run("get", "/big", self.path("back"))
        self.assert_same_file(source, self.path("back"))


class Refusals(NetworkTest):
    def test_two_processes_on_one_drive(self):
        server = self.first()
        second = subprocess.run([SPATTER, "--drive", server.drive, "up", "--listen", "127.0.0.1:0"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(second.returncode, 1)
        self.assertIn(str(server.process.pid), second.stderr.decode())
        server.run("ls")

    def test_a_drive_of_a_newer_format(self):
        server = self.first(up=False)
        path = os.path.join(server.drive, "format")
        text = open(path).read()
        with open(path, "w") as f:
            f.write(text.replace("1", "999", 1))
        refused = spatter(server.drive, "up", ok=False, timeout=30)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("newer", refused.err)

    def test_wrong_words_and_passphrases(self):
        words = self.path("words")
        with open(words, "w") as f:
            f.write("abandon " * 23 + "zebraa")
        refused = spatter(self.path("x"), "init", "--words-file", words, ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("zebraa", refused.err)
        self.assertFalse(os.path.exists(self.path("x/format")))
        good, bad = self.path("good"), self.path("bad")
        open(good, "w").write("correct horse")
        open(bad, "w").write("wrong horse")
        spatter(self.path("y"), "init", "--size", "1G", "--passphrase-file", good)
        refused = spatter(self.path("y"), "up", "--passphrase-file", bad, ok=False, timeout=30)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("passphrase", refused.err)

    def test_invites_that_are_used_garbled_or_expired(self):
        a = self.first()
        link = a.json("invite")["link"]
        spatter(self.path("one"), "join", link, "--size", "1G")
        body = b"\x01" + b"\x0a\x01\xff"  # an address that is no text
        odd = "spatter:" + base64.urlsafe_b64encode(body + hashlib.sha256(body).digest()[:4]).decode().rstrip("=")
        for bad, word in ((link, "used"), (link[:-6] + "AAAAAA", "link"), ("spatter:nonsense", "link"), (odd, "link"),
                          (a.json("invite", "--hours", "0.001")["link"], None)):
            if word is None:  # 3.6 seconds: wait for the moment it says itself
                self.wait_for("the invite expires", lambda: spatter(
                    self.path("late"), "join", bad, "--size", "1G", ok=False).returncode == 1 if self.expired(a) else False)
                continue
            refused = spatter(self.path("two"), "join", bad, "--size", "1G", ok=False)
            self.assertEqual(refused.returncode, 1, bad)
            self.assertIn(word, refused.err)
            self.assertEqual(refused.err.count("\n"), 1, refused.err)
            self.assertFalse(os.path.exists(self.path("two/format")))

    def expired(self, server):
        import time
        self.began = getattr(self, "began", time.monotonic())
        return time.monotonic() > self.began + 4

    def test_garbage_on_the_port_harms_nobody(self):
        a = self.first()
        self.join()
        self.wait_up(2)
        host, port = a.address.rsplit(":", 1)
        for bytes_ in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(100_000), b"\x16\x03\x01\xff\xff" + bytes(70_000), b""):
            with socket.create_connection((host, int(port)), timeout=10) as peer:
                try:
                    peer.sendall(bytes_)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                except OSError:
                    pass
        a.run("put", self.file("f", 100_000), "/")
        self.assertEqual(a.status()["servers_up"], 2)

    def test_a_member_of_another_network_stays_outside(self):
        a = self.first()
        other = Server(self.path("other"))
        other.run("init", "--size", "1G")
        self.servers.append(other)
        other.up()
        link = other.json("invite")["link"]
        b = self.join()
        refused = b.run("join", link, ok=False)
        self.assertEqual(refused.returncode, 1)
        self.wait_up(2, [a, b])
        self.assertEqual(other.status()["servers_total"], 1)


class Full(NetworkTest):
    def test_a_full_user_half_refuses_and_loses_nothing(self):
        server = self.first(size="100M")
        source = self.file("one", 30_000_000)
        server.run("put", source, "/one")
        refused = server.run("put", self.file("two", 40_000_000), "/two", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("user half", refused.err)
        self.assertEqual([e["name"] for e in server.json("ls", "/")], ["one"])
        server.run("get", "/one", self.path("back"))
        self.assert_same_file(source, self.path("back"))
        self.assertLessEqual(server.status()["user_half"]["used"], 50 << 20)
        server.run("rm", "/one")
        self.wait_for("room again", lambda: server.run("put", source, "/again", ok=False).returncode == 0)

    def test_the_server_half_never_passes_its_half(self):
        small = self.first(size="80M")
        others = [self.join(size="2G") for _ in range(3)]
        self.wait_up(4)
        for i, server in enumerate(others):
            server.run("put", self.file("f%d" % i, 30_000_000), "/", "--wait", "local")
        for server in others:
            self.wait_for("shards have arrived", lambda: small.status()["server_half"]["used"] > 10 << 20)
        for server in others:
            server.run("get", "/f%d" % others.index(server), self.path("back"))
        status = small.status()
        self.assertLessEqual(status["server_half"]["used"], status["server_half"]["limit"])
        self.assertLessEqual(status["server_half"]["limit"], 40 << 20)
        used = int(subprocess.check_output(["du", "-sb", os.path.join(small.drive, "server")]).split()[0])
        self.assertLessEqual(used, 44 << 20)


if __name__ == "__main__":
    main()
