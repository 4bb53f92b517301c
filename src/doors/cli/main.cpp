// The command line of Spatter: one program, one subcommand a file under commands/.
#include <google/protobuf/stubs/logging.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "cli/context.h"

#ifndef SPATTER_VERSION
#define SPATTER_VERSION "unknown"
#endif

namespace {

std::string default_drive() {
  if (const char* drive = std::getenv("SPATTER_DRIVE"); drive && *drive) return drive;
  const char* home = std::getenv("HOME");
  return std::string(home && *home ? home : ".") + "/spatter";
}

using namespace spatter::doors;

struct Command {
  std::string_view name;
  void (*add)(CLI::App&, Context&);
};

constexpr Command commands[] = {
    {"init", add_init}, {"up", add_up}, {"invite", add_invite}, {"join", add_join},
    {"recover", add_recover}, {"put", add_put}, {"get", add_get}, {"cat", add_cat},
    {"ls", add_ls}, {"du", add_du}, {"rm", add_rm}, {"mv", add_mv}, {"mkdir", add_mkdir},
    {"status", add_status}, {"metrics", add_metrics}, {"contracts", add_contracts}, {"repair", add_repair}, {"audit", add_audit},
    {"jobs", add_jobs}, {"pledge", add_pledge}, {"cycles", add_cycles}, {"mine", add_mine}, {"miner-process", add_miner_process},
    {"mode", add_mode}, {"events", add_events},
    {"servers", add_servers}, {"volumes", add_volumes}, {"forget", add_forget},
    {"fsck", add_fsck}, {"chance", add_chance}, {"directory", add_directory}, {"trust", add_trust}, {"key", add_key}, {"vouch", add_vouch}, {"announce", add_announce},
    {"reviews", add_reviews}, {"review", add_review}, {"renew", add_renew},
    {"countersign", add_countersign}, {"doubt", add_doubt}, {"try", add_try},
    {"completion", add_completion}, {"man", add_man}};
/// These describe all the others.
constexpr std::string_view describing[] = {"completion", "man"};

/// Only commands whose names are among the arguments, since a command may run for a millisecond and
/// making them all takes longer; all of them when none is (for help, or an error that lists them) or when
/// they are to be described.
void add_commands(CLI::App& app, Context& context, const std::vector<std::string_view>& arguments) {
  const auto is_argument = [&](std::string_view name) {
    return std::find(arguments.begin(), arguments.end(), name) != arguments.end();
  };
  const auto is_named = [&](const Command& command) { return is_argument(command.name); };
  const bool any = std::any_of(std::begin(commands), std::end(commands), is_named) &&
                   std::none_of(std::begin(describing), std::end(describing), is_argument);
  for (const Command& command : commands)
    if (!any || is_named(command)) command.add(app, context);
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  // It would tell of every message it cannot parse: strangers could fill the disk with that. What has to
  // be said of such a message is said where it is refused.
  google::protobuf::SetLogHandler(nullptr);
  Context context;
  context.drive = default_drive();

  CLI::App app{"Spatter: your files, encrypted and spattered over machines of people you know."};
  app.set_version_flag("--version", std::string("spatter ") + SPATTER_VERSION);
  app.add_option("--drive", context.drive, "The drive's folder (or set SPATTER_DRIVE)")->type_name("DIR")->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("Start here: spatter init, spatter up, spatter invite. 'spatter COMMAND --help' tells more.");

  add_commands(app, context, {argv + 1, argv + argc});

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (auto words = app.remaining(); app.get_subcommands().empty() && !words.empty() && !words.front().starts_with('-')) {
      fmt::print(stderr, "spatter: '{}' is no command of it: see 'spatter --help'\n", printable(words.front()));
      return exit_usage;
    }
    int code = app.exit(error);
    return code == 0 ? exit_ok : exit_usage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "spatter: {}\n", error.what());
    return exit_failed;
  }
  errno = 0;
  std::cout.flush();
  // A full disk, or no standard output at all: the caller must not take silence for an answer.
  if ((!std::cout || std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && errno != EPIPE) {
    fmt::print(stderr, "spatter: what was to be printed could not be written: {}\n", std::strerror(errno));
    if (context.exit_status == exit_ok) return exit_failed;
  }
  return context.exit_status;
}
