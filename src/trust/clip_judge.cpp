#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "base/shallow_json.h"
#include "trust/clip.h"

namespace spatter {
namespace {

using Json = nlohmann::json;

constexpr std::size_t streams_max = 8;

constexpr int report_depth_max = 6;

std::string text_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<std::uint32_t> number_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number_unsigned()) return std::nullopt;
  const auto value = at->get<std::uint64_t>();
  if (value > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

/// Seconds as ffprobe writes them, "12.345000", in milliseconds.
std::optional<std::int64_t> ms_at(const Json& object, const char* key) {
  const auto text = text_at(object, key);
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(seconds) || std::abs(seconds) > 1e9) return std::nullopt;
  return std::llround(seconds * 1000);
}

const Json& list_at(const Json& object, const char* key) {
  static const Json none = Json::array();
  const auto at = object.find(key);
  return at != object.end() && at->is_array() ? *at : none;
}

std::string quoted(std::string text) {
  if (text.empty()) return "nothing known";
  text.resize(std::min<std::size_t>(text.size(), 40));
  for (char& c : text) {
    if (c < 0x20 || c >= 0x7f) c = '?';
  }
  return "'" + text + "'";
}

/// How long the packets of one stream last, first to end.
struct Span {
  std::int64_t begin = std::numeric_limits<std::int64_t>::max();
  std::int64_t end = std::numeric_limits<std::int64_t>::min();
  std::size_t packets = 0;
  std::int64_t ms() const { return packets == 0 ? 0 : end - begin; }
};

Span span_of(const Json& packets, std::uint32_t stream) {
  Span span;
  for (const auto& packet : packets) {
    if (!packet.is_object() || number_at(packet, "stream_index") != stream) continue;
    const auto at = ms_at(packet, "pts_time");
    if (!at) continue;
    const auto lasts = std::max<std::int64_t>(ms_at(packet, "duration_time").value_or(0), 0);
    span.begin = std::min(span.begin, *at);
    span.end = std::max(span.end, *at + lasts);
    ++span.packets;
  }
  return span;
}

struct Stream {
  std::uint32_t index = 0;
  const Json* facts = nullptr;
};

/// The one stream of a type; more than one, or none, is not what a webcam makes.
Result<Stream> only_stream(const Json& streams, std::string_view type) {
  std::optional<Stream> found;
  for (const auto& stream : streams) {
    if (!stream.is_object() || text_at(stream, "codec_type") != type) continue;
    const auto index = number_at(stream, "index");
    if (!index) return fail(Errc::invalid, "the clip has a {} stream without a number", type);
    if (found) return fail(Errc::invalid, "the clip has more than one {} stream", type);
    found = Stream{*index, &stream};
  }
  if (!found) return fail(Errc::invalid, "the clip has no {}", type == "audio" ? "sound" : "picture");
  return *found;
}

Result<std::string> codec_of(const Stream& stream, std::initializer_list<std::string_view> allowed) {
  auto name = text_at(*stream.facts, "codec_name");
  if (std::ranges::find(allowed, name) != allowed.end()) return name;
  return fail(Errc::invalid, "the clip is coded with {}: allowed are VP8, VP9, AV1 or H.264 with "
              "Opus, Vorbis or AAC", quoted(std::move(name)));
}

Result<void> check_length(std::int64_t ms, const ClipLimits& limits, std::string_view what) {
  if (ms < limits.ms_min)
    return fail(Errc::invalid, "the clip's {} lasts {:.1f} s, at least {} s are needed", what,
                static_cast<double>(std::max<std::int64_t>(ms, 0)) / 1000, limits.ms_min / 1000);
  if (ms > limits.ms_max)
    return fail(Errc::invalid, "the clip's {} lasts {:.1f} s, at most {} s are allowed", what,
                static_cast<double>(ms) / 1000, limits.ms_max / 1000);
  return {};
}

}  // namespace

Result<ClipFacts> judge_probe_report(std::string_view report, const ClipLimits& limits) {
  if (report.size() > probe_report_bytes_max)
    return fail(Errc::invalid, "the clip has more packets than a minute of video");
  Json document;
  ShallowJson<report_depth_max> parser(document);
  if (!Json::sax_parse(report.begin(), report.end(), &parser) || !document.is_object())
    return fail(Errc::invalid, "the prober's report on the clip cannot be read");

  ClipFacts facts;
  const auto format = document.find("format");
  auto name = format != document.end() && format->is_object() ? text_at(*format, "format_name")
                                                              : std::string();
  if (name == "matroska,webm") facts.container = "webm";
  else if (name == "mov,mp4,m4a,3gp,3g2,mj2") facts.container = "mp4";
  else return fail(Errc::invalid, "the clip is {}: allowed are WebM and MP4", quoted(std::move(name)));

  const auto& streams = list_at(document, "streams");
  if (streams.size() > streams_max)
    return fail(Errc::invalid, "the clip has {} streams", streams.size());
  TRY(const auto video, only_stream(streams, "video"));
  TRY(const auto audio, only_stream(streams, "audio"));
  TRY(facts.video, codec_of(video, {"vp8", "vp9", "av1", "h264"}));
  TRY(facts.audio, codec_of(audio, {"opus", "vorbis", "aac"}));

  facts.width = number_at(*video.facts, "width").value_or(0);
  facts.height = number_at(*video.facts, "height").value_or(0);
  if (std::min(facts.width, facts.height) < limits.side_min ||
      std::max(facts.width, facts.height) > limits.side_max)
    return fail(Errc::invalid, "the clip's picture has {} by {} pixels, allowed are {} to {}",
                facts.width, facts.height, limits.side_min, limits.side_max);

  const auto& packets = list_at(document, "packets");
  const auto seen = span_of(packets, video.index);
  const auto heard = span_of(packets, audio.index);
  TRY_VOID(check_length(seen.ms(), limits, "picture"));
  TRY_VOID(check_length(heard.ms(), limits, "sound"));
  if (seen.packets < 2 * static_cast<std::size_t>(seen.ms()) / 1000)
    return fail(Errc::invalid, "the clip shows {} pictures in {:.1f} s: fewer than two a second",
                seen.packets, static_cast<double>(seen.ms()) / 1000);
  facts.ms = static_cast<std::uint32_t>(std::max(seen.ms(), heard.ms()));
  return facts;
}

}  // namespace spatter
