"""Popups on a real desktop, and on machines that have none: the announcer in a small program of its own."""
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from desktop import Desktop
from harness import _die_with_parent, main

ANNOUNCE = os.environ.get("SPATTER_ANNOUNCE") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "announce_tool")


class Announcing:
    """One run of the program. Its command writes the event to a FIFO: by then the popup is over and done with."""

    def __init__(self, env, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="spatter-popup-")
        told = os.path.join(self.folder.name, "told")
        os.mkfifo(told)
        self.told = os.fdopen(os.open(told, os.O_RDWR), "r+b", buffering=0)
        self.log_path = os.path.join(self.folder.name, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([ANNOUNCE, "--command", "echo $SPATTER_EVENT > " + told, *options], stdin=subprocess.PIPE,
                                            stderr=log, env=env, preexec_fn=_die_with_parent)

    def send(self, event, title, text):
        self.process.stdin.write(("%s\t%s\t%s\n" % (event, title, text)).encode())
        self.process.stdin.flush()

    def announce(self, event, title, text):
        """Returns when all of it is done."""
        self.send(event, title, text)
        assert self.told.readline().decode().strip() == event

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def log_lines(self, part):
        return [line for line in self.log().splitlines() if part in line]

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(timeout=60)
        self.told.close()
        return code

    def clean(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.told.close()
        self.folder.cleanup()


class Popups(unittest.TestCase):
    def desktop(self, **options):
        desktop = Desktop(**options)
        self.addCleanup(desktop.stop)
        return desktop

    def announcing(self, env, *options):
        one = Announcing(env, *options)
        self.addCleanup(one.clean)
        return one

    def test_one_comes_in_place_of_the_last(self):
        desktop = self.desktop()
        spatter = self.announcing(desktop.env)
        spatter.announce("repair-only", "Spatter only mends now", "Add servers: 40 % & <more>")
        first = desktop.wait_for_popup(lambda p: p.title == "Spatter only mends now")
        self.assertEqual((first.text, first.urgency, first.app, first.replaces), ("Add servers: 40 % & <more>", 2, "Spatter", 0))
        self.assertEqual(first.body, "Add servers: 40 % &amp; &lt;more&gt;")
        self.assertEqual(desktop.on_screen(), 1)
        spatter.announce("serving", "Spatter serves again", "Grüße")
        second = desktop.wait_for_popup(lambda p: p.title == "Spatter serves again")
        self.assertEqual((second.text, second.urgency, second.replaces), ("Grüße", 1, first.id))
        self.assertEqual(desktop.on_screen(), 1)
        self.assertEqual(len(desktop.popups()), 2)
        self.assertEqual(spatter.end(), 0)
        self.assertEqual(spatter.log(), "")

    def test_a_daemon_that_reads_no_markup_gets_the_text_as_it_is(self):
        desktop = self.desktop(markup=False)
        self.announcing(desktop.env).announce("repair-only", "plain", "1 < 2 & 3")
        self.assertEqual(desktop.wait_for_popup().body, "1 < 2 & 3")

    def test_two_servers_have_a_popup_each(self):
        desktop = self.desktop()
        for name in ("one", "two"):
            self.announcing(desktop.env).announce("repair-only", name, "")
        desktop.wait_for_popup(lambda p: p.title == "two")
        self.assertEqual([(p.title, p.replaces) for p in desktop.popups()], [("one", 0), ("two", 0)])
        self.assertEqual(desktop.on_screen(), 2)

    def test_a_new_daemon_is_not_asked_to_replace_what_the_old_one_showed(self):
        desktop = self.desktop()
        spatter = self.announcing(desktop.env)
        spatter.announce("repair-only", "before", "")
        desktop.stop_daemon()
        desktop.start_daemon()
        spatter.announce("serving", "after", "")
        desktop.wait_for_popup(lambda p: p.title == "after")
        self.assertEqual([(p.title, p.replaces) for p in desktop.popups()], [("before", 0), ("after", 0)])

    def test_without_a_daemon_the_log_says_it_once(self):
        desktop = self.desktop(daemon=False)
        spatter = self.announcing(desktop.env)
        spatter.announce("repair-only", "first", "")
        spatter.announce("serving", "second", "")
        lines = spatter.log_lines("no popup")
        self.assertEqual(len(lines), 1, spatter.log())
        self.assertIn(" info ", lines[0])
        self.assertIn("org.freedesktop.Notifications", lines[0])
        desktop.start_daemon()
        spatter.announce("repair-only", "third", "")
        desktop.wait_for_popup(lambda p: p.title == "third")
        self.assertEqual([p.title for p in desktop.popups()], ["third"])
        desktop.stop_daemon()
        spatter.announce("serving", "fourth", "")
        self.assertEqual(len(spatter.log_lines("no popup")), 2, spatter.log())  # it is news again
        self.assertEqual(spatter.end(), 0)

    def test_a_daemon_that_hangs_is_given_up(self):
        desktop = self.desktop()
        desktop.daemon.send_signal(signal.SIGSTOP)
        spatter = self.announcing(desktop.env, "--popup-within-ms", "300")
        spatter.announce("repair-only", "first", "")
        self.assertIn("does not answer", spatter.log_lines("no popup")[0])
        self.assertEqual(desktop.popups(), [])

    def silent_bus(self):
        """A socket that takes connections and never says a word."""
        folder = tempfile.TemporaryDirectory(prefix="spatter-popup-")
        self.addCleanup(folder.cleanup)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(folder.name + "/bus")
        listener.listen()
        return listener, {**os.environ, "DBUS_SESSION_BUS_ADDRESS": "unix:path=%s/bus" % folder.name}

    def test_a_bus_that_hangs_is_given_up(self):
        _, env = self.silent_bus()
        spatter = self.announcing(env, "--popup-within-ms", "300")
        spatter.announce("repair-only", "first", "")
        self.assertIn("does not answer", spatter.log_lines("no popup")[0])

    def test_stopping_waits_for_no_bus(self):
        listener, env = self.silent_bus()
        spatter = self.announcing(env, "--popup-within-ms", "3600000")
        spatter.send("repair-only", "first", "")
        connection, _ = listener.accept()
        self.addCleanup(connection.close)
        self.assertEqual(spatter.end(), 0)

    def test_a_bus_that_is_gone_is_said(self):
        spatter = self.announcing({**os.environ, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere/bus"})
        spatter.announce("repair-only", "first", "")
        self.assertIn(" info ", spatter.log_lines("no popup")[0])
        self.assertIn("/nowhere/bus", spatter.log())

    def test_without_a_session_it_is_quiet(self):
        env = {name: value for name, value in os.environ.items() if name not in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")}
        spatter = self.announcing(env)
        spatter.announce("repair-only", "first", "")
        lines = spatter.log().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(" debug ", lines[0])
        self.assertIn("no session bus", lines[0])

    def test_the_session_s_folder_leads_to_the_bus_too(self):
        desktop = self.desktop()
        with tempfile.TemporaryDirectory(prefix="spatter %popup-") as folder:
            os.symlink(desktop.address.split("path=")[1].split(",")[0], os.path.join(folder, "bus"))
            env = {name: value for name, value in desktop.env.items() if name != "DBUS_SESSION_BUS_ADDRESS"}
            self.announcing({**env, "XDG_RUNTIME_DIR": folder}).announce("serving", "found", "")
        desktop.wait_for_popup(lambda p: p.title == "found")


if __name__ == "__main__":
    main()
