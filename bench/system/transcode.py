#!/usr/bin/env python3
"""How much faster two workers are than one ffmpeg: a clip of a minute, transcoded by two servers on this machine, and by
ffmpeg with the same settings bound to one core.

    bench/system/transcode.py [--target h264-720p] [--seconds 60] [--size 1920x1080] [--workers 2] [--share 50%] [--rounds 3] [--json]

The workers are the asker's own person's, as are several machines of one home: nothing is computed twice. The asker itself does not
compute, but cuts, joins, takes the sound over as it is (ffmpeg alone codes it anew, as it does by itself), and reads from and writes to the volume. Both times are of the whole: from the source's file
to the result's, for the network from the volume to the volume.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "system"))

import harness  # noqa: E402

SCALER = "bicubic+accurate_rnd+full_chroma_int+bitexact"
ENCODERS = {  # as src/cycles/video/video_target.cpp has them
    "h264-720p": (720, ["-c:v", "libx264", "-preset", "medium", "-profile:v", "high", "-crf", "23", "-x264-params",
                        "cpu-independent=1:threads=1:lookahead-threads=1:sliced-threads=0"],
                  ["-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", "-f", "mp4"]),
    "vp9": (1080, ["-c:v", "libvpx-vp9", "-b:v", "0", "-crf", "32", "-deadline", "good", "-cpu-used", "4", "-row-mt", "0",
                   "-tile-columns", "0", "-frame-parallel", "0", "-auto-alt-ref", "1", "-lag-in-frames", "25"],
            ["-c:a", "libopus", "-b:a", "128k", "-f", "webm"]),
}


def plain(source, target, folder, core=0):
    lines, video, rest = ENCODERS[target]
    begun = time.monotonic()
    subprocess.run(["taskset", "-c", str(core), "ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1", "-i", source, "-filter_threads", "1",
                    "-sws_flags", SCALER, "-vf", "scale=-2:'min(ih,%d)':flags=%s,format=yuv420p,setsar=1" % (lines, SCALER),
                    "-fps_mode", "passthrough", *video, "-threads", "1", "-flags:v", "+bitexact", "-ac", "2", *rest,
                    os.path.join(folder, "plain-%d" % core)], check=True)
    return time.monotonic() - begun


def limit(source, target, folder, alone, cores):
    """What so many of this machine's cores do together, in terms of one: an ffmpeg on each at the same time."""
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        begun = time.monotonic()
        list(pool.map(lambda core: plain(source, target, folder, core), range(cores)))
        return cores * alone / (time.monotonic() - begun)


def run(options):
    folder = tempfile.mkdtemp(prefix="spatter-bench-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    servers = []
    try:
        source = os.path.join(folder, "clip.mp4")
        # A moving picture with grain, as from a camera, and a key frame every two seconds.
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i",
                        "testsrc2=size=%s:rate=30:duration=%d,noise=alls=6:allf=t" % (options.size, options.seconds), "-f", "lavfi", "-i",
                        "sine=frequency=440:sample_rate=48000:duration=%d" % options.seconds, "-c:v", "libx264", "-preset",
                        "veryfast", "-b:v", "8M", "-g", "60", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", source], check=True)
        asker = harness.Server(os.path.join(folder, "asker"))
        words = os.path.join(folder, "words")
        with open(words, "w") as f:
            f.write(asker.json("init", "--size", "2G")["words"])
        servers.append(asker.up())
        for number in range(options.workers):
            worker = harness.Server(os.path.join(folder, "worker-%d" % number))
            worker.run("join", asker.json("invite")["link"], "--words-file", words, "--size", "2G")
            servers.append(worker.up())
        while asker.status()["servers_up"] < len(servers):
            time.sleep(0.1)
        for worker in servers[1:]:
            worker.run("pledge", options.share)
        asker.run("put", source, "/")
        rounds = []
        for number in range(options.rounds):
            alone = plain(source, options.target, folder)
            most = limit(source, options.target, folder, alone, min(options.workers, os.cpu_count()))
            begun = time.monotonic()
            done = asker.json("jobs", "transcode", "/clip.mp4", "--to", options.target, "--output", "/out-%d" % number, timeout=7200)
            together = time.monotonic() - begun
            rounds.append({"ffmpeg_s": alone, "spatter_s": together, "ratio": alone / together, "limit": most, "pieces": done["pieces"],
                           "load": os.getloadavg()[0]})
            if not options.json:
                print("ffmpeg on one core %.1f s, %d workers %.1f s: %.2f x, of the %.2f x that as many ffmpegs at once reach (%d pieces, load %.1f)" % (
                    alone, options.workers, together, alone / together, most, done["pieces"], os.getloadavg()[0]), flush=True)
        return {"target": options.target, "seconds": options.seconds, "size": options.size, "workers": options.workers,
                "rounds": rounds, "median_ratio": statistics.median(r["ratio"] for r in rounds)}
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=sorted(ENCODERS), default="h264-720p")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--share", default="50%", help="of the machine's cores, what each worker promises")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(options)
    print(json.dumps(figures) if options.json else "median %.2f x" % figures["median_ratio"])


if __name__ == "__main__":
    main()
