// The part of the keeper that renews contracts before they end: a new term is offered, the holder
// countersigns it, both keep it; no bytes move. Which are due shows when a holder is asked what it
// has, every few hours, so a holder that is off at one time is asked again for a month.
#include "keeper_state.h"
#include "trust/contract.h"

namespace spatter {

Task<void> Keeper::State::renew(ServerId holder, std::vector<ShardKey> due) {
  for (std::size_t first = 0; first < due.size(); first += HolderLink::renewals_max) {
    const auto part = std::span(due).subspan(
        first, std::min(HolderLink::renewals_max, due.size() - first));
    if (auto done = co_await renew_some(holder, part); !done) {
      context.runtime.log().warning("server {}: {} contracts are not renewed yet: {}", holder,
                                    due.size() - first, done.error().message);
      co_return;
    }
  }
  if (!due.empty())
    context.runtime.log().info("server {}: {} contracts are renewed", holder, due.size());
}

Task<Result<void>> Keeper::State::renew_some(ServerId holder, std::span<const ShardKey> keys) {
  const auto now = context.runtime.wall_ms();
  std::vector<Bytes> records;
  for (const auto& key : keys) {
    auto record = co_await context.table.descriptor(key.stripe);
    if (!record && record.error().code == Errc::not_found) record = Bytes{};  // released meanwhile
    if (!record) co_return fail(std::move(record).error());
    records.push_back(std::move(*record));
  }
  std::vector<Descriptor> facts;
  std::vector<ShardKey> wanted;
  auto offers = co_await context.runtime.blocking([&]() -> Result<std::vector<wire::Contract>> {
    std::vector<wire::Contract> result;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (records[i].empty()) continue;
      wire::Signed record;
      if (!record.ParseFromArray(records[i].data(), static_cast<int>(records[i].size())))
        return fail(Errc::corrupt, "the descriptor of stripe {} cannot be read", keys[i].stripe);
      TRY(auto descriptor, check_descriptor(record));
      result.push_back(offer_contract(context.identity.server_key, descriptor, keys[i].index,
                                      holder, now, now + contract_term_ms));
      facts.push_back(std::move(descriptor));
      wanted.push_back(keys[i]);
    }
    return result;
  });
  if (!offers) co_return fail(std::move(offers).error());
  if (offers->empty()) co_return Result<void>{};

  CO_TRY(const auto receipts, co_await link.renew(holder, std::move(*offers)));
  auto renewed = co_await context.runtime.blocking([&] {
    std::vector<StripeTable::Contracted> result;
    for (std::size_t i = 0; i < receipts.size(); ++i) {
      // No longer there, or rotten: the next look at what the holder has finds that out.
      if (receipts[i].body().empty()) continue;
      if (!is_receipt(receipts[i], facts[i], wanted[i].index, holder)) continue;
      result.push_back({wanted[i].stripe, static_cast<std::uint16_t>(wanted[i].index), holder,
                        to_bytes(as_bytes(receipts[i].SerializeAsString()))});
    }
    return result;
  });
  co_return co_await context.table.renew(std::move(renewed));
}

}  // namespace spatter
