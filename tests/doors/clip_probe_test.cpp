// Real clips, made by ffmpeg here and now, and all that strangers may send instead, looked into in
// the real sandbox.
#include "doors/clip_probe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "../base/temporary_folder.h"
#include "doors/control.h"

namespace spatter::doors {
namespace {

class ClipProbe : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }

  /// All clips are made at once, by one run of ffmpeg, of a test picture and a tone.
  static void SetUpTestSuite() {
    clips = new TemporaryFolder;
    std::string line =
        "cd " + clips->path() + " && ffmpeg -nostdin -loglevel error -y"
        " -f lavfi -i testsrc2=s=160x120:r=4 -f lavfi -i sine=r=48000 -f lavfi -i color=s=8192x128:r=2"
        " -f lavfi -i color=s=160x120:r=3";
    const std::string vp8 = " -c:v libvpx -deadline realtime -cpu-used 8 -b:v 200k -c:a libopus ";
    for (const auto& one : {
             "-map 0 -map 1 -t 6" + vp8 + "clip.webm",
             "-map 0 -map 1 -t 6" + vp8 + "-live 1 -f webm pipe:1 > live.webm",
             std::string("-map 0 -map 1 -t 6 -c:v libx264 -preset ultrafast -c:a aac clip.mp4"),
             "-map 0 -map 1 -t 2" + vp8 + "short.webm",
             "-map 3 -map 1 -t 62" + vp8 + "long.webm",
             "-map 2 -map 1 -t 6" + vp8 + "wide.webm",
             std::string("-map 1 -t 6 -c:a libopus sound.webm"),
             "-map 0 -t 6" + vp8 + "mute.webm",
             std::string("-map 0 -map 1 -t 6 -c:v mjpeg -c:a libopus mjpeg.mkv"),
             std::string("-map 0 -map 1 -t 6 -c:v mpeg4 -c:a mp2 other.avi"),
             "-map 0 -map 1 -map 1 -t 6" + vp8 + "two.mkv"})
      line += " " + one;
    ASSERT_EQ(std::system(line.c_str()), 0) << line;
  }
  static void TearDownTestSuite() { delete clips; }
  static std::string clip(const std::string& name) { return clips->path() + "/" + name; }
  static std::string bytes_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string with_bytes(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  /// Machines that run tests may be busy.
  static ProbeOptions patient() {
    ProbeOptions options;
    options.timeout = std::chrono::minutes(2);
    return options;
  }
  static std::string complaint(const std::string& file, const ProbeOptions& options = patient()) {
    const auto facts = probe_clip_at(file, options);
    return facts ? "" : fmt::format("{}: {}", to_string(facts.error().code), facts.error().message);
  }

  static inline TemporaryFolder* clips = nullptr;
  TemporaryFolder folder;
};

#define EXPECT_COMPLAINT(text, part) \
  EXPECT_TRUE(std::string(text).contains(part)) << text

TEST_F(ClipProbe, ClipsOfBrowsersAndPhonesAreFine) {
  auto facts = probe_clip_at(clip("clip.webm"), patient());
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->container, "webm");
  EXPECT_EQ(facts->video, "vp8");
  EXPECT_EQ(facts->audio, "opus");
  EXPECT_EQ(facts->width, 160u);
  EXPECT_NEAR(facts->ms, 6000, 200);
  facts = probe_clip_at(clip("clip.mp4"), patient());
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->container, "mp4");
  EXPECT_EQ(facts->video, "h264");
  EXPECT_NEAR(facts->ms, 6000, 200);
}

TEST_F(ClipProbe, AStreamWithoutALengthInItsHeaderIsMeasured) {
  // As browsers record: the header is written before anybody knows how long it will be.
  const auto facts = probe_clip_at(clip("live.webm"), patient());
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_NEAR(facts->ms, 6000, 200);
}

TEST_F(ClipProbe, TheFilesOffsetIsLeftAlone) {
  const auto file = clip("clip.webm");
  const Descriptor open_file(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  ::lseek(open_file.get(), 1000, SEEK_SET);
  EXPECT_TRUE(probe_clip(open_file.get(), patient()));
  EXPECT_EQ(::lseek(open_file.get(), 0, SEEK_CUR), 1000);
}

TEST_F(ClipProbe, WrongLengthsSizesAndCodecsAreNamed) {
  EXPECT_COMPLAINT(complaint(clip("short.webm")), "at least 5 s");
  EXPECT_COMPLAINT(complaint(clip("long.webm")), "at most 60 s");
  EXPECT_COMPLAINT(complaint(clip("wide.webm")), "8192");
  EXPECT_COMPLAINT(complaint(clip("sound.webm")), "no picture");
  EXPECT_COMPLAINT(complaint(clip("mute.webm")), "no sound");
  EXPECT_COMPLAINT(complaint(clip("mjpeg.mkv")), "'mjpeg'");
  EXPECT_COMPLAINT(complaint(clip("other.avi")), "WebM or MP4");
  EXPECT_COMPLAINT(complaint(clip("two.mkv")), "more than one audio");
}

TEST_F(ClipProbe, BrokenClipsAreRefused) {
  const auto good = bytes_of(clip("clip.webm"));
  EXPECT_COMPLAINT(complaint(with_bytes("cut.webm", good.substr(0, good.size() / 3))), "at least 5 s");
  EXPECT_COMPLAINT(complaint(with_bytes("head.webm", good.substr(0, 40))), "invalid");
  // An MP4 keeps its index at the end.
  const auto other = bytes_of(clip("clip.mp4"));
  EXPECT_COMPLAINT(complaint(with_bytes("cut.mp4", other.substr(0, other.size() / 2))), "invalid");
  for (std::size_t at = 4; at < 400; at += 36) {
    auto damaged = good;
    for (std::size_t i = at; i < at + 8; ++i) damaged[i] = static_cast<char>(damaged[i] ^ 0xff);
    const auto facts = probe_clip_at(with_bytes("damaged.webm", damaged), patient());
    if (facts) EXPECT_EQ(facts->container, "webm");
    else EXPECT_EQ(facts.error().code, Errc::invalid) << facts.error().message;
  }
}

TEST_F(ClipProbe, FilesThatAreNoClipsAreRefused) {
  EXPECT_COMPLAINT(complaint(with_bytes("text", "I know him well.\n")), "WebM or MP4");
  EXPECT_COMPLAINT(complaint(with_bytes("empty", "")), "empty");
  EXPECT_COMPLAINT(complaint(path("nothing")), "not found");
  EXPECT_COMPLAINT(complaint(folder.path()), "not a plain file");
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_COMPLAINT(complaint(path("pipe")), "not a plain file");
  ASSERT_EQ(::truncate(with_bytes("large", "x").c_str(), clip_bytes_max + 1), 0);
  EXPECT_COMPLAINT(complaint(path("large")), "at most");
  // Playlists that would have the prober open other files or addresses.
  EXPECT_COMPLAINT(complaint(with_bytes("list", "ffconcat version 1.0\nfile /etc/passwd\n")),
                   "WebM or MP4");
  EXPECT_COMPLAINT(complaint(with_bytes("hls", "#EXTM3U\n#EXTINF:6,\nhttp://127.0.0.1:9/a.ts\n")),
                   "WebM or MP4");
}

TEST_F(ClipProbe, HeadersThatClaimTooMuchCostNothing) {
  // A box of 2^60 bytes, and an element that says it is longer than any file.
  EXPECT_COMPLAINT(complaint(with_bytes("box.mp4", std::string("\0\0\0\x18" "ftypisom\0\0\2\0isomiso2", 24) +
                                                       std::string("\0\0\0\1moov\x10\0\0\0\0\0\0\0", 16))),
                   "invalid");
  EXPECT_COMPLAINT(complaint(with_bytes("element.webm",
                                        std::string("\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xfe", 12))),
                   "invalid");
}

TEST_F(ClipProbe, WithoutASandboxNoClipIsLookedAt) {
  const auto file = clip("clip.webm");
  auto options = patient();
  options.bwrap = path("no-bwrap");
  EXPECT_COMPLAINT(complaint(file, options), "is missing");
  options.bwrap = with_bytes("failing-bwrap", "#!/bin/sh\necho 'bwrap: no permissions' >&2\nexit 1\n");
  ::chmod(options.bwrap.c_str(), 0700);
  EXPECT_COMPLAINT(complaint(file, options), "no sandbox can be made");
}

TEST_F(ClipProbe, AHelperThatTakesTooLongOrSaysTooMuchIsEnded) {
  ProbeOptions options;
  options.timeout = std::chrono::milliseconds(200);
  options.bwrap = with_bytes("sleeps", "#!/bin/sh\nexec sleep 1000\n");
  ::chmod(options.bwrap.c_str(), 0700);
  EXPECT_COMPLAINT(complaint(clip("clip.webm"), options), "took too long");
  options.timeout = std::chrono::minutes(1);
  options.bwrap = with_bytes("babbles", "#!/bin/sh\nexec yes\n");
  ::chmod(options.bwrap.c_str(), 0700);
  EXPECT_COMPLAINT(complaint(clip("clip.webm"), options), "says more than");
}

}  // namespace
}  // namespace spatter::doors
