"""The directory from the outside: what 'spatter directory' tells, what is found from every server, also when one
of them is gone, and what it says to wrong words."""
import json

from harness import NetworkTest, main

RECORD = {"type", "subject", "position", "version", "expires_ms", "person", "bytes"}
FOUND = RECORD | {"value", "hops", "questions", "places", "lacking", "ms", "raw"}
CONTACT = {"server", "person", "position", "shared_bits", "sibling", "proven", "version", "addresses", "answered_s_ago"}
STATS = {"server", "in_directory", "position", "place_number", "drawn_by", "drawn_epoch", "network_size", "servers_known", "view_complete", "contacts", "proven", "siblings",
         "records", "record_bytes", "cached", "memory_bytes", "questions", "unanswered", "lookups", "hops_mean"}


class Directory(NetworkTest):
    def directory(self, count=4):
        """A network whose servers have all answered one another, and published what they are."""
        servers = self.network(count)
        for server in servers:
            self.wait_for("%s knows all others" % server.drive,
                          lambda: server.json("directory").get("proven") == count - 1)
            server.person = server.json("trust")["own"]["person"]
        for at in servers:
            for of in servers:
                for what, id in (("server", of.id), ("person", of.person)):
                    self.wait_for("%s %s is found" % (what, id),
                                  lambda: at.run("directory", "get", what, id, ok=False).returncode == 0)
        return servers

    def test_every_server_and_person_is_found_from_everywhere(self):
        servers = self.directory()
        persons = {server.person for server in servers}
        self.assertEqual(len(persons), 4)
        for at in servers:
            stats = at.json("directory", "stats")
            self.assertEqual(set(stats), STATS)
            self.assertEqual((stats["server"], stats["in_directory"], stats["network_size"]), (at.id, True, 4))
            self.assertIn(stats["place_number"], range(32))
            self.assertIn(len(set(stats["drawn_by"])), (2, 3))
            self.assertLessEqual(set(stats["drawn_by"]), persons - {at.person})
            self.assertEqual(set(at.json("directory")), STATS)

            contacts = at.json("directory", "ls")["contacts"]
            self.assertEqual({one["server"] for one in contacts}, {s.id for s in servers if s is not at})
            by_id = {server.id: server for server in servers}
            for one in contacts:
                self.assertEqual(set(one), CONTACT)
                self.assertEqual((one["person"], one["proven"], one["sibling"]), (by_id[one["server"]].person, True, True))
                self.assertIn(by_id[one["server"]].address, one["addresses"])
            kept = at.json("directory", "ls", "--records")["records"]
            self.assertTrue(kept)
            for one in kept:
                self.assertEqual(set(one), RECORD)
            # Four servers are fewer than keep each record.
            self.assertLessEqual({(kind, id) for s in servers for kind, id in (("server", s.id), ("person", s.person))},
                                 {(one["type"], one["subject"]) for one in kept})

            for of in servers:
                found = at.json("directory", "get", "server", of.id[:10])
                self.assertEqual(set(found), FOUND)
                self.assertEqual((found["type"], found["subject"], found["person"]), ("server", of.id, of.person))
                value = found["value"]
                self.assertEqual(set(value), {"server", "person", "addresses", "capacity", "free", "position"})
                self.assertEqual((value["server"], value["person"]), (of.id, of.person))
                self.assertIn(of.address, value["addresses"])
                self.assertEqual(value["position"], of.json("directory")["position"])
                self.assertEqual(len(bytes.fromhex(found["raw"])), found["bytes"])

                found = at.json("directory", "get", "person", of.person)
                self.assertEqual(set(found), FOUND)
                self.assertEqual(found["value"], {"person": of.person, "servers": [of.id]})
                if of is not at:
                    pinged = at.json("directory", "ping", of.id[:10])
                    self.assertEqual(set(pinged), {"server", "ms"})
                    self.assertEqual(pinged["server"], of.id)
                    self.assertGreater(pinged["ms"], 0)

        # The same in words.
        at, of = servers[:2]
        self.assertIn("about 4 servers", at.run("directory").out)
        self.assertIn(of.id[:12], at.run("directory", "ls").out)
        self.assertIn("server ", at.run("directory", "ls", "--records").out)
        self.assertIn(of.address, at.run("directory", "get", "server", of.id).out)
        self.assertIn("has 1 servers", at.run("directory", "get", "person", of.person).out)
        self.assertIn("answers in", at.run("directory", "ping", of.id).out)

    def test_the_record_of_a_server_that_died_is_still_found(self):
        servers = self.directory()
        dead = servers.pop(2)
        dead.kill()
        for at in servers:
            found = at.json("directory", "get", "server", dead.id)
            self.assertEqual(found["value"]["server"], dead.id)
            self.assertIn(dead.address, found["value"]["addresses"])
            self.assertEqual(at.json("directory", "get", "person", dead.person)["value"]["servers"], [dead.id])
            failed = at.run("directory", "ping", dead.id, ok=False)
            self.assertEqual(failed.returncode, 1)
            self.assertIn(dead.address, failed.err)
        # Whoever comes only now finds it too.
        self.servers = servers + [dead]
        fresh = self.join(by=servers[0])
        self.wait_for("the new one finds it",
                      lambda: fresh.run("directory", "get", "server", dead.id, ok=False).returncode == 0)

    def test_wrong_words_are_named(self):
        first = self.first()
        self.wait_for("the founder is in", lambda: first.json("directory")["in_directory"])

        def refused(status, says, *arguments):
            for more in ((), ("--json",)):
                done = first.run("directory", *arguments, *more, ok=False)
                self.assertEqual(done.returncode, status, done.err)
                self.assertIn(says, done.err)
                if more and status == 1:
                    error = json.loads(done.out)
                    self.assertEqual(set(error), {"code", "error"})
                    self.assertIn(says, error["error"])
                else:
                    self.assertEqual(done.out, "")

        refused(2, "tree", "get", "tree", "abcdef")
        refused(2, "id", "get", "server")
        refused(2, "xyz", "get", "server", "xyz")
        refused(2, "6 to 64 digits", "get", "person", "abcde")
        refused(2, "xyz", "ping", "xyz")
        refused(2, "xyz", "get", "stripe", "abcdef", "--owner", "xyz")
        refused(2, "soon", "get", "health", first.id, "--epoch", "soon")
        refused(2, "frobnicate", "frobnicate")
        unknown = "0123456789abcdef" * 4
        refused(1, "ffffffffff", "get", "person", "ffffffffff")
        refused(1, "ffffffffff", "ping", "ffffffffff")
        for what in ("server", "person", "stripe"):
            refused(1, "nobody has it", "get", what, unknown)
        refused(1, "nobody has it", "get", "health", first.id, "--epoch", "7")
        refused(1, "this one", "ping", first.id)
        refused(1, "nobody has it", "ping", unknown)


if __name__ == "__main__":
    main()
