// spatter volumes: what a person's several servers have.
#include "cli/context.h"

namespace spatter::doors {

namespace {

Result<void> run_volumes(const Context& context) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request({{"op", "volumes"}}));
  reply.erase("ok");
  if (context.json) {
    context.print(reply);
    return {};
  }
  for (const Json& one : reply["volumes"])
    fmt::print("volume {}  of server {}  {}  noted {}\n", one.value("volume", "").substr(0, 12),
               one.value("server", "").substr(0, 12),
               one.value("own", false) ? "this one     " : one.value("up", false) ? "up           " : "without it up",
               one.value("noted", ""));
  return {};
}

}  // namespace

void add_volumes(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "volumes", "Your volumes: each of your servers has its own",
                              [&context] { return run_volumes(context); });
  add_json_flag(command, context);
}

}  // namespace spatter::doors
