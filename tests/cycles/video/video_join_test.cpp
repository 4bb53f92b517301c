// Lists and playlists.
#include "cycles/video_join.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace spatter::cycles {
namespace {

TEST(VideoJoin, PiecesAreShownFromWhenTheyWere) {
  EXPECT_EQ(join_list({"/input/out/a", "/input/out/b", "/input/out/c"}, {40'000, 10'050'000, 20'000'001}),
            "ffconcat version 1.0\nfile 'file:/input/out/a'\noption format_whitelist nut\nduration 10.010000\n"
            "file 'file:/input/out/b'\noption format_whitelist nut\nduration 9.950001\n"
            "file 'file:/input/out/c'\noption format_whitelist nut\n");
}

TEST(VideoJoin, SoundThatFitsTheTargetIsCopied) {
  const auto copied = [](VideoTarget target, VideoSource::Audio audio) {
    VideoSource source;
    source.audio_stream = 1;
    source.audio = audio;
    const auto line = audio_arguments(target, source);
    const auto codec = std::ranges::find(line, "-c:a");
    EXPECT_TRUE(codec != line.end());
    return codec != line.end() && *std::next(codec) == "copy";
  };
  using Audio = VideoSource::Audio;
  for (const auto target : {VideoTarget::h264_720p, VideoTarget::hls_ladder, VideoTarget::vp9}) {
    const bool webm = target == VideoTarget::vp9;
    EXPECT_EQ(copied(target, Audio::aac), !webm);
    EXPECT_EQ(copied(target, Audio::opus), webm);
    EXPECT_FALSE(copied(target, Audio::other));
  }
}

TEST(VideoJoin, OnlyNutIsJoined) {
  EXPECT_TRUE(is_nut(std::string_view("nut/multimedia container\0NM", 27)));
  EXPECT_FALSE(is_nut("nut/multimedia container"));
  EXPECT_FALSE(is_nut("ffconcat version 1.0\nfile a\nfile b\n"));
  EXPECT_FALSE(is_nut(""));
  const auto line = fmt::format("{}", fmt::join(join_arguments(VideoTarget::vp9, 0, false, "video"), " "));
  EXPECT_TRUE(line.contains("-xerror -progress pipe:1")) << line;
}

TEST(VideoJoin, WhatIsJoinedIsAboutAsLargeAsItsPieces) {
  EXPECT_GE(joined_bytes_max(1000, 0, 3000), 1000u + 3000 * 50);
  EXPECT_LT(joined_bytes_max(1ULL << 30, 1 << 20, 250'000), 3ULL << 29);
}

TEST(VideoJoin, CutsAreNamedByPackets) {
  const VideoSource source{.video_stream = 3};
  const auto line = fmt::format("{}", fmt::join(cut_arguments(source, {{0, 250, 0}, {250, 260, 10}, {510, 250, 20}}), " "));
  EXPECT_TRUE(line.contains("-map 0:3 -c copy")) << line;
  EXPECT_TRUE(line.contains("-segment_frames 250,510 /output/%05d.nut")) << line;
  EXPECT_FALSE(fmt::format("{}", fmt::join(cut_arguments(source, {{0, 250, 0}}), " ")).contains("-segment_frames"));
  // Copying begins with the first key frame, and so does counting.
  const auto late = fmt::format("{}", fmt::join(cut_arguments(source, {{30, 250, 0}, {280, 260, 10}, {540, 250, 20}}), " "));
  EXPECT_TRUE(late.contains("-segment_frames 250,510 /output/%05d.nut")) << late;
  EXPECT_EQ(cut_file(7), "00007.nut");
}

constexpr std::string_view playlist =
    "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MAP:URI=\"a.mp4\",BYTERANGE=\"800@0\"\n#EXTINF:4.000000,\n#EXT-X-BYTERANGE:100000@800\na.mp4\n"
    "#EXTINF:4.000000,\n#EXT-X-BYTERANGE:300000@100800\na.mp4\n#EXTINF:0.040000,\n#EXT-X-BYTERANGE:50000@400800\na.mp4\n#EXT-X-ENDLIST\n";

TEST(VideoJoin, RatesComeFromThePlaylist) {
  const auto rates = playlist_rates(playlist);
  ASSERT_TRUE(rates);
  EXPECT_EQ(rates->average, 447761u);  // 450 000 bytes in 8.04 s
  EXPECT_EQ(rates->peak, 600000u);     // 300 000 in 4 s; the last one is too short to say anything
  EXPECT_FALSE(playlist_rates("#EXTM3U\n"));
  EXPECT_FALSE(playlist_rates("#EXTINF:nan,\n#EXT-X-BYTERANGE:1@0\n"));
  EXPECT_FALSE(playlist_rates("#EXTINF:4,\n#EXT-X-BYTERANGE:99999999999999999999@0\n"));
}

TEST(VideoJoin, AMasterPlaylistNamesAllSizes) {
  const auto text = master_playlist({{"720p", 1280, 720, 31, {2'000'000, 3'000'000}}, {"240p", 426, 240, 21, {300'000, 400'000}}},
                                    PlaylistRates{128'000, 130'000});
  EXPECT_EQ(text,
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,URI=\"audio.m3u8\"\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2128000,RESOLUTION=1280x720,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"audio\"\n"
            "720p.m3u8\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=530000,AVERAGE-BANDWIDTH=428000,RESOLUTION=426x240,CODECS=\"avc1.640015,mp4a.40.2\",AUDIO=\"audio\"\n"
            "240p.m3u8\n");
  EXPECT_FALSE(master_playlist({{"240p", 426, 240, 21, {1, 2}}}, std::nullopt).contains("AUDIO"));
}

TEST(VideoJoin, ALevelIsANumber) {
  EXPECT_EQ(*parse_level("31\n"), 31u);
  EXPECT_FALSE(parse_level("N/A\n"));
  EXPECT_FALSE(parse_level("-99\n"));
}

}  // namespace
}  // namespace spatter::cycles
