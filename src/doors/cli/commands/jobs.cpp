// spatter jobs: work that the servers of the network do for one another.
#include <fcntl.h>

#include <algorithm>
#include <iostream>

#include "cli/context.h"
#include "cli/paths.h"
#include "cycles/ledger_view.h"
#include "node/config.h"

namespace spatter::doors {
namespace {

std::uint64_t number(const Json& one, const char* key) { return one.value(key, std::uint64_t{0}); }

std::string raw(const Json& one, const char* key) { return binary_at(one, key).value_or(""); }

/// As JSON has text: what is no UTF-8 in it gets the character that stands for such.
Json log_text(const std::string& log) {
  return Json::parse(Json(log).dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string left_text(const Json& report) {
  const Json& left = report["left"];
  if (left.is_null()) return "the time it takes is not known before the first results";
  return fmt::format("about {} left, {} at the latest in nine of ten cases", duration_text(left.value("p50_s", 0.0)),
                     duration_text(left.value("p90_s", 0.0)));
}

std::string one_line(const Json& report) {
  const auto done = number(report, "agreed") + number(report, "held");
  auto line = fmt::format("{} of {} pieces", done, number(report, "pieces"));
  if (number(report, "under_way") > 0) line += fmt::format(", {} under way", number(report, "under_way"));
  return line + "; " + left_text(report);
}

/// JSON for others: paths as text, hexadecimal beside it when they are not.
Json to_print(Json report) {
  report.erase("ok");
  report.erase("event");
  const auto name = [](Json& object, const char* key) {
    const auto bytes = raw(object, key);
    object.erase(key);
    put_name(object, key, bytes);
  };
  if (report.contains("output")) name(report, "output");
  if (report.contains("of_pieces"))
    for (auto& piece : report["of_pieces"]) {
      name(piece, "name");
      piece["log"] = log_text(raw(piece, "log"));
    }
  return report;
}

struct RunOptions {
  std::string module, output, split;
  std::vector<std::string> inputs, args;
  std::optional<std::uint64_t> fuel, memory, output_max;
  bool detach = false;
};

Result<void> finish(const Context& context, const Json& report) {
  const auto state = report.value("state", "");
  const auto why = fail(state == "cancelled" ? Errc::cancelled : Errc::invalid, "{}", report.value("trouble", state));
  if (context.json) {
    auto document = to_print(report);
    if (state != "done") document.update(error_json(why.error()));
    context.print(document);
  }
  if (state == "done") {
    if (!context.json)
      fmt::print("done: {} pieces in {}, in {}\n", number(report, "pieces"),
                 duration_text(static_cast<double>(number(report, "ended_ms") - number(report, "created_ms")) / 1000),
                 printable(raw(report, "output")));
    return {};
  }
  return why;
}

Result<void> watch(const Context& context, ControlClient& client, const std::string& job) {
  std::string last;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  auto answer = client.request({{"op", "job_watch"}, {"job", job}}, {}, [&](ControlClient::Frame frame) -> Result<void> {
    auto line = one_line(frame.message);
    if (const auto trouble = frame.message.value("trouble", ""); !trouble.empty()) line += "; " + printable_text(trouble);
    if (!terminal || line == last) return {};
    fmt::print(stderr, "\r\033[K{}", line);
    std::fflush(stderr);
    last = line;
    return {};
  });
  if (terminal && !last.empty()) fmt::print(stderr, "\r\033[K");
  if (!answer) return fail(answer.error());
  return finish(context, *answer);
}

Result<void> run(const Context& context, const RunOptions& options) {
  const Descriptor module(::open(options.module.c_str(), O_RDONLY | O_CLOEXEC));
  if (!module) return fail(from_errno(errno, fmt::format("open {}", options.module)));
  Json request = {{"op", "job_run"}, {"name", base_name(options.module)}, {"split", options.split},
                  {"inputs", Json::array()}, {"args", Json::array()}};
  TRY(const auto output, volume_path(options.output));
  request["output"] = to_binary(output);
  for (const auto& input : options.inputs) {
    TRY(const auto path, volume_path(input));
    request["inputs"].push_back(to_binary(path));
  }
  for (const auto& argument : options.args) request["args"].push_back(to_binary(argument));
  if (options.fuel) request["fuel"] = *options.fuel;
  if (options.memory) request["memory"] = *options.memory;
  if (options.output_max) request["output_max"] = *options.output_max;
  TRY(auto client, context.connect());
  TRY(const auto begun, client.request(request, {module.get()}));
  const auto job = begun.value("job", "");
  if (!context.json) {
    fmt::print("job {}: {} pieces\n", job.substr(0, 12), number(begun, "pieces"));
    std::fflush(stdout);
    fmt::print(stderr, "The servers that compute it see its program, arguments and input as they are; nobody else does.\n");
  }
  if (options.detach) {
    if (context.json) context.print({{"job", job}, {"pieces", number(begun, "pieces")}, {"state", "running"}});
    return {};
  }
  return watch(context, client, job);
}

struct TranscodeOptions {
  std::string video, target, output;
  bool detach = false;
};

/// Beside the video, called after it: /films/a.mkv to /films/a-vp9.
std::string place_beside(const std::string& video, const std::string& target) {
  const auto slash = video.rfind('/'), dot = video.rfind('.');
  const bool has_ending = dot != std::string::npos && (slash == std::string::npos ? dot > 0 : dot > slash + 1);
  return (has_ending ? video.substr(0, dot) : video) + "-" + target;
}

Result<void> transcode(const Context& context, const TranscodeOptions& options) {
  TRY(const auto video, volume_path(options.video));
  TRY(const auto output, volume_path(options.output.empty() ? place_beside(video, options.target) : options.output));
  TRY(auto client, context.connect());
  TRY(const auto begun, client.request({{"op", "job_transcode"}, {"video", to_binary(video)}, {"to", options.target},
                                        {"output", to_binary(output)}}));
  const auto job = begun.value("job", "");
  if (!context.json) {
    fmt::print("job {}: to {}\n", job.substr(0, 12), printable(raw(begun, "output")));
    std::fflush(stdout);
    fmt::print(stderr, "The servers that compute it see their pieces of the video's pictures as they are; nobody else does.\n");
  }
  if (options.detach) {
    if (context.json) {
      Json document = {{"job", job}, {"state", "running"}};
      put_name(document, "output", raw(begun, "output"));
      context.print(document);
    }
    return {};
  }
  return watch(context, client, job);
}

Result<void> list(const Context& context) {
  TRY(auto client, context.connect());
  TRY(auto answer, client.request({{"op", "jobs"}}));
  if (context.json) {
    Json jobs = Json::array();
    for (auto& one : answer["jobs"]) jobs.push_back(to_print(std::move(one)));
    context.print({{"jobs", std::move(jobs)}});
    return {};
  }
  stop_when_output_closes();
  if (answer["jobs"].empty()) fmt::print("There are no jobs.\n");
  for (const Json& one : answer["jobs"]) {
    const auto state = one.value("state", "");
    fmt::print("{}  {:<9}  {}  to {}  {}\n", one.value("job", "").substr(0, 12), state, printable_text(one.value("name", "")),
               printable(raw(one, "output")), state == "running" ? one_line(one) : fmt::format("{} pieces", number(one, "pieces")));
    if (const auto trouble = one.value("trouble", ""); !trouble.empty()) fmt::print("              {}\n", printable_text(trouble));
  }
  return {};
}

Result<void> show(const Context& context, const std::string& job) {
  TRY(auto client, context.connect());
  TRY(auto report, client.request({{"op", "jobs"}, {"job", job}}));
  if (context.json) {
    context.print(to_print(std::move(report)));
    return {};
  }
  stop_when_output_closes();
  fmt::print("job      {}\nprogram  {}\noutput   {}\nstate    {}\n", report.value("job", ""),
             printable_text(report.value("name", "")), printable(raw(report, "output")), report.value("state", ""));
  if (const auto trouble = report.value("trouble", ""); !trouble.empty()) fmt::print("trouble  {}\n", printable_text(trouble));
  if (report.value("state", "") == "running") fmt::print("progress {}\n", one_line(report));
  if (const Json& quoted = report["quoted"]; !quoted.is_null())
    fmt::print("foretold {} (nine of ten: {}), from the first results on\n", duration_text(quoted.value("p50_s", 0.0)),
               duration_text(quoted.value("p90_s", 0.0)));
  if (number(report, "copies") > 0)
    fmt::print("results  {} for {} pieces\n", number(report, "copies"), number(report, "pieces"));
  for (const Json& worker : report["workers"])
    fmt::print("  server {}{}  {} results, {} under way{}{}\n", worker.value("server", "").substr(0, 12),
               worker.value("caught", false)    ? " (computed wrongly)"
               : worker.value("own", false)     ? " (own)"
               : worker.value("trusted", false) ? " (trusted)"
                                                : "",
               number(worker, "results"), number(worker, "under_way"),
               worker["fuel_per_s"].is_null() ? "" : fmt::format(", {:.3g} fuel/s", worker["fuel_per_s"].get<double>()),
               worker.value("trouble", "").empty() ? "" : ": " + printable_text(worker.value("trouble", "")));
  for (const Json& piece : report["of_pieces"]) {
    std::string what = piece.value("state", "");
    if (piece.contains("result")) {
      const Json& result = piece["result"];
      what += fmt::format("{}{}, {} out, {} fuel", what.empty() ? "" : ", ",
                          result.value("end", "") == "exited" ? fmt::format("exit code {}", result.value("exit_code", 0))
                                                              : result.value("end", ""),
                          bytes_text(number(result, "output_bytes")), cycles::fuel_text(number(result, "fuel")));
    }
    fmt::print("  piece {} {}: {}\n", number(piece, "piece"), printable(raw(piece, "name")), what);
  }
  return {};
}

Result<void> cancel(const Context& context, const std::string& job) {
  TRY(auto client, context.connect());
  TRY(const auto answer, client.request({{"op", "job_cancel"}, {"job", job}}));
  if (context.json) context.print({{"job", answer.value("job", "")}, {"state", "cancelled"}});
  else fmt::print("cancelled {}\n", answer.value("job", "").substr(0, 12));
  return {};
}

Result<void> remove(const Context& context, const std::string& job, bool ended) {
  if (job.empty() == !ended) return fail(Errc::invalid, "name one job, or say --ended for all that have ended");
  TRY(auto client, context.connect());
  Json request{{"op", "job_remove"}};
  if (!ended) request["job"] = job;
  TRY(auto answer, client.request(request));
  answer.erase("ok");
  if (context.json) context.print(answer);
  else if (ended) fmt::print("removed {} {}; what they wrote is where it was\n", number(answer, "removed"), number(answer, "removed") == 1 ? "job" : "jobs");
  else fmt::print("removed {}; what it wrote is where it was\n", answer.value("job", "").substr(0, 12));
  return {};
}

Result<void> logs(const Context& context, const std::string& job, std::optional<std::uint64_t> wanted) {
  TRY(auto client, context.connect());
  TRY(const auto report, client.request({{"op", "jobs"}, {"job", job}}));
  stop_when_output_closes();
  Json all = Json::array();
  bool found = !wanted;
  for (const Json& piece : report["of_pieces"]) {
    if (wanted && number(piece, "piece") != *wanted) continue;
    found = true;
    const auto log = raw(piece, "log");
    if (context.json) {
      all.push_back({{"piece", number(piece, "piece")}, {"log", log_text(log)}});
      continue;
    }
    if (log.empty()) continue;
    if (!wanted) fmt::print("-- piece {} {}\n", number(piece, "piece"), printable(raw(piece, "name")));
    // It is strangers' text: a terminal gets it without what would steer it.
    if (::isatty(STDOUT_FILENO) == 1) {
      std::string_view rest = log;
      while (!rest.empty()) {
        const auto end = std::min(rest.find('\n'), rest.size());
        fmt::print("{}\n", printable(rest.substr(0, end)));
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
      continue;
    }
    std::fwrite(log.data(), 1, log.size(), stdout);
    if (!log.ends_with('\n')) fmt::print("\n");
  }
  if (!found) return fail(Errc::not_found, "job {} has no piece {}", report.value("job", "").substr(0, 12), *wanted);
  if (context.json) context.print({{"job", report.value("job", "")}, {"logs", std::move(all)}});
  return {};
}

}  // namespace

void add_jobs(CLI::App& app, Context& context) {
  auto* jobs = app.add_subcommand("jobs", "Work that the servers of the network do for one another");
  jobs->require_subcommand(1);

  auto options = std::make_shared<RunOptions>();
  auto* run_command = add_command(*jobs, context, "run", "Have a WebAssembly program computed, a piece for each input",
                                  [&context, options] { return run(context, *options); });
  run_command->add_option("module", options->module, "The program, built for wasm32-wasi: a file of this machine. It reads "
                          "its piece from standard input and writes to standard output")->required()->type_name("MODULE.wasm");
  run_command->add_option("--input", options->inputs, "Files or folders of the volume; none: one piece without input")->type_name("PATH");
  run_command->add_option("--split", options->split, "files: a piece each (the default); chunks:SIZE: a piece for so many bytes of each, as chunks:16M; chunks:auto: for what takes about ten seconds, as far as that is known from earlier jobs of the program")->type_name("HOW");
  run_command->add_option("--args", options->args, "Arguments for the program, up to the next option; one that begins with a hyphen: --args=-v")->type_name("ARG")->expected(0, -1)->allow_extra_args();
  run_command->add_option("--output", options->output, "A folder of the volume, new or empty, for what comes out")->required()->type_name("DIR");
  run_command->add_option("--fuel", options->fuel, "How much one piece may compute, in units of fuel; more ends it. 2000000000000 unless said")->type_name("N")
      ->check(CLI::NonNegativeNumber);
  const auto size = [](const std::string& text) { return parse_size(text); };
  run_command->add_option_function<std::string>("--memory", [options](const std::string& text) { options->memory = *parse_size(text); },
                                                "How much memory it may have: 256M unless said, 512M at most")->check(parsed_by(size, "SIZE"));
  run_command->add_option_function<std::string>("--output-max", [options](const std::string& text) { options->output_max = *parse_size(text); },
                                                "How much one piece may write: 256M unless said, 1G at most")->check(parsed_by(size, "SIZE"));
  run_command->add_flag("--detach", options->detach, "Do not wait for it");
  add_json_flag(run_command, context);

  auto film = std::make_shared<TranscodeOptions>();
  auto* transcode_command = add_command(*jobs, context, "transcode", "Have a video of the volume coded anew, by many servers at once",
                                        [&context, film] { return transcode(context, *film); });
  transcode_command->add_option("video", film->video, "A file of the volume")->required()->type_name("VIDEO");
  transcode_command->add_option("--to", film->target, "h264-720p: one MP4 file; vp9: one WebM file; hls-ladder: a folder of several sizes to stream from")
      ->required()->type_name("TARGET")->check(CLI::IsMember({"h264-720p", "vp9", "hls-ladder"}));
  transcode_command->add_option("--output", film->output, "A folder of the volume, new or empty; unless said, one beside the video, "
                                "called after it and the target")->type_name("DIR");
  transcode_command->add_flag("--detach", film->detach, "Do not wait for it");
  add_json_flag(transcode_command, context);

  auto* list_command = add_command(*jobs, context, "ls", "All jobs that this server gave out, newest first", [&context] { return list(context); });
  add_json_flag(list_command, context);

  auto which = std::make_shared<std::string>();
  const auto of_one = [&](CLI::App* command) {
    command->add_option("job", *which, "The first digits of its id")->required()->type_name("JOB")->check(id_digits());
    add_json_flag(command, context);
    return command;
  };
  of_one(add_command(*jobs, context, "show", "One job: its pieces, who computes them, when it will be done",
                     [&context, which] { return show(context, *which); }));
  of_one(add_command(*jobs, context, "wait", "Wait until a job has ended", [&context, which]() -> Result<void> {
    TRY(auto client, context.connect());
    return watch(context, client, *which);
  }));
  of_one(add_command(*jobs, context, "cancel", "Stop a job", [&context, which] { return cancel(context, *which); }));
  auto ended = std::make_shared<bool>(false);
  auto* remove_command = add_command(*jobs, context, "rm", "Forget a job that has ended; its output stays in the volume",
                                     [&context, which, ended] { return remove(context, *which, *ended); });
  remove_command->add_option("job", *which, "The first digits of its id")->type_name("JOB")->check(id_digits());
  remove_command->add_flag("--ended", *ended, "All that have ended");
  add_json_flag(remove_command, context);
  auto piece = std::make_shared<std::optional<std::uint64_t>>();
  auto* logs_command = of_one(add_command(*jobs, context, "logs", "What its pieces wrote to standard error",
                                          [&context, which, piece] { return logs(context, *which, *piece); }));
  logs_command->add_option("--piece", *piece, "Of this one only")->type_name("N");
}

}  // namespace spatter::doors
