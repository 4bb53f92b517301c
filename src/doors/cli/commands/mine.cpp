// spatter mine: bitcoin in the time that nobody wants. And the process that does it.
#include <iostream>

#include "cli/context.h"
#include "cycles/double_sha256.h"
#include "cycles/earnings.h"
#include "cycles/hash_engine.h"
#include "cycles/miner.h"
#include "cycles/pool_address.h"
#include "node/cycles_settings.h"

namespace spatter::doors {
namespace {

struct MineOptions {
  std::string pool, user, share, when;
  double watts = mining::EarningsOptions().watts_per_core, price = mining::EarningsOptions().price_per_kwh;
  bool off = false;
};

std::uint64_t number(const Json& one, const char* key) { return one.value(key, std::uint64_t{0}); }

/// Some tenths of a second of real hashing on one core.
double hashes_per_second_of_a_core() {
  constexpr std::uint64_t at_a_time = 1 << 20;
  constexpr auto long_enough = std::chrono::milliseconds(200);
  constexpr std::uint32_t versions[] = {0x20000000, 0x20002000, 0x20004000, 0x20006000};  // as pools let them roll
  const mining::HeaderScan scan({}, versions, {});
  std::vector<mining::Hit> hits;
  const auto began = std::chrono::steady_clock::now();
  std::uint64_t hashes = 0;
  std::chrono::duration<double> took{};
  do {
    scan.scan(0, at_a_time, hits);
    hashes += at_a_time * std::size(versions);
    took = std::chrono::steady_clock::now() - began;
  } while (took < long_enough);
  return static_cast<double>(hashes) / took.count();
}

void print_state(const Json& answer) {
  if (answer.value("pool", "").empty()) {
    fmt::print("This server mines nothing.\n");
    return;
  }
  fmt::print("This server mines for {} as {}, with {} of its processor{}.\n", printable_text(answer.value("pool", "")),
             printable_text(answer.value("user", "")), answer.value("share", ""),
             answer.value("when", "") == "idle" ? ", while nobody is at it" : "");
  const Json& report = answer["report"];
  if (report.is_null()) return;
  fmt::print("{}: {:.1f} MH/s, {} shares accepted, {} rejected, {} stale\n", printable_text(report.value("state", "")),
             report.value("rate", 0.0) / 1e6, number(report, "accepted"), number(report, "rejected"), number(report, "stale"));
  if (const auto problem = report.value("problem", ""); !problem.empty()) fmt::print("{}\n", printable_text(problem));
  if (const auto reason = report.value("last_reason", ""); !reason.empty()) fmt::print("the pool rejected a share: {}\n", printable_text(reason));
}

Result<void> mine(const Context& context, const MineOptions& options) {
  if (options.off && !options.pool.empty()) return fail(Errc::invalid, "--off and --pool at the same time");
  TRY(auto client, context.connect());
  Json request = {{"op", "mine"}};
  std::string words;
  if (!options.pool.empty()) {
    if (options.user.empty()) return fail(Errc::invalid, "--pool needs --user: the name or address that the pool knows you by");
    TRY(auto before, client.request({{"op", "mine"}}));
    // Said before it is first switched on.
    if (before.value("pool", "").empty()) {
      TRY(const auto share, parse_share(options.share.empty() ? before.value("share", "80%") : options.share));
      const auto cores = std::max(1.0, before.value("cores", 1.0));
      mining::EarningsOptions earnings;
      earnings.cores = cores;
      earnings.hashes_per_second = cores * hashes_per_second_of_a_core();
      earnings.share = static_cast<double>(share) / 1e6;
      earnings.watts_per_core = options.watts;
      earnings.price_per_kwh = options.price;
      words = mining::describe_earnings(earnings);
      if (!context.json) fmt::print("{}\n", words);
      std::fflush(stdout);
    }
    request["pool"] = options.pool;
    request["user"] = options.user;
  } else if (!options.user.empty()) {
    return fail(Errc::invalid, "--user without --pool");
  }
  if (options.off) request["pool"] = "";
  if (!options.share.empty()) request["share"] = options.share;
  if (!options.when.empty()) request["when"] = options.when;
  TRY(auto answer, client.request(request));
  answer.erase("ok");
  if (!words.empty()) answer["forecast"] = words;
  if (context.json) context.print(answer);
  else print_state(answer);
  return {};
}

struct ProcessOptions {
  std::string pool, user;
  unsigned threads = 1;
};

}  // namespace

void add_mine(CLI::App& app, Context& context) {
  auto options = std::make_shared<MineOptions>();
  auto* command = add_command(app, context, "mine", "Mine bitcoin for a pool in the time that nobody wants; it earns next to nothing",
                              [&context, options] { return mine(context, *options); });
  command->add_option("--pool", options->pool, "As stratum+tcp://pool.example.org:3333")->type_name("URL")
      ->check(parsed_by(mining::parse_pool_address, "URL"));
  const auto user = [](const std::string& text) -> Result<int> {
    TRY_VOID(mining::check_pool_user(text));
    return 0;
  };
  command->add_option("--user", options->user, "The bitcoin address or account that the pool is to credit. Never a private key")->type_name("USER")
      ->check(parsed_by(user, "USER"));
  command->add_option("--share", options->share, "Of all cores, at most; what was promised to others goes first. 80% unless said")->type_name("SHARE")
      ->check(parsed_by([](const std::string& text) { return parse_share(text); }, "SHARE"));
  command->add_option("--when", options->when, "always, or idle: only while nobody is at the machine")
      ->check(parsed_by([](const std::string& text) { return parse_when(text); }, "WHEN"));
  command->add_option("--watts", options->watts, "For the forecast: what a busy core draws")->type_name("W")->check(CLI::Range(0.0, 1000.0));
  command->add_option("--price", options->price, "For the forecast: of a kWh, in EUR")->type_name("EUR")->check(CLI::Range(0.0, 100.0));
  command->add_flag("--off", options->off, "Mine no more");
  add_json_flag(command, context);
}

void add_miner_process(CLI::App& app, Context& context) {
  auto options = std::make_shared<ProcessOptions>();
  auto* command = add_command(app, context, "miner-process", "Run by the server", [options]() -> Result<void> {
    mining::MinerOptions miner;
    TRY(miner.pool.pool, mining::parse_pool_address(options->pool));
    miner.pool.user = options->user;
    miner.engine.threads = options->threads;
    mining::run_miner(std::move(miner), 0, 1);
  });
  command->group("");  // not shown
  command->add_option("--pool", options->pool)->required();
  command->add_option("--user", options->user)->required();
  command->add_option("--threads", options->threads)->check(CLI::Range(1, 4096));
}

}  // namespace spatter::doors
