// Clips: sealed to members, and judged by what a prober says of them.
#include "trust/clip.h"

#include <gtest/gtest.h>

#include "village.h"

namespace spatter {
namespace {

TEST(ClipSeal, MembersOpenItAndNobodyElse) {
  Village village, other({}, 2);
  const auto key = members_key(village.genesis_record).value();
  const Bytes clip(100'000, 7);
  const auto person = village.founder().id;
  const auto sealed = seal_clip(clip, key, person, village.random).value();
  EXPECT_EQ(sealed.clip.bytes, sha256(sealed.sealed).bytes);
  Announce announce;
  announce.person = person;
  announce.clip = sealed.clip;
  announce.clip_bytes = sealed.sealed.size();
  announce.clip_key = sealed.clip_key;
  EXPECT_EQ(open_clip(sealed.sealed, announce, key).value(), clip);

  const auto stranger = members_key(other.genesis_record).value();
  EXPECT_EQ(open_clip(sealed.sealed, announce, stranger).error().code, Errc::corrupt);
  auto anothers = announce;
  anothers.person = village.random.id<PersonId>();
  EXPECT_EQ(open_clip(sealed.sealed, anothers, key).error().code, Errc::corrupt);
  auto altered = sealed.sealed;
  altered[17] ^= 1;
  EXPECT_EQ(open_clip(altered, announce, key).error().code, Errc::corrupt);
  EXPECT_NE(seal_clip(clip, key, person, village.random).value().clip, sealed.clip);
}

TEST(ClipSeal, EmptyAndHugeClipsAreRefused) {
  Village village;
  const auto key = members_key(village.genesis_record).value();
  EXPECT_FALSE(seal_clip({}, key, village.founder().id, village.random));
  EXPECT_FALSE(seal_clip(Bytes(clip_bytes_max + 1), key, village.founder().id, village.random));
  EXPECT_FALSE(members_key(wire::Signed()));
}

/// A report as ffprobe makes it: 10 s at 25 pictures a second.
std::string report(std::string_view container = "matroska,webm", std::string_view video = "vp9",
                   std::string_view audio = "opus", int width = 640, int height = 480,
                   double seconds = 10, double pictures_per_s = 25) {
  auto text = fmt::format(
      R"({{"packets":[{{"stream_index":1,"pts_time":"0.000000","duration_time":"0.020000"}},)"
      R"({{"stream_index":1,"pts_time":"{:.6f}","duration_time":"0.020000"}})",
      seconds - 0.02);
  for (double at = 0; at < seconds; at += 1 / pictures_per_s)
    text += fmt::format(R"(,{{"stream_index":0,"pts_time":"{:.6f}"}})", at);
  return text + fmt::format(
                    R"(],"streams":[{{"index":0,"codec_name":"{}","codec_type":"video","width":{},)"
                    R"("height":{}}},{{"index":1,"codec_name":"{}","codec_type":"audio"}}],)"
                    R"("format":{{"format_name":"{}","duration":"9999.0"}}}})",
                    video, width, height, audio, container);
}

std::string complaint(const std::string& text) {
  const auto facts = judge_probe_report(text);
  return facts ? "" : facts.error().message;
}

TEST(ClipJudge, AClipOfAWebcamIsFine) {
  const auto facts = judge_probe_report(report()).value();
  EXPECT_EQ(facts.container, "webm");
  EXPECT_EQ(facts.video, "vp9");
  EXPECT_EQ(facts.audio, "opus");
  EXPECT_EQ(facts.ms, 10'000u) << "as the packets say, not the header";
  EXPECT_EQ(judge_probe_report(report("mov,mp4,m4a,3gp,3g2,mj2", "h264", "aac")).value().container,
            "mp4");
}

TEST(ClipJudge, WhatIsWrongIsNamed) {
  const auto says = [](const std::string& text, const char* what) {
    EXPECT_TRUE(complaint(text).contains(what)) << complaint(text);
  };
  says(report("avi"), "allowed are WebM and MP4");
  says(report("matroska,webm", "mjpeg"), "'mjpeg'");
  says(report("matroska,webm", "vp9", "mp3"), "'mp3'");
  says(report("matroska,webm", "vp9", "opus", 65535, 65535), "65535");
  says(report("matroska,webm", "vp9", "opus", 16, 16), "16 by 16");
  says(report("matroska,webm", "vp9", "opus", 640, 480, 3), "at least 5 s");
  says(report("matroska,webm", "vp9", "opus", 640, 480, 90), "at most 60 s");
  says(report("matroska,webm", "vp9", "opus", 640, 480, 10, 1), "fewer than two a second");
  says("{}", "nothing known");
  says(R"({"format":{"format_name":"matroska,webm"}})", "no picture");
  says(R"({"format":{"format_name":"\u001b[31m"}})", "'?[31m'");
  says("not JSON", "cannot be read");
  says(std::string(100'000, '['), "cannot be read");
  says(std::string(probe_report_bytes_max + 1, ' '), "more packets");
  says(R"({"format":[],"streams":{},"packets":7})", "nothing known");
}

TEST(ClipJudge, NumbersThatAreNoneAreIgnored) {
  auto text = report();
  text.replace(text.find("\"0.000000\""), 10, "\"-1e+9999\"");
  EXPECT_FALSE(judge_probe_report(text)) << "the sound has one packet left";
}

}  // namespace
}  // namespace spatter
