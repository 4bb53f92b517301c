#include "checks.h"

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;
using ContractKey = std::tuple<StripeId, unsigned, ServerId, ServerId>;  // .., owner, holder

Task<std::optional<ServerStatus>> status_of(Fleet& fleet, unsigned index) {
  const auto status = std::make_shared<std::optional<ServerStatus>>();
  co_await fleet.run_on(index, [status](Server& server) -> Task<void> {
    if (auto got = co_await server.status()) *status = std::move(*got);
  });
  co_return std::move(*status);
}

Task<std::vector<ServerContract>> contracts_of(Fleet& fleet, unsigned index) {
  const auto contracts = std::make_shared<std::vector<ServerContract>>();
  co_await fleet.run_on(index, [contracts](Server& server) -> Task<void> {
    if (auto got = co_await server.contracts(1'000'000)) *contracts = std::move(*got);
  });
  co_return std::move(*contracts);
}

/// What keeps a server from being at rest, or nothing.
std::string unrest(const ServerStatus& status, std::size_t servers) {
  const SafetyReport& safety = status.safety;
  if (status.servers_up < servers)
    return fmt::format("sees {} of {} servers up", status.servers_up, servers);
  if (safety.lost > 0) return fmt::format("{} stripes lost", safety.lost);
  if (safety.full < safety.total)
    return fmt::format("{} of {} stripes full ({} safe, {} at risk)", safety.full, safety.total,
                       safety.safe, safety.at_risk);
  if (safety.backlog_bytes > 0) return fmt::format("{} bytes to ship", safety.backlog_bytes);
  if (!status.idle) return "is not idle";
  return {};
}

}  // namespace

Task<void> check_budgets(Fleet& fleet, Problems& problems) {
  for (const unsigned index : fleet.running()) {
    const auto status = co_await status_of(fleet, index);
    if (!status) continue;
    if (status->server_half.used > status->server_half.limit)
      problems.add("m{}: server half uses {} of {}", index, status->server_half.used,
                   status->server_half.limit);
    if (status->user_half.used > status->user_half.limit)
      problems.add("m{}: user half uses {} of {}", index, status->user_half.used,
                   status->user_half.limit);
  }
}

Task<void> check_contracts(Fleet& fleet, Problems& problems) {
  std::set<ContractKey> kept;
  std::vector<std::pair<unsigned, ServerContract>> counted_on;
  for (const unsigned index : fleet.running())
    for (const ServerContract& contract : co_await contracts_of(fleet, index)) {
      if (contract.mine)
        counted_on.emplace_back(index, contract);
      else
        kept.emplace(contract.stripe, contract.index, contract.owner, contract.holder);
    }
  for (const auto& [index, c] : counted_on)
    if (!kept.contains({c.stripe, c.index, c.owner, c.holder}))
      problems.add("m{} counts on shard {} of stripe {} at {}, which knows nothing of it", index,
                   c.index, c.stripe, c.holder);
}

Task<void> await_rest(World& world, Fleet& fleet, Problems& problems, Duration patience) {
  const TimePoint end = world.now() + patience;
  for (;;) {
    std::vector<std::string> left;
    for (const unsigned index : fleet.running()) {
      const auto status = co_await status_of(fleet, index);
      const std::string why = status ? unrest(*status, fleet.size()) : "gives no status";
      if (!why.empty()) left.push_back(fmt::format("m{} {}", index, why));
    }
    if (left.empty()) co_return;
    if (world.now() >= end) {
      for (const std::string& why : left) problems.add("no rest: {}", why);
      co_return;
    }
    co_await world.sleep(2s);
  }
}

}  // namespace spatter::sim
