"""Holders keep what they hold alive while its owner is away: real processes, epochs of seconds."""
import os
import shutil

from harness import NetworkTest, Server, main


class Repair(NetworkTest):
    EPOCH_SECONDS, GRACE_EPOCHS = 2, 5

    def first(self, size=None, up=True):
        server = Server(self.path("server-0"))
        server.words = server.json("init", "--size", size or self.SIZE, "--epoch-seconds", self.EPOCH_SECONDS,
                                   "--grace-epochs", self.GRACE_EPOCHS)["words"]
        self.servers.append(server)
        return server.up() if up else server

    def repair(self, server):
        return server.json("repair")

    def told(self, owner, holders):
        """The holders of all stripes know each other."""
        self.wait_for("all is full", lambda: owner.status()["settled"])
        self.wait_for("holders know each other", lambda: owner.json("repair")["own"]["lists_waiting"] == 0
                      and all(self.repair(holder)["untold"] == 0 for holder in holders))

    def rebuilt(self, servers):
        try:
            self.wait_for("the holders have rebuilt it", lambda: self.whole(servers), 120)
        except AssertionError as error:
            raise AssertionError("%s: %s" % (error, [self.repair(server) for server in servers])) from None

    def whole(self, servers):
        reports = [self.repair(server) for server in servers]
        return all(r["due"] + r["urgent"] + r["lost"] == 0 for r in reports) and sum(r["rebuilt_shards"] for r in reports) > 0

    def test_with_the_owner_away_and_for_his_return(self):
        servers = self.network(9)
        owner, holders = servers[0], servers[1:]
        self.file("big", 6_000_000)
        self.file("small", 3_000)
        owner.run("put", self.path("big"), self.path("small"), "/", "--wait", "full")
        self.told(owner, holders)

        owner.kill()
        for dead in holders[:3]:
            dead.kill()
            shutil.rmtree(os.path.join(dead.drive, "server"))
        living = holders[3:]
        self.rebuilt(living)
        self.assertIn("Nothing needs mending", living[0].run("repair").out)

        # Three more, which without the rebuilding would have been too many: eight held 24 of which 8 are needed.
        for dead in living[:3]:
            dead.kill()
        owner.up()
        self.wait_for("the owner knows", lambda: owner.json("repair")["own"]["taken_in"] > 0, 60)
        for name in ("big", "small"):
            owner.run("get", "--remote", "/" + name, self.path(name + ".back"))
            self.assert_same_file(self.path(name), self.path(name + ".back"))

    def test_what_was_rebuilt_is_found_with_the_words(self):
        servers = self.network(7)
        owner, holders = servers[0], servers[1:]
        self.file("big", 5_000_000)
        owner.run("put", self.path("big"), "/", "--wait", "full")
        self.told(owner, holders)
        owner.kill()
        shutil.rmtree(owner.drive)
        for dead in holders[:2]:
            dead.kill()
            shutil.rmtree(dead.drive)
        living = holders[2:]
        self.rebuilt(living)
        words = self.path("words")
        with open(words, "w") as f:
            f.write(owner.words)
        reborn = Server(self.path("reborn"))
        reborn.run("recover", living[0].json("invite")["link"], "--words-file", words, "--size", self.SIZE)
        self.servers.append(reborn)
        reborn.up()
        reborn.run("get", "/big", self.path("back"))
        self.assert_same_file(self.path("big"), self.path("back"))

    def test_audits_see_who_threw_things_away(self):
        servers = self.network(6)
        owner, holders = servers[0], servers[1:]
        self.file("big", 5_000_000)
        owner.run("put", self.path("big"), "/", "--wait", "full")
        self.told(owner, holders)
        done = owner.json("audit", "--now")
        self.assertEqual(done["now"]["asked"], done["now"]["right"])
        self.assertGreater(done["now"]["asked"], 0)

        culprit = holders[2]
        for name in culprit.shard_files():
            os.truncate(name, 0)
        done = self.wait_for("an audit has noticed", lambda: (lambda r: r if r["now"]["missing"] + r["now"]["wrong"] else None)(
            owner.json("audit", "--now")))
        bad = {h["server"] for h in done["holders"] if h["missing"] + h["wrong"]}
        self.assertEqual(bad, {culprit.id})
        self.assertIn("HAS LOST SOMETHING", owner.run("audit").out)
        self.wait_for("it is mended", lambda: owner.status()["settled"] and all(
            h["server"] != culprit.id or h["right"] for h in owner.json("audit", "--now")["holders"]), 60)
        self.wait_for("nothing is missing any more", lambda: (lambda n: n["asked"] == n["right"])(
            owner.json("audit", "--now")["now"]), 60)

    def metrics(self, server):
        lines = server.run("metrics").out.splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        for line in lines:
            self.assertRegex(line, r"^(# (HELP|TYPE) spatter_|spatter_[a-z_]+(\{[a-z]+=\"[a-z_]+\"\})? [-+0-9.e]+$)")
        return {name: float(value) for name, value in values.items()}

    def test_how_safe_a_file_is(self):
        servers = self.network(8)
        owner, holders = servers[0], servers[1:]
        self.file("big", 5_000_000)
        self.file("small", 30_000)
        self.file("empty", 0)
        owner.run("put", self.path("big"), self.path("small"), self.path("empty"), "/", "--wait", "full")
        self.wait_settled(owner)

        def entries():
            return {one["name"]: one.get("safety") for one in owner.json("ls", "--safety")}
        whole = entries()
        self.assertIsNone(whole["empty"])
        self.assertNotIn("safety", owner.json("ls")[0])
        for name in ("big", "small"):
            self.assertEqual(whole[name]["level"], "full", whole)
            self.assertGreaterEqual(whole[name]["can_lose"], 4)  # two thirds of seven
            self.assertGreater(whole[name]["loss_per_day"], 0)
            self.assertLess(whole[name]["loss_per_day"], 1e-10)
        status = owner.status()
        self.assertLessEqual(whole["big"]["loss_per_day"], status["loss_per_day"] * 1.001)
        self.assertAlmostEqual(status["departures_per_server_day"], 1 / 1500, delta=1e-4)
        self.assertEqual(status["repair"]["waiting"], 0)
        self.assertRegex(owner.run("ls", "-l", "--safety").out, r" any [4-7] +\S+ big\n")
        self.assertRegex(owner.run("ls", "-l", "--safety", "/small").out, r" any [4-7] +\S+ small\n")
        self.assertIn("that anything is lost within a day", owner.run("status").out)
        before = self.metrics(owner)
        self.assertEqual(before["spatter_repair_only"], 0)
        self.assertEqual(before["spatter_can_lose_servers"], status["can_lose"])
        self.assertEqual(before['spatter_stripes{state="full"}'], status["stripes"]["full"])

        for dead in holders[:3]:
            dead.kill()
        self.wait_for("three are off", lambda: owner.status()["servers_up"] == 5)
        after = entries()
        for name in ("big", "small"):
            self.assertLess(after[name]["can_lose"], whole[name]["can_lose"])
            self.assertGreater(after[name]["loss_per_day"], whole[name]["loss_per_day"])
        self.assertGreater(self.metrics(owner)["spatter_loss_probability_per_day"], before["spatter_loss_probability_per_day"])

    def test_hours_of_the_dial(self):
        owner = self.first()
        day = owner.json("repair", "--rate", "5M", "--hours", "00:00-12:00")
        self.assertEqual(day["hours"], ["00:00-12:00 5120K"])
        both = owner.json("repair", "--rate", "7M", "--hours", "12:00-00:00")
        self.assertEqual(sorted(both["hours"]), ["00:00-12:00 5120K", "12:00-00:00 7168K"])
        self.assertIn(both["rate"], (5 << 20, 7 << 20))
        self.assertEqual(both["rate_otherwise"], 8 << 20)
        owner.run("repair", "--rate", "1M", "--hours", "00:00-12:00")
        owner.run("repair", "--rate", "1M", "--hours", "12:00-00:00")
        self.assertEqual(owner.json("repair")["rate"], 1 << 20)
        self.assertIn("at most 1.0 MiB/s", owner.run("repair").out)
        self.assertEqual(owner.json("repair", "--no-hours")["rate"], 8 << 20)
        self.assertEqual(owner.run("repair", "--hours", "08:00-09:00", ok=False).returncode, 2)
        for hours in ("8-9", "08:00-08:00", "08:00-24:30"):
            refused = owner.run("repair", "--rate", "5M", "--hours", hours, ok=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(hours, refused.err)

        owner.stop()
        with open(os.path.join(owner.drive, "spatter.toml"), "a") as f:
            f.write('repair_hours = ["00:00-12:00 2M", "12:00-24:00 2M"]\n')
        owner.up()
        self.assertEqual(owner.json("repair")["rate"], 2 << 20)

    def test_wrong_input(self):
        owner = self.first()
        for rate, why in (("fast", "is no rate"), ("1K", "at least 64K"), ("", "")):
            said = owner.run("repair", "--rate", rate, ok=not why)
            self.assertIn(why, said.err)
        self.assertEqual(owner.json("repair", "--rate", "5M")["rate"], 5 << 20)
        self.assertEqual(owner.json("repair", "--rate", "none")["rate"], 0)
        bad = Server(self.path("bad"))
        self.assertIn("grace_epochs", bad.run("init", "--grace-epochs", 0, ok=False).err)


if __name__ == "__main__":
    main()
