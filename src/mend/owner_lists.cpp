#include "mend/owner_lists.h"

#include <algorithm>

#include "net/methods.h"

namespace spatter {
namespace {

constexpr std::size_t chains_per_call = 64;
constexpr unsigned versions_page = 1024;
constexpr std::size_t incoming_max = 256;
/// Nobody's clock is so wrong, and no list of ours so old.
constexpr std::uint64_t ahead_max_ms = 24 * 3600 * 1000;
constexpr CallOptions tell_options{.timeout = std::chrono::seconds(30)};

}  // namespace

OwnerLists::OwnerLists(Parts parts, OwnerListOptions options)
    : parts_(parts), options_(options), wanted_(parts.runtime.executor()), tasks_(parts.runtime.executor()) {}
OwnerLists::~OwnerLists() = default;

void OwnerLists::start() {
  subscription_ = parts_.members.subscribe([this] { wanted_.set(); });
  tasks_.spawn(run());
}

Task<void> OwnerLists::stop() {
  if (subscription_) parts_.members.unsubscribe(std::exchange(subscription_, 0));
  co_await tasks_.stop();
}

void OwnerLists::told(wire::HolderChain chain) {
  if (chain.lists().empty()) return;
  const auto newest = read_holder_list(chain.lists(chain.lists_size() - 1).body());
  // What is dropped here is asked for again at the next comparison.
  if (!newest || !parts_.table.find(newest->stripe) || incoming_.size() >= incoming_max) return;
  incoming_[newest->stripe] = std::move(chain);
  wanted_.set();
}

std::uint64_t OwnerLists::waiting() const {
  std::uint64_t count = parts_.table.version() != table_version_;  // not looked at yet
  for (const auto& [id, told] : told_)
    count += told.version == 0 || std::ranges::any_of(told.open, [&](const ServerId& holder) {
      return parts_.members.is_up(holder);
    });
  return count;
}

HolderList OwnerLists::list_of(const Stripe& stripe) const {
  std::map<ServerId, std::set<std::uint8_t>> holders;
  for (const auto& shard : stripe.shards)
    if (!shard.lost) holders[shard.holder].insert(static_cast<std::uint8_t>(shard.index));
  HolderList list;
  list.stripe = stripe.id;
  for (const auto& [server, indices] : holders) list.holders.push_back({server, {indices.begin(), indices.end()}});
  return list;
}

/// A holder that is there, or was so lately that the owner's keeper still reckons with it.
bool OwnerLists::stands(const ServerId& holder) const {
  return holder == parts_.identity.server || parts_.members.is_up(holder);
}

/// Holders may have changed while the owner was away, and then more than half of those whom he knows have
/// signed that. So he says nothing of his own before he has heard from more than half of them.
bool OwnerLists::may_make(const Told& told) const {
  if (unproven_.contains(told.seen->id) || incoming_.contains(told.seen->id)) return false;
  std::set<ServerId> holders, heard;
  for (const auto& shard : told.seen->shards) {
    if (shard.lost) continue;
    holders.insert(shard.holder);
    if (shard.holder == parts_.identity.server || compared_.contains(shard.holder)) heard.insert(shard.holder);
  }
  return 2 * heard.size() > holders.size();
}

void OwnerLists::close(Told& told, const StripeId& id, const ServerId& holder) {
  told.open.erase(holder);
  open_[holder].erase(id);
  if (told.open.empty()) told.chain.Clear();
}

std::uint64_t OwnerLists::next_version() {
  last_version_ = std::max(last_version_ + 1, static_cast<std::uint64_t>(parts_.runtime.wall_ms()));
  return last_version_;
}

Task<void> OwnerLists::run() {
  while (true) {
    wanted_.reset();
    auto chains = std::exchange(incoming_, {});
    for (auto& [id, chain] : unproven_) chains.try_emplace(id, chain);
    for (auto& [id, chain] : chains)
      if (auto taken = co_await take_in(std::move(chain)); !taken)
        parts_.runtime.log().info("holders that have changed: {}", taken.error().message);
    std::erase_if(compared_, [&](const ServerId& holder) { return !parts_.members.is_up(holder); });
    for (const auto& member : parts_.members.others()) {
      if (!member.up || compared_.contains(member.id)) continue;
      const auto compared = co_await compare_with(member.id);
      if (compared) {
        compared_.insert(member.id);
      } else {
        parts_.runtime.log().debug("server {} was not asked for its lists of holders: {}", member.id,
                                   compared.error().message);
      }
    }
    look();
    for (const auto& [holder, stripes] : open_)
      if (!stripes.empty() && !telling_.contains(holder) && again_at_[holder] <= parts_.runtime.now() &&
          (holder == parts_.identity.server || parts_.members.is_up(holder))) {
        telling_.insert(holder);
        tasks_.spawn(tell_holder(holder));
      }
    using namespace asio::experimental::awaitable_operators;
    co_await (wanted_.wait() || parts_.runtime.sleep(options_.tell_after / 2));
    co_await parts_.runtime.sleep(std::chrono::milliseconds(20));
  }
}

/// Which stripes have changed, and which have stood long enough to be told of.
void OwnerLists::look() {
  const auto now = parts_.runtime.now();
  if (parts_.table.version() != table_version_) {
    table_version_ = parts_.table.version();
    std::set<StripeId> here;
    for (const auto& stripe : parts_.table.all()) {
      here.insert(stripe->id);
      auto& told = told_[stripe->id];
      if (told.seen == stripe) continue;
      told.seen = stripe;
      const auto content = holder_list_content(list_of(*stripe));
      if (content == told.content) continue;
      told.since = now;
      told.version = 0;
      told.content = content;
    }
    std::erase_if(told_, [&](const auto& entry) {
      if (here.contains(entry.first)) return false;
      for (const auto& holder : entry.second.open) open_[holder].erase(entry.first);
      return true;
    });
  }
  for (auto& [id, told] : told_) {
    if (told.version != 0 || now - told.since < options_.tell_after || !may_make(told)) continue;
    auto list = list_of(*told.seen);
    if (list.holders.empty()) continue;
    list.version = told.version = next_version();
    list.made_ms = parts_.runtime.wall_ms();
    told.chain = make_owner_chain(parts_.identity.server_key, list);
    for (const auto& holder : told.open) open_[holder].erase(id);
    told.open.clear();
    for (const auto& holder : list.holders) {
      told.open.insert(holder.server);
      open_[holder.server].insert(id);
    }
  }
}

Task<void> OwnerLists::tell_holder(ServerId holder) {
  while (!open_[holder].empty()) {
    const auto told = co_await tell_some(holder);
    if (told) continue;
    parts_.runtime.log().debug("server {} was not told of its co-holders: {}", holder, told.error().message);
    again_at_[holder] = parts_.runtime.now() + options_.again_after;
    break;
  }
  telling_.erase(holder);
  wanted_.set();
}

Task<Result<void>> OwnerLists::tell_some(ServerId holder) {
  std::vector<StripeId> ids;
  for (const auto& id : open_[holder]) {
    ids.push_back(id);
    if (ids.size() == chains_per_call) break;
  }
  wire::MendTellRequest request;
  std::map<StripeId, std::uint64_t> versions;
  for (const auto& id : ids) {
    const auto at = told_.find(id);
    if (at == told_.end() || at->second.version == 0 || at->second.chain.lists().empty()) {
      open_[holder].erase(id);
      continue;
    }
    versions[id] = at->second.version;
    *request.add_chains() = at->second.chain;
  }
  if (request.chains().empty()) co_return Result<void>{};
  std::set<StripeId> known;
  if (holder == parts_.identity.server) {
    for (auto& chain : *request.mutable_chains()) CO_TRY_VOID(co_await parts_.mender.take(std::move(chain)));
    for (const auto& [id, version] : versions) known.insert(id);
  } else {
    CO_TRY(const auto reply, co_await parts_.rpc.call(holder, {.method = method::mend_tell,
                                                               .body = request.SerializeAsString(), .payload = {}},
                                                      tell_options));
    wire::MendTellReply message;
    if (!message.ParseFromString(reply.body)) co_return fail(Errc::invalid, "its answer cannot be read");
    for (const auto& raw : message.known()) {
      CO_TRY(const auto id, StripeId::from(raw));
      known.insert(id);
    }
  }
  std::size_t refused = 0;
  for (const auto& [id, version] : versions) {
    const auto at = told_.find(id);
    if (at == told_.end() || at->second.version != version) continue;  // it has changed meanwhile
    if (!known.contains(id)) {
      ++refused;
      continue;
    }
    close(at->second, id, holder);
  }
  if (refused > 0) co_return fail(Errc::denied, "it does not take the lists of {} stripes", refused);
  co_return Result<void>{};
}

/// What a holder knows of our stripes: what it knows already need not be told, what it knows better is
/// taken in.
Task<Result<void>> OwnerLists::compare_with(ServerId holder) {
  look();
  std::string after;
  while (true) {
    wire::MendVersionsRequest request;
    request.set_after_stripe(after);
    request.set_limit(versions_page);
    CO_TRY(const auto reply, co_await parts_.rpc.call(holder, {.method = method::mend_versions,
                                                               .body = request.SerializeAsString(), .payload = {}},
                                                      tell_options));
    wire::MendVersionsReply message;
    if (!message.ParseFromString(reply.body)) co_return fail(Errc::invalid, "its answer cannot be read");
    for (const auto& entry : message.entries()) {
      if (!after.empty() && entry.stripe() <= after) co_return fail(Errc::invalid, "its answer is out of order");
      after = entry.stripe();
      CO_TRY(const auto id, StripeId::from(entry.stripe()));
      const auto at = told_.find(id);
      if (at == told_.end()) continue;
      auto& told = at->second;
      if (told.version != 0 && entry.version() == told.version) {
        close(told, id, holder);
      } else if (told.version != 0 && entry.version() < told.version) {
        if (told.chain.lists().empty()) told.version = 0;  // made anew, and told to all
      } else if (entry.version() > told.version &&
                 entry.version() <= static_cast<std::uint64_t>(parts_.runtime.wall_ms()) + ahead_max_ms) {
        auto chain = co_await ask_chain(holder, id);
        if (!chain) continue;
        if (auto heard = co_await hear(holder, std::move(*chain)); !heard)
          parts_.runtime.log().info("holders that have changed: {}", heard.error().message);
      }
    }
    if (!message.more() || message.entries().empty()) co_return Result<void>{};
  }
}

/// A holder knows a list that is newer than ours, or ours of before this start: when it says what the
/// table says, it is ours again, and the others are told the same; else it is what holders have changed.
Task<Result<void>> OwnerLists::hear(ServerId holder, wire::HolderChain chain) {
  if (chain.lists().empty()) co_return Result<void>{};
  CO_TRY(const auto newest, read_holder_list(chain.lists(chain.lists_size() - 1).body()));
  const auto at = told_.find(newest.stripe);
  if (at == told_.end() || holder_list_content(newest) != at->second.content) co_return co_await take_in(std::move(chain));
  auto& told = at->second;
  if (newest.version <= told.version) co_return Result<void>{};
  last_version_ = std::max(last_version_, newest.version);
  told.version = newest.version;
  told.chain = std::move(chain);
  for (const auto& one : newest.holders) {
    told.open.insert(one.server);
    open_[one.server].insert(newest.stripe);
  }
  close(told, newest.stripe, holder);
  co_return Result<void>{};
}

Task<Result<wire::HolderChain>> OwnerLists::ask_chain(ServerId holder, StripeId stripe,
                                                      std::vector<wire::Contract>* contracts) {
  wire::MendGetRequest request;
  request.set_stripe(stripe.raw());
  CO_TRY(const auto reply, co_await parts_.rpc.call(holder, {.method = method::mend_get,
                                                             .body = request.SerializeAsString(), .payload = {}},
                                                    tell_options));
  wire::MendGetReply message;
  if (!message.ParseFromString(reply.body)) co_return fail(Errc::invalid, "server {}: its answer cannot be read", holder);
  if (contracts) contracts->assign(message.contracts().begin(), message.contracts().end());
  co_return std::move(*message.mutable_chain());
}

/// New holders' receipts go into the table; who is no longer named has lost what it had. A list of our
/// own that has been overtaken, or an old one of ours, changes nothing.
Task<Result<void>> OwnerLists::take_in(wire::HolderChain chain) {
  if (chain.lists().empty()) co_return Result<void>{};
  CO_TRY(const auto newest, read_holder_list(chain.lists(chain.lists_size() - 1).body()));
  const auto stripe = parts_.table.find(newest.stripe);
  if (!stripe || !newest.previous) {
    unproven_.erase(newest.stripe);
    co_return Result<void>{};
  }
  CO_TRY(const auto bytes, co_await parts_.table.descriptor(newest.stripe));
  wire::Signed record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    co_return fail(Errc::corrupt, "the descriptor of stripe {} cannot be read", newest.stripe);
  const auto signs_for = [this](const ServerId& server, const PersonId& owner) {
    return server == parts_.identity.server || parts_.mender.signs_for(server, owner);
  };
  Result<Descriptor> descriptor = fail(Errc::invalid, "");
  auto facts = co_await parts_.runtime.blocking([&]() -> Result<HolderChainFacts> {
    descriptor = check_descriptor(record);
    if (!descriptor) return fail(descriptor.error());
    return check_holder_chain(chain, *descriptor, [&](const ServerId& server, const PersonId& owner) {
      return server == descriptor->server || signs_for(server, owner);
    });
  });
  if (!facts) co_return fail(std::move(facts).error());
  if (const auto told = told_.find(newest.stripe); told != told_.end() && told->second.version >= newest.version)
    co_return Result<void>{};
  last_version_ = std::max(last_version_, newest.version);

  // What the owner has by receipt from somebody who is there needs nobody else's.
  const auto has = [&](unsigned index) {
    return std::ranges::any_of(stripe->shards, [&](const PlacedShard& shard) {
      return shard.index == index && !shard.lost && stands(shard.holder);
    });
  };
  std::vector<ShardReceipt> receipts;
  std::size_t unproven = 0;
  for (const auto& holder : newest.holders) {
    const bool all_known = std::ranges::all_of(holder.indices, [&](unsigned index) {
      return has(index) || std::ranges::any_of(stripe->shards, [&](const PlacedShard& shard) {
        return shard.index == index && shard.holder == holder.server && !shard.lost;
      });
    });
    if (all_known) continue;
    std::vector<wire::Contract> contracts;
    if (auto asked = co_await ask_chain(holder.server, newest.stripe, &contracts); !asked) {
      ++unproven;
      continue;
    }
    for (const auto index : holder.indices) {
      if (has(index)) continue;
      const auto receipt = std::ranges::find_if(contracts, [&](const wire::Contract& contract) {
        return is_receipt(contract, *descriptor, index, holder.server);
      });
      if (receipt != contracts.end())
        receipts.push_back({index, holder.server, to_bytes(as_bytes(receipt->SerializeAsString()))});
    }
  }
  const auto count = receipts.size();
  if (!receipts.empty()) CO_TRY_VOID(co_await parts_.table.add_shards(newest.stripe, std::move(receipts)));
  // Only what holders have taken from somebody: what has been placed since they agreed they cannot know of.
  std::vector<HolderList> before;
  for (const auto& list : chain.lists()) {
    CO_TRY(auto read, read_holder_list(list.body()));
    before.push_back(std::move(read));
  }
  const auto now = parts_.table.find(newest.stripe);
  std::size_t gone = 0;
  if (now)
    for (const auto& shard : now->shards) {
      // Who is there is asked what he has anyway; and few may take from nobody.
      if (shard.lost || facts->by_few || stands(shard.holder) || newest.names(shard.holder, shard.index) ||
          std::ranges::none_of(before, [&](const HolderList& list) { return list.names(shard.holder, shard.index); }))
        continue;
      ++gone;
      CO_TRY_VOID(co_await parts_.table.mark_lost(newest.stripe, shard.index, shard.holder));
    }
  if (count + gone > 0) {
    ++taken_in_;
    parts_.runtime.log().info("stripe {}: its holders have rebuilt it: {} shards are new, {} are gone", newest.stripe,
                              count, gone);
  }
  if (unproven > 0) {
    unproven_[newest.stripe] = chain;
  } else {
    unproven_.erase(newest.stripe);
  }
  if (unproven > 0)
    co_return fail(Errc::unavailable, "stripe {}: {} of its new holders could not be asked for their receipts",
                   newest.stripe, unproven);
  co_return Result<void>{};
}

}  // namespace spatter
