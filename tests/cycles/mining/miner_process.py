"""The miner as a process: signals at any moment, how it is told to end, and a pool of every mood.
Run by ctest with MINER set."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

POOL = pathlib.Path(__file__).parents[2] / "system" / "pool.py"


class Process:
    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def until(self, wanted):
        """The first line for which wanted(line) holds."""
        while (line := self.read()) is not None:
            if wanted(line):
                return line
        raise AssertionError("ended with %s" % self.process.wait())

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class MinerProcess(unittest.TestCase):
    def pool(self, *misbehave, difficulty="0.0001"):
        pool = Process([sys.executable, str(POOL), "--difficulty", difficulty, "--misbehave", *misbehave])
        self.addCleanup(pool.end)
        pool.port = pool.read()["port"]
        return pool

    def miner(self, pool, scheduling="normal"):
        # Not in the idle class, where a busy machine would leave it nothing.
        address = "stratum+tcp://127.0.0.1:%d" % pool.port
        miner = Process([os.environ["MINER"], address, "alice.1", "1", scheduling], stderr=subprocess.PIPE)
        self.addCleanup(miner.end)
        self.addCleanup(miner.process.stderr.close)
        return miner

    def shares(self, pool, count):
        return [pool.until(lambda line: line["event"] == "share") for _ in range(count)]

    def test_reports_what_the_pool_saw(self):
        pool = self.pool()
        miner = self.miner(pool)
        for share in self.shares(pool, 20):
            self.assertTrue(share["ok"], share)
        report = miner.until(lambda line: line["accepted"] >= 20)
        self.assertEqual(report["state"], "mining")
        self.assertEqual(report["rejected"], 0)
        self.assertGreater(report["rate"], 0)
        self.assertGreater(report["hashes"], 1_000_000)
        self.assertGreater(report["network_difficulty"], 1e13)

    def test_stop_on_standard_input_ends_it_with_a_last_report(self):
        pool = self.pool()
        miner = self.miner(pool)
        self.shares(pool, 1)
        miner.process.stdin.write("go on\nstop\n")
        miner.process.stdin.flush()
        self.assertEqual(miner.process.wait(20), 0)

    def test_the_end_of_standard_input_ends_it(self):
        pool = self.pool()
        miner = self.miner(pool)
        self.shares(pool, 1)
        miner.process.stdin.close()
        self.assertEqual(miner.process.wait(20), 0)

    def test_nobody_reading_its_reports_ends_it(self):
        pool = self.pool()
        miner = self.miner(pool)
        self.shares(pool, 1)
        miner.process.stdout.close()
        self.assertEqual(miner.process.wait(20), 0)

    def test_ends_at_once_while_the_pool_is_silent(self):
        pool = self.pool("silent")
        miner = self.miner(pool)
        pool.until(lambda line: line["event"] == "connected")
        miner.process.stdin.close()
        self.assertEqual(miner.process.wait(20), 0)

    def test_survives_being_stopped_and_continued_at_any_moment(self):
        pool = self.pool(difficulty="0.0001")
        miner = self.miner(pool)
        for turn in range(150):
            miner.process.send_signal(signal.SIGSTOP)
            time.sleep(0.002 * (turn % 7))  # what is tested is the stop itself, of several lengths
            miner.process.send_signal(signal.SIGCONT)
            time.sleep(0.001 * (turn % 11))
        for share in self.shares(pool, 50):
            self.assertTrue(share["ok"], share)
        report = miner.until(lambda line: line["accepted"] >= 50)
        self.assertEqual((report["connections"], report["rejected"], report["unanswered"]), (1, 0, 0))

    def test_a_stopped_miner_uses_no_processor(self):
        pool = self.pool()
        miner = self.miner(pool)
        self.shares(pool, 1)
        miner.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, miner.process.pid, os.WSTOPPED | os.WNOWAIT)

        def used():
            with open("/proc/%d/stat" % miner.process.pid) as stat:
                return stat.read().rsplit(")", 1)[1].split()[11:13]
        before = used()
        time.sleep(0.3)
        self.assertEqual(used(), before)
        miner.process.send_signal(signal.SIGCONT)
        self.shares(pool, 5)

    def test_hashing_threads_are_of_the_idle_class(self):
        pool = self.pool()
        miner = self.miner(pool, "idle")
        miner.until(lambda line: line["state"] == "mining")
        classes = {}
        for thread in os.listdir("/proc/%d/task" % miner.process.pid):
            name = pathlib.Path("/proc/%d/task/%s/comm" % (miner.process.pid, thread)).read_text().strip()
            classes.setdefault(name, set()).add(os.sched_getscheduler(int(thread)))
        self.assertEqual(classes["hashing"], {os.SCHED_IDLE})

    def test_a_pool_of_every_mood(self):
        for moods in (["jobs"], ["difficulty"], ["jobs", "difficulty", "rubbish"], ["redirect"], ["noconfigure"]):
            with self.subTest(moods):
                pool = self.pool(*moods)
                miner = self.miner(pool)
                for share in self.shares(pool, 12):
                    self.assertIn(share["reason"], (None, "Job not found"))
                self.assertEqual(miner.until(lambda line: line["accepted"] > 0)["rejected"], 0)
                miner.end()

    def test_comes_back_after_disconnects_and_endless_lines(self):
        for moods in (["disconnect"], ["endless"]):
            with self.subTest(moods):
                pool = self.pool(*moods)
                miner = self.miner(pool)
                pool.until(lambda line: line.get("connection") == 2)
                self.assertTrue(self.shares(pool, 1)[0]["ok"])
                report = miner.until(lambda line: line["connections"] == 2)
                self.assertTrue(report["problem"])
                miner.end()

    def test_says_why_a_pool_refuses_it(self):
        miner = self.miner(self.pool("unauthorized"))
        report = miner.until(lambda line: line["state"] == "refused")
        self.assertIn('does not accept the user "alice.1"', report["problem"])

    def test_counts_rejected_shares(self):
        miner = self.miner(self.pool("reject"))
        report = miner.until(lambda line: line["rejected"] > 0)
        self.assertEqual((report["accepted"], report["last_reason"]), (0, "Rejected at will"))

    def test_an_absent_pool_is_tried_again(self):
        pool = self.pool()
        pool.end()
        miner = self.miner(pool)
        report = miner.until(lambda line: line["state"] == "waiting")
        self.assertIn("refused", report["problem"])
        self.assertEqual(report["hashes"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
