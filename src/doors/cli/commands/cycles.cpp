// spatter pledge and cycles: what this server gives of its processor, and what came of it.
#include <algorithm>
#include <ctime>

#include "cli/context.h"
#include "cycles/ledger_view.h"
#include "node/cycles_settings.h"

namespace spatter::doors {
namespace {

std::uint64_t number(const Json& one, const char* key) { return one.value(key, std::uint64_t{0}); }

std::string fuel(const Json& one, const char* key) { return cycles::fuel_text(number(one, key)); }

std::string date_text(std::int64_t wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
  return text;
}

std::string promise(const Json& settings) {
  std::string text = "This server promises none of its processor: it computes for nobody";
  if (number(settings, "share_ppm") > 0) text = fmt::format("This server promises {} of its processor", settings.value("share", ""));
  if (settings.value("when", "") == "idle" && number(settings, "share_ppm") > 0)
    text += fmt::format(", while nobody has been at it for {}", duration_text(static_cast<double>(number(settings, "quiet_s"))));
  text += ".";
  if (const Json& next = settings["next"]; next.is_object())
    text += fmt::format(" From month {} on, which begins {}, it promises {}.", number(next, "from_month"),
                        date_text(next.value("from_ms", std::int64_t{0})), number(next, "share_ppm") == 0 ? "none" : next.value("share", ""));
  return text;
}

struct PledgeOptions {
  std::string share, when, from;
  bool now = false;
  std::optional<std::uint64_t> quiet_s;
};

Result<void> pledge(const Context& context, const PledgeOptions& options) {
  Json request = {{"op", "pledge"}};
  if (!options.share.empty()) request["share"] = options.share;
  if (options.now) request["from"] = "now";
  else if (!options.from.empty()) request["from"] = options.from;
  if (!options.when.empty()) request["when"] = options.when;
  if (options.quiet_s) request["quiet_s"] = *options.quiet_s;
  TRY(auto client, context.connect());
  TRY(auto answer, client.request(request));
  answer.erase("ok");
  if (context.json) {
    context.print(answer);
    return {};
  }
  fmt::print("{}\n", promise(answer));
  if (answer["next"].is_object() && options.from.empty() && !options.share.empty())
    fmt::print("What was promised for this month is kept. With --now less is given at once; what others then ask for and do not get is owed.\n");
  return {};
}

void print_trouble(const Json& answer) {
  if (const auto trouble = answer.value("trouble", ""); !trouble.empty())
    fmt::print("Nothing can be entered into the ledger now: {}.\n", printable_text(trouble));
}

/// "promised", "asked", ...: a line each, with the sentence that explains it.
void print_month(const Json& month) {
  fmt::print("Month {}, {}.\n", number(month, "month"), month.value("closed", false) ? "closed" : "not closed yet");
  for (const Json& line : month["lines"])
    fmt::print("{:<12} {:>18}  {}\n", line.value("name", ""), fuel(line, "fuel"), line.value("words", ""));
}

struct LedgerOptions {
  std::string person;
};

Result<Json> ask_ledger(const Context& context, const LedgerOptions& options) {
  Json request = {{"op", "cycles_ledger"}};
  if (!options.person.empty()) request["person"] = options.person;
  TRY(auto client, context.connect());
  TRY(auto answer, client.request(request));
  answer.erase("ok");
  return answer;
}

/// This month, and how its servers promise.
Result<void> ledger(const Context& context, const LedgerOptions& options) {
  TRY(auto answer, ask_ledger(context, options));
  if (context.json) {
    // The month's numbers themselves, as one asks for them by name.
    Json month = answer["months"].back();
    answer.erase("months");
    answer.update(month);
    context.print(answer);
    return {};
  }
  stop_when_output_closes();
  if (!answer.value("own", true)) fmt::print("Of person {}; \"you\" is he.\n", answer.value("person", "").substr(0, 12));
  print_month(answer["months"].back());
  if (answer.contains("unsettled") && number(answer["unsettled"], "leases") > 0) {
    const Json& open = answer["unsettled"];
    fmt::print("\nNot settled yet, and so not in these numbers: {} asks of the last hours; of your servers {} fuel was taken as promised and {} delivered,\n"
               "you asked others for {} and have received {}.\n",
               number(open, "leases"), fuel(open, "asked"), fuel(open, "delivered"), fuel(open, "asked_of_others"), fuel(open, "received"));
  }
  for (const Json& server : answer["servers"]) fmt::print("\n{}\n", server.value("words", ""));
  if (answer.contains("barred_until_epoch"))
    fmt::print("\nA server of this person was caught telling different people different things: until {} he is entitled to nothing.\n",
               date_text(answer.value("barred_until_ms", std::int64_t{0})));
  print_trouble(answer);
  return {};
}

Result<void> history(const Context& context, const LedgerOptions& options) {
  TRY(auto answer, ask_ledger(context, options));
  if (context.json) {
    context.print({{"person", answer["person"]}, {"own", answer["own"]}, {"months", answer["months"]}});
    return {};
  }
  stop_when_output_closes();
  fmt::print("{:>6} {:>18} {:>18} {:>18} {:>18} {:>18} {:>18}\n", "month", "promised", "asked", "delivered", "owed", "docked", "debt");
  for (const Json& month : answer["months"])
    fmt::print("{:>6} {:>18} {:>18} {:>18} {:>18} {:>18} {:>18}{}\n", number(month, "month"), fuel(month, "promised"),
               fuel(month, "asked"), fuel(month, "delivered"), fuel(month, "owed"), fuel(month, "docked"),
               fuel(month, "debt"), month.value("closed", false) ? "" : "  not closed yet");
  fmt::print("In fuel. `spatter cycles ledger` says what the numbers mean.\n");
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
  fmt::print("This month, in fuel: promised {}, asked {}, delivered {}, owed {}, docked {}; of others' time {} of {} spent. "
             "`spatter cycles ledger` explains it.\n",
             fuel(answer, "promised"), fuel(answer, "asked"), fuel(answer, "delivered"), fuel(answer, "owed"),
             fuel(answer, "docked"), fuel(answer, "spent"), fuel(answer, "entitlement"));
  print_trouble(answer);
  if (const Json& machine = answer["machine"]; !machine.is_null()) {
    fmt::print("\n");
    print_class("pledged", machine["pledged"]);
    if (machine["filler"].value("share_cores", 0.0) > 0) print_class("mining", machine["filler"]);
    fmt::print("held by  {}\nuser     {}\n", printable_text(machine.value("held_by", "")), printable_text(machine.value("user", "")));
    if (const double own = machine.value("own_work_s", 0.0); own > 0.05)
      fmt::print("mending  for the network took {} of processor time, which is in what was pledged\n", duration_text(own));
    for (const Json& source : machine["sources"])
      fmt::print("         {} {}\n", source.value("works", false) ? "sees" : "does not see:", printable_text(source.value("name", "") + ": " + source.value("what", "")));
  }
  if (answer.contains("work")) {
    const Json& work = answer["work"];
    fmt::print("\ncomputed {} pieces for others, {} fuel in {} of processor time; {} failed, {} refused, {} here now\n",
               number(work, "computed"), fuel(work, "fuel"), duration_text(work.value("processor_s", 0.0)),
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
  auto* from = command->add_option("--from", options->from, "now or next-month; without it a higher share is promised from now on, and a lower one from next month on")
      ->check(CLI::IsMember({"now", "next-month"}));
  command->add_flag("--now", options->now, "A lower share at once; what was promised for this month is still owed if somebody asks")->excludes(from);
  command->add_option("--when", options->when, "always, or idle: only while nobody is at the machine")
      ->check(parsed_by([](const std::string& text) { return parse_when(text); }, "WHEN"));
  command->add_option("--quiet", options->quiet_s, "Seconds of nobody there before work comes back")->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
  add_json_flag(command, context);
}

void add_cycles(CLI::App& app, Context& context) {
  // By itself it is `cycles status`; its body runs after that of a subcommand, too.
  auto handle = std::make_shared<CLI::App*>();
  auto* cycles = add_command(app, context, "cycles", "What this server computes for others, and others for it", [handle, &context]() -> Result<void> {
    return (*handle)->get_subcommands().empty() ? status(context) : Result<void>{};
  });
  *handle = cycles;
  cycles->require_subcommand(0, 1);
  add_json_flag(cycles, context);
  add_json_flag(add_command(*cycles, context, "status", "What is promised, how it is held, what was computed",
                            [&context] { return status(context); }), context);
  auto options = std::make_shared<LedgerOptions>();
  const auto add_person = [&](CLI::App* command) {
    command->add_option("--person", options->person, "Of another person: the first digits of his id")->type_name("ID")->check(id_digits());
    add_json_flag(command, context);
  };
  add_person(add_command(*cycles, context, "ledger", "This month: promised, asked, delivered, owed, docked, and why",
                         [&context, options] { return ledger(context, *options); }));
  add_person(add_command(*cycles, context, "history", "The same numbers of each month",
                         [&context, options] { return history(context, *options); }));
  add_json_flag(add_command(*cycles, context, "accuracy", "How good forecasts were", [&context] { return accuracy(context); }), context);
}

}  // namespace spatter::doors
