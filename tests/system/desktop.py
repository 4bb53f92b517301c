"""A desktop of a test's own: an X server, a session bus and a notification daemon (dunst), none of which
anybody else sees. What is asked of the daemon and what it answers is read off the bus.
"""
import html
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from typing import NamedTuple

from harness import _die_with_parent

# No service folders: nothing is started by asking for it.
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:dir=%s</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"""
_DUNST = "[global]\nstack_duplicates = false\nnotification_limit = 0\nidle_threshold = 0\nmarkup = %s\n"
_NAME = "org.freedesktop.Notifications"


class Popup(NamedTuple):
    """One that the daemon has taken."""
    title: str
    text: str      # as people read it
    body: str      # as it was sent
    urgency: int   # 1 normal, 2 critical
    app: str
    id: int
    replaces: int  # the id of the popup in whose place it came, or 0


class Desktop:
    """`env` is for the processes that belong to it; with markup=False the daemon takes plain text only. Ends with
    stop(), or with this process."""

    def __init__(self, daemon=True, markup=True):
        for program in ("Xvfb", "dbus-daemon", "dunst", "busctl"):
            if not shutil.which(program):
                raise RuntimeError("the program '%s' is missing: packages.txt has its package" % program)
        self.folder = tempfile.mkdtemp(prefix="spatter-desktop-")
        self.markup = markup
        self.daemon = self._monitor = self._bus = self._screen = None
        self._known = threading.Condition()
        self._asked, self._popups, self._owner = {}, [], ""
        try:
            self._start()
            if daemon:
                self.start_daemon()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        config = os.path.join(self.folder, "bus.conf")
        with open(config, "w") as f:
            f.write(_BUS % self.folder)
        self._bus = self._run("dbus-daemon", "--config-file=" + config, "--nofork", "--nopidfile", "--print-address", stdout=subprocess.PIPE)
        self.address = self._line(self._bus, self._bus.stdout)
        self._screen = self._run("Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp", stdout=subprocess.PIPE)
        self.display = ":" + self._line(self._screen, self._screen.stdout)
        self.env = {name: value for name, value in os.environ.items() if name not in ("XDG_RUNTIME_DIR", "WAYLAND_DISPLAY")}
        self.env.update(DBUS_SESSION_BUS_ADDRESS=self.address, DISPLAY=self.display)
        self._monitor = self._run("busctl", "--address=" + self.address, "--json=short", "monitor", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._line(self._monitor, self._monitor.stderr)  # that it listens
        threading.Thread(target=self._listen, args=(self._monitor.stdout,), daemon=True).start()

    def _run(self, *command, stdout=subprocess.DEVNULL, stderr=None, env=None):
        if stderr is None:
            stderr = open(os.path.join(self.folder, command[0] + ".log"), "ab")
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env, preexec_fn=_die_with_parent)

    def _line(self, process, stream):
        line = stream.readline().decode().strip()
        if not line:
            log = os.path.join(self.folder, process.args[0] + ".log")
            raise RuntimeError("%s said nothing and ended with %s: %s" % (process.args[0], process.wait(), open(log).read() if os.path.exists(log) else ""))
        return line

    def start_daemon(self):
        """Returns when the daemon is there to be asked."""
        config = os.path.join(self.folder, "dunstrc")
        with open(config, "w") as f:
            f.write(_DUNST % ("full" if self.markup else "no"))
        self.daemon = self._run("dunst", "-conf", config, env=self.env)
        self._wait(lambda: self._owner, 60, "the notification daemon is on the bus")

    def stop_daemon(self):
        self._end(self.daemon)
        self.daemon = None
        self._wait(lambda: not self._owner, 60, "the notification daemon has left the bus")

    def popups(self):
        with self._known:
            return list(self._popups)

    def wait_for_popup(self, predicate=lambda popup: True, seconds=60):
        """The first popup, of all there were or will be, of which `predicate` is true."""
        return self._wait(lambda: next((p for p in self._popups if predicate(p)), None), seconds, "such a popup appears")

    def on_screen(self):
        """How many popups the daemon shows now."""
        said = subprocess.run(["busctl", "--address=" + self.address, "--json=short", "get-property", _NAME, "/org/freedesktop/Notifications",
                               "org.dunstproject.cmd0", "displayedLength"], stdout=subprocess.PIPE, check=True, timeout=60).stdout
        return json.loads(said)["data"]

    def stop(self):
        for process in (self.daemon, self._monitor, self._screen, self._bus):
            self._end(process)
        self.daemon = self._monitor = self._screen = self._bus = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, process):
        if not process:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(timeout=60)

    def _wait(self, condition, seconds, what):
        until = time.monotonic() + seconds
        with self._known:
            while True:
                value = condition()
                if value:
                    return value
                if not self._known.wait(until - time.monotonic()) and time.monotonic() >= until:
                    raise AssertionError("not in %d s: %s; there are %s" % (seconds, what, self._popups))

    def _listen(self, stream):
        with stream:
            for line in stream:
                message = json.loads(line)
                with self._known:
                    self._take(message)
                    self._known.notify_all()

    def _take(self, message):
        if message.get("interface") == "org.freedesktop.DBus" and message.get("member") == "NameOwnerChanged":
            name, _, owner = message["payload"]["data"]
            if name == _NAME:
                self._owner = owner
        elif message["type"] == "method_call" and message.get("interface") == _NAME and message.get("member") == "Notify":
            self._asked[message["sender"], message["cookie"]] = message["payload"]["data"]
        elif message["type"] == "method_return":
            asked = self._asked.pop((message.get("destination"), message.get("reply_cookie")), None)
            if asked:
                app, replaces, _, title, body, _, hints, _ = asked
                text = html.unescape(body) if self.markup else body
                urgency = hints.get("urgency", {}).get("data", 1)
                self._popups.append(Popup(title, text, body, urgency, app, message["payload"]["data"][0], replaces))
