"""The ledger of spare cycles among real processes: who promised, who was asked, who gave and who owes."""
import os
import subprocess
import time
import unittest

from harness import NetworkTest, Server, main

SPIN = r"""
#include <stdio.h>
int main(void) {
  unsigned long long x = 0;
  for (unsigned i = 0; i < 60000000u; ++i) x = x * 6364136223846793005ull + i;
  int c, n = 0;
  while ((c = getchar()) != EOF) n += c;
  printf("%llu %d\n", x, n);
}
"""
EPOCH = 2
MONTH = 16


class Ledger(NetworkTest):
    jobs_run = 0

    def start(self, count=5):
        server = Server(self.path("server-0"))
        server.run("init", "--size", self.SIZE, "--epoch-seconds", EPOCH, "--month-epochs", MONTH, "--grace-epochs", 10000)
        self.servers.append(server)
        server.up()
        for _ in range(count - 1):
            self.join()
        self.wait_up(count)
        for one in self.servers:
            one.run("pledge", "60%")
        return server

    def module(self):
        path = self.path("spin.c")
        with open(path, "w") as f:
            f.write(SPIN)
        subprocess.run(["clang-19", "--target=wasm32-wasi", "-O2", path, "-o", self.path("spin.wasm")], check=True)
        return self.path("spin.wasm")

    def inputs(self, count, by=None, folder="in"):
        os.makedirs(self.path(folder), exist_ok=True)
        for i in range(count):
            with open(self.path("%s/%03d" % (folder, i)), "wb") as f:
                f.write(b"%d" % i)
        (by or self.servers[0]).run("put", self.path(folder), "/")

    def months(self, by, person=None):
        return {m["month"]: m for m in by.json("cycles", "history", *(["--person", person] if person else []))["months"]}

    def compute_until(self, what, askers, module, inputs, condition, seconds=300):
        """Has the same computed again and again, by jobs of one asker after the other."""
        until = time.monotonic() + seconds
        number = 0
        while not condition():
            if time.monotonic() > until:
                self.fail("not in %d s and %d jobs: %s" % (seconds, number, what))
            asker = askers[number % len(askers)]
            number += 1
            self.jobs_run += 1
            report = asker.json("jobs", "run", module, "--input", inputs, "--output", "/out-of-%d" % self.jobs_run, timeout=300)
            self.assertEqual(report["state"], "done", report)

    def test_what_others_gave_is_counted_by_everybody(self):
        owner = self.start()
        module = self.module()
        self.inputs(6)
        self.wait_for("all promise", lambda: all(
            s["share_ppm"] == 600000 for one in self.servers for s in one.json("cycles", "ledger")["servers"]) and
            all(one.json("cycles", "ledger")["servers"] for one in self.servers))
        # Favours at first, for nobody's speed is known; then it is.

        def speeds(by):
            return [s["fuel_per_s"] for one in by for s in one.json("cycles", "ledger")["servers"]]
        self.compute_until("speeds are known", [owner], module, "/in", lambda: sum(v > 0 for v in speeds(self.servers[1:])) >= 3)
        self.wait_for("somebody promises something", lambda: any(one.json("cycles", "ledger")["promised"] > 0 for one in self.servers))
        ledger = self.servers[1].json("cycles", "ledger")
        for name in ("promised", "asked", "delivered", "owed", "docked"):
            self.assertIn(name, ledger)
            self.assertTrue([l for l in ledger["lines"] if l["name"] == name and l["words"]], name)
        text = self.servers[1].run("cycles", "ledger").out
        for name in ("promised", "asked", "delivered", "owed", "docked", "pledges 60 %"):
            self.assertIn(name, text)
        # The same for everybody, of everybody, once it is settled.
        persons = {one.json("cycles", "ledger")["person"] for one in self.servers}
        self.assertEqual(len(persons), 5)
        first = self.servers[1].json("cycles", "history")["months"][0]["month"]
        self.assertEqual(first, 0)

        def given():
            """The first month in which something was given, when all have closed it."""
            months = [self.months(one) for one in self.servers[1:]]
            for number, month in months[0].items():
                if month["closed"] and sum(m[number]["beyond"] + m[number]["delivered"] for m in months if number in m) > 0:
                    return [number] if all(number in m and m[number]["closed"] for m in [self.months(owner), *months]) else None
            return None
        number, = self.wait_for("the month is closed everywhere", given, seconds=180)
        for person in persons:
            views = [self.months(one, person[:16])[number] for one in self.servers]
            self.assertTrue(all(view == views[0] for view in views), views)

    def test_who_is_not_there_when_he_is_asked_owes(self):
        owner = self.start()
        module = self.module()
        self.inputs(8)
        self.inputs(8, self.servers[1])
        self.inputs(24, folder="more")
        self.wait_for("all promise", lambda: all(
            any(s["share_ppm"] == 600000 for s in one.json("cycles", "ledger")["servers"]) for one in self.servers))
        # How much is asked of whom is chance, and so is who has computed enough to be known for a speed.
        gone = self.servers[4]
        person = gone.json("cycles", "ledger")["person"]
        self.compute_until("the owner is entitled to something, and the one who goes has promised", self.servers[:2], module, "/in", lambda:
                           owner.json("cycles", "ledger")["entitlement"] > 0 and
                           any(s["fuel_per_epoch"] > 0 for s in owner.json("cycles", "ledger", "--person", person[:16])["servers"]))
        gone.kill()
        self.wait_for("the others see it gone", lambda: owner.status()["servers_up"] == 4)
        self.compute_until("what was asked is owed", [owner], module, "/more", lambda: any(
            m["owed"] > 0 for m in owner.json("cycles", "history", "--person", person[:16])["months"]))
        # Whoever comes back sees it too, in words, and his next month is docked.
        gone.up()
        text = self.wait_for("he knows it", lambda: (lambda t: t if "as two of three drawn witnesses agree" in t else None)(
            "\n".join(l["words"] for m in gone.json("cycles", "history")["months"] for l in m["lines"])))
        self.assertIn("fuel was asked for within the promise and not given", text)

    def test_pledges_for_later_and_for_less(self):
        owner = self.start(1)
        answer = owner.json("pledge", "30%", "--from", "next-month")
        self.assertEqual(answer["share_ppm"], 600000)
        self.assertEqual(answer["next"]["share_ppm"], 300000)
        self.assertIn("From month", owner.run("pledge").out)
        month = answer["next"]["from_month"]
        after = self.wait_for("the month has come", lambda: (lambda a: a if a["next"] is None else None)(owner.json("pledge")))
        self.assertGreaterEqual(after["month"], month)
        self.assertEqual(after["share_ppm"], 300000)
        # Once the ledger has it in force, less is for the month after.
        self.wait_for("it is in force", lambda: any(s["share_ppm"] == 300000 for s in owner.json("cycles", "ledger")["servers"]))
        answer = owner.json("pledge", "10%")
        self.assertEqual((answer["share_ppm"], answer["next"]["share_ppm"]), (300000, 100000))
        self.assertIn("What was promised for this month is kept", owner.run("pledge", "10%").out)
        answer = owner.json("pledge", "10%", "--now")
        self.assertEqual((answer["share_ppm"], answer["next"]), (100000, None))
        # A restart keeps what is coming.
        owner.run("pledge", "50%", "--from", "next-month")
        owner.stop()
        owner.up()
        self.assertTrue(owner.json("pledge")["next"] or owner.json("pledge")["share_ppm"] == 500000)

    def test_wrong_input(self):
        owner = self.start(1)
        for arguments in (["pledge", "20%", "--from", "yesterday"], ["pledge", "--from", "next-month"], ["pledge", "20%", "--from", "now", "--now"],
                          ["cycles", "ledger", "--person", "zz"], ["cycles", "ledger", "--person", "ffffffffffff"], ["cycles", "nonsense"]):
            done = owner.run(*arguments, ok=False)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertTrue(done.err.strip(), arguments)
        self.assertIn("--person", owner.run("cycles", "ledger", "--person", "zz", ok=False).err)
        # By itself `cycles` says how things are.
        self.assertEqual(owner.json("cycles")["share_ppm"], 600000)
        self.assertIn("promised 0", owner.run("cycles").out)
        self.assertEqual(owner.json("cycles", "history")["months"][-1]["promised"], 0)
        done = Server(self.path("other")).run("init", "--size", self.SIZE, "--month-epochs", 5, ok=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("month-epochs", done.err)


if __name__ == "__main__":
    main()
