"""What is at the destination already, links, odd files and partial failures: as with cp, mv and rm."""
import json
import os
import socket
import stat
import subprocess
import threading
import unittest

from harness import SPATTER, NetworkTest, main


class Copying(NetworkTest):
    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def names(self, path):
        return [e["name"] for e in self.servers[0].json("ls", path)]

    def refused(self, *arguments, says):
        done = self.servers[0].run(*arguments, ok=False)
        self.assertEqual(done.returncode, 1, done.out + done.err)
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, done.err)
        return done


class Removing(Copying):
    def test_what_must_stay_stays_whole(self):
        server = self.first()
        server.run("mkdir", "-p", "/d/e")
        server.run("put", self.write("f", "f"), "/d")
        for path in ("/", "//", ".", "/.", "/d/.", "/d/..", "/d/e/../.."):
            for flags in ("-r", "-rf"):
                self.refused("rm", flags, path, says=path)
        self.assertEqual(self.names("/d"), ["e", "f"])

    def test_the_rest_is_removed(self):
        server = self.first()
        for name in "abc":
            server.run("put", self.write(name, name), "/")
        done = self.refused("rm", "/a", "/missing", "/b", "/c/x", says=["/missing", "/c/x"])
        self.assertGreaterEqual(len(done.err.splitlines()), 2)
        self.assertEqual(self.names("/"), ["c"])
        self.refused("rm", "/c/", says="not a directory")
        server.run("rm", "-f", "/missing", "/c")
        self.assertEqual(self.names("/"), [])


class Links(Copying):
    def test_names_that_were_one_file_become_two(self):
        server = self.first()
        os.makedirs(self.path("one"))
        self.write("one/f", "same")
        os.link(self.path("one/f"), self.path("one/g"))
        os.link(self.path("one/f"), self.path("one/h"))
        server.run("put", self.path("one") + "/.", "/")
        self.write("two/f", "f alone")
        self.write("two/g", "g alone")
        server.run("put", self.path("two") + "/.", "/")
        for name, text in (("f", "f alone"), ("g", "g alone"), ("h", "same")):
            self.assertEqual(server.run("cat", "/" + name).out, text)
        server.run("put", self.path("one/f"), self.path("one/g"), "/")
        links = {e["name"]: e["links"] for e in server.json("ls", "/")}
        self.assertEqual(links, {"f": 2, "g": 2, "h": 1})
        server.run("put", "-", "/f", input=b"stream")
        self.assertEqual(server.run("cat", "/g").out, "same")
        self.assertEqual(server.run("fsck", "--deep").returncode, 0)

    def test_links_of_links_and_a_lost_first_name(self):
        server = self.first()
        os.makedirs(self.path("t"))
        os.symlink("anywhere", self.path("t/l"))
        os.link(self.path("t/l"), self.path("t/m"), follow_symlinks=False)
        self.write("t/a", "linked")
        os.link(self.path("t/a"), self.path("t/b"))
        os.link(self.path("t/a"), self.path("t/c"))
        server.run("mkdir", "-p", "/t/a")  # in the way
        self.refused("put", self.path("t"), "/", says="/t/a")
        links = {e["name"]: (e["type"], e["links"]) for e in server.json("ls", "/t")}
        self.assertEqual(links, {"a": ("directory", 2), "b": ("file", 2), "c": ("file", 2),
                                 "l": ("symlink", 2), "m": ("symlink", 2)})
        server.run("get", "/t", self.path("back"))
        self.assertEqual(os.lstat(self.path("back/l")).st_ino, os.lstat(self.path("back/m")).st_ino)
        self.assertEqual(self.read("back/c"), "linked")

    def volume_with_links(self):
        server = self.first()
        server.run("mkdir", "-p", "/d/sub")
        server.run("put", self.write("f", "f"), "/d")
        os.makedirs(self.path("links"))
        for name, target in (("ld", "d"), ("lf", "/d/f"), ("out", "../../../../d"), ("loop", "loop"), ("none", "nothing")):
            os.symlink(target, self.path("links/" + name))
        server.run("put", self.path("links") + "/.", "/")
        return server

    def test_links_in_the_volume_are_followed_inside_it(self):
        server = self.volume_with_links()
        g = self.write("g", "g")
        server.run("put", g, "/ld")
        server.run("put", g, "/ld/sub/x")
        server.run("put", g, "/out/y")
        self.assertEqual(self.names("/d"), ["f", "g", "sub", "y"])
        self.assertEqual(self.names("/ld/"), ["f", "g", "sub", "y"])
        self.assertEqual(self.names("/ld/sub"), ["x"])
        self.assertIn("ld -> d", server.run("ls", "-l", "/ld").out)
        server.run("put", g, "/lf")  # through the link
        self.assertEqual(server.run("cat", "/d/f").out, "g")
        self.assertEqual(server.run("cat", "/lf").out, "g")
        server.run("put", "-", "/lf", input=b"stream")
        self.assertEqual(server.run("cat", "/d/sub/../f").out, "stream")
        self.assertEqual(server.run("ls", "/lf").out, "lf\n")
        self.refused("put", g, "/none", says=["/none", "/nothing"])
        self.refused("put", g, "/loop/x", says="/loop")
        self.refused("cat", "/loop", says="/loop")
        self.refused("cat", "/nowhere/../lf", says="nowhere")
        self.refused("mv", "/d/y", "/ld/", says="same file")
        server.run("mv", "/d/g", "/ld/sub")
        self.assertEqual(self.names("/d/sub"), ["g", "x"])
        server.run("mkdir", "/ld/new")
        server.run("mkdir", "-p", "/ld/more/and/more")
        self.assertEqual(self.names("/d"), ["f", "more", "new", "sub", "y"])
        server.run("rm", "-r", "/ld/more")
        self.refused("rm", "-r", "/ld/", says="not a directory")
        server.run("rm", "/ld")
        self.assertEqual(self.names("/d"), ["f", "new", "sub", "y"])

    def test_fetching_follows_what_ends_with_a_slash(self):
        server = self.volume_with_links()
        os.makedirs(self.path("out"))
        server.run("get", "/ld", self.path("out"))
        self.assertEqual(os.readlink(self.path("out/ld")), "d")
        os.remove(self.path("out/ld"))
        server.run("get", "/ld/", self.path("out"))
        self.assertEqual(self.read("out/ld/f"), "f")

    def test_a_tree_over_links(self):
        """Bytes go where links lead, but not over what this same put has just stored."""
        server = self.first()
        os.makedirs(self.path("old"))
        self.write("old/target", "old")
        self.write("old/other", "old")
        os.symlink("target", self.path("old/a"))
        os.symlink("other", self.path("old/b"))
        os.symlink("sub", self.path("old/dir"))
        server.run("put", self.path("old") + "/.", "/t/")
        for name in ("a", "b", "target", "dir/x"):
            self.write("new/" + name, "new " + name)
        done = self.refused("put", self.path("new") + "/.", "/t", says=["just-created /t/target", "/t/dir"])
        self.assertNotIn("dir/x", done.err)
        self.assertEqual(server.run("cat", "/t/target").out, "new target")
        self.assertEqual(server.run("cat", "/t/other").out, "new b")
        self.assertEqual([e["type"] for e in server.json("ls", "/t")], ["symlink", "symlink", "symlink", "file", "file"])


class Sources(Copying):
    def test_what_can_be_stored_is(self):
        server = self.first()
        a, b = self.write("a", "a"), self.write("b", "b")
        done = self.refused("put", a, self.path("missing"), b, self.path("gone"), "/", says=[self.path("missing"), self.path("gone")])
        self.assertGreaterEqual(len(done.err.splitlines()), 2)
        self.assertEqual(self.names("/"), ["a", "b"])
        server.run("mkdir", "/d")
        self.refused("put", a, a, b, "/d", says=[a, "more than once"])
        self.assertEqual(self.names("/d"), ["a", "b"])
        other = self.write("m/a", "other a")
        self.refused("put", a, other, "/", says=["will not overwrite just-created /a", other])
        self.assertEqual(server.run("cat", "/a").out, "a")
        found = self.refused("ls", "/a", "/missing", "/d", says="/missing")
        self.assertEqual(found.out, "/a\n\n/d:\na\nb\n")
        found = server.run("ls", "--json", "/a", "/missing", "/d", ok=False)
        document = json.loads(found.out)
        self.assertEqual(document["code"], "not found")
        self.assertEqual([e["path"] for e in document["found"]], ["/a", "/d/a", "/d/b"])

    @unittest.skipUnless(os.geteuid() != 0 or os.path.exists("/usr/bin/setpriv"), "needs a user who may not read")
    def test_unreadable_sources_are_named(self):
        server = self.first()
        self.write("t/open", "o")
        self.write("t/closed", "c")
        self.write("t/shut/x", "x")
        os.link(self.path("t/closed"), self.path("t/twin"))
        os.chmod(self.path("t/closed"), 0)
        os.chmod(self.path("t/shut"), 0)
        command = [SPATTER, "--drive", server.drive, "put", self.path("t"), "/"]
        if os.geteuid() == 0:  # root without the capabilities that make root root
            command = ["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        for name in ("closed", "shut", "twin"):
            self.assertIn("t/" + name, done.stderr)
        self.assertEqual(self.names("/t"), ["open", "shut"])

    def test_folders_are_made_and_kinds_are_kept_apart(self):
        server = self.first()
        self.write("d/x", "x")
        f = self.write("f", "f")
        server.run("put", self.path("d"), "/new/")
        self.assertEqual(self.names("/new"), ["x"])
        self.refused("put", f, "/new2/", says="/new2/")
        server.run("put", f, "/")
        self.refused("put", f, "/f/", says="/f/")
        self.refused("put", self.path("d"), "/f", says="/f")
        self.refused("put", f, "/none/x", says="/none")
        server.run("mkdir", "-p", "/o/f")
        self.refused("put", f, "/o", says="/o/f")
        os.symlink("d", self.path("ld"))
        server.run("put", self.path("ld"), "/link")
        server.run("put", self.path("ld") + "/", "/folder")
        kinds = {e["name"]: e["type"] for e in server.json("ls", "/")}
        self.assertEqual((kinds["link"], kinds["folder"]), ("symlink", "directory"))

    def test_files_that_say_they_are_empty(self):
        server = self.first()
        server.run("put", "/proc/version", "/v")
        self.assertEqual(server.run("cat", "/v").out, open("/proc/version").read())
        server.run("put", "/proc/kallsyms", "/k")
        with open("/proc/kallsyms", "rb") as f:
            self.assertEqual(len(server.run("cat", "/k", binary=True).out), len(f.read()))

    def test_odd_files_come_back(self):
        server = self.first()
        os.makedirs(self.path("odd"))
        os.mkfifo(self.path("odd/pipe"), 0o640)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path("odd/socket"))
        root = os.geteuid() == 0
        if root:
            os.mknod(self.path("odd/null"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            os.mknod(self.path("odd/disk"), 0o600 | stat.S_IFBLK, os.makedev(259, 70000))
        for name in os.listdir(self.path("odd")):
            os.utime(self.path("odd/" + name), ns=(1, 1_600_000_000_123_456_789))
        server.run("put", self.path("odd"), "/")
        self.assertIn("prw-r-----", server.run("ls", "-l", "/odd/pipe").out)
        self.refused("cat", "/odd/pipe", says="/odd/pipe")
        server.stop()
        server.up()
        server.run("get", "/odd", self.path("back"))
        self.assert_same_tree(self.path("odd"), self.path("back"))
        if root:
            for name in ("null", "disk"):
                self.assertEqual(os.stat(self.path("odd/" + name)).st_rdev, os.stat(self.path("back/" + name)).st_rdev)
        server.run("put", self.write("f", "f"), "/odd/pipe")  # a pipe is but a name here
        self.assertEqual(server.run("cat", "/odd/pipe").out, "f")


class Fetching(Copying):
    def test_into_what_is_no_file(self):
        server = self.first()
        server.run("put", self.write("f", "content"), "/")
        os.mkfifo(self.path("pipe"))
        got = []
        reader = threading.Thread(target=lambda: got.append(self.read("pipe")))
        reader.start()
        server.run("get", "/f", self.path("pipe"))
        reader.join(timeout=60)
        self.assertEqual(got, ["content"])
        self.assertTrue(stat.S_ISFIFO(os.lstat(self.path("pipe")).st_mode))
        server.run("get", "/f", "/dev/null")
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.assertEqual(stat.S_IMODE(os.stat("/dev/null").st_mode), 0o666)
        self.assertEqual(server.run("get", "/f", "/dev/stdout").out, "content")
        with open(self.path("all"), "w") as f:
            for _ in range(2):
                subprocess.check_call([SPATTER, "--drive", server.drive, "get", "/f", "/dev/stdout"], stdout=f)
        self.assertEqual(self.read("all"), "contentcontent")

    def test_through_links(self):
        server = self.first()
        server.run("put", self.write("f", "content"), "/")
        self.write("real/target", "old")
        os.symlink("real/target", self.path("link"))
        server.run("get", "/f", self.path("link"))
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertEqual(self.read("real/target"), "content")
        self.assertEqual(os.listdir(self.path("real")), ["target"])
        os.symlink("nowhere", self.path("dangling"))
        self.refused("get", "/f", self.path("dangling"), says="dangling")
        self.assertFalse(os.path.exists(self.path("nowhere")))
        os.makedirs(self.path("dir/f"))
        self.refused("get", "/f", self.path("dir"), says="dir/f")

    def test_a_tree_over_links_and_folders(self):
        server = self.first()
        for name in ("a", "b", "c", "sub/x", "way"):
            self.write("t/" + name, "new " + name)
        server.run("put", self.path("t"), "/")
        self.write("out/t/b", "old")
        self.write("out/elsewhere", "old")
        os.symlink("b", self.path("out/t/a"))
        os.symlink("../elsewhere", self.path("out/t/c"))
        os.symlink("..", self.path("out/t/sub"))
        os.makedirs(self.path("out/t/way"))
        done = self.refused("get", "/t", self.path("out"), says=["t/a", "t/sub", "t/way"])
        self.assertNotIn("/x", done.err)
        self.assertEqual(self.read("out/t/b"), "new b")
        self.assertEqual(self.read("out/elsewhere"), "new c")
        self.assertFalse(os.path.exists(self.path("out/x")))


class Moving(Copying):
    def test_what_mv_refuses(self):
        server = self.first()
        for name in ("a", "b"):
            server.run("put", self.write(name, name), "/")
        server.run("mkdir", "-p", "/d", "/e/f")
        self.refused("mv", "/a", "/a", says="same file")
        self.refused("mv", "/a", "/d/../a", says="same file")
        self.refused("mv", "/a/", "/x", says="not a directory")
        self.refused("mv", "/a", "/x/", says="not a directory")
        self.refused("mv", "/d", "/d/in", says="/d")
        self.refused("mv", "/", "/d", says="/")
        self.refused("mv", "/a", "/b", "/x", says="/x")
        server.run("put", self.write("m/a", "other"), "/d/a2")
        server.run("mkdir", "/m")
        server.run("mv", "/d/a2", "/m/a")
        self.refused("mv", "/a", "/m/a", "/missing", "/b", "/e", says=["just-created /e/a", "/missing"])
        self.assertEqual(self.names("/e"), ["a", "b", "f"])
        self.assertEqual(server.run("cat", "/e/a").out, "a")
        server.run("mv", "/d/", "/renamed/")
        self.assertEqual(self.names("/"), ["e", "m", "renamed"])


if __name__ == "__main__":
    main()
