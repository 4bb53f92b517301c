#include "spatter/recover.h"

#include <map>
#include <set>

#include "crypto/hash.h"
#include "holder_link.h"
#include "net/methods.h"
#include "proto/holder.pb.h"
#include "spatter/upkeep.h"
#include "trust/contract.h"

namespace spatter {

namespace {

constexpr unsigned list_page = 96;  ///< descriptors are up to 5 KiB each
constexpr std::size_t stripes_per_write = 512;

/// What holders say of one stripe: versions of its descriptor (there should be one) and who claims
/// which shard of each.
struct Found {
  Descriptor facts;
  StripeLabel label;
  Bytes record;
  bool ours = false;  ///< signed by a server that is known to be the person's
  std::vector<ShardReceipt> receipts;
};
using Versions = std::map<Digest, Found>;

class Collector {
 public:
  Collector(SpatterContext context, const OwnedVolume& volume)
      : context_(context), volume_(volume), link_(context) {}

  Task<Result<void>> ask(ServerId holder) {
    std::optional<ShardKey> after;
    while (true) {
      CO_TRY(const auto page, co_await link_.list(holder, after, list_page, true));
      const auto before = after;
      co_await context_.runtime.blocking([&] {
        for (const auto& entry : page.entries()) take(entry, holder, after);
      });
      if (!page.more()) co_return Result<void>{};
      if (after == before)
        co_return fail(Errc::invalid, "server {} lists its shards out of order", holder);
    }
  }

  std::map<StripeId, Versions>& stripes() { return stripes_; }

 private:
  void take(const wire::ShardListReply::Entry& entry, const ServerId& holder,
            std::optional<ShardKey>& after) {
    const auto id = StripeId::from(entry.stripe());
    if (!id) return;
    const ShardKey key{*id, entry.index()};
    if (!after || key > *after) after = key;
    if (entry.lost()) return;
    const auto digest = sha256(as_bytes(entry.stripe_descriptor().body()));
    auto& versions = stripes_[*id];
    auto at = versions.find(digest);
    if (at == versions.end()) {
      auto facts = check_descriptor(entry.stripe_descriptor());
      if (!facts || facts->stripe != *id || facts->person != context_.identity.person ||
          facts->volume != volume_.volume)
        return;
      auto label = open_label(volume_.labels, *id, as_bytes(facts->label));
      if (!label || label->length != facts->length) return;
      Found found;
      found.facts = std::move(*facts);
      found.label = *label;
      found.record = to_bytes(as_bytes(entry.stripe_descriptor().SerializeAsString()));
      at = versions.emplace(digest, std::move(found)).first;
    }
    auto& found = at->second;
    if (key.index >= found.facts.n ||
        !is_receipt(entry.contract(), found.facts, key.index, holder))
      return;
    found.receipts.push_back({.index = static_cast<std::uint16_t>(key.index),
                              .holder = holder,
                              .contract = to_bytes(as_bytes(entry.contract().SerializeAsString()))});
  }

  SpatterContext context_;
  const OwnedVolume& volume_;
  HolderLink link_;
  std::map<StripeId, Versions> stripes_;
};

}  // namespace

Task<Result<Recovered>> recover_stripes(SpatterContext context, OwnedVolume volume) {
  Recovered result;
  Collector collector(context, volume);
  for (const auto& member : context.members.others()) {
    Result<void> asked = fail(Errc::unavailable, "it is not up");
    if (member.up) asked = co_await collector.ask(member.id);
    if (asked) continue;
    result.silent.push_back(member.id);
    context.runtime.log().warning("server {} could not be asked what it keeps: {}", member.id,
                                  asked.error().message);
  }
  CO_TRY_VOID(co_await collector.ask(context.identity.server));

  struct Pack {
    RecoveredPack info;
    std::vector<StripePtr> stripes;
  };
  std::map<PackId, Pack> packs;
  std::vector<StripeTable::NewStripe> batch;
  for (auto& [id, versions] : collector.stripes()) {
    // Whoever holds one shard could sign a false descriptor with the true label. Those of the
    // person's own servers go first, then what most holders have.
    Found* best = nullptr;
    for (auto& [digest, found] : versions) {
      const auto& writer = found.facts.server;
      found.ours = context.members.once_person_of(writer) == context.identity.person;
      if (!best || std::pair(found.ours, found.receipts.size()) >
                       std::pair(best->ours, best->receipts.size()))
        best = &found;
    }
    if (!best) continue;
    const auto& facts = best->facts;
    Stripe stripe;
    stripe.id = id;
    stripe.pack = best->label.pack;
    stripe.offset = best->label.offset;
    stripe.length = facts.length;
    stripe.k = static_cast<std::uint16_t>(facts.k);
    stripe.n = static_cast<std::uint16_t>(facts.n);
    stripe.shard_size = facts.shard_size;
    stripe.created_ms = static_cast<WallMs>(facts.created_ms);
    std::set<std::uint16_t> indices;
    for (const auto& receipt : best->receipts) indices.insert(receipt.index);
    const bool readable = indices.size() >= facts.k;
    ++result.stripes;
    if (!readable) ++result.stripes_unreadable;

    auto& pack = packs[stripe.pack];
    pack.info.pack = stripe.pack;
    pack.info.sequence = std::max(pack.info.sequence, best->label.pack_sequence);
    pack.info.has_log |= best->label.has_log;
    pack.info.has_snapshot |= best->label.has_snapshot;
    if (best->label.pack_length > 0) {
      pack.info.sealed = true;
      pack.info.length = best->label.pack_length;
    }
    if (readable) pack.stripes.push_back(std::make_shared<const Stripe>(stripe));
    batch.push_back({std::move(stripe), std::move(best->record), std::move(best->receipts)});
    if (batch.size() >= stripes_per_write)
      CO_TRY_VOID(co_await context.table.add_all(std::exchange(batch, {})));
  }
  if (!batch.empty()) CO_TRY_VOID(co_await context.table.add_all(std::move(batch)));

  for (auto& [id, pack] : packs) {
    std::sort(pack.stripes.begin(), pack.stripes.end(), [](const StripePtr& a, const StripePtr& b) {
      return a->offset < b->offset;
    });
    const auto covered = covered_until(pack.stripes, 0, [](const Stripe&) { return true; });
    if (pack.info.sealed && covered < pack.info.length)
      context.runtime.log().warning("pack {}: only {} of its {} bytes can be read", id, covered,
                                    pack.info.length);
    pack.info.length = covered;
    result.packs.push_back(pack.info);
  }
  std::sort(result.packs.begin(), result.packs.end(),
            [](const RecoveredPack& a, const RecoveredPack& b) { return a.sequence < b.sequence; });
  co_return result;
}

}  // namespace spatter
