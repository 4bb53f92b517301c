"""`spatter try`, the first thing a newcomer runs, tells the truth."""
import os
import subprocess

from harness import SPATTER, NetworkTest, main


class Try(NetworkTest):
    def test_the_story_ends_well(self):
        for i in range(30):
            self.file("data/f%d" % i, 1000 * i * i)
        done = subprocess.run([SPATTER, "try", "--data", self.path("data")], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=200, env={**os.environ, "TMPDIR": self.folder})
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn("Nothing was lost", done.stdout.decode())
        self.assertEqual([n for n in os.listdir(self.folder) if n.startswith("spatter-try")], [])

    def test_more_deaths_than_it_can_bear_are_a_failure(self):
        self.file("data/f", 3_000_000)
        done = subprocess.run([SPATTER, "try", "--servers", "7", "--kill", "6", "--data", self.path("data")],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=200,
                              env={**os.environ, "TMPDIR": self.folder})
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("Nothing was lost", done.stdout.decode())


if __name__ == "__main__":
    main()
