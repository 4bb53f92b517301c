"""Servers that cannot dial each other: each behind a NAT router of its own, in network namespaces."""
import shutil

from harness import NetworkTest, main
from namespaces import ServerIn, World, needs_namespaces


@needs_namespaces
class BehindNat(NetworkTest):
    def setUp(self):
        super().setUp()
        self.world = World()
        self.addCleanup(self.world.remove)
        self.internet = self.world.switch("internet")

    def server(self, name, machine):
        server = ServerIn(self.path(name), machine)
        self.servers.append(server)
        return server

    def public(self, number=9):
        machine = self.world.machine("public%d" % number)
        machine.connect(self.internet, "eth0", "5.5.5.%d/24" % number, "2001:db8:1::%d/64" % number)
        return machine

    def join_by(self, server, by):
        server.run("join", by.json("invite")["link"], "--size", self.SIZE)
        server.up()

    def up_together(self, servers):
        for server in servers:
            self.wait_for("%s sees all" % server.drive, lambda: server.status()["servers_up"] == len(servers), 90)

    def test_two_homes_exchange_shards_through_a_reachable_third(self):
        public = self.server("public", self.public())
        one, _ = self.world.home(1, self.internet)
        two, _ = self.world.home(2, self.internet)
        a, b = self.server("a", one), self.server("b", two)
        public.run("init", "--size", self.SIZE)
        public.up()
        self.join_by(a, public)
        self.join_by(b, public)
        self.up_together([public, a, b])
        self.assertEqual(public.status()["reach"], "direct")
        for server in (a, b):
            self.wait_for("it names its relay", lambda: server.status()["relays"] == [public.id])
            self.assertEqual(server.status()["reach"], "relayed")
        self.assertGreaterEqual(public.status()["links_carried"], 1)

        source = self.path("data")
        self.file("data/large", 12_000_000)
        self.file("data/small", 3000)
        a.run("put", source, "/", "--wait", "full")
        held = {h["server"]: h["bytes"] for h in a.status()["held"]}
        self.assertGreaterEqual(held[b.id], 12_000_000)
        # With the relay's own copies out of the way, everything comes through it from the other home.
        self.wait_settled(a)
        public.stop()
        shutil.rmtree(public.drive + "/server/shards")
        public.up()
        self.up_together([public, a, b])
        a.run("get", "--remote", "/data", self.path("back"))
        self.assert_same_tree(source, self.path("back"))

    def test_a_relay_that_dies_is_replaced(self):
        first = self.server("first", self.public(9))
        second = self.server("second", self.public(10))
        one, _ = self.world.home(1, self.internet)
        two, _ = self.world.home(2, self.internet)
        a, b = self.server("a", one), self.server("b", two)
        first.run("init", "--size", self.SIZE)
        first.up()
        for server in (second, a, b):
            self.join_by(server, first)
        self.up_together(self.servers)
        self.wait_for("two relays are known", lambda: len(a.status()["relays"]) == 2 and len(b.status()["relays"]) == 2, 60)
        first.kill()
        self.wait_for("they see each other again", lambda: a.status()["servers_up"] == 3 and b.status()["servers_up"] == 3, 90)
        a.run("put", self.file("data", 2_000_000), "/", "--wait", "full")

    def test_ipv6_needs_no_relay(self):
        """The same two homes with IPv6 beside the NAT: they dial each other directly."""
        public = self.server("public", self.public())
        machines = []
        for number in (1, 2):
            host, _ = self.world.home(number, self.internet)
            host.connect(self.internet, "six", "2001:db8:1::%d/64" % (100 + number))
            machines.append(host)
        a, b = self.server("a", machines[0]), self.server("b", machines[1])
        public.run("init", "--size", self.SIZE)
        public.up()
        self.join_by(a, public)
        self.join_by(b, public)
        self.up_together([public, a, b])
        self.wait_for("both are reached directly", lambda: a.status()["reach"] == b.status()["reach"] == "direct")
        self.wait_for("nothing is relayed", lambda: public.status()["links_carried"] == 0)
        a.run("put", self.file("data", 2_000_000), "/", "--wait", "full")


if __name__ == "__main__":
    main()
