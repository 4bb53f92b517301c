// Contracts with a later term for shards that are here already.
#include <algorithm>

#include "impl.h"

namespace spatter {

namespace index = serverhalf::index;

Task<Result<std::vector<wire::Contract>>> ShardStore::Impl::renew(
    Asker asker, std::vector<wire::Contract> offers) {
  auto renewals = co_await runtime_.blocking([&]() -> Result<std::vector<index::Renewal>> {
    std::vector<index::Renewal> checked;
    for (const auto& offer : offers) {
      index::Renewal renewal;
      TRY(renewal.terms, examine_terms(asker, offer));
      renewal.key = {renewal.terms.stripe, renewal.terms.index};
      renewal.contract = receipt_for(offer);
      renewal.contract_bytes = renewal.contract.SerializeAsString();
      checked.push_back(std::move(renewal));
    }
    return checked;
  });
  if (!renewals) co_return fail(std::move(renewals).error());

  std::vector<ShardKey> keys;
  for (const auto& renewal : *renewals) keys.push_back(renewal.key);
  std::ranges::sort(keys);
  if (std::ranges::adjacent_find(keys) != keys.end())
    co_return fail(Errc::invalid, "two contracts for one shard in one request");
  std::vector<serverhalf::KeyLocks::Hold> holds;
  holds.reserve(keys.size());
  for (const auto& key : keys) holds.push_back(co_await locks_.lock(key));

  using Entries = std::vector<std::optional<Entry>>;
  std::function<Result<Entries>(Connected&)> work = [&](Connected& db) -> Result<Entries> {
    Entries result;
    for (const auto& renewal : *renewals) {
      TRY(auto entry, index::renew(db, renewal));
      result.push_back(std::move(entry));
    }
    return result;
  };
  CO_TRY(const auto entries, co_await database_->write_for<Entries>(std::move(work)));
  std::vector<wire::Contract> contracts;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto& contract = contracts.emplace_back();
    if (!entries[i]) continue;
    if (!contract.ParseFromString(entries[i]->contract_bytes))
      co_return fail(Errc::corrupt, "the contract for {} in the index cannot be read",
                     entries[i]->key.text());
    const auto& renewal = (*renewals)[i];
    if (contract.body() != renewal.contract.body()) continue;  // a later one was here
    ledger_.shard_gone(entries[i]->person, entries[i]->server, entries[i]->size);
    ledger_.shard_kept(entries[i]->person, server_id(renewal.terms.owner_key), entries[i]->size);
  }
  co_return contracts;
}

}  // namespace spatter
