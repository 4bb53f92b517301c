"""Videos coded anew by real servers: what comes out has the source's frames at the source's times, plays, and is there
although a worker and the asker die on the way."""
import fractions
import json
import os
import subprocess
import unittest

from harness import NetworkTest, main


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0 or done.stderr:
        raise AssertionError("%s: %s" % (" ".join(command), done.stderr.decode()))
    return done.stdout.decode()


def ffmpeg(*arguments):
    return run("ffmpeg", "-v", "error", "-nostdin", "-y", *arguments)


def probe(path, *arguments):
    return json.loads(run("ffprobe", "-v", "error", *arguments, "-of", "json", path))


def streams(path):
    return {s["codec_type"]: s for s in probe(path, "-show_streams")["streams"]}


def frame_times(path):
    """When each frame is shown, decoded: seconds after the first."""
    base = fractions.Fraction(streams(path)["video"]["time_base"])
    frames = probe(path, "-select_streams", "V:0", "-show_entries", "frame=pts")["frames"]
    return [float((f["pts"] - frames[0]["pts"]) * base) for f in frames]


def times_from_first_key_frame(path):
    """When the frames are shown that can be decoded, of a file that begins in the middle: seconds after the first."""
    packets = json.loads(run("ffprobe", "-v", "quiet", "-select_streams", "V:0", "-show_entries", "packet=pts_time,flags", "-of",
                             "json", path))["packets"]
    first = next(i for i, p in enumerate(packets) if "K" in p["flags"])
    assert first > 5, first
    times = sorted(float(p["pts_time"]) for p in packets[first:])
    return [t - times[0] for t in times]


def sound(path):
    """The coded packets, without their times."""
    return run("ffmpeg", "-v", "error", "-nostdin", "-i", path, "-map", "0:a:0", "-c", "copy", "-f", "streamhash", "-hash", "sha256", "-")


class Transcode(NetworkTest):
    def start(self, servers=4):
        self.network(servers)
        for server in self.servers:
            server.run("pledge", "80%")
        return self.servers[0]

    def clip(self, name, *more, size="320x180", seconds=32, sound=True):
        path = self.path(name)
        arguments = ["-f", "lavfi", "-i", "testsrc2=size=%s:rate=25:duration=%d" % (size, seconds)]
        if sound:
            arguments += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=%d" % seconds]
        ffmpeg(*arguments, "-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", *more, path)
        return path

    def put(self, owner, path):
        owner.run("put", path, "/")
        return "/" + os.path.basename(path)

    def get(self, owner, path):
        folder = self.path("back-%d" % len(os.listdir(self.folder)))
        os.mkdir(folder)
        owner.run("get", path, folder)
        return os.path.join(folder, os.path.basename(path))

    def check_same_times(self, source, result, within=0.0006, want=None):
        """Every frame of the source, when it was, and every byte decodes."""
        run("ffmpeg", "-v", "error", "-xerror", "-nostdin", "-i", result, "-f", "null", "-")
        want, got = want or frame_times(source), frame_times(result)
        self.assertEqual(len(got), len(want))
        self.assertLess(max(abs(a - b) for a, b in zip(want, got)), within)
        decoded = [int(p["dts"]) for p in probe(result, "-select_streams", "V:0", "-show_entries", "packet=dts")["packets"]]
        self.assertTrue(all(a < b for a, b in zip(decoded, decoded[1:])), "decoding times go back")

    def check_in_step(self, source, result):
        """The sound begins and ends where it did against the pictures."""
        def offsets(path):
            both = streams(path)
            return float(both["audio"]["start_time"]) - float(both["video"]["start_time"])
        self.assertAlmostEqual(offsets(source), offsets(result), delta=0.03)
        def length(path):
            packets = probe(path, "-select_streams", "a:0", "-show_entries", "packet=pts_time")["packets"]
            return float(packets[-1]["pts_time"]) - float(packets[0]["pts_time"])
        self.assertAlmostEqual(length(source), length(result), delta=0.1)

    def test_a_worker_dies_and_the_asker_too(self):
        owner = self.start()
        clip = self.clip("film.mp4", "-bf", "3", size="640x360")
        self.put(owner, clip)
        begun = owner.json("jobs", "transcode", "/film.mp4", "--to", "h264-720p", "--output", "/out", "--detach")
        self.assertEqual(begun["state"], "running")
        def at_work(server):
            return any(p["state"] == "computing" for p in server.json("cycles", "status")["work"]["pieces"])
        victim = self.wait_for("somebody computes", lambda: next((one for one in self.servers[1:] if at_work(one)), None))
        victim.kill()
        self.wait_for("a result is there", lambda: owner.json("jobs", "show", begun["job"])["copies"] > 0)
        owner.kill()
        owner.up()
        self.wait_up(3, [owner])
        done = owner.json("jobs", "wait", begun["job"], timeout=300)
        self.assertEqual(done["state"], "done", done)
        self.assertEqual(done["pieces"], 3)
        self.assertEqual(done["kind"], "transcode h264-720p from h264 to 480p")
        result = self.get(owner, "/out/film.mp4")
        self.check_same_times(clip, result)
        self.check_in_step(clip, result)
        both = streams(result)
        self.assertEqual((both["video"]["codec_name"], both["video"]["width"], both["video"]["height"]), ("h264", 640, 360))
        self.assertEqual(both["audio"]["codec_name"], "aac")
        self.assertEqual(sound(clip), sound(result))  # it was fit as it was, and is the very same
        with open(result, "rb") as f:
            head = f.read(1 << 20)
        self.assertLess(head.index(b"moov"), head.index(b"mdat"))  # it plays from its beginning
        show = owner.json("jobs", "show", begun["job"])
        for piece in show["of_pieces"]:
            # Ten seconds of 25 frames, decoded, and made with six times that.
            self.assertEqual(piece["result"]["fuel"], (300 if piece["piece"] == 2 else 250) * 7 * 640 * 360)
            self.assertTrue(owner.id in piece["workers"] or len(set(piece["workers"])) >= 2, piece)
        self.assertEqual(os.listdir(os.path.join(owner.drive, "jobs")), [])

    def test_videos_of_all_kinds(self):
        owner = self.start(3)
        # Open groups of pictures, late sound, times that do not fit milliseconds.
        open_gop = self.path("open.mkv")
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=30000/1001:duration=32", "-itsoffset", "0.7", "-f", "lavfi", "-i",
               "sine=duration=30", "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-x264-params", "open-gop=1:keyint=60",
               "-c:a", "libopus", open_gop)
        # Frames now and then, no sound, sides that are odd.
        uneven = self.path("uneven.mkv")
        ffmpeg("-f", "lavfi", "-i", "testsrc2=size=193x109:rate=50:duration=34", "-vf",
               "select='not(mod(n,7))+lt(mod(n,100),20)'", "-fps_mode", "vfr", "-c:v", "ffv1", "-g", "20", uneven)
        # Stored lying, to be shown upright.
        lying = self.path("lying.mp4")
        ffmpeg("-i", self.clip("plain.mp4", seconds=3), "-c", "copy", "-metadata:s:v:0", "rotate=90", lying)
        # A recording of a broadcast, which begins where it was turned on.
        middle = self.path("middle.ts")
        with open(self.clip("whole.ts", "-bf", "2", size="192x108", seconds=24), "rb") as whole, open(middle, "wb") as f:
            packets = whole.read()
            f.write(packets[len(packets) // 188 // 24 * 188:])
        for path in (open_gop, uneven, lying, middle):
            self.put(owner, path)
        for path, target, ending, size in ((open_gop, "h264-720p", "mp4", (192, 108)), (uneven, "vp9", "webm", (192, 108)),
                                           (lying, "h264-720p", "mp4", (180, 320)), (middle, "h264-720p", "mp4", (192, 108))):
            name = os.path.basename(path)
            report = owner.json("jobs", "transcode", "/" + name, "--to", target, timeout=300)
            self.assertEqual(report["state"], "done", report)
            stem = name.rsplit(".", 1)[0]
            self.assertEqual(report["output"], "/%s-%s" % (stem, target))
            result = self.get(owner, "%s/%s.%s" % (report["output"], stem, ending))
            self.check_same_times(path, result, within=0.0011, want=times_from_first_key_frame(path) if path == middle else None)
            video = streams(result)["video"]
            self.assertEqual((video["width"], video["height"]), size)
            self.assertEqual(video["codec_name"], "vp9" if target == "vp9" else "h264")
            self.assertNotIn("side_data_list", video)
        self.check_in_step(open_gop, self.get(owner, "/open-h264-720p/open.mp4"))
        pieces = {job["output"]: job["pieces"] for job in owner.json("jobs", "ls")["jobs"]}
        self.assertEqual((pieces["/open-h264-720p"], pieces["/middle-h264-720p"]), (2, 2))  # where they can be cut
        self.assertNotIn("audio", streams(self.get(owner, "/uneven-vp9/uneven.webm")))

    def test_a_ladder_to_stream_from(self):
        owner = self.start(3)
        clip = self.clip("film.mp4", size="640x480", seconds=21)
        self.put(owner, clip)
        report = owner.json("jobs", "transcode", "/film.mp4", "--to", "hls-ladder", "--output", "/film", timeout=300)
        self.assertEqual(report["state"], "done", report)
        self.assertEqual(report["pieces"], 4)
        folder = self.get(owner, "/film")
        self.assertEqual(sorted(os.listdir(folder)), sorted(
            ["master.m3u8"] + [n + e for n in ("480p", "240p", "audio") for e in (".m3u8", ".mp4")]))
        cuts = set()
        for name, width, height in (("480p", 640, 480), ("240p", 320, 240)):
            playlist = os.path.join(folder, name + ".m3u8")
            self.check_same_times(clip, playlist)
            video = streams(playlist)["video"]
            self.assertEqual((video["width"], video["height"]), (width, height))
            with open(playlist) as f:
                cuts.add(tuple(line.strip() for line in f if line.startswith("#EXTINF")))
        self.assertEqual(len(cuts), 1)  # a player may change where it likes
        master = os.path.join(folder, "master.m3u8")
        programs = probe(master, "-show_programs")["programs"]
        self.assertEqual(len(programs), 2)
        for program in programs:
            self.assertEqual({s["codec_type"] for s in program["streams"]}, {"video", "audio"})
        run("ffmpeg", "-v", "error", "-xerror", "-nostdin", "-i", master, "-map", "0:a:0", "-map", "0:v:0", "-f", "null", "-")
        with open(master) as f:
            self.assertIn('RESOLUTION=320x240,CODECS="avc1.64', f.read())

    def test_wrong_input_is_told(self):
        owner = self.start(2)
        def refused(video, *more, to="h264-720p"):
            done = owner.run("jobs", "transcode", video, "--to", to, *more, ok=False, timeout=120)
            self.assertNotEqual(done.returncode, 0)
            return done.err
        self.put(owner, self.file("noise.mp4", 100_000))
        self.assertIn("noise.mp4: look into the video: ffmpeg exited with code 1: ", refused("/noise.mp4"))
        sound = self.path("sound.m4a")
        ffmpeg("-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac", sound)
        self.assertIn("sound.m4a: it has no video", refused(self.put(owner, sound)))
        with open(self.clip("whole.mp4", seconds=12, sound=False), "rb") as f, open(self.path("half.mp4"), "wb") as half:
            half.write(f.read()[:20_000])
        self.assertIn("half.mp4: ", refused(self.put(owner, self.path("half.mp4"))))
        open(self.path("empty.mp4"), "w").close()
        self.assertIn("is empty", refused(self.put(owner, self.path("empty.mp4"))))
        self.assertIn("no such file in the volume: /nowhere.mp4", refused("/nowhere.mp4"))
        owner.run("mkdir", "/folder")
        self.assertIn("/folder is no file", refused("/folder"))
        self.assertIn("divx", refused("/sound.m4a", to="divx"))
        self.put(owner, self.path("whole.mp4"))
        self.assertIn("no folder", refused("/whole.mp4", "--output", "/noise.mp4"))
        # One stretch of ten seconds and one frame is one piece; a single frame is a video too.
        frame = self.path("frame.mp4")
        ffmpeg("-i", self.path("whole.mp4"), "-frames:v", "1", "-c:v", "libx264", frame)
        self.put(owner, frame)
        report = owner.json("jobs", "transcode", "/frame.mp4", "--to", "h264-720p", timeout=120)
        self.assertEqual((report["state"], report["pieces"]), ("done", 1), report)
        self.check_same_times(frame, self.get(owner, "/frame-h264-720p/frame.mp4"))

    def test_cancel(self):
        owner = self.start(2)
        self.put(owner, self.clip("film.mp4", size="640x360", seconds=21))
        begun = owner.json("jobs", "transcode", "/film.mp4", "--to", "vp9", "--detach")
        self.wait_for("it is computed", lambda: any(
            p["state"] == "computing" for s in self.servers for p in s.json("cycles", "status")["work"]["pieces"]))
        owner.run("jobs", "cancel", begun["job"])
        self.assertEqual(owner.json("jobs", "show", begun["job"])["state"], "cancelled")
        self.wait_for("nobody computes it any more", lambda: not any(
            s.json("cycles", "status")["work"]["pieces"] for s in self.servers))
        self.assertEqual(os.listdir(os.path.join(owner.drive, "jobs")), [])
        again = owner.json("jobs", "transcode", "/film.mp4", "--to", "vp9", "--detach")  # at once, before it is cut
        owner.run("jobs", "cancel", again["job"])
        self.assertEqual(owner.json("jobs", "show", again["job"])["state"], "cancelled")


if __name__ == "__main__":
    main()
