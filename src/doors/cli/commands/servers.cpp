// spatter servers, volumes, forget: who is in the network, and a person's several servers.
#include "cli/context.h"

namespace spatter::doors {

namespace {

Result<void> run_servers(const Context& context) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request({{"op", "servers"}}));
  reply.erase("ok");
  if (context.json) {
    context.print(reply);
    return {};
  }
  for (const Json& one : reply["servers"])
    fmt::print("server {}  of person {}  {}  {} for others\n", one.value("server", "").substr(0, 12),
               one.value("mine", false) ? "you         " : one.value("person", "").substr(0, 12),
               one.value("own", false) ? "this one" : one.value("up", false) ? "up      " : "off     ",
               bytes_text(one.value("capacity", std::uint64_t{0})));
  if (!reply.value("view_complete", true))
    fmt::print("{} servers are known here; the network has more.\n", reply["servers"].size());
  return {};
}

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

struct ForgetOptions {
  std::string server;
  bool force = false;
};

Result<void> run_forget(const Context& context, const ForgetOptions& options) {
  TRY(auto client, context.connect());
  TRY(auto reply, client.request({{"op", "forget"}, {"server", options.server}, {"even_if_up", options.force}}));
  reply.erase("ok");
  if (context.json) {
    context.print(reply);
    return {};
  }
  fmt::print("Server {} is retired for good. What it kept for others is made anew elsewhere.\n"
             "If it had files of yours, 'spatter recover' on a new machine brings them back.\n",
             reply.value("server", "").substr(0, 12));
  return {};
}

}  // namespace

void add_forget(CLI::App& app, Context& context) {
  auto options = std::make_shared<ForgetOptions>();
  auto* command = add_command(app, context, "forget", "Retire a server of yours that is gone for good, or whose key was stolen",
                              [&context, options] { return run_forget(context, *options); });
  command->add_option("server", options->server, "The first digits of its id")->required()->check(id_digits());
  command->add_flag("--force", options->force, "Even if it is up: its key is in wrong hands");
  add_json_flag(command, context);
}

void add_servers(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "servers", "Who is in the network, and whose server it is",
                              [&context] { return run_servers(context); });
  add_json_flag(command, context);
}

void add_volumes(CLI::App& app, Context& context) {
  auto* command = add_command(app, context, "volumes", "Your volumes: each of your servers has its own",
                              [&context] { return run_volumes(context); });
  add_json_flag(command, context);
}

}  // namespace spatter::doors
