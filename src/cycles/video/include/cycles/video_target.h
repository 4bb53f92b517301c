// What a video is transcoded to, and how a stretch of it is: the typed, bounded parameters that travel to workers, the
// arguments that their ffmpeg is given, and the fuel that a piece counts.
//
// A piece's bytes depend on its input, these parameters and the encoder's version alone, on any number of machines:
// one thread, no choice by processor, no rate control over time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cycles/video_source.h"
#include "wire/proto/jobs.pb.h"

namespace spatter::cycles {

enum class VideoTarget {
  h264_720p,   ///< one MP4 file, H.264 and AAC
  vp9,         ///< one WebM file, VP9 and Opus, 1080 lines at most
  hls_ladder,  ///< a folder: H.264 in several sizes, AAC, a master playlist
};
Result<VideoTarget> parse_video_target(std::string_view name);
std::string_view to_string(VideoTarget target);
/// For people: "h264-720p, vp9 or hls-ladder".
std::string_view video_target_names();

/// One size that the whole video is made in.
struct VideoRung {
  std::string name;           ///< "720p"
  wire::TranscodeWork work;   ///< all but `encoder`
};
/// Largest first. A size is the picture's shorter side, so that a portrait counts as a landscape does; nothing is made larger
/// than it is, sides are even, pixels square.
std::vector<VideoRung> rungs_of(VideoTarget target, const VideoSource& source);

/// Whether it is within bounds; the error names what is not.
Result<void> check_transcode(const wire::TranscodeWork& work);

/// For ffmpeg: reads /input/piece and writes /output/piece, both NUT, and says at its end on standard output how many
/// frames it made. It ends with the first frame that `fuel_max` does not pay for, and decodes no picture that is much
/// larger than the work says.
std::vector<std::string> transcode_arguments(const wire::TranscodeWork& work, std::uint64_t fuel_max);
/// Likewise, of a clip that ffmpeg makes itself: what comes out tells one encoder's version from another's.
std::vector<std::string> standard_clip_arguments(wire::TranscodeWork::Codec codec);

/// How many frames were made, by what ffmpeg said (-progress). Errors: corrupt, it did not say.
Result<std::uint64_t> frames_of_progress(std::string_view said);

/// What a piece of so many frames costs: pixels decoded, and pixels made times what their codec takes, but for a frame
/// not less than it takes to handle one. The same on every machine, whatever time it took.
std::uint64_t transcode_fuel(const wire::TranscodeWork& work, std::uint64_t frames);
/// The most for a stretch that is expected to cost `fuel`: packets may hold more frames than one, but not many do.
std::uint64_t transcode_fuel_max(const wire::TranscodeWork& work, std::uint64_t fuel);
/// The CPU time that so much fuel takes at the most, on the slowest machine that anybody has.
unsigned transcode_cpu_seconds(std::uint64_t fuel);

}  // namespace spatter::cycles
