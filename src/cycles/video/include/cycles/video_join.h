// How pieces become one video again, and what is around them: arguments for ffmpeg, which reads lists and files that are
// made here, and the playlists of a ladder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cycles/video_target.h"

namespace spatter::cycles {

/// The source /input/source, its video taken apart at `cuts` into NUT files /output/00000.nut and so on. No frame is
/// decoded.
std::vector<std::string> cut_arguments(const VideoSource& source, const std::vector<VideoCut>& cuts);
std::string cut_file(std::size_t number);  ///< "00000.nut"

/// Its first sound to /output/audio.mp4 (AAC) or audio.webm (Opus), in step with the video; two channels at most.
std::vector<std::string> audio_arguments(VideoTarget target, const VideoSource& source);
std::string audio_file(VideoTarget target);

/// ffmpeg's list of the pieces' files, each to be shown from when it was in the source.
std::string join_list(const std::vector<std::string>& paths, const std::vector<std::int64_t>& start_us);

/// Whether a file that begins so is NUT: for others ffmpeg has readers that follow what is in them.
bool is_nut(std::string_view beginning);
/// The most that one joined file has: what goes into it, and its index.
std::uint64_t joined_bytes_max(std::uint64_t pieces_bytes, std::uint64_t audio_bytes, std::uint64_t frames);

/// Joins what /input/list names, and says on standard output how many frames it wrote (frames_of_progress): a file that is
/// broken ends it without a word. `late_us`: so much later than the audio the video begins.
/// One file /output/NAME, or for a rung of a ladder /output/NAME.mp4 and NAME.m3u8.
std::vector<std::string> join_arguments(VideoTarget target, std::int64_t late_us, bool with_audio, const std::string& name);
/// The audio of a ladder: /input/AUDIO to /output/audio.mp4 and audio.m3u8.
std::vector<std::string> ladder_audio_arguments();

/// Of one media playlist of ours: how many bits a second it takes, on the average and at most.
struct PlaylistRates {
  std::uint64_t average = 0, peak = 0;
};
/// Errors: invalid, it is not as ffmpeg writes them.
Result<PlaylistRates> playlist_rates(std::string_view playlist);

struct LadderRung {
  std::string name;       ///< its playlist is NAME.m3u8
  unsigned width = 0, height = 0;
  unsigned level = 0;     ///< of H.264, times ten
  PlaylistRates rates;
};
/// master.m3u8.
std::string master_playlist(const std::vector<LadderRung>& rungs, const std::optional<PlaylistRates>& audio);
/// The level in ffprobe -show_entries stream=level -of csv=print_section=0.
Result<unsigned> parse_level(std::string_view report);

}  // namespace spatter::cycles
