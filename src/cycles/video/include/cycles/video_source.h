// A video as ffprobe describes it, and where it may be cut. The reports are foreign bytes: ffprobe has read a
// stranger's file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace spatter::cycles {

inline constexpr std::size_t streams_report_bytes_max = 1 << 20;
inline constexpr std::size_t packets_report_bytes_max = 256 << 20;  
inline constexpr std::size_t packets_max = 10'000'000;                      ///< two days at 50 a second

struct Rational {
  std::int64_t numerator = 0, denominator = 1;
};

struct VideoSource {
  unsigned video_stream = 0;             ///< ffprobe's index
  std::optional<unsigned> audio_stream;  ///< of the first one
  enum class Audio { other, aac, opus };
  /// Sound that some target may have as it is: at most two channels, at most 192 kbit/s; AAC of the plain profile (LC).
  Audio audio = Audio::other;
  std::string codec;                     ///< "h264"
  unsigned width = 0, height = 0;        ///< as coded
  unsigned rotation = 0;                 ///< degrees clockwise that it must be turned by to stand upright
  Rational pixel_aspect{1, 1};           ///< width over height of a pixel
  Rational time_base;                    ///< seconds that one unit of packets' times is
  std::int64_t start_us = 0;             ///< the earliest time of any stream
  /// What it measures when it is shown: upright, with square pixels.
  unsigned shown_width() const;
  unsigned shown_height() const;
};

/// ffprobe -show_streams -show_format -of json. Pictures that come with music are no video.
/// Errors: invalid says what is not as it should be: no video, a codec that is not known, sizes beyond all bounds.
Result<VideoSource> judge_streams_report(std::string_view report);
/// The codecs that are decoded, separated by commas as ffmpeg takes them.
std::string decoded_codecs();

struct VideoPacket {
  std::optional<std::int64_t> time;  ///< when it is shown, in units of the time base
  bool is_key = false;
};
/// ffprobe -show_entries packet=pts,flags -of csv=print_section=0: one line each, in the order of the file.
Result<std::vector<VideoPacket>> parse_packets_report(std::string_view report);

/// A stretch of the video's packets that can be decoded by itself.
struct VideoCut {
  std::size_t begin = 0;        ///< place of its first packet, in the order of the file
  std::size_t packets = 0;
  std::int64_t start_us = 0;    ///< when its first frame is shown
  bool operator==(const VideoCut&) const = default;
};

inline constexpr std::int64_t cut_us_least = 10'000'000;
/// Of more cuts than anybody could tell ffmpeg (in one argument) every second one is left out.
inline constexpr std::size_t cuts_text_bytes_max = 100 << 10;
/// Where ffmpeg is to cut: frames since the first key frame, which is the first that it copies. "250,500"
std::string cuts_text(const std::vector<VideoCut>& cuts);

/// The first stretch begins with the first key frame: what is before it cannot be decoded. Cuts at key frames with nothing before them that is shown later, and nothing after them that is shown earlier (such
/// frames need the pieces on both sides), each stretch at least `least_us` long. A video that can be cut nowhere, or
/// some of whose packets have no time, is one stretch. Errors: invalid, no packets or no key frame.
Result<std::vector<VideoCut>> cut_video(const std::vector<VideoPacket>& packets, Rational time_base,
                                        std::int64_t least_us = cut_us_least);

/// An estimate of how long the video is.
std::int64_t duration_us(const std::vector<VideoPacket>& packets, Rational time_base);

}  // namespace spatter::cycles
