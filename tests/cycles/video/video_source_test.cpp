// What is believed of ffprobe's reports, and where a video is cut.
#include "cycles/video_source.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace spatter::cycles {
namespace {

constexpr std::string_view report = R"({"streams": [
  {"index": 0, "codec_name": "mjpeg", "codec_type": "video", "width": 600, "height": 600, "time_base": "1/90000",
   "disposition": {"attached_pic": 1}},
  {"index": 1, "codec_name": "aac", "codec_type": "audio", "time_base": "1/48000"},
  {"index": 2, "codec_name": "h264", "codec_type": "video", "width": 720, "height": 576, "sample_aspect_ratio": "64:45",
   "time_base": "1/25000", "disposition": {"attached_pic": 0}, "side_data_list": [{"rotation": -90}]}],
  "format": {"start_time": "-0.021000"}})";

std::string with(std::string_view from, std::string_view to) {
  std::string text(report);
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(VideoSource, TheFirstVideoThatIsNoPictureCounts) {
  const auto source = judge_streams_report(report);
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->video_stream, 2u);
  EXPECT_EQ(source->audio_stream, 1u);
  EXPECT_EQ(source->codec, "h264");
  EXPECT_EQ(source->rotation, 90u);
  EXPECT_EQ(source->start_us, -21'000);
  EXPECT_EQ(source->time_base.denominator, 25'000);
  // Wide pixels make it 1024 wide, and then it is turned.
  EXPECT_EQ(source->shown_width(), 576u);
  EXPECT_EQ(source->shown_height(), 1024u);
}

TEST(VideoSource, SoundThatIsFitAsItIs) {
  const auto audio = [](const std::string& more) {
    const auto source = judge_streams_report(with("\"codec_name\": \"aac\"", more));
    EXPECT_TRUE(source && source->audio_stream);
    return source ? source->audio : VideoSource::Audio::other;
  };
  const std::string aac = R"("codec_name": "aac", "profile": "LC", "channels": 2, "sample_rate": "44100", "bit_rate": "128000")";
  const auto but = [&](std::string_view from, std::string_view to) {
    auto text = aac;
    return text.replace(text.find(from), from.size(), to);
  };
  using Audio = VideoSource::Audio;
  EXPECT_EQ(audio(aac), Audio::aac);
  EXPECT_EQ(audio(but("\"channels\": 2", "\"channels\": 1")), Audio::aac);
  for (const auto& text : {but("LC", "HE-AAC"), but("\"channels\": 2", "\"channels\": 6"), but("\"channels\": 2", "\"channels\": 0"), but("44100", "96000"),
                           but("128000", "320000"), but("128000", "N/A"), but("aac", "mp3")})
    EXPECT_EQ(audio(text), Audio::other) << text;
  EXPECT_EQ(audio(R"("codec_name": "opus", "channels": 2, "sample_rate": "48000")"), Audio::opus);
  EXPECT_EQ(audio(R"("codec_name": "opus", "channels": 2, "bit_rate": "256000")"), Audio::other);
}

TEST(VideoSource, WhatCannotBeIsSaid) {
  const auto why = [](const std::string& text) {
    const auto source = judge_streams_report(text);
    return source ? std::string("taken") : source.error().message;
  };
  EXPECT_EQ(why("{}"), "it is no video");
  EXPECT_EQ(why("nonsense"), "what ffprobe says of it cannot be read");
  EXPECT_EQ(why(with("\"h264\"", "\"h264000\"")), "its video is coded with 'h264000', which is not transcoded");
  EXPECT_EQ(why(with("\"attached_pic\": 0", "\"attached_pic\": 1")), "it has no video");
  EXPECT_EQ(why(with("\"width\": 720", "\"width\": 8")), "its picture has 8 by 576 pixels: sides of 16 to 16384 are transcoded");
  EXPECT_EQ(why(with("\"1/25000\"", "\"0/25000\"")), "its video has no time base");
  EXPECT_EQ(why(with("\"64:45\"", "\"0:1\"")), "taken");  // as ffprobe says that it does not know
  EXPECT_EQ(why(with("\"rotation\": -90", "\"rotation\": 33")), "taken");
}

TEST(VideoSource, PacketsAreReadInTheirOrder) {
  const auto packets = parse_packets_report("0,K_\n80,__\nN/A,__\n-40,K__\n");
  ASSERT_TRUE(packets);
  ASSERT_EQ(packets->size(), 4u);
  EXPECT_TRUE((*packets)[0].is_key);
  EXPECT_EQ((*packets)[1].time, 80);
  EXPECT_FALSE((*packets)[2].time);
  EXPECT_EQ((*packets)[3].time, -40);
  EXPECT_FALSE(parse_packets_report("something else\n"));
}

/// 25 frames a second, a key frame every `distance` frames.
std::vector<VideoPacket> video(int frames, int distance) {
  std::vector<VideoPacket> packets;
  for (int i = 0; i < frames; ++i) packets.push_back({i * 40, i % distance == 0});
  return packets;
}
constexpr Rational ms{1, 1000};

TEST(VideoCuts, AtKeyFramesTenSecondsApart) {
  const auto cuts = cut_video(video(25 * 60, 50), ms);
  ASSERT_TRUE(cuts);
  ASSERT_EQ(cuts->size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ((*cuts)[i], (VideoCut{i * 250, 250, static_cast<std::int64_t>(i) * 10'000'000}));
}

TEST(VideoCuts, NoStretchIsShort) {
  const auto cuts = cut_video(video(25 * 35, 50), ms);
  ASSERT_TRUE(cuts);
  ASSERT_EQ(cuts->size(), 3u);
  EXPECT_EQ(cuts->back().packets, 25u * 15);
  EXPECT_EQ(cut_video(video(25 * 12, 25), ms)->size(), 1u);
  EXPECT_EQ(cut_video(video(1, 1), ms)->size(), 1u);
}

TEST(VideoCuts, NotWhereFramesNeedBothSides) {
  auto packets = video(25 * 60, 250);
  // After the key frame at 20 s in the file, but shown before it: an open group of pictures.
  packets[501].time = 500 * 40 - 10;
  const auto cuts = cut_video(packets, ms);
  ASSERT_TRUE(cuts);
  std::set<std::size_t> begins;
  for (const auto& cut : *cuts) begins.insert(cut.begin);
  EXPECT_EQ(begins, (std::set<std::size_t>{0, 250, 750, 1000, 1250}));
}

TEST(VideoCuts, WithoutTimesOrKeyFrames) {
  auto packets = video(25 * 60, 50);
  packets[700].time.reset();
  EXPECT_EQ(cut_video(packets, ms)->size(), 1u);
  EXPECT_EQ(cut_video({}, ms).error().message, "it has no frames");
  EXPECT_EQ(cut_video({{0, false}, {1, false}}, ms).error().message, "it has no frame that can be decoded by itself");
  // What comes before the first key frame is not shown.
  EXPECT_EQ(cut_video({{0, false}, {40, true}, {80, false}}, ms)->front(), (VideoCut{1, 2, 40'000}));
}

/// A recording that begins in the middle of a group of pictures, some of whose frames are shown after the key frame, or have
/// no time.
TEST(VideoCuts, BeginWithTheFirstKeyFrame) {
  auto packets = video(25 * 60, 50);
  packets.erase(packets.begin(), packets.begin() + 20);
  packets[10].time.reset();
  packets[29].time = 60'000;
  const auto cuts = cut_video(packets, ms);
  ASSERT_TRUE(cuts);
  ASSERT_EQ(cuts->size(), 5u);
  EXPECT_EQ(cuts->front(), (VideoCut{30, 250, 2'000'000}));
  EXPECT_EQ((*cuts)[1], (VideoCut{280, 250, 12'000'000}));
  EXPECT_EQ(cuts->back(), (VideoCut{1030, 450, 42'000'000}));
  EXPECT_EQ(cuts_text(*cuts), "250,500,750,1000");
}

TEST(VideoCuts, AreNoMoreThanCanBeTold) {
  // Every frame a key frame, and places to cut everywhere.
  const auto packets = video(100'000, 1);
  const auto cuts = cut_video(packets, ms, 40'000);
  ASSERT_TRUE(cuts);
  EXPECT_LE(cuts_text(*cuts).size(), cuts_text_bytes_max);
  EXPECT_GT(cuts->size(), 10'000u);
  std::size_t next = 0;
  for (const auto& cut : *cuts) {
    EXPECT_EQ(cut.begin, next);
    next += cut.packets;
  }
  EXPECT_EQ(next, packets.size());
}

TEST(VideoSource, TooManyPacketsAreRefused) {
  EXPECT_EQ(parse_packets_report(std::string(packets_max, '\n'))->size(), 0u);
  EXPECT_EQ(parse_packets_report(std::string(packets_max + 1, '\n')).error().message,
            "it has more than 10000000 frames, which are the most that are transcoded");
}

RC_GTEST_PROP(VideoCuts, CoverAllPacketsAndPartThemByTime, ()) {
  std::vector<VideoPacket> packets;
  for (const auto& [step, key] : *rc::gen::container<std::vector<std::pair<std::uint16_t, bool>>>(rc::gen::arbitrary<std::pair<std::uint16_t, bool>>()))
    packets.push_back({(packets.empty() ? 0 : *packets.back().time) + step % 3000 - 100, key});
  const auto cuts = cut_video(packets, ms);
  if (!cuts) return;
  std::size_t next = static_cast<std::size_t>(std::ranges::find_if(packets, &VideoPacket::is_key) - packets.begin());
  std::int64_t latest = std::numeric_limits<std::int64_t>::min();
  for (const auto& cut : *cuts) {
    RC_ASSERT(cut.begin == next);
    RC_ASSERT(cut.packets > 0u);
    next += cut.packets;
    const auto earliest = std::min_element(packets.begin() + static_cast<long>(cut.begin), packets.begin() + static_cast<long>(next),
                                           [](const auto& a, const auto& b) { return *a.time < *b.time; })->time;
    RC_ASSERT(packets[cut.begin].is_key);
    RC_ASSERT(cut == cuts->front() || (*earliest == *packets[cut.begin].time && *earliest > latest));
    for (auto i = cut.begin; i < next; ++i) latest = std::max(latest, *packets[i].time);
  }
  RC_ASSERT(next == packets.size());
}

}  // namespace
}  // namespace spatter::cycles
