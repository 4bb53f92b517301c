#include "cycles/video_target.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace spatter::cycles {
namespace {

constexpr unsigned result_side_min = 16, result_side_max = 4096, source_side_max = 16'384;
constexpr unsigned quality_min = 10, h264_quality_max = 51, vp9_quality_max = 63;
constexpr unsigned kbit_per_s_most = 100'000, key_frame_ms_most = 60'000;
constexpr std::uint64_t h264_factor = 6, vp9_factor = 18;  // by measurement, against decoding a pixel
constexpr std::uint64_t frame_fuel_min = 1 << 16;             // however small it is
constexpr std::uint64_t frames_more = 300;                    // than packets, and half as many again
constexpr std::uint64_t fuel_per_cpu_second_min = 1'000'000;  // a hundredth of what an ordinary processor does
constexpr std::uint64_t cpu_seconds_base = 120, cpu_seconds_most = 12 * 3600;
/// Decoders measure pictures with their borders and fill blocks up: so many more pixels a side than are shown.
constexpr std::uint64_t side_slack = 256;
constexpr std::string_view scaler = "bicubic+accurate_rnd+full_chroma_int+bitexact";

struct Size {
  unsigned lines;
  unsigned kbit_per_s_max;
};
/// After Apple's HLS authoring specification, thinned out.
constexpr std::array ladder = {Size{1080, 6000}, Size{720, 3200}, Size{480, 1400}, Size{240, 400}};
constexpr unsigned ladder_key_frame_ms = 4000;

unsigned even(double side) {
  return std::clamp(2 * static_cast<unsigned>(side / 2 + 1e-9), result_side_min, result_side_max);
}

/// The whole picture with a shorter side of at most `lines`.
void fit(const VideoSource& source, unsigned lines, wire::TranscodeWork& work) {
  const double width = source.shown_width(), height = source.shown_height();
  double factor = std::min(1.0, lines / std::min(width, height));
  factor = std::min(factor, result_side_max / std::max(width, height));
  work.set_width(even(width * factor));
  work.set_height(even(height * factor));
  work.set_rotation(source.rotation);
  work.set_source_width(source.width);
  work.set_source_height(source.height);
}

VideoRung rung(const VideoSource& source, wire::TranscodeWork::Codec codec, unsigned lines, unsigned quality) {
  VideoRung one;
  one.work.set_codec(codec);
  one.work.set_quality(quality);
  fit(source, lines, one.work);
  one.name = fmt::format("{}p", std::min(one.work.width(), one.work.height()));
  return one;
}

std::string key_frames(unsigned ms) {
  const auto seconds = fmt::format("{}.{:03}", ms / 1000, ms % 1000);
  return fmt::format("expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+{}))", seconds);
}

void add(std::vector<std::string>& line, std::initializer_list<std::string> words) {
  line.insert(line.end(), words);
}

void add_encoder(std::vector<std::string>& line, const wire::TranscodeWork& work) {
  const auto rate = work.kbit_per_s_max();
  if (work.codec() == wire::TranscodeWork::H264) {
    std::string more = "cpu-independent=1:threads=1:lookahead-threads=1:sliced-threads=0";
    // Then all sizes have their key frames at the same times, where a player may go from one to another.
    if (work.key_frame_ms() > 0) more += ":scenecut=0:keyint=infinite";
    add(line, {"-c:v", "libx264", "-preset", "medium", "-profile:v", "high", "-crf", std::to_string(work.quality()),
               "-x264-params", more});
  } else {
    add(line, {"-c:v", "libvpx-vp9", "-b:v", "0", "-crf", std::to_string(work.quality()), "-deadline", "good", "-cpu-used", "4",
               "-row-mt", "0", "-tile-columns", "0", "-frame-parallel", "0", "-auto-alt-ref", "1", "-lag-in-frames", "25"});
  }
  if (work.key_frame_ms() > 0) add(line, {"-forced-idr", "1", "-force_key_frames", key_frames(work.key_frame_ms())});
  if (rate > 0) add(line, {"-maxrate", fmt::format("{}k", rate), "-bufsize", fmt::format("{}k", 2 * rate)});
  add(line, {"-threads", "1", "-flags:v", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1", "-f", "nut"});
}

std::string filter_of(const wire::TranscodeWork& work) {
  // Scaled first: then less is turned.
  const bool lies = work.rotation() % 180 != 0;
  auto filter = fmt::format("scale={}:{}:flags={},format=yuv420p", lies ? work.height() : work.width(),
                            lies ? work.width() : work.height(), scaler);
  switch (work.rotation()) {
    case 90: filter += ",transpose=clock"; break;
    case 180: filter += ",hflip,vflip"; break;
    case 270: filter += ",transpose=cclock"; break;
    default: break;
  }
  return filter + ",setsar=1";
}

Result<void> within(std::string_view what, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  if (value < least || value > most)
    return fail(Errc::invalid, "a transcoding whose {} is {}: {} to {} are taken", what, value, least, most);
  return {};
}

}  // namespace

Result<VideoTarget> parse_video_target(std::string_view name) {
  for (const auto target : {VideoTarget::h264_720p, VideoTarget::vp9, VideoTarget::hls_ladder})
    if (to_string(target) == name) return target;
  return fail(Errc::invalid, "'{}': videos are transcoded to {}", name, video_target_names());
}

std::string_view to_string(VideoTarget target) {
  switch (target) {
    case VideoTarget::h264_720p: return "h264-720p";
    case VideoTarget::vp9: return "vp9";
    case VideoTarget::hls_ladder: return "hls-ladder";
  }
  return "?";
}

std::string_view video_target_names() { return "h264-720p, vp9 or hls-ladder"; }

std::vector<VideoRung> rungs_of(VideoTarget target, const VideoSource& source) {
  using Work = wire::TranscodeWork;
  if (target == VideoTarget::h264_720p) return {rung(source, Work::H264, 720, 23)};
  if (target == VideoTarget::vp9) return {rung(source, Work::VP9, 1080, 32)};
  std::vector<VideoRung> rungs;
  const auto lines = std::min(source.shown_width(), source.shown_height());
  for (const auto& size : ladder) {
    // Of a video between two sizes, or below all, the smallest that holds it is made in its own.
    if (size.lines > lines && !(rungs.empty() && size.lines == ladder.back().lines)) continue;
    auto one = rung(source, Work::H264, size.lines, 23);
    // Of a very wide picture the longer side decides, for several alike.
    if (!rungs.empty() && one.work.width() == rungs.back().work.width() && one.work.height() == rungs.back().work.height()) continue;
    one.work.set_kbit_per_s_max(size.kbit_per_s_max);
    one.work.set_key_frame_ms(ladder_key_frame_ms);
    rungs.push_back(std::move(one));
  }
  return rungs;
}

Result<void> check_transcode(const wire::TranscodeWork& work) {
  if (work.codec() != wire::TranscodeWork::H264 && work.codec() != wire::TranscodeWork::VP9)
    return fail(Errc::invalid, "a transcoding to codec {}, which this server does not know", static_cast<int>(work.codec()));
  TRY_VOID(within("width", work.width(), result_side_min, result_side_max));
  TRY_VOID(within("height", work.height(), result_side_min, result_side_max));
  if (work.width() % 2 != 0 || work.height() % 2 != 0)
    return fail(Errc::invalid, "a transcoding to {} by {} pixels: sides are even", work.width(), work.height());
  if (work.rotation() % 90 != 0 || work.rotation() >= 360)
    return fail(Errc::invalid, "a transcoding that turns by {} degrees", work.rotation());
  TRY_VOID(within("quality", work.quality(), quality_min,
                  work.codec() == wire::TranscodeWork::H264 ? h264_quality_max : vp9_quality_max));
  TRY_VOID(within("rate", work.kbit_per_s_max(), 0, kbit_per_s_most));
  TRY_VOID(within("key frame distance", work.key_frame_ms(), 0, key_frame_ms_most));
  TRY_VOID(within("source width", work.source_width(), 1, source_side_max));
  TRY_VOID(within("source height", work.source_height(), 1, source_side_max));
  if (work.encoder().size() != 32)
    return fail(Errc::invalid, "a transcoding whose encoder is told in {} bytes instead of 32", work.encoder().size());
  return {};
}

std::vector<std::string> transcode_arguments(const wire::TranscodeWork& work, std::uint64_t fuel_max) {
  const auto frames_max = std::min<std::uint64_t>(fuel_max / transcode_fuel(work, 1) + 1, 1ULL << 31);
  const auto pixels_max = (work.source_width() + side_slack) * (work.source_height() + side_slack);
  std::vector<std::string> line = {
      "-nostdin", "-v", "error", "-progress", "pipe:1", "-stats_period", "86400", "-y", "-copyts", "-noautorotate",
      "-threads", "1", "-flags:v", "+bitexact", "-idct", "simple", "-max_pixels", std::to_string(pixels_max), "-protocol_whitelist", "file", "-codec_whitelist",
      decoded_codecs(), "-f", "nut", "-i", "file:/input/piece", "-map", "0:v:0", "-an", "-sn", "-dn", "-sws_flags",
      std::string(scaler), "-filter_threads", "1", "-vf", filter_of(work), "-fps_mode", "passthrough", "-enc_time_base", "-1"};
  add(line, {"-frames:v", std::to_string(frames_max)});
  add_encoder(line, work);
  line.push_back("file:/output/piece");
  return line;
}

std::vector<std::string> standard_clip_arguments(wire::TranscodeWork::Codec codec) {
  wire::TranscodeWork work;
  work.set_codec(codec);
  work.set_width(176);
  work.set_height(100);
  work.set_quality(codec == wire::TranscodeWork::H264 ? 23 : 32);
  // Something that moves, noise, and a scaler that has something to do.
  std::vector<std::string> line = {
      "-nostdin", "-v", "error", "-y", "-flags:v", "+bitexact", "-f", "lavfi", "-i", "testsrc2=size=250x142:rate=25:duration=1.6",
      "-sws_flags", std::string(scaler), "-filter_threads", "1", "-vf", filter_of(work)};
  add_encoder(line, work);
  line.push_back("file:/output/piece");
  return line;
}

Result<std::uint64_t> frames_of_progress(std::string_view said) {
  constexpr std::string_view key = "frame=";
  std::optional<std::uint64_t> frames;
  while (!said.empty()) {
    const auto end = std::min(said.find('\n'), said.size());
    auto line = said.substr(0, end);
    said.remove_prefix(std::min(end + 1, said.size()));
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    std::uint64_t value = 0;
    const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error == std::errc() && rest == line.data() + line.size() && value < 1ULL << 32) frames = value;
  }
  if (!frames) return fail(Errc::corrupt, "ffmpeg did not say how many frames it made");
  return *frames;
}

std::uint64_t transcode_fuel(const wire::TranscodeWork& work, std::uint64_t frames) {
  const auto decoded = std::uint64_t{work.source_width()} * work.source_height();
  const auto made = std::uint64_t{work.width()} * work.height();
  return frames * std::max(frame_fuel_min, decoded + made * (work.codec() == wire::TranscodeWork::H264 ? h264_factor : vp9_factor));
}

std::uint64_t transcode_fuel_max(const wire::TranscodeWork& work, std::uint64_t fuel) {
  const auto frame = transcode_fuel(work, 1), frames = fuel / frame;
  return (frames + frames / 2 + frames_more) * frame;
}

unsigned transcode_cpu_seconds(std::uint64_t fuel) {
  return static_cast<unsigned>(std::min(cpu_seconds_most, cpu_seconds_base + fuel / fuel_per_cpu_second_min));
}

}  // namespace spatter::cycles
