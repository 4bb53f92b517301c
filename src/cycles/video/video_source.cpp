#include "cycles/video_source.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/shallow_json.h"

namespace spatter::cycles {
namespace {

using Json = nlohmann::json;

constexpr int report_depth_max = 8;
constexpr unsigned streams_max = 64;
constexpr unsigned side_min = 16, side_max = 16'384;
constexpr std::uint64_t pixels_max = 16'384ULL * 8'640;
constexpr double seconds_max = 1e8;
constexpr std::int64_t packet_time_most = 1LL << 56;

/// Decoders that give the same frames on every machine: by their standard, or by ffmpeg's own rules (bitexact, -idct
/// simple). Some have another name than what they decode; both are here.
constexpr std::array codecs = {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "libaom-av1", "mpeg1video", "mpeg2video",
                               "mpeg4", "h263", "flv1", "flv", "msmpeg4v2", "msmpeg4v3", "msmpeg4", "wmv1", "wmv2", "wmv3", "vc1", "theora",
                               "mjpeg", "prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "dvvideo"};

std::string text_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<std::int64_t> number_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number_integer()) return std::nullopt;
  const auto value = at->get<std::int64_t>();
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (value > most || value < -most) return std::nullopt;
  return value;
}

template <class Number>
std::optional<Number> whole(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Rational> ratio(std::string_view text, char between) {
  const auto at = text.find(between);
  if (at == std::string_view::npos) return std::nullopt;
  const auto above = whole<std::int32_t>(text.substr(0, at)), below = whole<std::int32_t>(text.substr(at + 1));
  if (!above || !below || *above <= 0 || *below <= 0) return std::nullopt;
  return Rational{*above, *below};
}

std::string quoted(std::string text) {
  if (text.empty()) return "nothing known";
  text.resize(std::min<std::size_t>(text.size(), 40));
  for (char& c : text)
    if (c < 0x20 || c >= 0x7f) c = '?';
  return "'" + text + "'";
}

/// ffprobe says by how much the picture is turned counterclockwise.
unsigned rotation_of(const Json& stream) {
  const auto list = stream.find("side_data_list");
  if (list == stream.end() || !list->is_array()) return 0;
  for (const auto& one : *list) {
    if (!one.is_object()) continue;
    const auto turned = number_at(one, "rotation");
    if (!turned || *turned % 90 != 0) continue;
    return static_cast<unsigned>(((-*turned % 360) + 360) % 360);
  }
  return 0;
}

/// Opus in Matroska does not tell its rate, and its encoders seldom go beyond this bound for two channels.
VideoSource::Audio audio_of(const Json& stream) {
  constexpr std::int64_t bit_per_s_most = 192'000, samples_per_s_most = 48'000;
  const auto channels = number_at(stream, "channels").value_or(0);
  const auto rate = whole<std::int64_t>(text_at(stream, "bit_rate")), samples = whole<std::int64_t>(text_at(stream, "sample_rate"));
  if (channels < 1 || channels > 2 || rate.value_or(0) > bit_per_s_most || samples.value_or(0) > samples_per_s_most)
    return VideoSource::Audio::other;
  const auto codec = text_at(stream, "codec_name");
  if (codec == "aac" && text_at(stream, "profile") == "LC" && rate && samples) return VideoSource::Audio::aac;
  return codec == "opus" ? VideoSource::Audio::opus : VideoSource::Audio::other;
}

bool is_picture(const Json& stream) {
  const auto disposition = stream.find("disposition");
  return disposition != stream.end() && disposition->is_object() && number_at(*disposition, "attached_pic").value_or(0) != 0;
}

std::int64_t to_us(std::int64_t time, Rational base) {
  const auto us = static_cast<__int128>(time) * base.numerator * 1'000'000;
  const auto half = base.denominator / 2;
  const auto rounded = (us >= 0 ? us + half : us - half) / base.denominator;
  constexpr __int128 most = 1LL << 52;
  return static_cast<std::int64_t>(std::clamp(rounded, -most, most));
}

/// Every second cut goes.
void thin_out(std::vector<VideoCut>& cuts) {
  std::vector<VideoCut> fewer;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    if (i % 2 == 0) fewer.push_back(cuts[i]);
    else fewer.back().packets += cuts[i].packets;
  }
  cuts = std::move(fewer);
}

}  // namespace

unsigned VideoSource::shown_width() const {
  // Pixels that are not square: the picture is made wider or narrower, its height stays.
  const auto wide = std::llround(static_cast<double>(width) * static_cast<double>(pixel_aspect.numerator) /
                                 static_cast<double>(pixel_aspect.denominator));
  return rotation % 180 == 0 ? static_cast<unsigned>(std::clamp<long long>(wide, side_min, side_max)) : height;
}

unsigned VideoSource::shown_height() const {
  if (rotation % 180 == 0) return height;
  const auto upright = VideoSource{.width = width, .height = height, .pixel_aspect = pixel_aspect};
  return upright.shown_width();
}

std::string decoded_codecs() { return fmt::format("{}", fmt::join(codecs, ",")); }

Result<VideoSource> judge_streams_report(std::string_view report) {
  Json document;
  ShallowJson<report_depth_max> parser(document);
  if (report.size() > streams_report_bytes_max || !Json::sax_parse(report.begin(), report.end(), &parser) || !document.is_object())
    return fail(Errc::invalid, "what ffprobe says of it cannot be read");
  const auto streams = document.find("streams");
  if (streams == document.end() || !streams->is_array() || streams->empty()) return fail(Errc::invalid, "it is no video");
  if (streams->size() > streams_max) return fail(Errc::invalid, "it has {} streams, {} at most are looked at", streams->size(), streams_max);
  VideoSource source;
  const Json* video = nullptr;
  for (const auto& stream : *streams) {
    if (!stream.is_object()) continue;
    const auto index = number_at(stream, "index");
    if (!index || *index < 0 || *index >= 1000) continue;
    const auto type = text_at(stream, "codec_type");
    if (type == "video" && !video && !is_picture(stream)) {
      video = &stream;
      source.video_stream = static_cast<unsigned>(*index);
    } else if (type == "audio" && !source.audio_stream && !text_at(stream, "codec_name").empty()) {
      source.audio_stream = static_cast<unsigned>(*index);
      source.audio = audio_of(stream);
    }
  }
  if (!video) return fail(Errc::invalid, "it has no video");
  source.codec = text_at(*video, "codec_name");
  if (std::ranges::find(codecs, source.codec) == codecs.end())
    return fail(Errc::invalid, "its video is coded with {}, which is not transcoded", quoted(source.codec));
  const auto width = number_at(*video, "width").value_or(0), height = number_at(*video, "height").value_or(0);
  if (width < side_min || height < side_min || width > side_max || height > side_max ||
      static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height) > pixels_max)
    return fail(Errc::invalid, "its picture has {} by {} pixels: sides of {} to {} are transcoded", width, height, side_min, side_max);
  source.width = static_cast<unsigned>(width);
  source.height = static_cast<unsigned>(height);
  source.rotation = rotation_of(*video);
  if (const auto aspect = ratio(text_at(*video, "sample_aspect_ratio"), ':')) {
    const auto factor = static_cast<double>(aspect->numerator) / static_cast<double>(aspect->denominator);
    if (factor >= 0.1 && factor <= 10) source.pixel_aspect = *aspect;
  }
  const auto base = ratio(text_at(*video, "time_base"), '/');
  if (!base) return fail(Errc::invalid, "its video has no time base");
  source.time_base = *base;
  if (const auto format = document.find("format"); format != document.end() && format->is_object()) {
    const auto start = whole<double>(text_at(*format, "start_time"));
    if (start && std::isfinite(*start) && std::abs(*start) < seconds_max) source.start_us = std::llround(*start * 1e6);
  }
  return source;
}

Result<std::vector<VideoPacket>> parse_packets_report(std::string_view report) {
  const auto lines = static_cast<std::size_t>(std::ranges::count(report, '\n'));
  if (lines > packets_max || report.size() > packets_report_bytes_max)
    return fail(Errc::invalid, "it has more than {} frames, which are the most that are transcoded", packets_max);
  std::vector<VideoPacket> packets;
  packets.reserve(lines + 1);
  while (!report.empty()) {
    const auto end = std::min(report.find('\n'), report.size());
    const auto line = report.substr(0, end);
    report.remove_prefix(std::min(end + 1, report.size()));
    if (line.empty()) continue;
    const auto comma = line.find(',');
    if (comma == std::string_view::npos) return fail(Errc::invalid, "what ffprobe says of its packets cannot be read");
    VideoPacket packet;
    packet.time = whole<std::int64_t>(line.substr(0, comma));
    if (packet.time && (*packet.time > packet_time_most || *packet.time < -packet_time_most)) packet.time.reset();
    packet.is_key = line.substr(comma + 1).starts_with('K');
    packets.push_back(packet);
  }
  return packets;
}

std::string cuts_text(const std::vector<VideoCut>& cuts) {
  std::string text;
  for (std::size_t i = 1; i < cuts.size(); ++i) text += fmt::format("{}{}", i > 1 ? "," : "", cuts[i].begin - cuts.front().begin);
  return text;
}

Result<std::vector<VideoCut>> cut_video(const std::vector<VideoPacket>& packets, Rational time_base, std::int64_t least_us) {
  const auto first = std::ranges::find_if(packets, &VideoPacket::is_key);
  if (packets.empty()) return fail(Errc::invalid, "it has no frames");
  if (first == packets.end()) return fail(Errc::invalid, "it has no frame that can be decoded by itself");
  const auto all = packets.size(), begin = static_cast<std::size_t>(first - packets.begin());
  // What is before the first key frame cannot be decoded, and is not copied: the video begins with the latter.
  const auto start = first->time ? to_us(*first->time, time_base) : 0;
  std::vector<VideoCut> cuts{{begin, all - begin, start}};
  if (!std::all_of(first, packets.end(), [](const VideoPacket& packet) { return packet.time.has_value(); })) return cuts;
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> earliest_after(all + 1, most);
  for (auto i = all; i-- > begin;) earliest_after[i] = std::min(earliest_after[i + 1], *packets[i].time);
  std::int64_t latest = std::numeric_limits<std::int64_t>::min();
  for (auto i = begin; i < all; ++i) latest = std::max(latest, *packets[i].time);
  const auto end_us = to_us(latest, time_base);
  // The last frame is shown for some time too, nobody knows how long.
  constexpr std::int64_t last_frame_us = 200'000;
  std::int64_t latest_before = *first->time;
  for (auto i = begin + 1; i < all; ++i) {
    const auto time = *packets[i].time;
    const auto us = to_us(time, time_base);
    // Cameras make a key frame every ten seconds less a frame's rounding.
    constexpr std::int64_t slack_us = 1000;
    if (packets[i].is_key && time > latest_before && time < earliest_after[i + 1] && us - cuts.back().start_us >= least_us - slack_us && end_us - us >= least_us - last_frame_us) {
      cuts.back().packets = i - cuts.back().begin;
      cuts.push_back({i, all - i, us});
    }
    latest_before = std::max(latest_before, time);
  }
  while (cuts_text(cuts).size() > cuts_text_bytes_max) thin_out(cuts);
  return cuts;
}

std::int64_t duration_us(const std::vector<VideoPacket>& packets, Rational time_base) {
  std::optional<std::int64_t> least, most;
  for (const auto& packet : packets) {
    if (!packet.time) continue;
    least = std::min(least.value_or(*packet.time), *packet.time);
    most = std::max(most.value_or(*packet.time), *packet.time);
  }
  return least ? to_us(*most, time_base) - to_us(*least, time_base) : 0;
}

}  // namespace spatter::cycles
