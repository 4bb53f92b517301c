#include "job_requests.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "crypto/hash.h"
#include "cycles/module.h"
#include "node/config.h"
#include "request_fields.h"

namespace spatter::doors {
namespace {

constexpr std::uint64_t fuel_default = 2'000'000'000'000;
constexpr std::uint64_t fuel_most = 1'000'000'000'000'000;
constexpr std::uint64_t memory_default = 256ULL << 20;
constexpr std::uint64_t memory_most = 512ULL << 20;
constexpr std::uint64_t output_default = 256ULL << 20;
constexpr std::uint64_t output_most = 1ULL << 30;
constexpr std::uint64_t chunk_least = 1024;
constexpr double chunk_auto_least = 64 << 10, chunk_most = 256 << 20;  ///< what little pieces take says little
constexpr std::uint64_t chunk_unknown = 4 << 20;  ///< of a program that nobody has run for this server yet
constexpr double piece_seconds = 10;
constexpr std::size_t names_at_a_time = 1000;
constexpr std::size_t args_max = 1000;
constexpr std::size_t args_bytes_max = 64 * 1024;
constexpr auto watch_every = std::chrono::milliseconds(500);

/// What is left of the longest common front is what outputs are called by.
struct Input {
  std::string path;  ///< in the volume
  std::string name;
  std::uint64_t bytes = 0;
};

Task<Result<void>> add_folder(Volume& volume, std::string path, std::string name, std::vector<Input>& inputs) {
  std::string after;
  while (true) {
    CO_TRY(const auto entries, co_await volume.list(path, after, names_at_a_time));
    if (entries.empty()) co_return Result<void>{};
    after = entries.back().name;
    for (const auto& entry : entries) {
      const auto below = name.empty() ? entry.name : name + "/" + entry.name;
      const auto full = path.empty() || path == "/" ? "/" + entry.name : path + "/" + entry.name;
      if (entry.node.is_directory()) CO_TRY_VOID(co_await add_folder(volume, full, below, inputs));
      else if (entry.node.is_file()) inputs.push_back({full, below, entry.node.size});
      if (inputs.size() > job_pieces_max) co_return fail(Errc::invalid, "more than {} input files", job_pieces_max);
    }
  }
}

Task<Result<std::vector<Input>>> find_inputs(Volume& volume, const Json& request) {
  std::vector<Input> inputs;
  const auto at = request.find("inputs");
  if (at == request.end()) co_return inputs;
  if (!at->is_array()) co_return fail(Errc::invalid, "'inputs' of the request is no list");
  if (at->empty()) co_return inputs;
  for (const auto& one : *at) {
    CO_TRY(const auto path, binary_at({{"input", one}}, "input"));
    CO_TRY(const auto found, co_await volume.follow(path));
    if (!found.node || found.missing > 0) co_return fail(Errc::not_found, "no such file in the volume: {}", path);
    if (found.node->is_directory()) {
      CO_TRY_VOID(co_await add_folder(volume, found.path, "", inputs));
    } else if (found.node->is_file()) {
      const auto slash = found.path.rfind('/');
      inputs.push_back({found.path, slash == std::string::npos ? found.path : found.path.substr(slash + 1), found.node->size});
    } else {
      co_return fail(Errc::invalid, "{} is neither a file nor a folder", path);
    }
  }
  if (inputs.empty()) co_return fail(Errc::invalid, "there are no files below the inputs named");
  std::map<std::string, std::string> names;
  for (const auto& input : inputs) {
    const auto [before, added] = names.emplace(input.name, input.path);
    if (!added)
      co_return fail(Errc::invalid, "{} and {} would both have their output called {}", before->second, input.path, input.name);
  }
  co_return inputs;
}

/// What takes about ten seconds by what is known of the program with these arguments.
std::uint64_t chunk_bytes_of(const SpeedBook& speeds, const WorkKind& kind) {
  std::vector<double> fuel_per_s;
  for (const auto& [key, entry] : speeds.entries())
    if (key.second == kind && entry.seconds > 0) fuel_per_s.push_back(entry.fuel / entry.seconds);
  const auto costs = speeds.costs().find(kind);
  if (fuel_per_s.empty() || costs == speeds.costs().end() || costs->second.bytes <= 0 || costs->second.fuel <= 0) return chunk_unknown;
  std::ranges::nth_element(fuel_per_s, fuel_per_s.begin() + fuel_per_s.size() / 2);
  const double fuel_per_byte = costs->second.fuel / costs->second.bytes;
  const double bytes = piece_seconds * fuel_per_s[fuel_per_s.size() / 2] / fuel_per_byte;
  return static_cast<std::uint64_t>(std::clamp(bytes, chunk_auto_least, chunk_most));
}

/// "files": one piece each. "chunks:SIZE": each file in stretches of that many bytes; "chunks:auto": of `by_speed`.
Result<std::vector<JobPiece>> split(const std::vector<Input>& inputs, const std::string& how, std::uint64_t by_speed) {
  std::vector<JobPiece> pieces;
  if (how.empty() || how == "files") {
    for (const auto& input : inputs) pieces.push_back({input.name, input.path, 0, input.bytes});
    return pieces;
  }
  if (!how.starts_with("chunks:"))
    return fail(Errc::invalid, "\"{}\": inputs are split as files, chunks:SIZE, such as chunks:16M, or chunks:auto", how);
  auto size = by_speed;
  if (how != "chunks:auto") {
    TRY(size, parse_size(std::string_view(how).substr(7)));
  }
  if (size < chunk_least) return fail(Errc::invalid, "chunks of {} bytes: at least {}", size, chunk_least);
  for (const auto& input : inputs) {
    const auto count = std::max<std::uint64_t>(1, (input.bytes + size - 1) / size);
    if (pieces.size() + count > job_pieces_max)
      return fail(Errc::invalid, "more than {} pieces: take larger chunks", job_pieces_max);
    for (std::uint64_t i = 0; i < count; ++i)
      pieces.push_back({fmt::format("{}.{:05}", input.name, i), input.path, i * size, std::min(size, input.bytes - i * size)});
  }
  return pieces;
}

Result<std::uint64_t> bounded(const Json& request, const char* key, std::uint64_t otherwise, std::uint64_t most) {
  TRY(const auto value, number_at(request, key, otherwise));
  if (value == 0 || value > most) return fail(Errc::invalid, "{} of {}: from 1 to {}", key, value, most);
  return value;
}

Result<Bytes> read_all(int file) {
  Bytes bytes;
  Bytes buffer(1 << 16);
  while (true) {
    const auto got = ::read(file, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(from_errno(errno, "read the module"));
    if (got == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(got) > job_module_bytes_max)
      return fail(Errc::invalid, "the module has more than {} bytes", job_module_bytes_max);
    bytes.insert(bytes.end(), buffer.begin(), buffer.begin() + got);
  }
}

/// Where the results go: a folder that is not there yet, or empty.
Task<Result<std::string>> find_output(Volume& volume, std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  CO_TRY(const auto place, co_await volume.follow(path));
  if (place.node && place.missing == 0) {
    if (!place.node->is_directory()) co_return fail(Errc::not_directory, "the output {} is there and no folder", path);
    CO_TRY(const auto inside, co_await volume.list(place.path, "", 1));
    if (!inside.empty()) co_return fail(Errc::not_empty, "the output folder {} is there and not empty", path);
  }
  co_return place.path;
}

Json forecast_json(const std::optional<Forecast>& forecast) {
  if (!forecast || !std::isfinite(forecast->p50_s)) return nullptr;
  return {{"p50_s", forecast->p50_s}, {"p90_s", forecast->p90_s}};
}

Json report_json(const JobReport& report) {
  Json workers = Json::array();
  for (const auto& worker : report.workers)
    workers.push_back({{"server", worker.server.hex()}, {"own", worker.own}, {"trusted", worker.trusted},
                       {"caught", worker.caught}, {"under_way", worker.under_way}, {"results", worker.results},
                       {"fuel_per_s", worker.fuel_per_s ? Json(*worker.fuel_per_s) : Json()}, {"trouble", worker.trouble}});
  return {{"job", report.id.hex()}, {"name", report.name}, {"kind", report.kind}, {"output", to_binary(report.output)},
          {"state", to_string(report.state)}, {"trouble", report.trouble}, {"pieces", report.pieces},
          {"agreed", report.agreed}, {"held", report.held}, {"hopeless", report.hopeless}, {"stuck", report.stuck},
          {"under_way", report.under_way}, {"failed_pieces", report.failed_pieces}, {"copies", report.copies},
          {"fuel", report.fuel}, {"fuel_computed", report.fuel_computed}, {"created_ms", report.created_ms},
          {"ended_ms", report.ended_ms}, {"left", forecast_json(report.left)}, {"quoted", forecast_json(report.quoted)},
          {"quoted_ms", report.quoted_ms}, {"workers", std::move(workers)}};
}

Json piece_json(const PieceReport& piece) {
  Json workers = Json::array();
  for (const auto& worker : piece.workers) workers.push_back(worker.hex());
  Json one = {{"piece", piece.piece}, {"name", to_binary(piece.name)}, {"state", piece.state}, {"workers", std::move(workers)},
              {"log", to_binary(piece.log)}};
  if (piece.result)
    one["result"] = {{"end", to_string(piece.result->end)}, {"exit_code", piece.result->exit_code}, {"fuel", piece.result->fuel},
                     {"output_bytes", piece.result->output_bytes}, {"output", piece.result->output.hex()}};
  return one;
}

}  // namespace

Task<Result<Json>> answer_job_run(Runtime& runtime, Server& server, const Json& request, const std::vector<int>& files) {
  CO_TRY_VOID(server.may_serve());
  CO_TRY_VOID(server.may_write());
  if (files.empty()) co_return fail(Errc::invalid, "a job without a module");
  JobSpec spec;
  spec.name = text_at(request, "name");
  auto read = co_await runtime.blocking([&]() -> Result<Bytes> {
    TRY(auto bytes, read_all(files.front()));
    // Every worker does the same: here the person hears it.
    if (auto good = admit(bytes); !good) return fail(good.error().during(text_at(request, "name")));
    return bytes;
  });
  CO_TRY(spec.module, std::move(read));
  if (const auto args = request.find("args"); args != request.end() && args->is_array()) {
    std::size_t bytes = 0;
    for (const auto& one : *args) {
      CO_TRY(spec.args.emplace_back(), binary_at({{"arg", one}}, "arg"));
      bytes += spec.args.back().size() + 1;
    }
    if (spec.args.size() > args_max || bytes > args_bytes_max)
      co_return fail(Errc::invalid, "more than {} arguments, or more than {} bytes of them", args_max, args_bytes_max);
  }
  // What a program takes depends on its arguments as much as on itself.
  Sha256 kind;
  kind.update(spec.module);
  for (const auto& argument : spec.args) kind.update(as_bytes("\n" + argument));
  spec.kind = kind.finish().hex();
  CO_TRY(const auto output, binary_at(request, "output"));
  CO_TRY(spec.output, co_await find_output(server.volume(), output));
  CO_TRY(spec.fuel_max, bounded(request, "fuel", fuel_default, fuel_most));
  CO_TRY(spec.memory_bytes_max, bounded(request, "memory", memory_default, memory_most));
  CO_TRY(spec.output_bytes_max, bounded(request, "output_max", output_default, output_most));
  CO_TRY(const auto inputs, co_await find_inputs(server.volume(), request));
  if (inputs.empty()) {
    if (const auto how = text_at(request, "split"); !how.empty()) CO_TRY_VOID(split({}, how, chunk_unknown));
    spec.pieces.push_back({"output", "", 0, 0});
  } else {
    CO_TRY(spec.pieces, split(inputs, text_at(request, "split"), chunk_bytes_of(server.jobs().speeds(), spec.kind)));
  }
  const auto pieces = spec.pieces.size();
  CO_TRY(const auto job, co_await server.jobs().submit(std::move(spec)));
  co_return Json{{"job", job.hex()}, {"pieces", pieces}};
}

Task<Result<Json>> answer_job_transcode(Server& server, const Json& request) {
  CO_TRY_VOID(server.may_serve());
  CO_TRY_VOID(server.may_write());
  CO_TRY(const auto asked, binary_at(request, "video"));
  const auto target = text_at(request, "to");
  CO_TRY(const auto found, co_await server.volume().follow(asked));
  if (!found.node || found.missing > 0) co_return fail(Errc::not_found, "no such file in the volume: {}", asked);
  if (!found.node->is_file()) co_return fail(Errc::invalid, "{} is no file", asked);
  if (found.node->size == 0) co_return fail(Errc::invalid, "{} is empty", asked);
  const auto slash = found.path.rfind('/');
  JobSpec spec;
  spec.name = slash == std::string::npos ? found.path : found.path.substr(slash + 1);
  spec.kind = "transcode " + target;
  spec.whole = JobSpec::Whole{found.path, found.node->size, target};
  CO_TRY(const auto output, binary_at(request, "output"));
  CO_TRY(spec.output, co_await find_output(server.volume(), output));
  const auto where = spec.output;
  CO_TRY(const auto job, co_await server.jobs().submit(std::move(spec)));
  co_return Json{{"job", job.hex()}, {"output", to_binary(where)}};
}

Task<Result<Json>> answer_jobs(Server& server, const Json& request) {
  const auto digits = text_at(request, "job");
  if (digits.empty()) {
    CO_TRY(const auto reports, co_await server.jobs().list());
    Json jobs = Json::array();
    for (const auto& report : reports) jobs.push_back(report_json(report));
    co_return Json{{"jobs", std::move(jobs)}};
  }
  CO_TRY(const auto job, co_await server.jobs().find(digits));
  CO_TRY(const auto report, co_await server.jobs().report(job));
  CO_TRY(const auto pieces, co_await server.jobs().pieces(job));
  Json answer = report_json(report);
  answer["of_pieces"] = Json::array();
  for (const auto& piece : pieces) answer["of_pieces"].push_back(piece_json(piece));
  co_return answer;
}

Task<Result<Json>> answer_job_cancel(Server& server, const Json& request) {
  CO_TRY(const auto job, co_await server.jobs().find(text_at(request, "job")));
  CO_TRY_VOID(co_await server.jobs().cancel(job));
  co_return Json{{"job", job.hex()}};
}

Task<Result<Json>> answer_job_remove(Server& server, const Json& request) {
  if (!request.contains("job")) {
    CO_TRY(const auto removed, co_await server.jobs().remove_ended());
    co_return Json{{"removed", removed}};
  }
  CO_TRY(const auto job, co_await server.jobs().find(text_at(request, "job")));
  CO_TRY_VOID(co_await server.jobs().remove(job));
  co_return Json{{"job", job.hex()}, {"removed", 1}};
}

Task<Result<Json>> answer_job_watch(Runtime& runtime, Server& server, ControlConnection& connection, const Json& request) {
  using namespace asio::experimental::awaitable_operators;
  CO_TRY(const auto job, co_await server.jobs().find(text_at(request, "job")));
  while (true) {
    const auto seen = server.jobs().changes(job);
    CO_TRY(const auto report, co_await server.jobs().report(job));
    if (report.state != JobState::running) co_return report_json(report);
    Json event = report_json(report);
    event["event"] = "job";
    CO_TRY_VOID(co_await connection.send(std::move(event)));
    // Not for every little thing; and what is foretold changes with time alone.
    const auto next = co_await (connection.receive() || runtime.sleep(watch_every));
    if (next.index() == 0) co_return Json::object();
    const auto change = co_await (server.jobs().wait_change(job, seen) || runtime.sleep(4 * watch_every));
    (void)change;
  }
}

}  // namespace spatter::doors
