// Sizes, bounds, arguments and fuel.
#include "cycles/video_target.h"

#include <gtest/gtest.h>

namespace spatter::cycles {
namespace {

VideoSource source(unsigned width, unsigned height, unsigned rotation = 0) {
  return {.codec = "h264", .width = width, .height = height, .rotation = rotation, .time_base = {1, 1000}};
}

std::string sizes(VideoTarget target, const VideoSource& of) {
  std::string text;
  for (const auto& rung : rungs_of(target, of)) text += fmt::format("{} {}x{} ", rung.name, rung.work.width(), rung.work.height());
  return text;
}

wire::TranscodeWork good() {
  auto work = rungs_of(VideoTarget::hls_ladder, source(1920, 1080, 90)).front().work;
  work.set_encoder(std::string(32, 'e'));
  return work;
}

TEST(VideoTarget, NamesGoBothWays) {
  for (const auto target : {VideoTarget::h264_720p, VideoTarget::vp9, VideoTarget::hls_ladder})
    EXPECT_EQ(*parse_video_target(to_string(target)), target);
  EXPECT_EQ(parse_video_target("divx").error().message, "'divx': videos are transcoded to h264-720p, vp9 or hls-ladder");
}

TEST(VideoTarget, NothingIsMadeLarger) {
  const auto h264 = VideoTarget::h264_720p;
  EXPECT_EQ(sizes(h264, source(1920, 1080)), "720p 1280x720 ");
  EXPECT_EQ(sizes(h264, source(640, 360)), "360p 640x360 ");
  EXPECT_EQ(sizes(h264, source(641, 361)), "360p 640x360 ");         // sides are even
  EXPECT_EQ(sizes(h264, source(1080, 1920)), "720p 720x1280 ");      // a portrait
  EXPECT_EQ(sizes(h264, source(1920, 1080, 90)), "720p 720x1280 ");  // and one that is stored lying
  EXPECT_EQ(sizes(h264, source(16, 16)), "16p 16x16 ");
  EXPECT_EQ(sizes(h264, source(16000, 720)), "184p 4096x184 ");      // no side is longer than 4096
  EXPECT_EQ(sizes(VideoTarget::vp9, source(3840, 2160)), "1080p 1920x1080 ");
  auto wide = source(720, 576);
  wide.pixel_aspect = {64, 45};
  EXPECT_EQ(sizes(h264, wide), "576p 1024x576 ");
}

TEST(VideoTarget, ALadderEndsAtTheSource) {
  const auto hls = VideoTarget::hls_ladder;
  EXPECT_EQ(sizes(hls, source(3840, 2160)), "1080p 1920x1080 720p 1280x720 480p 852x480 240p 426x240 ");
  EXPECT_EQ(sizes(hls, source(1280, 720)), "720p 1280x720 480p 852x480 240p 426x240 ");
  EXPECT_EQ(sizes(hls, source(640, 360)), "240p 426x240 ");
  EXPECT_EQ(sizes(hls, source(160, 120)), "120p 160x120 ");
  // The longer side decides, for two sizes alike.
  EXPECT_EQ(sizes(hls, source(16000, 720)), "184p 4096x184 ");
}

TEST(VideoTarget, BoundsAreKept) {
  EXPECT_TRUE(check_transcode(good()));
  const auto why = [](auto change) {
    auto work = good();
    change(work);
    const auto checked = check_transcode(work);
    return checked ? std::string() : checked.error().message;
  };
  using Work = wire::TranscodeWork;
  EXPECT_EQ(why([](Work& w) { w.set_width(15); }), "a transcoding whose width is 15: 16 to 4096 are taken");
  EXPECT_EQ(why([](Work& w) { w.set_height(4098); }), "a transcoding whose height is 4098: 16 to 4096 are taken");
  EXPECT_EQ(why([](Work& w) { w.set_width(641); }), "a transcoding to 641 by 1920 pixels: sides are even");
  EXPECT_EQ(why([](Work& w) { w.set_rotation(45); }), "a transcoding that turns by 45 degrees");
  EXPECT_EQ(why([](Work& w) { w.set_rotation(360); }), "a transcoding that turns by 360 degrees");
  EXPECT_EQ(why([](Work& w) { w.set_quality(52); }), "a transcoding whose quality is 52: 10 to 51 are taken");
  EXPECT_EQ(why([](Work& w) { w.set_codec(Work::VP9), w.set_quality(63); }), "");
  EXPECT_NE(why([](Work& w) { w.set_kbit_per_s_max(1'000'000); }), "");
  EXPECT_NE(why([](Work& w) { w.set_key_frame_ms(60'001); }), "");
  EXPECT_NE(why([](Work& w) { w.set_source_width(0); }), "");
  EXPECT_NE(why([](Work& w) { w.set_source_height(20'000); }), "");
  EXPECT_NE(why([](Work& w) { w.set_encoder("short"); }), "");
  EXPECT_NE(why([](Work& w) { w.set_codec(static_cast<Work::Codec>(7)); }), "");
}

/// All that makes results comparable is said, and files are named at home.
TEST(VideoTarget, ArgumentsLeaveNothingToTheMachine) {
  const auto line = fmt::format("{}", fmt::join(transcode_arguments(good(), 1ULL << 40), " "));
  for (const auto* words : {"-threads 1 -flags:v +bitexact -idct simple", "-f nut -i file:/input/piece", "-filter_threads 1",
                            "scale=1920:1080:flags=bicubic+accurate_rnd+full_chroma_int+bitexact,format=yuv420p,transpose=clock",
                            "cpu-independent=1:threads=1:lookahead-threads=1:sliced-threads=0", "-maxrate 6000k -bufsize 12000k",
                            "gte(t,prev_forced_t+4.000)", "-fps_mode passthrough", "-protocol_whitelist file",
                            "-threads 1 -flags:v +bitexact -fflags +bitexact -map_metadata -1 -f nut file:/output/piece"})
    EXPECT_TRUE(line.contains(words)) << words << "\n" << line;
  auto vp9 = good();
  vp9.set_codec(wire::TranscodeWork::VP9);
  EXPECT_TRUE(fmt::format("{}", fmt::join(transcode_arguments(vp9, 1ULL << 40), " ")).contains("libvpx-vp9 -b:v 0 -crf 23 -deadline good -cpu-used 4 -row-mt 0"));
}

/// A worker does no more than is paid for: no more frames, no larger ones.
TEST(VideoTarget, ArgumentsBoundTheWork) {
  const auto frame = transcode_fuel(good(), 1);
  const auto line = [](std::uint64_t fuel) { return fmt::format("{}", fmt::join(transcode_arguments(good(), fuel), " ")); };
  EXPECT_TRUE(line(frame - 1).contains(" -frames:v 1 ")) << line(frame - 1);
  EXPECT_TRUE(line(10 * frame).contains(" -frames:v 11 "));
  EXPECT_TRUE(line(~0ULL).contains(" -frames:v 2147483648 "));
  EXPECT_TRUE(line(frame).contains(fmt::format(" -max_pixels {} ", (1920 + 256) * (1080 + 256)))) << line(frame);
  // So many frames more than packets as there may be, in whole frames.
  EXPECT_EQ(transcode_fuel_max(good(), 100 * frame), 450 * frame);
  EXPECT_EQ(transcode_cpu_seconds(0), 120u);
  EXPECT_EQ(transcode_cpu_seconds(250 * frame), 120u + 250 * frame / 1'000'000);
  EXPECT_EQ(transcode_cpu_seconds(~0ULL), 12u * 3600);
}

TEST(VideoTarget, FuelIsCountedByPixels) {
  auto work = good();
  const std::uint64_t pixels = 1920 * 1080;
  EXPECT_EQ(transcode_fuel(work, 300), 300 * (pixels + 6 * pixels));
  work.set_codec(wire::TranscodeWork::VP9);
  EXPECT_EQ(transcode_fuel(work, 300), 300 * (pixels + 18 * pixels));
  EXPECT_EQ(transcode_fuel(work, 0), 0u);
  // The smallest costs something too.
  const auto tiny = rungs_of(VideoTarget::h264_720p, source(16, 16)).front().work;
  EXPECT_EQ(transcode_fuel(tiny, 10), 10u * 65'536);
}

TEST(VideoTarget, TheLastWordOnFramesCounts) {
  EXPECT_EQ(*frames_of_progress("frame=1\nfps=0\nprogress=continue\nframe=300\nprogress=end\n"), 300u);
  EXPECT_EQ(*frames_of_progress("frame=0\nprogress=end\n"), 0u);
  EXPECT_FALSE(frames_of_progress("fps=0\n"));
  EXPECT_FALSE(frames_of_progress("frame=many\n"));
}

}  // namespace
}  // namespace spatter::cycles
