// spatter mode and events: whether the network serves or only mends, why, and who says so.
#include "cli/context.h"

namespace spatter::doors {

namespace {

std::uint64_t number(const Json& one, const char* key) { return one.value(key, std::uint64_t{0}); }

void print_mode(const Json& reply) {
  const bool on = reply.value("mode", "") == "repair-only";
  fmt::print("{}\n{}\n\n", on ? "The network only mends (repair-only): no file is read or written." : "The network serves.",
             printable_text(reply.value("reason", "")));
  if (const auto cause = reply.value("cause", ""); !cause.empty()) fmt::print("began       {}\n", printable_text(cause));
  fmt::print("epoch       {}, of {} s{}\n", number(reply, "epoch"), number(reply, "epoch_seconds"),
             number(reply, "since_epoch") > 0 ? fmt::format("; so since epoch {}", number(reply, "since_epoch")) : "");
  fmt::print("voices      {} of {} present; {} reports of {} needed\n", number(reply, "present"), number(reply, "voices"),
             reply["reports"].size(), number(reply, "reports_needed"));
  fmt::print("in danger   {} urgent and {} lost of {} stripes that reporters see ({:.2f}% for a typical one)\n", number(reply, "urgent"),
             number(reply, "lost"), number(reply, "stripes"), 100 * reply.value("share_in_danger", 0.0));
  if (number(reply, "lost") + number(reply, "stuck") > 0)
    fmt::print("            {} of these wait for machines that are off, or for room: nobody can rebuild them now\n",
               number(reply, "lost") + number(reply, "stuck"));
  if (number(reply, "waiting") > 0) {
    const Json& left = reply["seconds_left"];
    fmt::print("waiting     {} to be rebuilt{}\n", number(reply, "waiting"),
               left.is_null() || left.get<double>() <= 0 ? "" : ", about " + duration_text(left.get<double>()));
  }
  fmt::print("rules       begins above {:.4g}% in danger, ends after {} epochs at {:.4g}% or less, by two thirds of the reports\n",
             static_cast<double>(number(reply, "enter_ppm")) / 10'000, number(reply, "calm_epochs"),
             static_cast<double>(number(reply, "calm_ppm")) / 10'000);
  for (const Json& one : reply["reports"])
    fmt::print("  server {} of person {}: {} urgent, {} lost of {}{}{}\n", one.value("server", "").substr(0, 12),
               one.value("person", "").substr(0, 12), number(one, "urgent"), number(one, "lost"), number(one, "stripes"),
               number(one, "stripes") == 0 ? "; abstains" : one.value("threatened", false) ? "; THREATENED" : one.value("calm", false) ? "; calm" : "; neither",
               one.value("repair_only", false) ? ", in repair-only" : "");
  if (on) fmt::print("\nMore servers help at once: spatter invite. What this machine has whole: spatter get --local\n");
}

Result<void> run_mode(const Context& context) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  TRY(auto reply, client.request({{"op", "mode"}}));
  reply.erase("ok");
  if (context.json) context.print(reply);
  else print_mode(reply);
  return {};
}

/// A line for each event, the first one at once, until the server stops.
Result<void> run_events(const Context& context) {
  stop_when_output_closes();
  TRY(auto client, context.connect());
  const auto on_event = [&](ControlClient::Frame frame) -> Result<void> {
    const Json& event = frame.message;
    if (context.json)
      fmt::print("{}\n", event.dump(-1, ' ', false, Json::error_handler_t::replace));
    else
      fmt::print("{}: {}\n", event.value("mode", ""), printable_text(event.value("reason", "")));
    std::fflush(stdout);
    return {};
  };
  TRY(auto done, client.request({{"op", "events"}}, {}, on_event));
  (void)done;
  return {};
}

}  // namespace

void add_mode(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "mode", "Whether the network serves or only mends, why, and who says so",
                              [&context] { return run_mode(context); });
  add_json_flag(command, context);
}

void add_events(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "events", "Print the network's mode now and whenever it changes, one line each",
                              [&context] { return run_events(context); });
  command->add_flag("--json", context.json, "One JSON object a line");
}

}  // namespace spatter::doors
