"""A network that has lost most of its machines stops serving and only mends, tells everybody, and serves again
by itself: real processes, epochs of seconds."""
import contextlib
import json
import os
import subprocess

from desktop import Desktop
from harness import SPATTER, NetworkTest, Server, main


class RepairOnly(NetworkTest):
    # A machine is given up after 10 s; holders of a stripe can go on without the greater part of them after 30.
    EPOCH_SECONDS, GRACE_EPOCHS = 2, 5
    # Long enough for the test to look at everything, however quickly the last stripe is mended.
    CALM_EPOCHS = 8
    PERSONS = 6
    SIZE = "1G"

    def first(self, size=None, up=True):
        server = Server(self.path("server-0"))
        server.words = server.json("init", "--size", size or self.SIZE, "--epoch-seconds", self.EPOCH_SECONDS,
                                   "--grace-epochs", self.GRACE_EPOCHS, "--calm-epochs", self.CALM_EPOCHS)["words"]
        self.servers.append(server)
        return server.up() if up else server

    def join_for(self, words=None):
        """One more server: of a new person, or of one who has one already."""
        server = Server(self.path("server-%d" % len(self.servers)))
        link, options = self.servers[0].json("invite")["link"], ["--size", self.SIZE]
        if words:
            with open(server.drive + ".words", "w") as f:
                f.write(words)
            server.run("join", link, "--words-file", server.drive + ".words", *options)
        else:
            server.words = server.json("join", link, *options)["words"]
        self.servers.append(server)
        return server

    def mode(self, server):
        return server.json("mode")

    def all_in(self, mode, servers, seconds):
        try:
            self.wait_for("all are in " + mode, lambda: all(self.mode(s)["mode"] == mode for s in servers), seconds)
        except AssertionError as error:
            raise AssertionError("%s: %s" % (error, [self.mode(s) for s in servers])) from None

    def event(self, events):
        return json.loads(events.stdout.readline())

    def test_most_of_the_machines_die(self):
        desktop = Desktop()
        self.addCleanup(desktop.stop)
        for number in range(self.PERSONS):
            server = self.join_for() if number else self.first(up=False)
            if number == 1:
                self.hear(server)
                server.up(prefix=("env", *("%s=%s" % (n, desktop.env[n]) for n in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY"))))
            else:
                server.up()
        for number in range(self.PERSONS):
            self.join_for(self.servers[number].words).up()
        self.wait_up(2 * self.PERSONS)
        # Of each person but the last one server stays; those that go are seven of twelve.
        alive, dead = self.servers[:self.PERSONS - 1], self.servers[self.PERSONS - 1:]
        here, away = alive[0], dead[1]
        for name, owner, size in (("here", here, 3_000_000), ("away", away, 4_000_000)):
            self.file(name, size)
            owner.run("put", self.path(name), "/", "--wait", "full")
        for owner in (here, away):
            self.wait_for("all is full", lambda: owner.status()["settled"])
            self.wait_for("holders know each other", lambda: owner.json("repair")["own"]["lists_waiting"] == 0)
        mode = self.wait_for("an epoch is judged by all persons", lambda: (lambda m: m if len(m["reports"]) == self.PERSONS else None)(self.mode(here)))
        self.assertEqual((mode["mode"], mode["voices"], mode["quorum"], mode["urgent"] + mode["lost"]), ("serving", self.PERSONS, True, 0))
        self.assertIn("The network serves", here.run("mode").out)
        self.assertEqual(here.run("status").err, "")
        self.assertEqual(here.run("invite").err, "")
        events = subprocess.Popen([SPATTER, "--drive", here.drive, "events", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (events.kill(), events.wait(), events.stdout.close()))
        self.assertEqual(self.event(events)["mode"], "serving")

        # An upload and a download that take their time.
        download = subprocess.Popen([SPATTER, "--drive", here.drive, "cat", "/here"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (download.kill(), download.wait(), download.stdout.close(), download.stderr.close()))
        self.assertEqual(len(download.stdout.read(1)), 1)
        upload = subprocess.Popen([SPATTER, "--drive", here.drive, "put", "-", "/slow"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (upload.kill(), upload.wait(), upload.stderr.close()))
        upload.stdin.write(bytes(3_000_000))
        upload.stdin.flush()

        for server in dead:
            server.kill()
        self.all_in("repair-only", alive, 90)
        with contextlib.suppress(BrokenPipeError):
            upload.stdin.write(bytes(3_000_000))
            upload.stdin.close()
        self.assertEqual(upload.wait(60), 1)
        self.assertIn(b"repair-only", upload.stderr.read())
        read, said = download.communicate(timeout=60)
        self.assertEqual(download.returncode, 1)
        self.assertIn(b"repair-only", said)
        self.assertLess(len(read), 3_000_000 - 1)
        self.assertEqual(self.event(events)["mode"], "repair-only")
        self.refused(here)
        self.explained(alive)
        popup = desktop.wait_for_popup(lambda p: "only mends" in p.title)
        self.assertIn("in danger", popup.text)
        self.assertEqual(popup.urgency, 2)
        self.assertEqual(self.told.readline().decode().strip(), "repair-only: The network only mends now")

        # One that restarts does not serve meanwhile.
        alive[2].kill()
        alive[2].up()
        self.assertEqual(alive[2].status()["mode"], "repair-only")

        # Two more are in it at once, and are used at once.
        invited = here.run("invite")
        self.assertIn("helps at once", invited.err)
        self.assertTrue(invited.out.startswith("spatter:"), invited.out)
        self.assertEqual(len(invited.out.splitlines()), 1)
        new = [self.join_for().up() for _ in range(2)]
        self.wait_for("the new ones are in it", lambda: all(self.mode(s)["mode"] == "repair-only" for s in new))

        self.all_in("serving", alive + new, 150)
        self.assertEqual(self.event(events)["mode"], "serving")
        self.assertTrue(all(s.shard_files() for s in new))
        self.assertIn("serves again", desktop.wait_for_popup(lambda p: "serves again" in p.title).text)
        self.assertEqual(self.told.readline().decode().strip(), "serving: The network serves again")
        self.assertEqual(here.run("status").err, "")
        self.assertEqual(alive[3].status()["mode"], "serving")

        here.run("get", "--remote", "/here", self.path("again"))
        self.assert_same_file(self.path("here"), self.path("again"))
        away.up()
        # It takes in what became of its stripes.
        self.wait_for("what was away can be read", lambda: away.run("get", "--remote", "/away", self.path("back"), ok=False).returncode == 0)
        self.assert_same_file(self.path("away"), self.path("back"))

    def hear(self, server):
        """Has the server's command say what it is told."""
        fifo = self.path("told")
        os.mkfifo(fifo)
        self.told = os.fdopen(os.open(fifo, os.O_RDWR), "r+b", buffering=0)
        self.addCleanup(self.told.close)
        path = os.path.join(server.drive, "spatter.toml")
        with open(path) as f:
            kept = [line for line in f if not line.startswith("notify_command")]
        with open(path, "w") as f:
            f.writelines(kept)
            f.write("notify_command = 'echo \"$SPATTER_EVENT: ${SPATTER_TEXT%%%% (*}\" | sed \"s/: what.*//\" > %s'\n" % fifo)

    def refused(self, here):
        """No file is read or written, and whoever tries is told why and what helps."""
        for command in (("get", "/here", self.path("no")), ("cat", "/here"), ("ls", "/"), ("put", self.path("here"), "/new"),
                        ("rm", "/here"), ("mkdir", "/d"), ("mv", "/here", "/there"), ("get", "--remote", "/here", self.path("no"))):
            said = here.run(*command, ok=False)
            self.assertEqual(said.returncode, 1, command)
            for words in ("repair-only", "are in danger", "spatter invite", "get --local"):
                self.assertIn(words, said.err, command)
            self.assertEqual(said.out, "", command)
        self.assertFalse(os.path.exists(self.path("no")))
        here.run("get", "--local", "/here", self.path("own"))
        self.assert_same_file(self.path("here"), self.path("own"))
        self.assertEqual(here.run("cat", "--local", "/here", binary=True).stdout, open(self.path("here"), "rb").read())
        self.assertIn("no such file", here.run("get", "--local", "/nothing", self.path("no"), ok=False).err)

    def explained(self, alive):
        # Every command says so, on standard error only.
        for command in ("status", "servers", "repair", "audit", "mode", "contracts"):
            self.assertIn("only mends", alive[0].run(command).err, command)
        self.assertIn("only mends", alive[0].run("status", "--json").err)
        status = alive[1].status()
        self.assertEqual(status["mode"], "repair-only")
        self.assertIn("in danger", status["note"])
        self.assertIn("only mends", alive[1].log())
        mode = self.mode(alive[1])
        self.assertEqual((mode["present"], mode["voices"]), (self.PERSONS - 1, self.PERSONS))
        self.assertGreater(mode["since_epoch"], 0)
        self.assertTrue(mode["reports"])
        self.assertLessEqual({r["server"] for r in mode["reports"]}, {s.id for s in alive})
        text = alive[1].run("mode").out
        self.assertIn("The network only mends", text)
        self.assertIn("of the reports", text)
        self.assertIn("It began in epoch", mode["cause"])
        self.assertIn(mode["cause"], text)
        self.assertIn(mode["reports"][0]["server"][:12], text)


if __name__ == "__main__":
    main()
