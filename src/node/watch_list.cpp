#include "watch_list.h"

#include <unordered_set>

namespace spatter {
namespace {

std::vector<ServerId> most_first(const std::map<ServerId, std::uint64_t>& counts) {
  std::vector<std::pair<std::uint64_t, ServerId>> sorted;
  for (const auto& [id, count] : counts) sorted.emplace_back(count, id);
  std::ranges::sort(sorted, std::ranges::greater());
  std::vector<ServerId> result;
  for (const auto& [count, id] : sorted) result.push_back(id);
  return result;
}

}  // namespace

std::vector<ServerId> watch_list(const std::vector<ServerId>& own_relays, const StripeTable& stripes,
                                 const std::vector<ShardBalance>& kept, const std::set<ServerId>& co_holders,
                                 const Members& members) {
  std::vector<ServerId> list;
  std::unordered_set<ServerId> there{members.own().id};
  const auto add = [&](const ServerId& id) {
    if (there.insert(id).second) list.push_back(id);
  };
  for (const ServerId& id : own_relays) add(id);

  std::map<ServerId, std::uint64_t> holders;
  for (const StripePtr& stripe : stripes.all())
    for (const PlacedShard& shard : stripe->shards)
      if (!shard.lost) ++holders[shard.holder];
  const auto by_shards = most_first(holders);
  for (const ServerId& id : by_shards) add(id);
  for (const ServerId& id : by_shards)
    if (const auto member = members.find(id))
      for (const ServerId& relay : member->relays) add(relay);

  for (const auto& [id, count] : stripes.releases_waiting())
    if (count > 0) add(id);
  std::map<ServerId, std::uint64_t> owners;
  for (const ShardBalance& one : kept) owners[one.server] += one.bytes;
  for (const ServerId& id : most_first(owners)) add(id);
  for (const ServerId& id : co_holders) add(id);
  for (const Member& member : members.others())
    for (const ServerId& relay : member.relays) add(relay);
  return list;
}

}  // namespace spatter
