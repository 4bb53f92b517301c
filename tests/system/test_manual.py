"""What the program says of itself to shells and to man, read by real ones, and what gets installed."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import SPATTER, main

BUILD = os.path.dirname(os.path.abspath(SPATTER))


def say(*arguments):
    return subprocess.run([SPATTER, *arguments], stdout=subprocess.PIPE, check=True, timeout=30).stdout.decode()


def commands():
    """The subcommands, as --help lists them."""
    text = say("--help").split("Subcommands:")[1]
    return re.findall(r"^  (\S+)", text, re.M)


class Completion(unittest.TestCase):
    def complete(self, *words, folder="/"):
        """What bash offers for the last of these words."""
        script = say("completion", "bash") + """
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _spatter
printf '%s\\n' "${COMPREPLY[@]}"
"""
        done = subprocess.run(["bash", "--norc", "-c", script, "bash", *words], cwd=folder, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode().split("\n")[:-1]

    def test_bash_completes_every_command(self):
        self.assertEqual(sorted(self.complete("spatter", "")), sorted(commands()))
        self.assertEqual(self.complete("spatter", "stat"), ["status"])
        self.assertEqual(self.complete("spatter", "--drive", "/srv/x", "forg"), ["forget"])

    def test_bash_completes_the_options_of_a_command(self):
        self.assertEqual(self.complete("spatter", "recover", "--vol"), ["--volume"])
        self.assertIn("--json", self.complete("spatter", "status", "--"))
        self.assertIn("--drive", self.complete("spatter", "status", "--"))
        self.assertNotIn("--volume", self.complete("spatter", "status", "--"))
        for command in commands():
            offered = set(self.complete("spatter", command, "-"))
            said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(
                re.sub("(Excludes|Needs):.*", "", line)[:30] for line in say(command, "--help").splitlines() if line.startswith("  -"))))
            self.assertLessEqual(said, offered, command)

    def test_bash_completes_values(self):
        self.assertEqual(self.complete("spatter", "put", "--wait", ""), ["local", "safe", "full"])
        self.assertEqual(self.complete("spatter", "put", "--wait", "s"), ["safe"])
        self.assertEqual(self.complete("spatter", "completion", "z"), ["zsh"])
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "a folder"))
            open(os.path.join(folder, "a file"), "w").close()
            self.assertEqual(sorted(self.complete("spatter", "put", "a ", folder=folder)), ["a file", "a folder"])
            self.assertEqual(self.complete("spatter", "--drive", "a", folder=folder), ["a folder"])
            self.assertEqual(sorted(self.complete("spatter", "recover", "x", "--words-file", "a", folder=folder)),
                             ["a file", "a folder"])
            self.assertEqual(self.complete("spatter", "ls", "a", folder=folder), [""])

    def test_every_shell_that_is_here_can_read_its_script(self):
        for shell in ("bash", "zsh", "fish"):
            script = say("completion", shell)
            for command in commands():
                self.assertRegex(script, r"\b%s\b" % command)
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=script.encode(), check=True, timeout=30)

    def test_a_shell_that_is_not_known_is_a_usage_error(self):
        self.assertEqual(subprocess.run([SPATTER, "completion", "cmd"], stderr=subprocess.DEVNULL).returncode, 2)


class Manual(unittest.TestCase):
    def test_the_page_names_every_command_and_every_option(self):
        page = say("man").replace("\\-", "-")
        for command in commands():
            self.assertIn("\n.SS %s\n" % command, page)
            for option in re.findall(r"^  (?:-\w,)?(--[a-z-]+)", say(command, "--help"), re.M):
                if option not in ("--help", "--help-all"):
                    self.assertIn(option, page)

    def test_its_requests_are_those_of_man(self):
        known = {"TH", "SH", "SS", "TP", "PP", "B", "I"}
        for line in say("man").splitlines():
            if line.startswith((".", "'")):
                self.assertIn(line[1:].split(" ")[0], known, line)

    def test_man_reads_it_without_a_warning(self):
        if not shutil.which("man"):
            self.skipTest("there is no man here")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "spatter.1")
            with open(path, "w") as f:
                f.write(say("man"))
            done = subprocess.run(["man", "--warnings", "-l", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=60, env=dict(os.environ, MANWIDTH="80", LC_ALL="C.UTF-8", MANPAGER="cat"))
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            text = re.sub(r".\x08", "", done.stdout.decode())
            if "This system has been minimized" not in text and "EXIT STATUS" not in text:
                self.skipTest("man is a stand-in here")
            self.assertIn("recover", text)


class Install(unittest.TestCase):
    def test_program_page_and_completions_go_where_they_belong(self):
        if not shutil.which("cmake"):
            self.skipTest("there is no cmake here")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["cmake", "--install", BUILD, "--prefix", folder], check=True, stdout=subprocess.DEVNULL, timeout=60)
            share = os.path.join(folder, "share")
            for path, arguments in (("man/man1/spatter.1", ["man"]),
                                    ("bash-completion/completions/spatter", ["completion", "bash"]),
                                    ("zsh/vendor-completions/_spatter", ["completion", "zsh"]),
                                    ("fish/vendor_completions.d/spatter.fish", ["completion", "fish"])):
                with open(os.path.join(share, path)) as f:
                    self.assertEqual(f.read(), say(*arguments), path)
            installed = os.path.join(folder, "bin", "spatter")
            version = subprocess.run([installed, "--version"], stdout=subprocess.PIPE, check=True).stdout
            self.assertIn(b"spatter", version)


if __name__ == "__main__":
    main()
