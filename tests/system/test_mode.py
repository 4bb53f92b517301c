"""A network that has lost half its machines stops serving and only mends: real processes, epochs of seconds."""
import json
import os
import subprocess

from harness import SPATTER, NetworkTest, Server, main


class RepairOnly(NetworkTest):
    # Gone after 10 s. When half of a stripe's holders are, those who are left can go on without them after 30 s:
    # so long nothing can be rebuilt, and there is something to see.
    EPOCH_SECONDS, GRACE_EPOCHS = 2, 5
    SIZE = "1G"

    def first(self, size=None, up=True):
        server = Server(self.path("server-0"))
        server.words = server.json("init", "--size", size or self.SIZE, "--epoch-seconds", self.EPOCH_SECONDS,
                                   "--grace-epochs", self.GRACE_EPOCHS)["words"]
        self.servers.append(server)
        return server.up() if up else server

    def mode(self, server):
        return server.json("mode")

    def all_in(self, mode, servers, seconds):
        try:
            self.wait_for("all are in " + mode, lambda: all(self.mode(s)["mode"] == mode for s in servers), seconds)
        except AssertionError as error:
            raise AssertionError("%s: %s" % (error, [self.mode(s) for s in servers])) from None

    def test_half_of_the_machines_die(self):
        servers = self.network(12)
        alive, dead = servers[:6], servers[6:]
        here, away = alive[0], dead[0]
        for name, owner, size in (("here", here, 3_000_000), ("away", away, 4_000_000)):
            self.file(name, size)
            owner.run("put", self.path(name), "/", "--wait", "full")
        for owner in (here, away):
            self.wait_for("all is full", lambda: owner.status()["settled"])
            self.wait_for("holders know each other", lambda: owner.json("repair")["own"]["lists_waiting"] == 0)
        self.wait_for("an epoch is judged", lambda: self.mode(here)["quorum"])
        self.assertEqual(self.mode(here)["mode"], "serving")
        self.assertEqual(self.mode(here)["voices"], 12)
        self.assertNotIn("only mends", here.run("status").err)

        events = subprocess.Popen([SPATTER, "--drive", here.drive, "events", "--json"], stdout=subprocess.PIPE)
        self.addCleanup(lambda: (events.kill(), events.wait(), events.stdout.close()))
        self.assertEqual(json.loads(events.stdout.readline())["mode"], "serving")

        for server in dead:
            server.kill()
        self.all_in("repair-only", alive, 60)
        self.assertEqual(json.loads(events.stdout.readline())["mode"], "repair-only")

        # No file is read or written, and whoever tries is told why and what helps.
        for command in (("get", "/here", self.path("no")), ("cat", "/here"), ("ls", "/"), ("put", self.path("here"), "/new"),
                        ("rm", "/here"), ("mkdir", "/d"), ("mv", "/here", "/there"), ("get", "--remote", "/here", self.path("no"))):
            said = here.run(*command, ok=False)
            self.assertEqual(said.returncode, 1, command)
            for words in ("repair-only", "are in danger", "spatter invite", "get --local"):
                self.assertIn(words, said.err, command)
        self.assertFalse(os.path.exists(self.path("no")))
        here.run("get", "--local", "/here", self.path("own"))
        self.assert_same_file(self.path("here"), self.path("own"))

        # Every command says so, on standard error only.
        for command in ("status", "servers", "repair", "mode", "contracts"):
            done = here.run(command, *(["--json"] if command != "servers" else []))
            self.assertIn("only mends", done.err)
            if command != "servers":
                json.loads(done.out)
        status = alive[1].status()
        self.assertEqual(status["mode"], "repair-only")
        self.assertIn("in danger", status["note"])
        mode = self.mode(alive[1])
        self.assertEqual(mode["present"], 6)
        self.assertGreaterEqual(3 * mode["threatened"] + 3 * mode["calm"], 0)
        self.assertEqual({r["server"] for r in mode["reports"]} - {s.id for s in alive}, set())
        text = alive[1].run("mode").out
        self.assertIn("The network only mends", text)
        self.assertIn(alive[2].id[:12], text)
        self.assertIn("only mends from now on" if False else "only mends", alive[1].log())

        # One that restarts does not serve meanwhile.
        alive[2].kill()
        alive[2].up()
        self.assertEqual(alive[2].status()["mode"], "repair-only")

        # Two more help, are used at once, and the network serves again by itself.
        invited = here.run("invite")
        self.assertIn("helps at once", invited.err)
        for link in (invited.out.strip(), here.json("invite")["link"]):
            server = Server(self.path("server-%d" % len(self.servers)))
            server.run("join", link, "--size", self.SIZE)
            self.servers.append(server)
            server.up()
        living = alive + self.servers[12:]
        if os.environ.get("SPATTER_SHOW"): print([self.mode(s) for s in alive[:2]], [s.json("repair") for s in alive[:2]])
        self.all_in("serving", living, 100)
        self.assertEqual(json.loads(events.stdout.readline())["mode"], "serving")
        self.assertTrue(any(s.shard_files() for s in self.servers[12:]))

        self.assertNotIn("only mends", here.run("status").err)
        here.run("get", "/here", self.path("again"))
        self.assert_same_file(self.path("here"), self.path("again"))
        away.up()
        self.wait_for("what was away can be read", lambda: away.run("get", "--remote", "/away", self.path("back"), ok=False).returncode == 0)
        self.assert_same_file(self.path("away"), self.path("back"))


if __name__ == "__main__":
    main()
