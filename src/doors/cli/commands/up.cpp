// spatter up: the server, in the foreground. And fsck, which opens a drive that isn't being served.
#include <malloc.h>

#include <asio/signal_set.hpp>
#include <csignal>
#include <ctime>
#include <iostream>

#include "base/sync.h"
#include "cli/machine.h"
#include "work_host.h"
#include "doors/announcer.h"
#include "doors/control_server.h"
#include "doors/dht_process.h"
#include "net/multicast.h"
#include "node/drive_parts.h"
#include "node/server.h"

namespace spatter::doors {

namespace {

struct UpOptions {
  std::string listen;
  std::optional<std::string> passphrase_file;
  bool welcome = false;
};

/// Ctrl-C, SIGTERM and SIGHUP, heard from the moment this is made: they also end a recovery under way,
/// and whoever reads "ready" may stop the server at once.
class StopSignal {
 public:
  explicit StopSignal(Runtime& runtime)
      : came(runtime.executor()), task(runtime.executor()), signals_(runtime.executor(), SIGINT, SIGTERM) {
    // The terminal has gone; but who started this with nohup wants it to go on.
    struct sigaction hangup {};
    if (::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) signals_.add(SIGHUP);
  }

  Task<void> wait(Server& server) {
    number = co_await signals_.async_wait(asio::use_awaitable);
    server.interrupt_start();
    came.set();
  }

  Event came;
  int number = 0;
  TaskGroup task;

 private:
  asio::signal_set signals_;
};

void print_welcome(const std::string& drive, const std::string& link) {
  fmt::print("\nLet a friend's machine join with this link (it works once, for three days):\n\n  {}\n\n"
             "Try, in another terminal:\n"
             "  build/spatter --drive {} status\n"
             "  build/spatter --drive {} put ~/Pictures /\n"
             "  build/spatter --drive {} ls -l /\n"
             "  build/spatter try             a whole network on this machine, with servers that die\n\n"
             "Ctrl-C stops this server; your files stay.\n",
             link, drive, drive, drive);
}

/// Memory goes back to the system soon after it was last needed. Blocks of the pool's sizes then have
/// to be the system's own mappings; left to itself, the allocator keeps them within its heaps once
/// it has seen some freed, where one small survivor holds on to all before it.
/// Giving back every 128 KiB would have each small request ask for them anew, page by page.
void keep_heap_small() {
  ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

/// Local time, also across changes of it.
unsigned minute_of_day(WallMs wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return static_cast<unsigned>(60 * local.tm_hour + local.tm_min);
}

Task<void> trim_pool(Runtime& runtime) {
  for (;;) {
    co_await runtime.sleep(std::chrono::seconds(2));
    co_await runtime.blocking([] { Buffer::trim_pool(); });
  }
}

Task<Result<void>> serve(Runtime& runtime, Transport& transport, Drive drive, const Context& context,
                         const UpOptions& options) {
  ServerOptions server_options;
  server_options.local_hosts = local_hosts();
  server_options.minute_of_day = minute_of_day;
  server_options.port_mapping = make_port_mapping(runtime);
  const std::string& host = drive.config.listen.host;
  const bool only_here = host.starts_with("127.") || host == "::1" || host == "localhost";
  if (drive.config.lan && !only_here) {
    if (auto lan = make_multicast(runtime))
      server_options.lan = std::move(*lan);
    else
      runtime.log().info("no members are looked for on the local network: {}", lan.error().message);
  }
  if (!drive.config.rendezvous.empty())
    server_options.public_dht = make_dht_process(runtime, dht_program(), drive.config.rendezvous);
  Announcer announcer(runtime.log(), {.command = drive.config.notify_command, .popups = drive.config.popups});
  server_options.runner = std::make_shared<WorkHost>(runtime, context.drive);
  Server server(runtime, transport, std::move(drive), std::move(server_options));
  server.on_mode_change = [&announcer](bool repair_only, const std::string& text) {
    announcer.announce({std::string(repair_only ? event_repair_only : event_serving),
                        repair_only ? "Spatter only mends now" : "Spatter serves again", text});
  };
  StopSignal stop(runtime);
  stop.task.spawn(stop.wait(server));
  auto started = co_await server.start();
  if (!started) {
    co_await stop.task.stop();
    if (!stop.came.is_set() || started.error().code != Errc::cancelled) co_return started;
    runtime.log().info("{}", started.error().message);
    co_return Result<void>{};
  }
  auto socket = listen_control(context.drive);
  if (!socket) {
    co_await stop.task.stop();
    co_await server.stop();
    co_return fail(socket.error());
  }
  ControlServer control(runtime, server, std::move(*socket));
  control.start();
  TaskGroup background(runtime.executor());
  background.spawn(trim_pool(runtime));
  fmt::print("ready {} {}\n", server.identity().server.hex(), server.listening().text());
  std::fflush(stdout);
  if (options.welcome) {
    auto link = co_await server.invite();
    if (link) print_welcome(context.drive, *link);
    std::fflush(stdout);
  }
  co_await stop.came.wait();
  co_await stop.task.drain();
  runtime.log().info("stopping on {}", stop.number == SIGINT ? "Ctrl-C" : stop.number == SIGTERM ? "SIGTERM" : "SIGHUP");
  co_await background.stop();
  co_await control.stop();
  co_await server.stop();
  co_return Result<void>{};
}

Result<void> run_up(const Context& context, const UpOptions& options) {
  keep_heap_small();
  TRY(auto machine, Machine::take(context.drive));
  TRY(auto drive, machine.open(options.passphrase_file));
  machine.runtime().log().set_least(drive.config.log_level);
  for (auto& warning : drive.warnings) machine.runtime().log().warning("{}", warning);
  if (!options.listen.empty()) {
    TRY(drive.config.listen, Address::parse(options.listen));
  }
  Transport& transport = machine.connect_as(drive.keyring.server_key);
  return machine.runtime().wait_for(serve(machine.runtime(), transport, std::move(drive), context, options));
}

struct FsckOptions {
  bool deep = false;
  bool mend = false;
  std::optional<std::string> passphrase_file;
};

Task<Result<Json>> check_unserved(Runtime& runtime, Transport& transport, Drive drive, const FsckOptions& options) {
  // What has lost an index is not opened: that would make an empty one.
  ServerCheckup parts;
  CO_TRY(parts.findings, co_await check_databases(runtime, drive, options.mend));
  if (!parts.findings.empty()) co_return checkup_json(parts);
  ServerOptions server_options;
  server_options.offline = true;
  Server server(runtime, transport, std::move(drive), std::move(server_options));
  CO_TRY_VOID(co_await server.start());
  auto checkup = co_await server.fsck(options.deep, options.mend);
  co_await server.stop();
  if (!checkup) co_return fail(checkup.error());
  co_return checkup_json(*checkup);
}

Result<Json> check(const Context& context, const FsckOptions& options) {
  auto client = context.connect();
  if (client) return client->request({{"op", "fsck"}, {"deep", options.deep}, {"mend", options.mend}});
  if (client.error().code != Errc::unavailable) return fail(client.error());
  TRY(auto machine, Machine::take(context.drive, LogLevel::warning));
  TRY(auto drive, machine.open(options.passphrase_file));
  Transport& transport = machine.connect_as(drive.keyring.server_key);
  return machine.runtime().wait_for(check_unserved(machine.runtime(), transport, std::move(drive), options));
}

Result<void> run_fsck(const Context& context, const FsckOptions& options) {
  TRY(auto checkup, check(context, options));
  stop_when_output_closes();
  std::size_t left = 0;
  for (const Json& one : checkup["findings"]) left += one.value("mended", false) ? 0 : 1;
  if (context.json) {
    checkup.erase("ok");
    checkup["clean"] = left == 0;
    context.print(checkup);
  } else {
    for (const Json& one : checkup["findings"])
      fmt::print("{}: {}{}\n", one.value("where", ""), printable_text(one.value("what", "")),
                 one.value("done", "").empty() ? "" : " (" + one.value("done", "") + ")");
    if (checkup["findings"].empty())
      fmt::print("Clean: {} packs and {} shards{}.\n", checkup.value("packs", std::uint64_t{0}),
                 checkup.value("shards", std::uint64_t{0}),
                 options.deep ? ", every byte checked" : "");
  }
  std::cout.flush();
  std::fflush(stdout);
  if (left > 0)
    return fail(Errc::corrupt, "{} things are wrong{}", left, options.mend ? " and could not be mended" : "; --mend puts right what can be");
  return {};
}

}  // namespace

void add_up(CLI::App& app, Context& context) {
  auto options = std::make_shared<UpOptions>();
  auto* command = add_command(app, context, "up", "Serve the drive, in the foreground, until Ctrl-C or SIGTERM",
                              [&context, options] { return run_up(context, *options); });
  command->add_option("--listen", options->listen, "HOST:PORT to serve on; port 0 picks one. Default: as spatter.toml says")
      ->check(parsed_by(Address::parse, "HOST:PORT"));
  command->add_option("--passphrase-file", options->passphrase_file, "The passphrase of a sealed drive, on this file's first line")->type_name("FILE");
  command->add_flag("--welcome", options->welcome, "Print an invite link and what to try next");
}

void add_fsck(CLI::App& app, Context& context) {
  auto options = std::make_shared<FsckOptions>();
  auto* command = add_command(app, context, "fsck", "Check the drive; changes nothing without --mend",
                              [&context, options] { return run_fsck(context, *options); });
  command->add_flag("--deep", options->deep, "Read everything and compare it with its hashes");
  command->add_flag("--mend", options->mend, "Put right what can be");
  command->add_option("--passphrase-file", options->passphrase_file, "The passphrase of a sealed drive that isn't being served")->type_name("FILE");
  add_json_flag(command, context);
}

}  // namespace spatter::doors
