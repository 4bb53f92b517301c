"""A person's key is stolen and changed with the recovery words: real processes, the thief's among them."""
import hashlib
import os
import shutil

from harness import NetworkTest, Server, main


def with_server_key(keyring, seed):
    """An unsealed keyring as a thief would use it: the same person, another server key."""
    body = bytearray(keyring[:-32])
    at = 12 + 2 + 32 * body[12] + 32  # behind the head, the counts, the secrets and the commitment
    body[at:at + 32] = seed
    return bytes(body) + hashlib.sha256(body).digest()


class Key(NetworkTest):
    def words_file(self, server, name="words"):
        path = self.path(name)
        with open(path, "w") as f:
            f.write(server.words)
        return path

    def second_of(self, owner, by):
        server = Server(self.path("second"))
        server.run("join", by.json("invite")["link"], "--words-file", self.words_file(owner), "--size", self.SIZE)
        self.servers.append(server)
        return server.up()

    def thief_of(self, owner):
        """Whoever copied the owner's keyring and list of members, on a machine of his own."""
        thief = Server(self.path("thief"))
        thief.run("init", "--size", self.SIZE)
        with open(os.path.join(owner.drive, "keyring"), "rb") as f:
            stolen = f.read()
        with open(os.path.join(thief.drive, "keyring"), "wb") as f:
            f.write(with_server_key(stolen, os.urandom(32)))
        shutil.rmtree(os.path.join(thief.drive, "network"))
        shutil.copytree(os.path.join(owner.drive, "network"), os.path.join(thief.drive, "network"))
        self.servers.append(thief)
        return thief

    def listed(self, at):
        return {one["server"]: one for one in at.json("servers")["servers"]}

    def key_change(self, server, **options):
        return server.run("key", "change", "--json", input=server.words.encode(), **options)

    def test_a_stolen_key_is_changed_with_the_words(self):
        owner, other, third = list(self.network(3))
        second = self.second_of(owner, other)
        self.wait_up(4)
        for name in ("a/one", "a/two", "b/three"):
            self.file(name, 1_500_000)
        owner.run("put", self.path("a"), "/", "--wait", "full")
        second.run("put", self.path("b"), "/", "--wait", "full")
        self.assertEqual(second.stop(), 0)
        self.assertEqual(owner.stop(), 0)
        thief = self.thief_of(owner)
        owner.up()
        self.wait_up(3, [owner, other, third])

        # He uses it before anybody has noticed: he is one of the owner's servers.
        thief.up()
        self.wait_for("the thief is taken for the owner's", lambda: self.listed(other).get(thief.id, {}).get("up"))
        thief.kill()

        self.assertEqual(owner.json("key")["number"], 1)
        changed = self.key_change(owner)
        self.assertIn('"number": 2', changed.out)
        for at in (owner, other, third):
            self.wait_for("the old key counts nowhere", lambda: thief.id not in self.listed(at) and second.id not in self.listed(at))
            self.wait_for("the owner is there", lambda: self.listed(at).get(owner.id, {}).get("up"))

        thief.up()
        self.wait_for("the thief is told", lambda: thief.status()["mode"] == "outdated")
        refused = thief.run("put", self.file("loot", 100_000), "/", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("spatter key take", refused.err)
        self.assertEqual(thief.run("invite", ok=False).returncode, 1)
        self.assertEqual(thief.run("forget", owner.id[:12], "--force", ok=False).returncode, 1)
        self.assertEqual(thief.run("key", "change", ok=False, input=third.json("status")["person"].encode()).returncode, 1)
        self.assertEqual([one for one in thief.status()["held"] if one["server"] != thief.id], [])
        for at in (other, third):
            self.assertNotIn(thief.id, self.listed(at))

        # The owner goes on.
        owner.run("put", self.file("more", 2_000_000), "/", "--wait", "full")
        owner.run("get", "--remote", "/a", self.path("back"))
        self.assert_same_tree(self.path("a"), self.path("back"))
        self.assertEqual(owner.status()["mode"], "serving")
        self.assertEqual(other.json("fsck", "--deep")["findings"], [])

        # His second machine was off.
        second.up()
        self.wait_for("the second is told", lambda: second.status()["mode"] == "outdated")
        self.assertIn("spatter key take", second.status()["note"])
        self.assertIn("your key was changed", second.log())
        self.assertFalse(second.json("key")["held"])
        second.run("get", "/b", self.path("local"))
        self.assertEqual(second.run("key", "take", ok=False, input=b"zoo " * 24).returncode, 1)
        self.assertFalse(second.json("key")["held"])
        second.run("key", "take", "--words-file", self.words_file(owner))
        for at in (owner, other, third):
            self.wait_for("the second is a member again", lambda: self.listed(at).get(second.id, {}).get("up"))
        self.assertEqual(second.status()["mode"], "serving")
        self.wait_for("and sees the others", lambda: all(self.listed(second).get(at.id, {}).get("up")
                                                         for at in (owner, other, third)))
        second.run("put", self.file("new", 300_000), "/", "--wait", "full")
        second.run("get", "--remote", "/b", self.path("back-b"))
        self.assert_same_tree(self.path("b"), self.path("back-b"))

        # And then his machine is gone.
        owner.kill()
        thief.kill()
        reborn = Server(self.path("reborn"))
        reborn.run("recover", other.json("invite")["link"], "--words-file", self.words_file(owner), "--size", self.SIZE)
        self.servers.append(reborn)
        reborn.up()
        reborn.run("get", "/a", self.path("reborn-a"))
        self.assert_same_tree(self.path("a"), self.path("reborn-a"))
        reborn.run("get", "/more", self.path("reborn-more"))
        self.assert_same_file(self.path("more"), self.path("reborn-more"))
        self.assertEqual(reborn.json("key")["number"], 2)
        self.assertTrue(reborn.json("key")["held"])

    def test_a_stopped_server_takes_the_key_that_it_has_heard_of(self):
        owner, other = list(self.network(2))
        second = self.second_of(owner, other)
        self.wait_up(3)
        second.run("put", self.file("mine", 300_000), "/", "--wait", "full")
        self.key_change(owner)
        self.wait_for("the second is told", lambda: second.status()["mode"] == "outdated")
        second.stop()
        self.assertEqual(second.run("key", "take", ok=False, input=b"zoo " * 24).returncode, 1)
        taken = second.run("key", "take", "--words-file", self.words_file(owner))
        self.assertIn("key 2 of its person", taken.out)
        self.assertIn("not running", taken.out)
        again = second.json("key", "take", "--words-file", self.words_file(owner))
        self.assertEqual((again["number"], again["held"]), (2, True))
        second.up()
        for at in (owner, other):
            self.wait_for("the second is a member again", lambda: self.listed(at).get(second.id, {}).get("up"))
        self.assertEqual(second.status()["mode"], "serving")
        second.run("put", self.file("more", 300_000), "/", "--wait", "full")

        # One that has been alone since its start might miss a change.
        for server in (owner, other, second):
            server.stop()
        owner.up()
        refused = self.key_change(owner, ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("start others first", refused.err)
        self.assertEqual(owner.json("key")["number"], 2)

    def test_a_change_survives_kills_and_is_known_after_them(self):
        owner, other = list(self.network(2))
        self.assertIn('"number": 2', self.key_change(owner).out)
        owner.kill()
        other.kill()
        for server in (owner, other):
            server.up(listen=server.address)  # or they would not find each other
        self.wait_up(2)
        self.assertEqual(owner.json("key")["number"], 2)
        self.assertTrue(owner.json("key")["held"])
        owner.run("put", self.file("x", 100_000), "/", "--wait", "full")
        newcomer = self.join(owner)
        self.wait_up(3)
        self.assertIn(owner.id, self.listed(newcomer))

    def test_wrong_words_and_passphrases(self):
        owner = self.first()
        stranger = Server(self.path("stranger"))
        stranger.words = stranger.json("init", "--size", self.SIZE)["words"]
        for words, said in (("zoo " * 24, "recovery words"), (stranger.words, "not the recovery words of person"), ("", "24")):
            refused = owner.run("key", "change", ok=False, input=words.encode())
            self.assertEqual(refused.returncode, 1, words)
            self.assertTrue(refused.err.startswith("spatter key change: "), refused.err)
            self.assertIn(said.split()[0], refused.err)
        self.assertEqual(owner.run("key", "take", ok=False, input=stranger.words.encode()).returncode, 1)
        self.assertEqual(owner.run("key", "exchange", ok=False).returncode, 2)
        self.assertEqual(owner.json("key")["number"], 1)
        self.assertIn("number 1", owner.run("key").out)
        self.assertEqual(stranger.run("key", ok=False).returncode, 1)  # it is not served

        with open(self.path("passphrase"), "w") as f:
            f.write("correct horse\n")
        sealed = Server(self.path("sealed"))
        sealed.words = sealed.json("init", "--size", self.SIZE, "--passphrase-file", self.path("passphrase"))["words"]
        self.servers.append(sealed)
        sealed.up("--passphrase-file", self.path("passphrase"))
        refused = self.key_change(sealed, ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("passphrase is needed", refused.err)
        self.assertEqual(sealed.json("key")["number"], 1)
        sealed.run("key", "change", "--passphrase-file", self.path("passphrase"), input=sealed.words.encode())
        self.assertEqual(sealed.json("key")["number"], 2)
        sealed.stop()
        sealed.up("--passphrase-file", self.path("passphrase"))
        self.assertEqual(sealed.json("key")["number"], 2)
        self.assertTrue(sealed.json("key")["held"])


if __name__ == "__main__":
    main()
