// spatter pledge and cycles: what this server gives of its processor, and what came of it.
#include <algorithm>

#include "cli/context.h"
#include "node/cycles_settings.h"

namespace spatter::doors {
namespace {

std::uint64_t number(const Json& one, const char* key) { return one.value(key, std::uint64_t{0}); }

std::string promise(const Json& settings) {
  if (number(settings, "share_ppm") == 0) return "This server promises none of its processor: it computes for nobody.";
  auto text = fmt::format("This server promises {} of its processor", settings.value("share", ""));
  if (settings.value("when", "") == "idle")
    text += fmt::format(", while nobody has been at it for {}", duration_text(static_cast<double>(number(settings, "quiet_s"))));
  return text + ".";
}

struct PledgeOptions {
  std::string share, when;
  std::optional<std::uint64_t> quiet_s;
};

Result<void> pledge(const Context& context, const PledgeOptions& options) {
  Json request = {{"op", "pledge"}};
  if (!options.share.empty()) request["share"] = options.share;
  if (!options.when.empty()) request["when"] = options.when;
  if (options.quiet_s) request["quiet_s"] = *options.quiet_s;
  TRY(auto client, context.connect());
  TRY(auto answer, client.request(request));
  answer.erase("ok");
  if (context.json) context.print(answer);
  else fmt::print("{}\n", promise(answer));
  return {};
}

void print_class(const char* name, const Json& one) {
  fmt::print("{:<8} {:.2f} of a core; {:.1f} of {:.1f} s in the last minute, {:.0f} of {:.0f} s in the last hour{}\n", name,
             one.value("share_cores", 0.0), one.value("used_minute_s", 0.0), one.value("granted_minute_s", 0.0),
             one.value("used_hour_s", 0.0), one.value("granted_hour_s", 0.0),
             one.value("may_run", false) ? "" : "; not now: " + printable_text(one.value("because", "")));
}

Result<Json> ask(const Context& context) {
  TRY(auto client, context.connect());
  TRY(auto answer, client.request({{"op", "cycles"}}));
  answer.erase("ok");
  return answer;
}

Result<void> status(const Context& context) {
  TRY(auto answer, ask(context));
  answer["accuracy"].erase("errors");
  if (context.json) {
    context.print(answer);
    return {};
  }
  stop_when_output_closes();
  fmt::print("{}\n", promise(answer));
  if (const Json& machine = answer["machine"]; !machine.is_null()) {
    fmt::print("\n");
    print_class("pledged", machine["pledged"]);
    if (machine["filler"].value("share_cores", 0.0) > 0) print_class("mining", machine["filler"]);
    fmt::print("held by  {}\nuser     {}\n", printable_text(machine.value("held_by", "")), printable_text(machine.value("user", "")));
    for (const Json& source : machine["sources"])
      fmt::print("         {} {}\n", source.value("works", false) ? "sees" : "does not see:", printable_text(source.value("name", "") + ": " + source.value("what", "")));
  }
  if (answer.contains("work")) {
    const Json& work = answer["work"];
    fmt::print("\ncomputed {} pieces for others, {} fuel in {} of processor time; {} failed, {} refused, {} here now\n",
               number(work, "computed"), number(work, "fuel"), duration_text(work.value("processor_s", 0.0)),
               number(work, "failed"), number(work, "refused"), work["pieces"].size());
  }
  if (const Json& mining = answer["mining"]; !mining.value("pool", "").empty()) {
    const Json& report = mining["report"];
    fmt::print("mining   for {} as {}", printable_text(mining.value("pool", "")), printable_text(mining.value("user", "")));
    if (report.is_null()) fmt::print("\n");
    else fmt::print(": {}, {:.1f} MH/s, {} shares accepted, {} rejected, {} stale\n", printable_text(report.value("state", "")),
                    report.value("rate", 0.0) / 1e6, number(report, "accepted"), number(report, "rejected"), number(report, "stale"));
  }
  for (const Json& one : answer["workers"])
    fmt::print("server {}  {} right results, {} wrong{}\n", one.value("server", "").substr(0, 12), number(one, "right_total"),
               number(one, "wrong"), one.value("trusted", false) ? ": trusted, only sampled" : "");
  return {};
}

Result<void> accuracy(const Context& context) {
  TRY(const auto answer, ask(context));
  const Json& all = answer["accuracy"];
  if (context.json) {
    context.print(all);
    return {};
  }
  if (number(all, "forecasts") == 0) {
    fmt::print("Nothing was foretold yet.\n");
    return {};
  }
  fmt::print("Of {} forecasts half were off by less than {:.1f} %; {:.1f} % were within 20 % or 2 s; {:.1f} % took no longer "
             "than was said to hold for nine of ten.\n", number(all, "forecasts"), 100 * all.value("median_error", 0.0),
             100 * all.value("within", 0.0), 100 * all.value("below_p90", 0.0));
  return {};
}

}  // namespace

void add_pledge(CLI::App& app, Context& context) {
  auto options = std::make_shared<PledgeOptions>();
  auto* command = add_command(app, context, "pledge", "Promise a share of this machine's processor; without a share: say what is promised",
                              [&context, options] { return pledge(context, *options); });
  command->add_option("share", options->share, "Of all cores, as 20%; none to promise nothing")->type_name("SHARE")
      ->check(parsed_by([](const std::string& text) { return parse_share(text); }, "SHARE"));
  command->add_option("--when", options->when, "always, or idle: only while nobody is at the machine")
      ->check(parsed_by([](const std::string& text) { return parse_when(text); }, "WHEN"));
  command->add_option("--quiet", options->quiet_s, "Seconds of nobody there before work comes back")->type_name("SECONDS");
  add_json_flag(command, context);
}

void add_cycles(CLI::App& app, Context& context) {
  auto* cycles = app.add_subcommand("cycles", "What this server computes for others, and others for it");
  cycles->require_subcommand(1);
  add_json_flag(add_command(*cycles, context, "status", "What is promised, how it is held, what was computed",
                            [&context] { return status(context); }), context);
  add_json_flag(add_command(*cycles, context, "accuracy", "How good forecasts were", [&context] { return accuracy(context); }), context);
}

}  // namespace spatter::doors
