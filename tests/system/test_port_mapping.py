"""A server behind a router that lets itself be asked for a way in: miniupnpd, the real one."""
import os
import shutil
import subprocess
import unittest

from harness import NetworkTest, _die_with_parent, main
from namespaces import ServerIn, World, needs_namespaces

MINIUPNPD = shutil.which("miniupnpd") or shutil.which("miniupnpd", path="/usr/sbin:/sbin")

SETTINGS = """\
ext_ifname=wan
listening_ip=lan
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
enable_natpmp=%(natpmp)s
enable_upnp=%(upnp)s
secure_mode=yes
system_uptime=yes
uuid=5d2f8b1e-2c1a-4d4e-9a0b-6f0f6f0f6f0f
allow 1024-65535 10.0.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""

# What a router has, with the chains that miniupnpd fills.
TABLES = """\
table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain miniupnpd { }
  chain prerouting {
    type nat hook prerouting priority -100;
    jump prerouting_miniupnpd
  }
  chain prerouting_miniupnpd { }
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname "wan" masquerade
    jump postrouting_miniupnpd
  }
  chain postrouting_miniupnpd { }
}
"""


@needs_namespaces
@unittest.skipIf(MINIUPNPD is None, "needs miniupnpd")
class PortMapping(NetworkTest):
    def setUp(self):
        super().setUp()
        self.world = World()
        self.addCleanup(self.world.remove)
        self.internet = self.world.switch("internet")
        machine = self.world.machine("public")
        machine.connect(self.internet, "eth0", "5.5.5.9/24")
        self.public = ServerIn(self.path("public"), machine)
        self.servers.append(self.public)
        self.public.run("init", "--size", self.SIZE)
        self.public.up()

    def home(self, natpmp, upnp):
        host, router = self.world.home(1, self.internet)
        router.run("nft", "flush", "ruleset")
        tables, settings = self.path("tables"), self.path("miniupnpd.conf")
        with open(tables, "w") as f:
            f.write(TABLES)
        with open(settings, "w") as f:
            f.write(SETTINGS % {"natpmp": natpmp, "upnp": upnp})
        router.run("nft", "-f", tables)
        daemon = subprocess.Popen([*router.prefix(), MINIUPNPD, "-d", "-f", settings, "-P", self.path("pid")],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=open(self.path("miniupnpd.log"), "wb"), preexec_fn=_die_with_parent)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        self.wait_for("miniupnpd listens", lambda: b"listening" in open(self.path("miniupnpd.log"), "rb").read().lower())
        return host, router

    def mapped(self, router):
        rules = subprocess.run([*router.prefix(), "nft", "list", "ruleset"], stdout=subprocess.PIPE, check=True)
        return "10.0.1.2:4840" in rules.stdout.decode()

    def check(self, natpmp, upnp):
        host, router = self.home(natpmp, upnp)
        server = ServerIn(self.path("server"), host)
        self.servers.append(server)
        server.run("join", self.public.json("invite")["link"], "--size", self.SIZE)
        server.up()
        self.wait_for("the port is mapped", lambda: self.mapped(router), 60)
        self.wait_for("others dial it", lambda: server.status()["reach"] == "direct", 60)
        self.assertEqual(server.status()["relays"], [])
        # The other side alone can bring them together again.
        server.run("put", self.file("data", 500_000), "/", "--wait", "full")
        self.assertEqual(server.stop(), 0)
        self.assertFalse(self.mapped(router))

    def test_by_nat_pmp(self):
        self.check("yes", "no")

    def test_by_upnp(self):
        self.check("no", "yes")


if __name__ == "__main__":
    main()
