"""Files in and out of one server: what `cp -a` users expect."""
import os

from harness import NetworkTest, main, spatter


class Files(NetworkTest):
    def make_tree(self):
        top = self.path("tree")
        os.makedirs(top + "/sub/deep")
        os.makedirs(top + "/empty folder")
        self.file("tree/big", 9_000_000)
        self.file("tree/sub/small", 100)
        open(top + "/empty", "w").close()
        os.symlink("sub/small", top + "/link")
        os.symlink("/nowhere/at all", top + "/dangling")
        os.link(top + "/sub/small", top + "/sub/deep/twin")
        with open(os.fsencode(top) + b"/odd \xff\xfe\n name", "wb") as f:
            f.write(b"odd")
        with open(top + "/sparse", "wb") as f:
            f.write(b"begin")
            f.seek(50_000_000)
            f.write(b"end")
        os.chmod(top + "/sub/small", 0o640)
        os.chmod(top + "/sub", 0o751)
        for folder, folders, names in os.walk(os.fsencode(top), topdown=False):
            for name in names + folders:
                os.utime(os.path.join(folder, name), ns=(1, 1_600_000_000_123_456_789), follow_symlinks=False)
        return top

    def test_a_tree_comes_back_as_it_was(self):
        server = self.first()
        top = self.make_tree()
        server.run("put", top, "/")
        server.run("get", "/tree", self.path("back"))
        self.assert_same_tree(top, self.path("back"))
        self.assertLess(os.stat(self.path("back/sparse")).st_blocks * 512, 1_000_000)
        self.assertEqual(os.stat(self.path("back/sub/small")).st_ino, os.stat(self.path("back/sub/deep/twin")).st_ino)
        self.assertTrue(server.run("fsck", "--deep").returncode == 0)

    def test_everything_survives_a_restart(self):
        server = self.first()
        top = self.make_tree()
        server.run("put", top, "/")
        self.assertEqual(server.stop(), 0)
        server.up()
        server.run("get", "/tree", self.path("back"))
        self.assert_same_tree(top, self.path("back"))

    def test_destinations_are_treated_as_cp_treats_them(self):
        server = self.first()
        a, b = self.file("a", 1000), self.file("b", 2000)
        server.run("mkdir", "/d")
        server.run("put", a, "/d")                   # into a folder
        server.run("put", b, "/d/a")                 # over a file
        server.run("put", a, "/d/renamed")           # under a new name
        server.run("put", a, b, "/d")                # several into a folder
        names = [e["name"] for e in server.json("ls", "/d")]
        self.assertEqual(names, ["a", "b", "renamed"])
        refused = server.run("put", a, b, "/d/a", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("/d/a", refused.err)
        refused = server.run("put", a, "/none/x", ok=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("/none", refused.err)
        os.makedirs(self.path("out"))
        server.run("get", "/d/b", self.path("out"))  # into a folder
        self.assert_same_file(b, self.path("out/b"))
        server.run("get", "/d/a", self.path("out/b"))  # over a file
        self.assert_same_file(a, self.path("out/b"))

    def test_streams_and_ranges(self):
        server = self.first()
        data = os.urandom(3_000_000)
        server.run("put", "-", "/stream", input=data)
        self.assertEqual(server.run("cat", "/stream", binary=True).out, data)
        part = server.run("cat", "/stream", "--offset", 1_234_567, "--length", 65536, binary=True).out
        self.assertEqual(part, data[1_234_567:1_234_567 + 65536])
        self.assertEqual(server.run("cat", "/stream", "--offset", 9_000_000, binary=True).out, b"")

    def test_arranging(self):
        server = self.first()
        a = self.file("a", 5000)
        server.run("mkdir", "-p", "/x/y/z")
        server.run("put", a, "/x/y/z/f")
        server.run("mv", "/x/y", "/moved")
        self.assertEqual(server.run("cat", "/moved/z/f", binary=True).out, open(a, "rb").read())
        self.assertEqual(server.json("du", "/")[0]["bytes"], 5000)
        self.assertEqual(server.run("rm", "/moved", ok=False).returncode, 1)
        server.run("rm", "-r", "/moved")
        self.assertEqual([e["name"] for e in server.json("ls", "/")], ["x"])
        self.assertEqual(server.run("mv", "/x", "/x/inside", ok=False).returncode, 1)
        self.assertEqual(server.run("rm", "/none", ok=False).returncode, 1)

    def test_wrong_use_is_told_clearly(self):
        server = self.first()
        self.assertEqual(server.run("put", ok=False).returncode, 2)
        self.assertEqual(server.run("frobnicate", ok=False).returncode, 2)
        self.assertEqual(server.run("put", "--wait", "forever", "/etc/hostname", "/", ok=False).returncode, 2)
        self.assertEqual(server.run("--help").returncode, 0)
        missing = server.run("get", "/none", self.path("x"), ok=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("/none", missing.err)
        self.assertFalse(os.path.exists(self.path("x")))
        nodrive = spatter(self.path("no-drive"), "status", ok=False)
        self.assertEqual(nodrive.returncode, 1)
        self.assertIn("no-drive", nodrive.err)
        server.stop()
        off = server.run("ls", ok=False)
        self.assertEqual(off.returncode, 1)
        self.assertIn("spatter up", off.err)


if __name__ == "__main__":
    main()
