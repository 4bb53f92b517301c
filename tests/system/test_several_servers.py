"""A person with more than one server: what comes back when they are lost, and what is left alone."""
import os
import signal
import subprocess

from harness import SPATTER, NetworkTest, Server, _die_with_parent, main


class SeveralServers(NetworkTest):
    def second_of(self, owner, name, by):
        """One more server of the owner's person."""
        words = self.path("words")
        with open(words, "w") as f:
            f.write(owner.words)
        server = Server(self.path(name))
        server.run("join", by.json("invite")["link"], "--words-file", words, "--size", self.SIZE)
        self.servers.append(server)
        return server.up()

    def recover(self, name, by, *arguments, up=True):
        server = Server(self.path(name))
        server.run("recover", by.json("invite")["link"], "--words-file", self.path("words"), "--size", self.SIZE, *arguments)
        self.servers.append(server)
        return server.up() if up else server

    def network_with_two_of_one(self):
        servers = self.network(5)
        second = self.second_of(servers[0], "second", servers[1])
        self.wait_up(6)
        for name in ("a/one", "a/deep/two", "b/three"):
            self.file(name, 400_000)
        os.symlink("one", self.path("a/link"))
        os.link(self.path("a/one"), self.path("a/same"))
        servers[0].run("put", self.path("a"), "/")
        second.run("put", self.path("b"), "/")
        return servers[0], second, servers[1]

    def test_the_volume_of_a_server_that_is_up_is_left_to_it(self):
        first, second, other = self.network_with_two_of_one()
        first.kill()
        reborn = self.recover("reborn", other)
        reborn.run("get", "/a", self.path("back"))
        self.assert_same_tree(self.path("a"), self.path("back"))
        self.assertEqual(second.status()["mode"], "serving")
        second.run("put", self.file("more", 10_000), "/")
        volumes = {v["server"]: v for v in second.json("volumes")["volumes"]}
        self.assertTrue(volumes[second.id]["own"] and volumes[second.id]["up"])
        self.assertTrue(volumes[reborn.id]["up"])

    def test_all_of_several_lost_volumes_come_back(self):
        first, second, other = self.network_with_two_of_one()
        ids = {v["server"]: v["volume"][:12] for v in first.json("volumes")["volumes"]}
        first.kill()
        second.kill()
        reborn = self.recover("reborn", other)
        status = self.wait_for("all is copied", lambda: (lambda s: s if s["settled"] else None)(reborn.status()), 120)
        self.assertEqual(status["note"], "")
        for server, name in ((first, "a"), (second, "b")):
            reborn.run("get", "--remote", "/recovered/%s/%s" % (ids[server.id], name), self.path("back-" + name))
            self.assert_same_tree(self.path(name), self.path("back-" + name))
        # The second was merely off.
        second.up()
        self.assertEqual(second.status()["mode"], "serving")

    def test_a_chosen_volume_is_taken_over_and_one_in_use_is_not(self):
        first, second, other = self.network_with_two_of_one()
        ids = {v["server"]: v["volume"] for v in first.json("volumes")["volumes"]}
        first.kill()
        refused = self.recover("refused", other, "--volume", ids[second.id][:12], up=False)
        failed = refused.run("up", "--listen", "127.0.0.1:0", ok=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn(second.id[:12], failed.err)
        second.kill()
        reborn = self.recover("reborn", other, "--volume", ids[second.id][:12])
        reborn.run("get", "/b", self.path("back"))
        self.assert_same_tree(self.path("b"), self.path("back"))
        self.assertEqual([e["name"] for e in reborn.json("ls", "/")], ["b"])

    def test_a_forgotten_server_is_gone_everywhere_and_refused(self):
        first, second, other = self.network_with_two_of_one()
        refused = other.run("forget", second.id[:12], ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("only that person", refused.err)
        refused = first.run("forget", second.id[:12], ok=False)
        self.assertIn("is up", refused.err)
        self.assertEqual(first.run("forget", "not an id", ok=False).returncode, 2)
        listed = {s["server"]: s for s in first.json("servers")["servers"]}
        self.assertTrue(listed[first.id]["own"] and listed[second.id]["mine"] and listed[second.id]["up"])
        self.assertFalse(listed[other.id]["mine"])
        second.kill()
        self.wait_for("the second is seen to be down", lambda: first.status()["servers_up"] == 5)
        self.assertEqual(first.json("forget", second.id[:12])["server"], second.id)
        for server in self.servers:
            if server.process:
                self.wait_for("%s has forgotten it" % server.drive, lambda: server.status()["servers_total"] == 5)
        status = self.wait_settled(first)
        self.assertNotIn(second.id, [held["server"] for held in status["held"]])
        second.up()
        self.wait_for("it knows", lambda: second.status()["mode"] == "retired")
        self.assertEqual(second.run("put", self.file("x", 1000), "/", ok=False).returncode, 1)
        second.run("get", "/b", self.path("back"))
        self.assert_same_tree(self.path("b"), self.path("back"))
        self.assertEqual(first.status()["servers_total"], 5)
        # Its volume has no server now: it comes back elsewhere.
        reborn = self.recover("reborn", other)
        reborn.run("get", "/b", self.path("back-again"))
        self.assert_same_tree(self.path("b"), self.path("back-again"))

    def test_a_recovery_ends_promptly_on_a_signal_and_the_next_start_does_it(self):
        servers = list(self.network(5))
        owner = servers[0]
        self.file("a/big", 20_000_000)
        owner.run("put", self.path("a"), "/")
        with open(self.path("words"), "w") as f:
            f.write(owner.words)
        owner.kill()
        for sent in (signal.SIGTERM, signal.SIGINT):
            reborn = self.recover("reborn-%d" % sent, servers[1], up=False)
            for server in servers[2:]:  # so that it waits for what does not come
                server.pause()
            with open(reborn.drive + ".log", "wb") as log:
                process = subprocess.Popen([SPATTER, "--drive", reborn.drive, "up", "--listen", "127.0.0.1:0"],
                                           stdout=subprocess.PIPE, stderr=log, preexec_fn=_die_with_parent)
            self.wait_for("it recovers", lambda: "recovering:" in reborn.log())
            process.send_signal(sent)
            self.assertEqual(process.wait(timeout=10), 0, reborn.log())
            self.assertEqual(process.stdout.read(), b"")
            process.stdout.close()
            self.assertIn("recover anew", reborn.log())
            for server in servers[2:]:
                server.resume()
        reborn.up()
        reborn.run("get", "/a", self.path("back"))
        self.assert_same_tree(self.path("a"), self.path("back"))


if __name__ == "__main__":
    main()
