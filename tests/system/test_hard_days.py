"""Servers that stall, disks that fill, wide networks, several writers at once."""
import os
import subprocess
import threading
import unittest

from harness import SPATTER, NetworkTest, Server, _die_with_parent, main, spatter


class Stalls(NetworkTest):
    def test_a_stalled_holder_delays_nobody_for_long(self):
        servers = self.network(7)
        owner = servers[0]
        source = self.file("big", 20_000_000)
        servers[3].pause()
        try:
            owner.run("put", source, "/big", "--wait", "safe", timeout=60)
            owner.run("get", "--remote", "/big", self.path("back"), timeout=60)
        finally:
            servers[3].resume()
        self.assert_same_file(source, self.path("back"))

    def test_a_holder_that_stalls_in_the_middle_of_a_read_is_overtaken(self):
        servers = self.network(5)
        owner = servers[0]
        source = self.file("big", 60_000_000)
        owner.run("put", source, "/big")
        get = subprocess.Popen([SPATTER, "--drive", owner.drive, "get", "--remote", "/big", self.path("back")],
                               preexec_fn=_die_with_parent)
        servers[2].pause()
        try:
            self.assertEqual(get.wait(timeout=60), 0)
        finally:
            servers[2].resume()
        self.assert_same_file(source, self.path("back"))

    def test_holders_killed_in_the_middle_of_a_read_are_replaced(self):
        servers = self.network(7)
        owner = servers[0]
        source = self.file("big", 60_000_000)
        owner.run("put", source, "/big")
        get = subprocess.Popen([SPATTER, "--drive", owner.drive, "get", "--remote", "/big", self.path("back")],
                               preexec_fn=_die_with_parent)
        for server in self.random.sample(servers[1:], 4):
            server.kill()
        self.assertEqual(get.wait(timeout=60), 0)
        self.assert_same_file(source, self.path("back"))


@unittest.skipUnless(os.geteuid() == 0, "mounting a small disk needs root")
class FullDisk(NetworkTest):
    def small_disk(self, name, size):
        folder = self.path(name)
        os.makedirs(folder)
        subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=%s,mode=700" % size, "spatter-test", folder])
        self.addCleanup(subprocess.call, ["umount", "-l", folder])
        return folder

    def fill(self, disk):
        """Something else takes all the room there is."""
        with open(os.path.join(disk, "ballast"), "wb", buffering=0) as f:
            for size in (1 << 20, 4096):
                try:
                    while f.write(bytes(size)):
                        pass
                except OSError:
                    pass

    def test_a_full_disk_refuses_clearly_and_loses_nothing(self):
        disk = self.small_disk("disk", "300M")
        server = Server(os.path.join(disk, "drive"))
        server.run("init")
        self.servers.append(server)
        server.up()
        kept = self.file("kept", 5_000_000)
        server.run("put", kept, "/kept")
        self.fill(disk)
        refused = server.run("put", self.file("big", 80_000_000), "/big", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertTrue("full" in refused.err or "space" in refused.err, refused.err)
        server.run("get", "/kept", self.path("back"))
        self.assert_same_file(kept, self.path("back"))
        self.assertEqual([e["name"] for e in server.json("ls", "/")], ["kept"])
        server.kill()
        os.remove(os.path.join(disk, "ballast"))
        server.up()
        server.run("fsck", "--deep")
        server.run("put", self.file("little", 100_000), "/little")

    def test_on_a_full_disk_files_can_be_removed(self):
        disk = self.small_disk("disk", "300M")
        server = Server(os.path.join(disk, "drive"))
        server.run("init")
        self.servers.append(server)
        server.up()
        server.run("put", self.file("kept", 100_000), "/kept")
        server.run("put", self.file("big", 40_000_000), "/big")
        self.fill(disk)
        for i in range(1000):  # until the index has no room left either
            if server.run("mkdir", "/folder-%d" % i, ok=False).returncode != 0:
                break
        else:
            self.fail("the disk is not full")
        server.run("rm", "/big")
        self.wait_for("there is room again", lambda: os.statvfs(disk).f_bavail * 4096 > 30_000_000, 120)
        server.run("mkdir", "/again")
        server.run("get", "/kept", self.path("back"))
        self.assert_same_file(self.path("kept"), self.path("back"))
        self.assertEqual(server.stop(), 0)
        server.up()
        server.run("fsck", "--deep")
        self.assertNotIn("big", [e["name"] for e in server.json("ls", "/")])

    def test_a_holder_with_a_full_disk_is_passed_over(self):
        servers = self.network(4)
        owner = servers[0]
        disk = self.small_disk("disk", "300M")
        tight = Server(os.path.join(disk, "drive"))
        tight.run("join", owner.json("invite")["link"])
        self.servers.append(tight)
        tight.up()
        self.wait_up(5)
        self.fill(disk)
        source = self.file("big", 60_000_000)
        owner.run("put", source, "/big", "--wait", "safe")
        owner.run("get", "--remote", "/big", self.path("back"))
        self.assert_same_file(source, self.path("back"))
        self.assertEqual(tight.status()["mode"], "serving")


class Wide(NetworkTest):
    SIZE = "1G"

    def test_twenty_others_survive_what_can_lose_says(self):
        servers = self.network(21)
        owner = servers[0]
        source = self.file("big", 70_000_000)
        owner.run("put", source, "/big")
        status = self.wait_settled(owner)
        self.assertEqual(status["widest_k"], 16)
        # 48 shards on 20: 8 servers hold 3 and 12 hold 2, so the worst choice of 14 takes 36, which
        # leaves 12; of 12 takes 32, which leaves 16.
        self.assertEqual(status["can_lose"], 12)
        for server in self.random.sample(servers[1:], status["can_lose"]):
            server.kill()
        owner.run("get", "--remote", "/big", self.path("back"))
        self.assert_same_file(source, self.path("back"))


class Together(NetworkTest):
    def test_many_at_once_get_what_they_put(self):
        servers = self.network(5)
        errors = []

        def work(i):
            server = servers[i % len(servers)]
            source = self.file("in/%d" % i, 1000 + 300_000 * i)
            try:
                server.run("put", source, "/f%d" % i)
                server.run("get", "--remote", "/f%d" % i, self.path("out-%d" % i))
                self.assert_same_file(source, self.path("out-%d" % i))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(15)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_a_new_machine_takes_the_volume_over_and_the_old_one_is_fenced(self):
        servers = self.network(4)
        owner = servers[0]
        owner.run("put", self.file("a", 1_000_000), "/a")
        words = self.path("words")
        with open(words, "w") as f:
            f.write(owner.words)
        reborn = Server(self.path("reborn"))
        self.servers.append(reborn)
        reborn.run("recover", servers[1].json("invite")["link"], "--words-file", words, "--size", "1G")
        reborn.up()
        reborn.run("put", self.file("b", 1_000_000), "/b")
        self.wait_for("the old server is fenced", lambda: owner.status()["mode"] == "fenced")
        self.assertTrue(owner.run("status").out.startswith("Fenced: "))
        refused = owner.run("put", self.path("a"), "/c", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertEqual([e["name"] for e in reborn.json("ls", "/")], ["a", "b"])


if __name__ == "__main__":
    main()
