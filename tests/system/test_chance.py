"""Draws made by one machine and followed by another that has nothing but the text."""
import json

from harness import NetworkTest, main, spatter

SUBJECT = "5b" * 32


class Chance(NetworkTest):
    def verify(self, drawn, *arguments, ok=True):
        """On a machine without a drive."""
        done = spatter(self.path("nowhere"), "chance", "verify", "-", "--json", *arguments, ok=ok,
                       input=json.dumps(drawn).encode())
        return json.loads(done.out), done

    def test_a_draw_of_a_served_drive_is_verified_by_anybody(self):
        server = self.first()
        drawn = server.json("chance", "draw", "--purpose", "audit", "--subject", SUBJECT, "--epoch", 7)
        self.assertEqual((drawn["kind"], drawn["epoch"], drawn["purpose"]), ("draw", 7, "audit"))
        report, _ = self.verify(drawn, "--network", drawn["network"], "--choose", 3, "--of", 9)
        self.assertTrue(report["holds"])
        self.assertEqual(report["output"], drawn["output"])
        self.assertEqual(len(set(report["chosen"])), 3)

        # The same drive, not served, draws the same.
        self.assertEqual(server.stop(), 0)
        again = server.json("chance", "draw", "--purpose", "audit", "--subject", SUBJECT, "--epoch", 7)
        self.assertEqual(again, drawn)

        # Another key, another output.
        person = server.json("chance", "draw", "--purpose", "audit", "--subject", SUBJECT, "--epoch", 7, "--as", "person")
        self.assertNotEqual(person["output"], drawn["output"])
        self.assertTrue(self.verify(person)[0]["holds"])

    def test_what_was_altered_fails_and_says_why(self):
        server = self.first()
        drawn = server.json("chance", "draw", "--purpose", "report", "--subject", SUBJECT)
        for key, value in (("epoch", drawn["epoch"] + 1), ("purpose", "audit"), ("subject", "00" * 32),
                           ("proof", "00" * 80), ("output", "00" * 64)):
            report, done = self.verify(dict(drawn, **{key: value}), ok=False)
            self.assertEqual(done.returncode, 1, key)
            self.assertFalse(report["holds"])
            self.assertIn(report["error"], done.err)
        report, done = self.verify(drawn, "--network", "11" * 32, ok=False)
        self.assertEqual((done.returncode, report["code"]), (1, "denied"))

    def test_arguments_in_place_of_a_file_and_words_in_place_of_json(self):
        server = self.first()
        drawn = server.json("chance", "draw", "--purpose", "review", "--subject", SUBJECT, "--epoch", 3)
        given = [word for key in ("network", "epoch", "purpose", "subject", "key", "proof")
                 for word in ("--" + key, drawn[key])]
        done = spatter(self.path("nowhere"), "chance", "verify", *given)
        self.assertIn(drawn["output"], done.out)
        self.assertTrue(done.out.rstrip().endswith("It holds."), done.out)

        candidates = self.path("candidates")
        with open(candidates, "w") as f:
            f.write("%s 5\n\n%s\n%s 0\n" % ("aa" * 32, "bb" * 32, "cc" * 32))
        path = self.path("draw.json")
        with open(path, "w") as f:
            json.dump(drawn, f)
        report = json.loads(spatter(self.path("nowhere"), "chance", "verify", path, "--json", "--choose", 3,
                                    "--candidates", candidates).out)
        self.assertEqual(sorted(report["chosen"]), ["aa" * 32, "bb" * 32])

        for bad in (["chance", "verify"], ["chance", "verify", self.path("missing")],
                    ["chance", "verify", candidates], ["chance", "verify", path, "--choose", 3, "--candidates", path]):
            done = spatter(self.path("nowhere"), *bad, ok=False)
            self.assertEqual(done.returncode, 1, bad)
            self.assertTrue(done.err.startswith("spatter chance verify: "), done.err)
        self.assertEqual(spatter(self.path("nowhere"), "chance", ok=False).returncode, 2)
        done = server.run("chance", "draw", "--purpose", "dice", "--subject", SUBJECT, ok=False)
        self.assertIn("dice", done.err)
        done = server.run("chance", "draw", "--purpose", "audit", "--subject", "5b", ok=False)
        self.assertIn("subject", done.err)


if __name__ == "__main__":
    main()
