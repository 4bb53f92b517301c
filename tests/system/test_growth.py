"""The first machines, one after another, and how many may die."""
import os

from harness import NetworkTest, main


class Growth(NetworkTest):
    def check_losses(self, owner, others, source, name):
        """Any floor(2W/3) of the others are killed; everything still comes from the rest."""
        count = 2 * len(others) // 3
        dead = self.random.sample(others, count)
        for server in dead:
            server.kill()
        back = self.path("back-%s" % name)
        owner.run("get", "--remote", "/data", back)
        self.assert_same_tree(source, back)
        for server in dead:
            server.up()
        self.wait_up(len(others) + 1)

    def test_each_width_has_its_shape_and_survives_what_it_promises(self):
        source = self.path("data")
        self.file("data/one", 6_000_000)
        self.file("data/two", 40_000)
        self.file("data/three", 17)
        owner = self.first()
        owner.run("put", source, "/")
        alone = self.wait_settled(owner)
        self.assertEqual((alone["copies_min"], alone["can_lose"], alone["widest_k"]), (1, 0, 1))
        stored = alone["user_half"]["used"]
        for width in range(1, 8):
            self.join()
            self.wait_up(width + 1)
            status = self.wait_settled(owner)
            k = 1 if width < 4 else min(width, 16)
            with self.subTest(width=width):
                self.assertEqual(len([h for h in status["held"] if h["server"] != owner.id and h["bytes"] > 0]), width)
                self.assertGreaterEqual(status["copies_min"], min(width + 1, 3))
                self.assertGreaterEqual(status["can_lose"], 2 * width // 3)
                self.assertEqual(status["stripes"]["lost"], 0)
                if width in (1, 2, 3):
                    for held in status["held"]:
                        self.assertGreaterEqual(held["bytes"], 6_000_000)
                if width >= 4:
                    self.assertGreaterEqual(2 * status["widest_k"], k)
                self.check_losses(owner, self.servers[1:], source, width)

    def test_a_newcomer_is_filled_by_all_and_deals_to_all(self):
        a = self.first()
        b = self.join()
        self.wait_up(2)
        a.run("put", self.file("a", 8_000_000), "/")
        b.run("put", self.file("b", 8_000_000), "/")
        self.wait_settled(a)
        self.wait_settled(b)
        c = self.join()
        self.wait_up(3)
        c.run("put", self.file("c", 8_000_000), "/")
        for server in (a, b, c):
            self.wait_settled(server)
        holders = lambda s: {h["server"]: h["bytes"] for h in s.status()["held"] if h["server"] != s.id}
        self.assertEqual(set(holders(a)), {b.id, c.id})
        self.assertEqual(set(holders(b)), {a.id, c.id})
        dealt = holders(c)
        self.assertEqual(set(dealt), {a.id, b.id})
        self.assertLess(abs(dealt[a.id] - dealt[b.id]), 100_000)

    def test_words_and_a_link_bring_everything_back(self):
        source = self.path("data")
        for i in range(20):
            self.file("data/f%d" % i, 1 + i * 200_000)
        owner, *others = self.network(7)
        owner.run("put", source, "/")
        words = self.path("words")
        with open(words, "w") as f:
            f.write(owner.words)
        link = others[0].json("invite")["link"]
        owner.kill()
        for server in self.random.sample(others[1:], 4):
            server.kill()
        from harness import Server
        reborn = Server(self.path("reborn"))
        self.servers.append(reborn)
        wrong = self.path("wrong")
        with open(wrong, "w") as f:
            f.write(" ".join(["abandon"] * 24))
        refused = reborn.run("recover", link, "--words-file", wrong, "--size", "2G", ok=False)
        self.assertEqual(refused.returncode, 1)
        reborn.run("recover", link, "--words-file", words, "--size", "2G")
        reborn.up()
        reborn.run("get", "/data", self.path("back"))
        self.assert_same_tree(source, self.path("back"))
        reborn.run("put", self.file("new", 1_000_000), "/", "--wait", "local")


if __name__ == "__main__":
    main()
