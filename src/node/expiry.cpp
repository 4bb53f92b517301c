#include "expiry.h"

#include "trust/contract.h"

namespace spatter {
namespace {

constexpr std::size_t list_page = 512;
constexpr WallMs clock_jump_ms = 3600 * 1000;
/// Above every writer: the owner is gone, so there is none to be fenced from.
constexpr auto any_writer = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

}  // namespace

Expiry::Expiry(Parts parts) : parts_(parts), tasks_(parts.runtime.executor()) {}

void Expiry::start() { tasks_.spawn(run()); }

Task<void> Expiry::stop() { co_await tasks_.stop(); }

Task<void> Expiry::run() {
  while (true) {
    co_await parts_.runtime.sleep(parts_.look_every);
    if (auto looked = co_await look(); !looked)
      parts_.runtime.log().warning("lapsed contracts: {}", looked.error().message);
  }
}

std::set<PersonId> Expiry::persons_up() const {
  std::set<PersonId> up{parts_.members.own().person};
  for (const auto& member : parts_.members.connected()) up.insert(member.person);
  return up;
}

/// A clock that jumped may be wrong: everybody's absence counts from now on.
void Expiry::check_clock() {
  const auto running = std::chrono::duration_cast<std::chrono::milliseconds>(
      parts_.runtime.now().time_since_epoch());
  const WallMs offset = parts_.runtime.wall_ms() - running.count();
  if (clock_offset_ms_ && std::abs(*clock_offset_ms_ - offset) > clock_jump_ms) away_since_.clear();
  clock_offset_ms_ = offset;
}

Task<Result<void>> Expiry::look() {
  check_clock();
  const auto wall = parts_.runtime.wall_ms();
  std::map<PersonId, std::vector<ShardKey>> lapsed;
  ShardQuery query{.limit = list_page};
  while (true) {
    CO_TRY(const auto page, co_await parts_.shards.list(query));
    for (const auto& shard : page.shards) {
      wire::ContractBody terms;
      if (terms.ParseFromString(shard.contract.body()) &&
          contract_lapsed(static_cast<WallMs>(terms.until_ms()), wall))
        lapsed[shard.person].push_back(shard.key);
    }
    if (!page.more || page.shards.empty()) break;
    query.after = page.shards.back().key;
  }
  const auto up = persons_up();
  std::erase_if(away_since_, [&](const auto& away) {
    return up.contains(away.first) || !lapsed.contains(away.first);
  });
  for (auto& [person, keys] : lapsed) {
    if (up.contains(person)) continue;
    const auto since = away_since_.try_emplace(person, parts_.runtime.now()).first->second;
    if (parts_.runtime.now() - since >= parts_.absent_min)
      CO_TRY_VOID(co_await let_go(person, std::move(keys)));
  }
  co_return Result<void>{};
}

Task<Result<void>> Expiry::let_go(PersonId person, std::vector<ShardKey> keys) {
  const auto count = keys.size();
  const Asker asker{parts_.members.own().id, person};
  CO_TRY_VOID(co_await parts_.shards.release(asker, std::move(keys), any_writer));
  parts_.runtime.log().info("{} shards of person {} are let go: their contracts ended more than {} "
                            "days ago, and no server of that person is up", count, person,
                            contract_grace_ms / (24LL * 3600 * 1000));
  co_return Result<void>{};
}

}  // namespace spatter
