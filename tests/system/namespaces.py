"""Machines of a test's own: network namespaces, joined by switches and NAT routers.

Everything is made with `ip` and `nft` as root and goes away with the test. Where that is not
possible the tests are skipped, and say why.
"""
import os
import re
import shutil
import subprocess
import unittest

from harness import Server, spatter


def why_not():
    """The reason why no namespaces can be made here, or nothing."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            return "needs the program '%s'" % tool
    probe = subprocess.run(["ip", "netns", "add", _name("probe")], stderr=subprocess.PIPE)
    if probe.returncode != 0:
        return "network namespaces can't be made here: " + probe.stderr.decode().strip()
    subprocess.run(["ip", "netns", "del", _name("probe")])
    return None


def _name(name):
    return "sp%d-%s" % (os.getpid(), name)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=30)


class Namespace:
    """One machine: a namespace with its loopback up."""

    def __init__(self, world, name):
        self.world, self.name = world, _name(name)
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")
        # No waiting for duplicate addresses on links that only we use.
        self.set("ipv6/conf/default/accept_dad", 0)
        self.set("ipv6/conf/all/accept_dad", 0)

    def prefix(self):
        return ["ip", "netns", "exec", self.name]

    def run(self, *command):
        run(*self.prefix(), *command)

    def set(self, name, value):
        """A kernel setting of this machine's network; those of IPv6 are missing where that is off."""
        self.run("sh", "-c", "[ ! -e /proc/sys/net/%s ] || echo %d > /proc/sys/net/%s" % (name, value, name))

    def connect(self, switch, interface, *addresses):
        """A cable to a switch (another namespace's bridge), with addresses at this end."""
        end, far = "v%d" % self.world.next_cable(), "v%d" % self.world.next_cable()
        run("ip", "link", "add", end, "netns", self.name, "type", "veth", "peer", "name", far, "netns", switch.name)
        self.run("ip", "link", "set", end, "name", interface)
        switch.run("ip", "link", "set", far, "master", "br0", "up")
        for address in addresses:
            self.run("ip", "address", "add", address, "dev", interface)
        self.run("ip", "link", "set", interface, "up")

    def default_route(self, via):
        self.run("ip", "route", "add", "default", "via", via)

    def become_nat(self, outside):
        """Lets out what comes from inside under this router's own address; lets nothing in."""
        self.set("ipv4/ip_forward", 1)
        self.run("nft", "add table ip nat")
        self.run("nft", "add chain ip nat out { type nat hook postrouting priority 100 ; }")
        self.run("nft", "add rule ip nat out oifname %s masquerade" % outside)
        self.run("nft", "add table ip filter")
        self.run("nft", "add chain ip filter forward { type filter hook forward priority 0 ; policy drop ; }")
        self.run("nft", "add rule ip filter forward ct state established,related accept")
        self.run("nft", "add rule ip filter forward iifname != %s accept" % outside)

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL, timeout=30)


def remove_left_behind():
    """What a test that was killed could not clean up: names hold the process they belong to."""
    for line in subprocess.run(["ip", "netns", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().splitlines():
        made_by = re.match(r"sp(\d+)-", line)
        if made_by and not os.path.exists("/proc/" + made_by[1]):
            subprocess.run(["ip", "netns", "del", line.split()[0]], stderr=subprocess.DEVNULL, timeout=30)


class World:
    """All machines of one test."""

    def __init__(self):
        remove_left_behind()
        self.machines, self.cables = [], 0

    def next_cable(self):
        self.cables += 1
        return self.cables

    def machine(self, name):
        self.machines.append(Namespace(self, name))
        return self.machines[-1]

    def switch(self, name):
        switch = self.machine(name)
        switch.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        switch.run("ip", "link", "set", "br0", "up")
        return switch

    def home(self, number, internet):
        """A machine behind a NAT router of its own: 5.5.5.<number> outside, 10.0.<number>.2 in. (Outside
        it must look public: routers do not map ports of addresses that are reserved.)"""
        lan = self.switch("lan%d" % number)
        router = self.machine("nat%d" % number)
        router.connect(internet, "wan", "5.5.5.%d/24" % number)
        router.connect(lan, "lan", "10.0.%d.1/24" % number)
        router.become_nat("wan")
        host = self.machine("host%d" % number)
        host.connect(lan, "eth0", "10.0.%d.2/24" % number)
        host.default_route("10.0.%d.1" % number)
        return host, router

    def remove(self):
        for machine in self.machines:
            machine.remove()


class ServerIn(Server):
    """A server whose commands and process run in a namespace."""

    def __init__(self, drive, machine):
        super().__init__(drive)
        self.machine = machine

    def run(self, *arguments, **options):
        return spatter(self.drive, *arguments, prefix=self.machine.prefix(), **options)

    def up(self, *arguments, listen="[::]:4840"):
        return super().up(*arguments, listen=listen, prefix=self.machine.prefix())


def needs_namespaces(test_class):
    reason = why_not()
    return unittest.skipIf(reason is not None, reason)(test_class)
