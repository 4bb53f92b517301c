#include "video_workshop.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "base/shallow_json.h"
#include "crypto/hash.h"
#include "cycles/video_join.h"
#include "cycles/work_desk.h"

namespace spatter::doors {
namespace {

using Json = nlohmann::json;
using namespace cycles;
namespace fs = std::filesystem;

constexpr std::uint64_t file_bytes_most = 256ULL << 30;  // of one whole video; what a disk has room for is less
constexpr unsigned own_cpu_seconds = 24 * 3600;
constexpr auto own_wall = std::chrono::hours(48);
constexpr std::uint64_t piece_memory_bytes = 2ULL << 30;
constexpr std::size_t complaint_bytes_shown = 300;
constexpr std::size_t print_bytes_max = 1 << 20;

std::string first_line(const std::string& text) {
  auto line = text.substr(0, std::min(text.find('\n'), complaint_bytes_shown));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  return line;
}

/// How it ended, when not well. The disk's trouble may pass.
Result<std::string> well_ended(Result<SandboxEnd> end, std::string_view attempt) {
  if (!end) return fail(end.error().during(attempt));
  if (end->ended_well()) return std::move(end->output);
  const bool full = end->complaints.contains("No space left on device");
  return fail(full ? Errc::no_space : Errc::invalid, "{}: ffmpeg {}{}{}", attempt, to_string(end->how),
              end->how == SandboxHow::exited ? fmt::format(" with code {}", end->code) : "",
              end->complaints.empty() ? "" : ": " + first_line(end->complaints));
}

SandboxLimits own_limits() {
  auto limits = ToolWork::default_limits();
  limits.file_bytes_max = file_bytes_most;
  limits.cpu_seconds = own_cpu_seconds;
  limits.wall = own_wall;
  return limits;
}

Result<std::string> probe(ToolSession& tools, const std::string& path, std::vector<std::string> arguments,
                          std::uint64_t said_bytes_max, std::string_view attempt) {
  ToolWork work;
  work.tool = Tool::ffprobe;
  work.arguments = {"-v", "error", "-protocol_whitelist", "file"};
  work.arguments.insert(work.arguments.end(), arguments.begin(), arguments.end());
  work.arguments.push_back("file:/input/source");
  work.inputs = {{"source", path}};
  work.limits = own_limits();
  work.limits.file_bytes_max = said_bytes_max + 1;
  return well_ended(tools.run(work), attempt);
}

Result<void> write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return fail(Errc::io, "{} cannot be written", path);
  return {};
}

Result<std::string> read_text(const std::string& path, std::size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.eof()) return fail(Errc::io, "{} cannot be read, or is too long", path);
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

Result<void> make_folder(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  fs::create_directories(path, error);
  if (error) return fail(from_errno(error.value(), "make the folder " + path));
  return {};
}

Result<std::uint64_t> size_of(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return fail(from_errno(error.value(), "look at " + path));
  return size;
}

/// What split() leaves for the end. Our own words, from our own database.
struct Plan {
  VideoTarget target = VideoTarget::h264_720p;
  std::string name;                      ///< of the one file that comes out, if it is one
  VideoSource source;                    ///< its streams and start
  std::vector<std::int64_t> start_us;    ///< of each stretch
  struct Rung {
    std::string name;
    unsigned width = 0, height = 0;
    std::uint64_t frame_fuel = 1;        ///< that one frame of it counts
  };
  std::vector<Rung> rungs;

  std::string text() const {
    Json rungs_json = Json::array();
    for (const auto& rung : rungs)
      rungs_json.push_back({{"name", rung.name}, {"width", rung.width}, {"height", rung.height}, {"frame_fuel", rung.frame_fuel}});
    Json plan = {{"target", to_string(target)}, {"name", Json::binary(std::vector<std::uint8_t>(name.begin(), name.end()))},
                 {"source_start_us", source.start_us}, {"start_us", start_us}, {"rungs", std::move(rungs_json)}};
    if (source.audio_stream) plan["audio_stream"] = *source.audio_stream;
    plan["audio"] = static_cast<int>(source.audio);
    const auto bytes = Json::to_cbor(plan);
    return {bytes.begin(), bytes.end()};
  }
  static Result<Plan> from(const std::string& text) {
    try {
      const auto json = Json::from_cbor(text);
      Plan plan;
      TRY(plan.target, parse_video_target(json.at("target").get<std::string>()));
      const auto& name = json.at("name").get_binary();
      plan.name.assign(name.begin(), name.end());
      plan.source.start_us = json.at("source_start_us");
      plan.start_us = json.at("start_us").get<std::vector<std::int64_t>>();
      for (const auto& rung : json.at("rungs"))
        plan.rungs.push_back({rung.at("name"), rung.at("width"), rung.at("height"), rung.at("frame_fuel")});
      if (std::ranges::any_of(plan.rungs, [](const Rung& rung) { return rung.frame_fuel == 0; }))
        return fail(Errc::corrupt, "jobs.db: the plan of a video has frames that count nothing");
      if (json.contains("audio_stream")) plan.source.audio_stream = json.at("audio_stream");
      // Jobs of earlier versions do not say.
      plan.source.audio = static_cast<VideoSource::Audio>(json.value("audio", static_cast<int>(VideoSource::Audio::other)));
      return plan;
    } catch (const Json::exception& error) {
      return fail(Errc::corrupt, "jobs.db: the plan of a video cannot be read: {}", error.what());
    }
  }
};

/// "film.mkv" -> "film.mp4".
std::string result_name(const std::string& name, VideoTarget target) {
  const auto dot = name.rfind('.');
  return (dot == std::string::npos || dot == 0 ? name : name.substr(0, dot)) + (target == VideoTarget::vp9 ? ".webm" : ".mp4");
}

Result<JobWorkshop::Split> split_video(ToolSession& tools, VideoTarget target, const std::string& name,
                                       const std::string& folder, EncoderPrints& prints) {
  const auto path = folder + "/source";
  TRY(const auto streams, probe(tools, path, {"-show_streams", "-show_format", "-of", "json"}, streams_report_bytes_max,
                                "look into the video"));
  TRY(const auto source, judge_streams_report(streams));
  TRY(const auto said, probe(tools, path, {"-select_streams", std::to_string(source.video_stream), "-show_entries",
                                           "packet=pts,flags", "-of", "csv=print_section=0"},
                             packets_report_bytes_max, "look at the video's frames"));
  TRY(const auto packets, parse_packets_report(said));
  TRY(const auto cuts, cut_video(packets, source.time_base));
  const auto rungs = rungs_of(target, source);

  TRY_VOID(make_folder(folder + "/in"));
  ToolWork cutting;
  cutting.arguments = cut_arguments(source, cuts);
  cutting.inputs = {{"source", path}};
  cutting.output_folder = folder + "/in";
  cutting.limits = own_limits();
  TRY_VOID(well_ended(tools.run(cutting), "cut the video"));
  std::error_code error;
  const auto files = static_cast<std::size_t>(std::distance(fs::directory_iterator(folder + "/in", error), fs::directory_iterator{}));
  if (error || files != cuts.size())
    return fail(Errc::invalid, "cut the video: {} pieces came out instead of {}", files, cuts.size());

  TRY(const auto print, prints.of(tools, rungs.front().work.codec(), folder));
  JobWorkshop::Split split;
  const auto length_us = duration_us(packets, source.time_base);
  for (const auto& rung : rungs) {
    auto work = rung.work;
    work.set_encoder(print.raw());
    TRY_VOID(check_transcode(work));
    for (std::size_t i = 0; i < cuts.size(); ++i) {
      JobPiece piece{.name = fmt::format("{}/{:05}", rung.name, i), .path = "in/" + cut_file(i)};
      TRY(piece.bytes, size_of(folder + "/" + piece.path));
      if (piece.bytes > WorkOptions().input_bytes_max)
        return fail(Errc::invalid, "the video's part from second {} on has {} bytes and nothing to cut it at; {} are the most for one server",
                    (cuts[i].start_us - cuts.front().start_us) / 1'000'000, piece.bytes, WorkOptions().input_bytes_max);
      piece.local = true;
      piece.fuel = transcode_fuel(work, cuts[i].packets);
      piece.work = work.SerializeAsString();
      split.fuel_max = std::max(split.fuel_max, transcode_fuel_max(work, piece.fuel));
      // Generous: what a second of noise takes, and more.
      const auto until_us = i + 1 < cuts.size() ? cuts[i + 1].start_us : cuts.front().start_us + length_us;
      const auto seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, until_us - cuts[i].start_us)) / 1'000'000 + 1;
      split.output_bytes_max = std::max(split.output_bytes_max, std::min<std::uint64_t>(1ULL << 30, (32ULL << 20) + seconds * (4ULL << 20)));
      split.pieces.push_back(std::move(piece));
    }
  }
  split.memory_bytes_max = piece_memory_bytes;
  // Speeds compare between videos of one codec and size.
  const auto lines = std::min(source.width, source.height);
  split.kind = fmt::format("transcode {} from {} {}", to_string(target), source.codec,
                           lines <= 480 ? "to 480p" : lines <= 720 ? "to 720p" : lines <= 1080 ? "to 1080p" : "above 1080p");
  Plan plan{.target = target, .name = result_name(name, target), .source = source, .start_us = {}, .rungs = {}};
  for (const auto& cut : cuts) plan.start_us.push_back(cut.start_us);
  for (const auto& rung : rungs) plan.rungs.push_back({rung.name, rung.work.width(), rung.work.height(), transcode_fuel(rung.work, 1)});
  split.plan = plan.text();
  return split;
}

Result<void> make_audio(ToolSession& tools, const Plan& plan, const std::string& folder) {
  const auto done = folder + "/audio", making = folder + "/audio.part";
  if (!plan.source.audio_stream || fs::exists(done)) return {};
  TRY_VOID(write_text(making, ""));
  ToolWork work;
  work.arguments = audio_arguments(plan.target, plan.source);
  work.inputs = {{"source", folder + "/source"}};
  work.outputs = {{audio_file(plan.target), making}};
  work.limits = own_limits();
  TRY_VOID(well_ended(tools.run(work), "make the sound"));
  Descriptor file(::open(making.c_str(), O_RDONLY | O_CLOEXEC));
  // Once this returns the source may be removed: the name, too, has to be on the disk then.
  Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file || ::fsync(file.get()) != 0 || ::rename(making.c_str(), done.c_str()) != 0 || !directory || ::fsync(directory.get()) != 0)
    return fail(from_errno(errno, "keep the sound"));
  return {};
}

/// Of one piece, before ffmpeg sees it: the frames that were counted for it. Errors: corrupt and invalid, it cannot be
/// what it should be.
Result<std::uint64_t> frames_counted(const std::string& path, std::uint64_t fuel, std::uint64_t frame_fuel, std::size_t number) {
  std::array<char, 32> beginning{};
  std::ifstream file(path, std::ios::binary);
  file.read(beginning.data(), beginning.size());
  if (file.bad()) return fail(Errc::io, "{} cannot be read", path);
  if (file.gcount() == 0) return fail(Errc::invalid, "piece {} came to nothing", number);
  if (!is_nut({beginning.data(), static_cast<std::size_t>(file.gcount())}))
    return fail(Errc::corrupt, "piece {} came to a file that is not NUT", number);
  if (fuel == 0) return fail(Errc::invalid, "piece {} came to no frame", number);
  if (fuel % frame_fuel != 0)
    return fail(Errc::corrupt, "piece {} counts {} fuel, which is no number of frames", number, fuel);
  return fuel / frame_fuel;
}

/// Why so many frames are missing, or too many: the first piece that holds another number than was counted.
std::string name_bad_piece(ToolSession& tools, const std::vector<std::string>& paths, const std::vector<std::uint64_t>& frames,
                           std::size_t first_number) {
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const auto said = probe(tools, paths[i], {"-f", "nut", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of",
                                              "csv=print_section=0"}, 1 << 10, "count a piece's frames");
    std::uint64_t count = 0;
    if (said) std::from_chars(said->data(), said->data() + said->size(), count);
    if (count != frames[i]) return fmt::format("piece {} holds {} frames, and {} were counted for it", first_number + i, count, frames[i]);
  }
  return "each piece by itself holds what was counted for it";
}

Result<std::vector<JobWorkshop::Made>> join_video(ToolSession& tools, const Plan& plan, const std::string& drive,
                                                  const std::string& job_folder, const std::vector<JobWorkshop::Output>& outputs) {
  const auto folder = drive + "/" + job_folder, made = folder + "/made";
  const auto stretches = plan.start_us.size();
  if (outputs.size() != stretches * plan.rungs.size())
    return fail(Errc::corrupt, "jobs.db: {} pieces of a video instead of {}", outputs.size(), stretches * plan.rungs.size());
  TRY_VOID(make_folder(made));
  const bool with_audio = plan.source.audio_stream.has_value();
  const bool ladder = plan.target == VideoTarget::hls_ladder;
  const auto run = [&](std::vector<std::string> arguments, std::vector<ToolWork::File> inputs, std::uint64_t bytes_max) {
    ToolWork work;
    work.arguments = std::move(arguments);
    work.inputs = std::move(inputs);
    work.folders = {{"out", folder + "/out"}};
    work.output_folder = made;
    work.limits = own_limits();
    work.limits.file_bytes_max = std::min(bytes_max, file_bytes_most);
    return well_ended(tools.run(work), "put the pieces together");
  };
  std::uint64_t audio_bytes = 0;
  if (with_audio) {
    TRY(audio_bytes, size_of(folder + "/audio"));
  }
  std::vector<LadderRung> rungs;
  std::vector<std::string> names;
  for (std::size_t r = 0; r < plan.rungs.size(); ++r) {
    std::vector<std::string> paths, paths_inside;
    std::vector<std::uint64_t> frames;
    std::uint64_t frames_in_all = 0, bytes_in_all = 0;
    for (std::size_t i = 0; i < stretches; ++i) {
      const auto& output = outputs[r * stretches + i];
      paths.push_back(drive + "/" + output.path);
      paths_inside.push_back("/input/out/" + output.path.substr(output.path.rfind('/') + 1));
      TRY(const auto counted, frames_counted(paths.back(), output.fuel, plan.rungs[r].frame_fuel, r * stretches + i));
      TRY(const auto bytes, size_of(paths.back()));
      frames.push_back(counted);
      frames_in_all += counted;
      bytes_in_all += bytes;
    }
    TRY_VOID(write_text(folder + "/list", join_list(paths_inside, plan.start_us)));
    std::vector<ToolWork::File> inputs{{"list", folder + "/list"}};
    if (with_audio && !ladder) inputs.push_back({"audio", folder + "/audio"});
    // What a file is called in a volume is no name for a tool.
    const auto& name = ladder ? plan.rungs[r].name : std::string("video");
    TRY(const auto said, run(join_arguments(plan.target, plan.start_us.front() - plan.source.start_us, with_audio && !ladder, name),
                             inputs, joined_bytes_max(bytes_in_all, audio_bytes, frames_in_all)));
    // Where a piece is broken ffmpeg leaves the rest of it out, and calls that well ended.
    TRY(const auto written, frames_of_progress(said));
    if (written != frames_in_all)
      return fail(Errc::corrupt, "put the pieces together: {} frames came out instead of {}: {}", written, frames_in_all,
                  name_bad_piece(tools, paths, frames, r * stretches));
    if (!ladder) continue;
    LadderRung rung{.name = name, .width = plan.rungs[r].width, .height = plan.rungs[r].height};
    TRY(const auto playlist, read_text(made + "/" + name + ".m3u8", 64 << 20));
    TRY(rung.rates, playlist_rates(playlist));
    TRY(const auto level, probe(tools, made + "/" + name + ".mp4", {"-show_entries", "stream=level", "-of", "csv=print_section=0"},
                                1 << 10, "look at what was put together"));
    TRY(rung.level, parse_level(level));
    rungs.push_back(rung);
    names.insert(names.end(), {name + ".m3u8", name + ".mp4"});
  }
  std::vector<JobWorkshop::Made> all;
  const auto add = [&](const std::string& name, const std::string& file) -> Result<void> {
    TRY(const auto bytes, size_of(made + "/" + file));
    all.push_back({name, job_folder + "/made/" + file, bytes});
    return {};
  };
  if (!ladder) {
    TRY_VOID(add(plan.name, "video"));
    return all;
  }
  std::optional<PlaylistRates> audio;
  if (with_audio) {
    TRY_VOID(run(ladder_audio_arguments(), {{"audio", folder + "/audio"}}, joined_bytes_max(0, audio_bytes, 0)));
    TRY(const auto playlist, read_text(made + "/audio.m3u8", 64 << 20));
    TRY(audio, playlist_rates(playlist));
    names.insert(names.end(), {"audio.m3u8", "audio.mp4"});
  }
  TRY_VOID(write_text(made + "/master.m3u8", master_playlist(rungs, audio)));
  // Last: who finds it finds all that it names.
  names.push_back("master.m3u8");
  for (const auto& name : names) TRY_VOID(add(name, name));
  return all;
}

}  // namespace

Result<Digest> encoder_print(ToolSession& tools, wire::TranscodeWork::Codec codec, const std::string& scratch_folder) {
  const auto path = scratch_folder + "/print";
  TRY_VOID(write_text(path, ""));
  ToolWork work;
  work.arguments = standard_clip_arguments(codec);
  work.outputs = {{"piece", path}};
  work.limits.file_bytes_max = print_bytes_max;
  TRY_VOID(well_ended(tools.run(work), "try this machine's ffmpeg"));
  TRY(const auto bytes, read_text(path, print_bytes_max));
  std::error_code ignored;
  fs::remove(path, ignored);
  return sha256(as_bytes(bytes));
}

Result<Digest> EncoderPrints::of(ToolSession& tools, wire::TranscodeWork::Codec codec, const std::string& scratch_folder) {
  if (const auto seen = known(codec)) return *seen;
  TRY(const auto print, encoder_print(tools, codec, scratch_folder));
  const std::lock_guard lock(mutex_);
  return known_.emplace(codec, print).first->second;
}

std::optional<Digest> EncoderPrints::known(wire::TranscodeWork::Codec codec) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(codec);
  return found == known_.end() ? std::nullopt : std::optional(found->second);
}

VideoWorkshop::VideoWorkshop(Runtime& runtime, std::string drive) : drive_(std::move(drive)), threads_(runtime) {}

Result<void> VideoWorkshop::can_make(const std::string& target) const {
  TRY_VOID(parse_video_target(target));
  for (const auto* tool : {"/usr/bin/ffmpeg", "/usr/bin/ffprobe", "/usr/bin/bwrap"})
    if (::access(tool, X_OK) != 0) return fail(Errc::unavailable, "{} is missing: without it no video is transcoded", tool);
  return {};
}

Task<Result<JobWorkshop::Split>> VideoWorkshop::split(std::string target, std::string name, std::string folder) {
  CO_TRY(const auto to, parse_video_target(target));
  std::function<Result<Split>(ToolSession&)> work = [this, to, name, folder = drive_ + "/" + folder](ToolSession& tools) -> Result<Split> {
    auto split = split_video(tools, to, name, folder, prints_);
    if (!split) return fail(split.error().during(name));
    return split;
  };
  co_return co_await threads_.run(std::move(work));
}

Task<Result<void>> VideoWorkshop::beside(std::string folder, std::string plan) {
  CO_TRY(auto parsed, Plan::from(plan));
  std::function<Result<void>(ToolSession&)> work = [parsed, folder = drive_ + "/" + folder](ToolSession& tools) {
    return make_audio(tools, parsed, folder);
  };
  co_return co_await threads_.run(std::move(work));
}

Task<Result<std::vector<JobWorkshop::Made>>> VideoWorkshop::join(std::string folder, std::string plan, std::vector<Output> outputs) {
  CO_TRY(auto parsed, Plan::from(plan));
  std::function<Result<std::vector<Made>>(ToolSession&)> work = [parsed, drive = drive_, folder, outputs](ToolSession& tools) {
    return join_video(tools, parsed, drive, folder, outputs);
  };
  co_return co_await threads_.run(std::move(work));
}

}  // namespace spatter::doors
