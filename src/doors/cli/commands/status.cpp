// spatter status, contracts, invite: what the running server says of itself and of the network.
#include <iostream>

#include "cli/context.h"

namespace spatter::doors {

namespace {

std::string half_line(const Json& half) {
  auto used = half.value("used", std::uint64_t{0}), limit = half.value("limit", std::uint64_t{0});
  auto percent = limit == 0 ? 0.0 : 100.0 * static_cast<double>(used) / static_cast<double>(limit);
  return fmt::format("{} of {} ({:.1f}%)", bytes_text(used), bytes_text(limit), percent);
}

/// The one sentence the user came for.
std::string verdict(const Json& status) {
  if (status.value("mode", "") == "fenced")
    return fmt::format("Fenced: {}", printable_text(status.value("note", "another server has taken this volume over")));
  if (status.value("mode", "") == "repair-only") return printable_text(status.value("note", ""));
  const Json& stripes = status["stripes"];
  auto lost = stripes.value("lost", std::uint64_t{0}), at_risk = stripes.value("at_risk", std::uint64_t{0});
  if (status.value("servers_total", 1u) <= 1)
    return "This server is alone: everything is on this machine only. Let others join: spatter invite";
  if (lost > 0)
    return fmt::format("{} stripes can't be read from the network now; start the servers that are off.", lost);
  if (at_risk > 0) return fmt::format("{} stripes have lost more than a copy's worth of shards.", at_risk);
  if (stripes.value("total", std::uint64_t{0}) == 0)
    return status.value("files", std::uint64_t{0}) == 0 ? "Nothing is stored here yet."
                                                         : "Nothing is with other servers yet.";
  if (auto backlog = status.value("backlog_bytes", std::uint64_t{0}); backlog > 0)
    return fmt::format("{} are on this machine only, and on their way to the others.", bytes_text(backlog));
  const auto can_lose = status.value("can_lose", 0u);
  if (can_lose == 0) return "If any more servers die, something may be lost.";
  if (can_lose == 1) return "Any one more server may die, whichever, and nothing is lost.";
  return fmt::format("Any {} more servers may die, whichever, and nothing is lost.", can_lose);
}

void print_status(const Json& s) {
  const Json& stripes = s["stripes"];
  fmt::print("{}\n\n", verdict(s));
  fmt::print("servers      {} up of {}{}\n", s.value("servers_up", 0u), s.value("servers_total", 0u),
             s.value("view_complete", true) ? "" : " known here; the network has more");
  fmt::print("mode         {}\n", s.value("mode", ""));
  if (auto note = s.value("note", ""); !note.empty() && s.value("mode", "") != "fenced" && s.value("mode", "") != "repair-only")
    fmt::print("note         {}\n", printable_text(note));
  if (s.value("reach", "") == "relayed")
    fmt::print("reached      through {} members, not directly\n", s["relays"].size());
  if (s.value("links_carried", 0u) > 0)
    fmt::print("carries      {} connections between other members\n", s.value("links_carried", 0u));
  fmt::print("user half    {}, {} files\n", half_line(s["user_half"]), s.value("files", std::uint64_t{0}));
  fmt::print("server half  {} kept for others\n", half_line(s["server_half"]));
  fmt::print("stripes      {}: {} full, {} safe, {} at risk, {} lost; widest {} of {}\n",
             stripes.value("total", std::uint64_t{0}), stripes.value("full", std::uint64_t{0}),
             stripes.value("safe", std::uint64_t{0}), stripes.value("at_risk", std::uint64_t{0}),
             stripes.value("lost", std::uint64_t{0}), s.value("widest_k", 0u), 3 * s.value("widest_k", 0u));
  fmt::print("copies       {:.2f} at the least\n", s.value("copies_min", 0.0));
  if (stripes.value("total", std::uint64_t{0}) > 0)
    fmt::print("risk         {} that anything is lost within a day, at most; of 1000 servers {:.1f} go for good in a month\n",
               chance_text(s.value("loss_per_day", 0.0)), 30'000 * s.value("departures_per_server_day", 0.0));
  const Json& repair = s["repair"];
  if (const auto waiting = repair.value("waiting", std::uint64_t{0}); waiting > 0)
    fmt::print("repair       {} stripes are to be rebuilt, {}\n", waiting,
               repair["seconds_left"].is_null() ? std::string("nothing moves yet")
                                                : "done in about " + duration_text(repair["seconds_left"].get<double>()));
  auto backlog = s.value("backlog_bytes", std::uint64_t{0});
  fmt::print("backlog      {}\n", backlog == 0 ? "none" : bytes_text(backlog));
  for (const Json& held : s["held"])
    fmt::print("  held by {}  {}{}\n", held.value("server", "").substr(0, 12),
               bytes_text(held.value("bytes", std::uint64_t{0})), held.value("up", true) ? "" : "  (off)");
}

Result<void> run_status(const Context& context) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  TRY(auto reply, client.request({{"op", "status"}}));
  reply.erase("ok");
  if (context.json) context.print(reply);
  else print_status(reply);
  return {};
}

void print_contract(const Json& c) {
  fmt::print("{} {} of {}  {:>8}  {}  until {}\n", c.value("role", "") == "holder" ? "I keep    " : "kept for me",
             c.value("index", 0u), c.value("stripe", "").substr(0, 12), bytes_text(c.value("size", std::uint64_t{0})),
             c.value("role", "") == "holder" ? "for " + c.value("owner_person", "").substr(0, 12)
                                             : "by " + c.value("holder", "").substr(0, 12),
             c.value("until", ""));
}

Result<void> run_contracts(const Context& context) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  Json all = Json::array();
  auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    for (const Json& one : frame.message["contracts"]) {
      if (context.json) all.push_back(one);
      else print_contract(one);
    }
    return {};
  };
  TRY(auto reply, client.request({{"op", "contracts"}}, {}, on_event));
  Json summary = {{"kept_for_others", reply["kept_for_others"]}, {"kept_for_me", reply["kept_for_me"]}};
  if (context.json) {
    summary["contracts"] = std::move(all);
    context.print(summary);
    return {};
  }
  for (const Json& one : summary["kept_for_others"])
    fmt::print("I keep for person {}: {} in {} shards\n", one.value("person", "").substr(0, 12),
               bytes_text(one.value("bytes", std::uint64_t{0})), one.value("shards", std::uint64_t{0}));
  for (const Json& one : summary["kept_for_me"])
    fmt::print("server {} keeps for me: {} in {} shards\n", one.value("server", "").substr(0, 12),
               bytes_text(one.value("bytes", std::uint64_t{0})), one.value("shards", std::uint64_t{0}));
  return {};
}

struct InviteOptions {
  double hours = 72;
};

Result<void> run_invite(const Context& context, const InviteOptions& options) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request({{"op", "invite"}, {"valid_seconds", static_cast<std::int64_t>(options.hours * 3600)}}));
  reply.erase("ok");
  if (context.json) {
    context.print(reply);
    return {};
  }
  fmt::print("{}\n", reply.value("link", ""));
  if (const auto help = reply.value("help", ""); !help.empty()) fmt::print(stderr, "{}\n", printable_text(help));
  return {};
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "status", "How full, how safe, who is up",
                              [&context] { return run_status(context); });
  add_json_flag(command, context);
}

void add_contracts(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "contracts", "What I keep for whom, and whom for me",
                              [&context] { return run_contracts(context); });
  add_json_flag(command, context);
}

void add_invite(CLI::App& app, Context& context) {
  auto options = std::make_shared<InviteOptions>();
  auto* command = add_command(app, context, "invite", "Print a link with which one more server may join",
                              [&context, options] { return run_invite(context, *options); });
  command->add_option("--hours", options->hours, "How long the link works")->check(CLI::Range(0.001, 8760.0))->capture_default_str();
  add_json_flag(command, context);
}

}  // namespace spatter::doors
