// spatter repair and audit: what is being mended, and what the others have shown to have.
#include "cli/context.h"

namespace spatter::doors {

namespace {

std::uint64_t number(const Json& one, const char* key) { return one.value(key, std::uint64_t{0}); }

std::string rate_text(std::uint64_t bytes_per_s) {
  return bytes_per_s == 0 ? "as fast as it goes" : "at most " + bytes_text(bytes_per_s) + "/s";
}

std::string repair_verdict(const Json& reply) {
  if (const auto lost = number(reply, "lost"); lost > 0)
    return fmt::format("{} stripes that this server helps to keep cannot be rebuilt now: their holders are off.", lost);
  if (const auto urgent = number(reply, "urgent"); urgent > 0)
    return fmt::format("{} stripes are in danger and are rebuilt before anything else.", urgent);
  if (const auto due = number(reply, "due"); due > 0)
    return fmt::format("{} stripes have lost a copy's worth and are to be rebuilt.", due);
  if (number(reply, "stripes") == 0) return "This server keeps nothing together with others yet.";
  if (const auto tidy = number(reply, "tidy"); tidy > 0)
    return fmt::format("Nothing needs mending. {} stripes have lost a little, which is not worth the bytes yet.", tidy);
  return "Nothing needs mending.";
}

void print_repair(const Json& reply) {
  fmt::print("{}\n\n", repair_verdict(reply));
  fmt::print("kept together  {} stripes: {} whole, {} tidy, {} due, {} urgent, {} lost\n", number(reply, "stripes"),
             number(reply, "none"), number(reply, "tidy"), number(reply, "due"), number(reply, "urgent"),
             number(reply, "lost"));
  if (const auto untold = number(reply, "untold"); untold > 0)
    fmt::print("               {} more, of which only their owners know the holders\n", untold);
  fmt::print("rebuilt here   {} shards of {} stripes: {} for {} moved\n", number(reply, "rebuilt_shards"),
             number(reply, "rebuilt_stripes"), bytes_text(number(reply, "rebuilt_bytes")),
             bytes_text(number(reply, "moved_bytes")));
  if (number(reply, "taken_back") + number(reply, "let_go") > 0)
    fmt::print("after absence  {} shards taken back, {} let go\n", number(reply, "taken_back"), number(reply, "let_go"));
  fmt::print("speed          {}\n", rate_text(number(reply, "rate")));
  for (const Json& hours : reply["hours"]) fmt::print("               {} each day\n", hours.get<std::string>());
  if (number(reply, "waiting") > 0) {
    const Json& left = reply["seconds_left"];
    fmt::print("left           {} stripes, {}\n", number(reply, "waiting"),
               left.is_null() ? "nothing moves yet" : "about " + duration_text(left.get<double>()));
  }
  if (const auto waiting = number(reply, "gathered_stripes"); waiting > 0)
    fmt::print("gathered       {} of {} stripes are kept here for when more of their holders are on\n",
               bytes_text(number(reply, "gathered_bytes")), waiting);
  if (const auto trouble = reply.value("trouble", ""); !trouble.empty())
    fmt::print("trouble        {}\n", printable_text(trouble));
  for (const Json& one : reply["gone"]) fmt::print("  gone: server {}\n", one.get<std::string>().substr(0, 12));
  const Json& own = reply["own"];
  fmt::print("own stripes    {}: {} full, {} safe, {} at risk, {} lost{}\n", number(own, "total"), number(own, "full"),
             number(own, "safe"), number(own, "at_risk"), number(own, "lost"),
             own.value("idle", true) ? "" : "; being mended");
  if (const auto open = number(own, "lists_waiting"); open > 0)
    fmt::print("               the holders of {} do not know each other yet\n", open);
}

struct RepairOptions {
  std::string rate;
  std::string hours;
  bool no_hours = false;
};

Result<void> run_repair(const Context& context, const RepairOptions& options) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  Json request = {{"op", "repair"}};
  if (!options.rate.empty()) request["rate"] = options.rate;
  if (!options.hours.empty()) request["hours"] = options.hours;
  if (options.no_hours) request["no_hours"] = true;
  TRY(auto reply, client.request(request));
  reply.erase("ok");
  if (context.json) context.print(reply);
  else print_repair(reply);
  return {};
}

void print_audit(const Json& reply) {
  if (reply.contains("now"))
    fmt::print("Asked for {} leaves just now: {} right, {} wrong, {} missing, {} late.\n\n", number(reply["now"], "asked"),
               number(reply["now"], "right"), number(reply["now"], "wrong"), number(reply["now"], "missing"),
               number(reply["now"], "late"));
  fmt::print("epoch      {}, of {} s; every shard is asked for once in {}\n", number(reply, "epoch"),
             number(reply, "epoch_seconds"), number(reply, "audit_epochs"));
  fmt::print("asked      {} leaves: {} right, {} wrong, {} missing, {} late\n", number(reply, "asked"),
             number(reply, "right"), number(reply, "wrong"), number(reply, "missing"), number(reply, "late"));
  fmt::print("shown      {} leaves to others ({}), {} could not be\n", number(reply, "shown"),
             bytes_text(number(reply, "shown_bytes")), number(reply, "not_shown"));
  if (reply["holders"].empty()) fmt::print("Nobody has been asked yet.\n");
  for (const Json& one : reply["holders"]) {
    const auto bad = number(one, "wrong") + number(one, "missing");
    fmt::print("  server {}  {} of {} leaves right, {} shards known{}{}\n", one.value("server", "").substr(0, 12),
               number(one, "right"), number(one, "asked"), number(one, "shards"), one.value("up", true) ? "" : "  (off)",
               bad > 0 ? "  HAS LOST SOMETHING" : "");
  }
  for (const Json& one : reply["auditors"])
    if (number(one, "contradicted") > 0)
      fmt::print("  auditor {} reported {} failures that could not be found here\n",
                 one.value("server", "").substr(0, 12), number(one, "contradicted"));
}

Result<void> run_audit(const Context& context, bool now) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  TRY(auto reply, client.request({{"op", "audit"}, {"now", now}}));
  reply.erase("ok");
  if (context.json) context.print(reply);
  else print_audit(reply);
  return {};
}

}  // namespace

void add_repair(CLI::App& app, Context& context) {
  auto options = std::make_shared<RepairOptions>();
  auto* command = add_command(app, context, "repair", "What is being mended, how fast, and what is left",
                              [&context, options] { return run_repair(context, *options); });
  auto* rate = command->add_option("--rate", options->rate, "From now on, until the next start, mend at most so many bytes a second, as in 20M; none: no bound")
      ->type_name("RATE");
  command->add_option("--hours", options->hours, "The rate goes for these hours of each day only, as in 08:00-23:00")
      ->type_name("FROM-UNTIL")->needs(rate);
  command->add_flag("--no-hours", options->no_hours, "No hours have rates of their own any more");
  add_json_flag(command, context);
}

void add_audit(CLI::App& app, Context& context) {
  auto now = std::make_shared<bool>(false);
  auto* command = add_command(app, context, "audit", "Whether the others still have what they keep",
                              [&context, now] { return run_audit(context, *now); });
  command->add_flag("--now", *now, "Ask everybody who is up now, and wait for the answers");
  add_json_flag(command, context);
}

}  // namespace spatter::doors
