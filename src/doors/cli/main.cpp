// The command line of Spatter: one program, one subcommand a file under commands/.
#include <signal.h>

#include <cstdlib>
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

}  // namespace

int main(int argc, char** argv) {
  using namespace spatter::doors;
  ::signal(SIGPIPE, SIG_IGN);
  Context context;
  context.drive = default_drive();

  CLI::App app{"Spatter: your files, encrypted and spattered over machines of people you know."};
  app.set_version_flag("--version", std::string("spatter ") + SPATTER_VERSION);
  app.add_option("--drive", context.drive, "The drive's folder (or set SPATTER_DRIVE)")->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("Start here: spatter init, spatter up, spatter invite. 'spatter COMMAND --help' tells more.");

  add_init(app, context);
  add_up(app, context);
  add_invite(app, context);
  add_join(app, context);
  add_recover(app, context);
  add_put(app, context);
  add_get(app, context);
  add_cat(app, context);
  add_ls(app, context);
  add_du(app, context);
  add_rm(app, context);
  add_mv(app, context);
  add_mkdir(app, context);
  add_status(app, context);
  add_contracts(app, context);
  add_volumes(app, context);
  add_fsck(app, context);
  add_chance(app, context);
  add_try(app, context);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    return code == 0 ? exit_ok : exit_usage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "spatter: {}\n", error.what());
    return exit_failed;
  }
  std::cout.flush();
  return context.exit_status;
}
