"""Drives that lost parts of themselves, networks without room, and words that are nobody's here."""
import json
import os

from harness import NetworkTest, Server, main, spatter


class LostIndexes(NetworkTest):
    def shards_at_others(self):
        return sum(len(s.json("contracts")["contracts"]) if s.process else 0 for s in self.servers[1:])

    @staticmethod
    def emptied(path):
        """As a file system leaves it that lost its last writes."""
        with open(path, "wb"):
            pass

    @staticmethod
    def overwritten(path):
        with open(path, "r+b") as f:
            f.write(b"something else altogether " * 500)

    def test_a_lost_volume_index_is_refused_named_and_rebuilt_without_a_release(self):
        servers = self.network(5)
        owner = servers[0]
        shared, mine = self.file("shared", 12_000_000), self.file("mine", 200_000)
        owner.run("put", shared, "/shared")
        owner.run("put", mine, "/mine", "--wait", "local")
        self.assertEqual(owner.stop(), 0)
        kept = self.shards_at_others()
        self.assertGreater(kept, 0)
        for part, lose in (("volume.db", os.remove), ("stripes.db", os.remove), ("volume.db", self.emptied), ("stripes.db", self.overwritten)):
            lose(os.path.join(owner.drive, "user", part))
            left = sorted(os.listdir(os.path.join(owner.drive, "user", "packs")))
            refused = owner.run("up", "--listen", "127.0.0.1:0", ok=False, timeout=60)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("user/" + part, refused.err)
            self.assertIn("fsck --mend", refused.err)
            named = owner.run("fsck", ok=False)
            self.assertEqual(named.returncode, 1)
            self.assertIn("user/" + part, named.out)
            self.assertEqual(os.path.exists(os.path.join(owner.drive, "user", part)), lose != os.remove, "fsck made one")
            self.assertEqual(sorted(os.listdir(os.path.join(owner.drive, "user", "packs"))), left)
            owner.run("fsck", "--mend")
            owner.up()
            for name, source in (("/shared", shared), ("/mine", mine)):
                owner.run("get", name, self.path("back"))
                self.assert_same_file(source, self.path("back"))
            owner.run("put", self.file("after-" + part, 100_000), "/after-" + part)
            self.wait_settled(owner)
            owner.run("get", "--remote", "/mine", self.path("back"))
            self.assert_same_file(mine, self.path("back"))
            self.assertGreaterEqual(self.shards_at_others(), kept)
            self.assertEqual(owner.stop(), 0)

    def test_a_missing_shard_index_is_refused_and_rebuilt_from_the_files(self):
        servers = self.network(5)
        owner, holder = servers[0], servers[2]
        owner.run("put", self.file("big", 12_000_000), "/big")
        for lose in (os.remove, self.emptied, self.overwritten):
            self.assertEqual(holder.stop(), 0)
            lose(os.path.join(holder.drive, "server", "index.db"))
            refused = holder.run("up", "--listen", "127.0.0.1:0", ok=False, timeout=60)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("server/index.db", refused.err)
            self.assertEqual(holder.run("fsck", ok=False).returncode, 1)
            holder.run("fsck", "--mend")
            holder.run("fsck", "--deep")
            holder.up()
            self.wait_up(5)
            self.wait_settled(owner)

    def test_a_missing_member_list_is_refused(self):
        server = self.first()
        self.assertEqual(server.stop(), 0)
        os.remove(os.path.join(server.drive, "network", "members.db"))
        for command in (("up", "--listen", "127.0.0.1:0"), ("fsck",), ("fsck", "--mend")):
            refused = server.run(*command, ok=False, timeout=60)
            self.assertEqual(refused.returncode, 1, command)
            self.assertIn("network/members.db", refused.out + refused.err)

    def test_a_drive_that_is_alone_comes_back_from_its_packs(self):
        server = self.first()
        source = self.file("a", 3_000_000)
        server.run("put", source, "/a")
        self.assertEqual(server.stop(), 0)
        os.remove(os.path.join(server.drive, "user", "volume.db"))
        server.run("fsck", "--mend")
        server.up()
        server.run("get", "/a", self.path("back"))
        self.assert_same_file(source, self.path("back"))


class LostPacks(NetworkTest):
    def packs(self, server):
        folder = os.path.join(server.drive, "user", "packs")
        return sorted((os.path.join(folder, n) for n in os.listdir(folder)), key=os.path.getsize)

    def test_packs_that_are_open_damaged_or_gone_are_named_and_mended(self):
        servers = self.network(5)
        owner = servers[0]
        source = self.file("big", 5_000_000)
        owner.run("put", source, "/big")
        self.wait_settled(owner)

        def damage(path):
            with open(path, "r+b") as f:
                f.seek(os.path.getsize(path) // 2)
                f.write(b"rotten rotten rotten")

        for harm, deep in ((damage, True), (lambda path: os.truncate(path, 1_000_000), False), (os.remove, False)):
            self.assertEqual(owner.stop(), 0)
            pack = self.packs(owner)[-1]
            harm(pack)
            owner.up()
            self.wait_up(5)
            check = ["fsck", "--deep"] if deep else ["fsck"]
            for _ in range(2):
                found = owner.run(*check, ok=False)
                self.assertEqual(found.returncode, 1)
                self.assertIn(os.path.basename(pack)[:12], found.out)
                if not deep:
                    self.assertEqual(owner.stop(), 0)
                    owner.up()
                    self.wait_up(5)
            owner.run(*check, "--mend")
            clean = owner.run("fsck", "--deep")
            self.assertIn("packs", clean.out)
            self.assertTrue(os.path.exists(pack))
            owner.run("get", "/big", self.path("back"))
            self.assert_same_file(source, self.path("back"))

    def test_a_holder_that_mends_tells_the_owner(self):
        servers = self.network(5)
        owner, holder = servers[0], servers[1]
        owner.run("put", self.file("big", 12_000_000), "/big")
        self.wait_settled(owner)
        for path in holder.shard_files()[:2]:
            os.truncate(path, os.path.getsize(path) // 2)
        mended = holder.run("fsck", "--deep", "--mend")
        self.assertIn("dropped; its owner has been told", mended.out)
        self.wait_for("the holder has whole shards again",
                      lambda: holder.run("fsck", "--deep", ok=False).returncode == 0, 60)
        self.wait_settled(owner)


class NoRoom(NetworkTest):
    def test_full_server_halves_make_nothing_full(self):
        servers = self.network(5, size="64M")
        owner = servers[0]
        for i in range(12):
            if servers[1 + i % 4].run("put", self.file("fill-%d" % i, 9_000_000), "/fill-%d" % i, ok=False, timeout=300).returncode:
                break
        else:
            self.fail("108 MB went into five halves of 32 MB, three times each")
        self.wait_for("no server half takes a large shard", lambda: owner.run(
            "put", self.file("probe", 3_000_000), "/probe", ok=False, timeout=300).returncode != 0, 300)
        refused = owner.run("put", self.file("hi", 20_000), "/hi", ok=False)
        status = owner.status()
        if refused.returncode == 0:
            # The last gaps took it: with others, then, and all three copies.
            self.assertGreaterEqual(status["copies_min"], 3)
        else:
            self.assertIn("add servers", refused.err)
        if status["stripes"]["full"] == status["stripes"]["total"]:
            self.assertGreaterEqual(status["copies_min"], 3)
        if status["backlog_bytes"]:
            self.assertEqual(status["can_lose"], 0)


class ForeignWords(NetworkTest):
    def test_recover_with_words_of_nobody_here_changes_nothing(self):
        servers = self.network(3)
        owner = servers[0]
        owner.run("put", self.file("a", 100_000), "/a")
        foreign, own = self.path("foreign"), self.path("own")
        with open(foreign, "w") as f:
            f.write(json.loads(spatter(self.path("elsewhere"), "init", "--size", "1G", "--json").out)["words"])
        with open(own, "w") as f:
            f.write(owner.words)
        link = servers[1].json("invite")["link"]
        fresh = Server(self.path("fresh"))
        self.servers.append(fresh)
        refused = fresh.run("recover", link, "--words-file", foreign, "--size", "1G", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("words", refused.err)
        self.assertEqual(owner.status()["servers_total"], 3)
        # The same folder and the same link, with the right words.
        fresh.run("recover", link, "--words-file", own, "--size", "1G")


if __name__ == "__main__":
    main()
