"""Servers whose addresses have all changed find each other again: on one LAN, and through a DHT."""
import os
import subprocess

from harness import SPATTER, NetworkTest, Server, _die_with_parent, main
from namespaces import ServerIn, World, needs_namespaces

RENDEZVOUS = os.path.join(os.path.dirname(os.path.abspath(SPATTER)), "spatter-rendezvous")


@needs_namespaces
class OnOneLan(NetworkTest):
    def setUp(self):
        super().setUp()
        self.world = World()
        self.addCleanup(self.world.remove)
        self.lan = self.world.switch("lan")

    def start_pair(self, addresses):
        """Two members who know each other at their first addresses, and then both move."""
        machines = [self.world.machine("m%d" % i) for i in range(2)]
        for machine, own in zip(machines, addresses):
            machine.connect(self.lan, "eth0", own[0])
        a, b = [ServerIn(self.path("server-%d" % i), machine) for i, machine in enumerate(machines)]
        self.servers += [a, b]
        a.run("init", "--size", self.SIZE)
        a.up()
        b.run("join", a.json("invite")["link"], "--size", self.SIZE)
        b.up()
        self.wait_up(2)
        for server in (a, b):
            self.assertEqual(server.stop(), 0)
        for machine, own in zip(machines, addresses):
            machine.run("ip", "address", "flush", "dev", "eth0", "scope", "global")
            if own[1]:
                machine.run("ip", "address", "add", own[1], "dev", "eth0")
        a.up(listen="[::]:5001")
        b.up(listen="[::]:5002")
        self.wait_up(2)
        a.run("put", self.file("data", 500_000), "/", "--wait", "full")

    def test_with_ipv4(self):
        self.start_pair([("192.168.7.1/24", "192.168.7.101/24"), ("192.168.7.2/24", "192.168.7.102/24")])

    def test_with_link_local_ipv6_alone(self):
        self.start_pair([("192.168.8.1/24", None), ("192.168.8.2/24", None)])


class ThroughADht(NetworkTest):
    """A real DHT of several nodes on loopback, each joining through the one before."""

    def dht(self, count):
        nodes = []
        for _ in range(count):
            known = ["127.0.0.1:%d" % nodes[-1].port] if nodes else []
            node = subprocess.Popen([RENDEZVOUS, *known], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    preexec_fn=_die_with_parent)
            self.addCleanup(self.end, node)
            word, port = node.stdout.readline().split()
            self.assertEqual(word, b"ready")
            node.port = int(port)
            nodes.append(node)
        return nodes

    def end(self, node):
        node.kill()
        node.wait()
        node.stdin.close()
        node.stdout.close()

    def ask(self, node, line):
        """One request, and all of its answer."""
        node.stdin.write(line.encode() + b"\n")
        node.stdin.flush()
        said = []
        while not said or said[-1][0] not in ("done", "failed"):
            said.append(node.stdout.readline().decode().split())
        return said

    def test_the_program_puts_gets_and_refuses_nonsense(self):
        nodes = self.dht(3)
        place = "ab" * 20
        self.wait_for("a put is taken", lambda: self.ask(nodes[0], "put 1 %s c0ffee" % place)[-1][0] == "done")
        said = self.ask(nodes[2], "get 2 %s" % place)
        self.assertIn(["value", "2", "c0ffee"], said)
        for nonsense in ("put 3 xyz 00", "put 3 %s zz" % place, "put 3 %s" % place, "get 3 abc", "dance 3 %s" % place,
                         "put 3 %s %s" % (place, "00" * 1201)):
            self.assertEqual(self.ask(nodes[1], nonsense)[-1][:2], ["failed", "3"], nonsense)

    def test_two_servers_that_both_changed_their_address_meet_again(self):
        nodes = self.dht(4)
        a, b = self.network(2)
        a.run("put", self.file("before", 300_000), "/", "--wait", "full")
        for server, node in ((a, nodes[0]), (b, nodes[3])):
            self.assertEqual(server.stop(), 0)
            with open(os.path.join(server.drive, "spatter.toml"), "a") as f:
                f.write('\nrendezvous = ["127.0.0.1:%d"]\n' % node.port)
        # Other addresses and other ports, and nobody else who could tell.
        a.up(listen="127.0.0.2:0")
        b.up(listen="127.0.0.3:0")
        self.wait_for("they see each other", lambda: a.status()["servers_up"] == 2 and b.status()["servers_up"] == 2, 150)
        a.run("put", self.file("after", 300_000), "/", "--wait", "full")


if __name__ == "__main__":
    main()
