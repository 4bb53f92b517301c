#include "cycles/video_join.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace spatter::cycles {
namespace {

constexpr std::string_view audio_rate = "128k";
constexpr unsigned segment_s = 4;

void add(std::vector<std::string>& line, std::initializer_list<std::string> words) {
  line.insert(line.end(), words);
}

std::vector<std::string> beginning() { return {"-nostdin", "-v", "error", "-y", "-protocol_whitelist", "file"}; }

std::string seconds(std::int64_t us) {
  const auto magnitude = us < 0 ? -us : us;
  return fmt::format("{}{}.{:06}", us < 0 ? "-" : "", magnitude / 1'000'000, magnitude % 1'000'000);
}

void add_playlist(std::vector<std::string>& line, const std::string& name) {
  // One file with all segments in it: a volume has fewer files that way, and players read stretches.
  add(line, {"-f", "hls", "-hls_time", std::to_string(segment_s), "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4",
             "-hls_flags", "single_file+independent_segments", "-hls_segment_filename", "/output/" + name + ".mp4",
             "/output/" + name + ".m3u8"});
}

}  // namespace

std::string cut_file(std::size_t number) { return fmt::format("{:05}.nut", number); }

std::vector<std::string> cut_arguments(const VideoSource& source, const std::vector<VideoCut>& cuts) {
  auto line = beginning();
  add(line, {"-copyts", "-i", "file:/input/source", "-map", fmt::format("0:{}", source.video_stream), "-c", "copy",
             "-map_metadata", "-1", "-fflags", "+bitexact", "-f", "segment", "-segment_format", "nut"});
  if (cuts.size() > 1) add(line, {"-segment_frames", cuts_text(cuts)});
  else add(line, {"-segment_time", "1000000000"});
  line.push_back("/output/%05d.nut");
  return line;
}

std::string audio_file(VideoTarget target) { return target == VideoTarget::vp9 ? "audio.webm" : "audio.mp4"; }

std::vector<std::string> audio_arguments(VideoTarget target, const VideoSource& source) {
  auto line = beginning();
  add(line, {"-i", "file:/input/source", "-map", fmt::format("0:{}", source.audio_stream.value_or(0)), "-vn", "-sn", "-dn"});
  const bool webm = target == VideoTarget::vp9;
  if (source.audio == (webm ? VideoSource::Audio::opus : VideoSource::Audio::aac)) add(line, {"-c:a", "copy"});
  else add(line, {"-ac", "2", "-c:a", webm ? "libopus" : "aac", "-b:a", std::string(audio_rate)});
  add(line, {"-f", webm ? "webm" : "mp4"});
  // Options of the output stand before its name; the container was named above.
  add(line, {"-map_metadata", "-1", "-fflags", "+bitexact", "/output/" + audio_file(target)});
  return line;
}

std::string join_list(const std::vector<std::string>& paths, const std::vector<std::int64_t>& start_us) {
  std::string list = "ffconcat version 1.0\n";
  for (std::size_t i = 0; i < paths.size(); ++i) {
    // Workers' files: nothing in them may be taken for a list of other files, say.
    list += fmt::format("file 'file:{}'\noption format_whitelist nut\n", paths[i]);
    if (i + 1 < paths.size()) list += fmt::format("duration {}\n", seconds(start_us[i + 1] - start_us[i]));
  }
  return list;
}

bool is_nut(std::string_view beginning) {
  constexpr std::string_view magic("nut/multimedia container\0", 25);
  return beginning.starts_with(magic);
}

std::uint64_t joined_bytes_max(std::uint64_t pieces_bytes, std::uint64_t audio_bytes, std::uint64_t frames) {
  constexpr std::uint64_t slack = 16 << 20, index_bytes_per_frame = 64;
  const auto bytes = pieces_bytes + audio_bytes;
  return bytes + bytes / 4 + frames * index_bytes_per_frame + slack;
}

std::vector<std::string> join_arguments(VideoTarget target, std::int64_t late_us, bool with_audio, const std::string& name) {
  auto line = beginning();
  add(line, {"-xerror", "-progress", "pipe:1", "-stats_period", "86400"});
  add(line, {"-copyts", "-itsoffset", seconds(late_us), "-f", "concat", "-safe", "0", "-i", "file:/input/list"});
  if (with_audio) add(line, {"-i", "file:/input/audio"});
  add(line, {"-map", "0:v:0"});
  if (with_audio) add(line, {"-map", "1:a:0"});
  add(line, {"-c", "copy", "-map_metadata", "-1", "-fflags", "+bitexact"});
  if (target == VideoTarget::hls_ladder) add_playlist(line, name);
  else if (target == VideoTarget::vp9) add(line, {"-f", "webm", "/output/" + name});
  else add(line, {"-movflags", "+faststart", "-f", "mp4", "/output/" + name});
  return line;
}

std::vector<std::string> ladder_audio_arguments() {
  auto line = beginning();
  add(line, {"-copyts", "-i", "file:/input/audio", "-map", "0:a:0", "-c", "copy", "-map_metadata", "-1", "-fflags", "+bitexact"});
  add_playlist(line, "audio");
  return line;
}

Result<PlaylistRates> playlist_rates(std::string_view playlist) {
  constexpr std::string_view duration_key = "#EXTINF:", range_key = "#EXT-X-BYTERANGE:";
  double total_s = 0, last_s = 0, peak = 0;
  double bytes = 0;
  const auto bad = [] { return fail(Errc::invalid, "a playlist that cannot be read"); };
  while (!playlist.empty()) {
    const auto end = std::min(playlist.find('\n'), playlist.size());
    const auto line = playlist.substr(0, end);
    playlist.remove_prefix(std::min(end + 1, playlist.size()));
    if (line.starts_with(duration_key)) {
      const auto rest = line.substr(duration_key.size());
      const auto [at, error] = std::from_chars(rest.data(), rest.data() + rest.size(), last_s);
      if (error != std::errc() || !std::isfinite(last_s) || last_s < 0 || last_s > 1e7) return bad();
      total_s += last_s;
    } else if (line.starts_with(range_key)) {
      const auto rest = line.substr(range_key.size());
      std::uint64_t length = 0;
      const auto [at, error] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
      if (error != std::errc() || length > 1ULL << 48) return bad();
      bytes += static_cast<double>(length);
      // A last segment of a frame or two says nothing of what a second takes.
      if (last_s >= 0.5) peak = std::max(peak, static_cast<double>(length) / last_s);
    }
  }
  if (total_s <= 0 || bytes <= 0) return bad();
  const auto average = 8 * bytes / total_s;
  if (average > 1e15) return bad();
  return PlaylistRates{static_cast<std::uint64_t>(std::llround(average)),
                       static_cast<std::uint64_t>(std::llround(std::clamp(8 * peak, average, 1e15)))};
}

std::string master_playlist(const std::vector<LadderRung>& rungs, const std::optional<PlaylistRates>& audio) {
  std::string text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n";
  if (audio)
    text += "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,URI=\"audio.m3u8\"\n";
  for (const auto& rung : rungs) {
    const auto peak = rung.rates.peak + (audio ? audio->peak : 0), average = rung.rates.average + (audio ? audio->average : 0);
    // Profile 100 is High, without constraints; then the level.
    text += fmt::format("#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},RESOLUTION={}x{},CODECS=\"avc1.6400{:02x}{}\"{}\n{}.m3u8\n",
                        peak, average, rung.width, rung.height, rung.level, audio ? ",mp4a.40.2" : "",
                        audio ? ",AUDIO=\"audio\"" : "", rung.name);
  }
  return text;
}

Result<unsigned> parse_level(std::string_view report) {
  unsigned level = 0;
  const auto [at, error] = std::from_chars(report.data(), report.data() + report.size(), level);
  if (error != std::errc() || level == 0 || level > 99) return fail(Errc::invalid, "a video without a level of H.264");
  return level;
}

}  // namespace spatter::cycles
