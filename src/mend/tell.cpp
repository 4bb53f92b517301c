// Lists of holders on their way: taken in when they are newer and prove themselves, passed on by whoever
// made them, asked for by whoever was away.
#include <algorithm>

#include "mender_state.h"

namespace spatter {
namespace {

constexpr CallOptions tell_options{.timeout = std::chrono::seconds(30)};
constexpr std::size_t chains_per_call = 64;
constexpr std::size_t reply_bytes_max = 256 << 10;
constexpr int known_per_call = 2048;
constexpr unsigned versions_max = 2048;
constexpr std::size_t off_when_told_max = 65'536;
/// A receipt is for ninety days; a request with more is no repair.
constexpr WallMs term_max_ms = 2 * contract_term_ms;

}  // namespace

std::optional<ShardKey> before_key(const ShardKey& key) {
  if (key.index > 0) return ShardKey{key.stripe, key.index - 1};
  StripeId before = key.stripe;
  for (std::size_t i = before.bytes.size(); i-- > 0;)
    if (before.bytes[i]-- != 0) return ShardKey{before, std::numeric_limits<std::uint32_t>::max()};
  return std::nullopt;  // there is nothing before the first
}

Result<PersonId> Mender::State::member(const Caller& caller) const {
  const auto person = parts.members.person_of(caller.server);
  if (!person) return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  return *person;
}

/// True when the chain's newest list is the newest here now and was not before. Of a stripe that is not
/// kept here: false. An error: it proves nothing.
Task<Result<bool>> Mender::State::adopt(wire::HolderChain chain) {
  if (chain.lists().empty() || chain.lists_size() > static_cast<int>(holder_chain_lists_max))
    co_return fail(Errc::invalid, "a chain of {} holder lists", chain.lists_size());
  CO_TRY(const auto told, read_holder_list(chain.lists(chain.lists_size() - 1).body()));
  CO_TRY(auto stored, co_await parts.shards.kept_stripe(told.stripe));
  if (!stored || stored->holders_version >= told.version) co_return false;
  const bool first = stored->holders_version == 0;
  wire::Signed record;
  if (!record.ParseFromArray(stored->descriptor.data(), static_cast<int>(stored->descriptor.size())))
    co_return fail(Errc::corrupt, "the descriptor of stripe {} in the index cannot be read", told.stripe);
  // What this server has accepted before is not judged anew: the owner's server may be gone by now.
  std::string accepted;
  if (!first) {
    wire::HolderChain before;
    if (before.ParseFromArray(stored->holders.data(), static_cast<int>(stored->holders.size())) &&
        before.lists_size() > 0)
      accepted = before.lists(0).body();
  }
  const auto signs_now = signs();
  const bool known_start = !accepted.empty() && chain.lists(0).body() == accepted;
  CO_TRY(const auto descriptor, check_descriptor(record));
  const auto signs_for = [&](const ServerId& server, const PersonId& owner) {
    return known_start || (server == descriptor.server && !parts.members.retired_by(server)) || signs_now(server, owner);
  };
  CO_TRY(const auto facts, check_holder_chain(chain, descriptor, signs_for));
  std::vector<std::uint8_t> mine;
  if (const auto* entry = facts.newest.find(parts.identity.server)) mine = entry->indices;
  const auto bytes = chain.SerializeAsString();
  CO_TRY(const bool newer, co_await parts.shards.set_holders(told.stripe, told.version,
                                                            to_bytes(as_bytes(bytes)), std::move(mine)));
  if (!newer) co_return false;
  if (first && untold > 0) --untold;
  failed.erase(told.stripe);
  CO_TRY(const auto now, co_await kept(told.stripe));
  if (now) note(*now);
  wanted.set();
  co_return true;
}

Task<void> Mender::State::tell(ServerId server, wire::HolderChain chain) {
  wire::MendTellRequest request;
  *request.add_chains() = std::move(chain);
  auto reply = co_await parts.rpc.call(
      server, {.method = method::mend_tell, .body = request.SerializeAsString(), .payload = {}}, tell_options);
  if (!reply) parts.runtime.log().debug("server {} was not told of new holders: {}", server, reply.error().message);
}

/// The new holders, the old ones, and the owner's servers that are up.
Task<void> Mender::State::tell_all(std::shared_ptr<Job> job) {
  std::set<ServerId> servers;
  for (const auto& holder : job->next.holders) servers.insert(holder.server);
  for (const auto& holder : job->kept.facts->newest.holders) servers.insert(holder.server);
  for (const auto& member : parts.members.others())
    if (member.person == job->kept.kept.person) servers.insert(member.id);
  servers.erase(parts.identity.server);
  for (const auto& server : servers) {
    if (parts.members.is_up(server)) {
      tasks.spawn(tell(server, job->chain));
    } else if (off_when_told.size() < off_when_told_max && !is_gone(server)) {
      off_when_told.emplace(server, job->id);
    }
  }
  co_return;
}

/// Who was off for less than the grace, and perhaps was not started anew, does not ask.
Task<void> Mender::State::tell_returned() {
  std::vector<std::pair<ServerId, StripeId>> returned;
  std::erase_if(off_when_told, [&](const auto& entry) {
    if (parts.members.is_up(entry.first)) returned.push_back(entry);
    return is_gone(entry.first) || parts.members.is_up(entry.first);
  });
  for (const auto& [server, id] : returned) {
    const auto facts = co_await kept(id);
    if (facts && *facts && (*facts)->facts) tasks.spawn(tell(server, (*facts)->chain));
  }
}

/// A server that was off asks for each stripe one of its co-holders what has become of it.
Task<void> Mender::State::catch_up() {
  std::map<ServerId, std::vector<std::pair<StripeId, std::uint64_t>>> questions;
  std::vector<StripeId> open;
  for (const auto& [id, stripe] : stripes) open.push_back(id);
  // Those who are up are asked at once; for what is left others may come up.
  const auto deadline = parts.runtime.now() + options.look_every;
  std::set<ServerId> asked;
  while (!open.empty() && parts.runtime.now() < deadline) {
    wanted.reset();
    questions.clear();
    std::vector<StripeId> left;
    for (const auto& id : open) {
      const auto at = stripes.find(id);
      if (at == stripes.end()) continue;
      const auto& holders = at->second.list.holders;
      const auto up = std::ranges::find_if(holders, [&](const HolderEntry& holder) {
        return holder.server != parts.identity.server && parts.members.is_up(holder.server);
      });
      if (up == holders.end()) {
        left.push_back(id);
      } else {
        questions[up->server].emplace_back(id, at->second.list.version);
      }
    }
    open = std::move(left);
    for (auto& [server, known] : questions)
      if (auto caught = co_await catch_up_with(server, std::move(known)); !caught)
        parts.runtime.log().debug("server {} was not asked for newer lists of holders: {}", server,
                                  caught.error().message);
    using namespace asio::experimental::awaitable_operators;
    if (!open.empty()) co_await (wanted.wait() || parts.runtime.sleep_until(deadline));
  }
  wanted.set();
}

Task<Result<void>> Mender::State::catch_up_with(ServerId server,
                                                std::vector<std::pair<StripeId, std::uint64_t>> known) {
  for (std::size_t first = 0; first < known.size(); first += known_per_call) {
    wire::MendTellRequest request;
    for (std::size_t i = first; i < std::min(known.size(), first + known_per_call); ++i) {
      auto* one = request.add_known();
      one->set_stripe(known[i].first.raw());
      one->set_version(known[i].second);
    }
    CO_TRY(const auto reply, co_await parts.rpc.call(server, {.method = method::mend_tell,
                                                              .body = request.SerializeAsString(), .payload = {}},
                                                     tell_options));
    wire::MendTellReply message;
    if (!message.ParseFromString(reply.body))
      co_return fail(Errc::invalid, "its answer cannot be read");
    for (auto& chain : *message.mutable_newer())
      if (auto taken = co_await adopt(std::move(chain)); !taken)
        parts.runtime.log().debug("a list of holders from server {}: {}", server, taken.error().message);
  }
  co_return Result<void>{};
}

/// Lists of others have left this server out, who is there after all: what is needed is offered back,
/// what is not goes.
Task<void> Mender::State::settle_surplus(StripeId id) {
  const auto at = stripes.find(id);
  if (at == stripes.end()) {
    surplus.erase(id);
    co_return;
  }
  if (repairing.contains(id) || at->second.again_at > parts.runtime.now()) co_return;
  const auto job = std::make_shared<Job>(id);
  const auto settle = [&]() -> Task<Result<void>> {
    CO_TRY(auto facts, co_await kept(id));
    if (!facts || !facts->facts) {
      stripes.erase(id);
      surplus.erase(id);
      co_return Result<void>{};
    }
    job->kept = std::move(*facts);
    const auto& list = job->kept.facts->newest;
    std::vector<ShardKey> needless;
    for (const auto& shard : job->kept.kept.shards) {
      if (shard.trial_until_ms > 0 || list.names(parts.identity.server, shard.index)) continue;
      // Somebody must have it who is there and says so: what is only listed may be gone.
      bool elsewhere = false, listed_with_somebody = false;
      unsigned copies = 0;
      const bool single = job->kept.descriptor.k == 1;  // any three copies will do
      for (const auto& holder : list.holders)
        for (const auto index : holder.indices) {
          if (!single && index != shard.index) continue;
          listed_with_somebody |= counts(id, index, holder.server);
          if (shard.lost || !parts.members.is_up(holder.server) || !co_await shows(holder.server, id, index)) continue;
          elsewhere |= index == shard.index;
          ++copies;
        }
      const bool enough = elsewhere || (single && copies >= job->kept.descriptor.n);
      if (shard.lost || (enough && !job->kept.facts->by_few)) {
        needless.push_back({id, shard.index});
      } else if (!enough && !listed_with_somebody) {
        CO_TRY(auto listed, co_await parts.shards.list(
                                {.person = std::nullopt, .after = before_key({id, shard.index}), .limit = 1}));
        if (!listed.shards.empty() && listed.shards.front().key == ShardKey{id, shard.index})
          job->receipts.emplace(std::pair(unsigned{shard.index}, parts.identity.server), listed.shards.front().contract);
      }
    }
    if (!needless.empty()) {
      CO_TRY(const auto gone, co_await parts.shards.let_go(std::move(needless), list.version, false));
      done.let_go += gone;
    }
    if (!job->receipts.empty()) {
      CO_TRY_VOID(can_agree(*job));
      CO_TRY_VOID(co_await agree(job));
      done.taken_back += job->receipts.size();
      co_await tell_all(job);
    }
    CO_TRY(facts, co_await kept(id));
    if (facts) {
      note(*facts);
    } else {
      stripes.erase(id);
      surplus.erase(id);
    }
    // What is still left over waits for those who are to have it.
    if (const auto again = stripes.find(id); again != stripes.end() && surplus.contains(id))
      again->second.again_at = parts.runtime.now() + options.again_after;
    co_return Result<void>{};
  };
  if (const auto settled = co_await settle(); !settled) {
    parts.runtime.log().info("mending after an absence: {}", settled.error().message);
    if (const auto again = stripes.find(id); again != stripes.end())
      again->second.again_at = parts.runtime.now() + options.again_after;
  }
}

/// Whether a holder that is there says that it has a shard whole.
Task<bool> Mender::State::shows(ServerId holder, StripeId stripe, unsigned index) {
  if (holder == parts.identity.server) {
    const auto whole = co_await parts.shards.check({{stripe, index}}, false);
    co_return whole && whole->front();
  }
  wire::ShardCheckRequest request;
  auto* shard = request.add_shards();
  shard->set_stripe(stripe.raw());
  shard->set_index(index);
  const auto reply = co_await parts.rpc.call(
      holder, {.method = method::shard_check, .body = request.SerializeAsString(), .payload = {}}, tell_options);
  wire::ShardCheckReply message;
  co_return reply && message.ParseFromString(reply->body) && message.whole_size() == 1 && message.whole(0);
}

Task<Result<RpcReply>> Mender::State::handle_tell(Caller caller, RpcRequest request) {
  CO_TRY_VOID(member(caller));
  wire::MendTellRequest message;
  if (!message.ParseFromString(request.body) || message.chains_size() > static_cast<int>(chains_per_call) ||
      message.known_size() > known_per_call)
    co_return fail(Errc::invalid, "a mend.tell request that cannot be read, or is too long");
  wire::MendTellReply reply;
  for (auto& chain : *message.mutable_chains()) {
    if (chain.lists().empty()) continue;
    const auto told = read_holder_list(chain.lists(chain.lists_size() - 1).body());
    if (!told) continue;
    if (on_told_owner && *on_told_owner) (*on_told_owner)(chain);
    if (const auto taken = co_await adopt(std::move(chain)); !taken) {
      parts.runtime.log().debug("a list of holders from server {}: {}", caller.server, taken.error().message);
      continue;
    }
    const auto at = stripes.find(told->stripe);
    if (at != stripes.end() && at->second.list.version >= told->version) reply.add_known(told->stripe.raw());
  }
  std::size_t bytes = 0;
  for (const auto& known : message.known()) {
    CO_TRY(const auto id, StripeId::from(known.stripe()));
    const auto at = stripes.find(id);
    if (at == stripes.end() || at->second.list.version <= known.version()) continue;
    CO_TRY(const auto stored, co_await parts.shards.kept_stripe(id));
    if (!stored || bytes + stored->holders.size() > reply_bytes_max) continue;
    wire::HolderChain chain;
    if (!chain.ParseFromArray(stored->holders.data(), static_cast<int>(stored->holders.size()))) continue;
    bytes += stored->holders.size();
    *reply.add_newer() = std::move(chain);
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> Mender::State::handle_get(Caller caller, RpcRequest request) {
  CO_TRY_VOID(member(caller));
  wire::MendGetRequest message;
  if (!message.ParseFromString(request.body)) co_return fail(Errc::invalid, "a mend.get request that cannot be read");
  CO_TRY(const auto id, StripeId::from(message.stripe()));
  CO_TRY(auto facts, co_await kept(id));
  if (!facts) co_return fail(Errc::not_found, "stripe {} is not kept here", id);
  wire::MendGetReply reply;
  *reply.mutable_chain() = std::move(facts->chain);
  *reply.mutable_stripe_descriptor() = std::move(facts->signed_descriptor);
  CO_TRY(auto page, co_await parts.shards.list({.person = facts->kept.person, .after = before_key({id, 0}),
                                                .limit = facts->kept.shards.size()}));
  for (auto& shard : page.shards)
    if (shard.key.stripe == id && !shard.lost) *reply.add_contracts() = std::move(shard.contract);
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> Mender::State::handle_versions(Caller caller, RpcRequest request) {
  CO_TRY(const auto person, member(caller));
  wire::MendVersionsRequest message;
  if (!message.ParseFromString(request.body)) co_return fail(Errc::invalid, "a mend.versions request that cannot be read");
  std::optional<StripeId> after;
  if (!message.after_stripe().empty()) {
    CO_TRY(after, StripeId::from(message.after_stripe()));
  }
  const unsigned limit = std::clamp(message.limit(), 1u, versions_max);
  CO_TRY(const auto page, co_await parts.shards.kept_versions(person, after, limit + 1));
  wire::MendVersionsReply reply;
  for (const auto& one : page) {
    if (reply.entries_size() == static_cast<int>(limit)) {
      reply.set_more(true);
      break;
    }
    auto* entry = reply.add_entries();
    entry->set_stripe(one.stripe.raw());
    entry->set_version(one.version);
    if (const auto at = stripes.find(one.stripe); at != stripes.end()) {
      const auto content = holder_list_content(at->second.list);
      entry->set_content(content.data(), content.size());
    }
  }
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> Mender::State::handle_put(Caller caller, RpcRequest request) {
  CO_TRY(const auto person, member(caller));
  wire::MendPutRequest message;
  if (!message.ParseFromString(request.body)) co_return fail(Errc::invalid, "a mend.put request that cannot be read");
  CO_TRY(const auto descriptor, check_descriptor(message.stripe_descriptor()));
  const auto signs_now = signs();
  const auto signs_for = [&](const ServerId& server, const PersonId& owner) {
    return (server == descriptor.server && !parts.members.retired_by(server)) || signs_now(server, owner);
  };
  CO_TRY(const auto facts, check_holder_chain(message.chain(), descriptor, signs_for));
  if (!facts.newest.find(caller.server))
    co_return fail(Errc::denied, "stripe {}: server {} is not among its holders", descriptor.stripe, caller.server);
  // The owner's own writes come with his contract, and are held to his share.
  if (person == descriptor.person && person != parts.identity.person)
    co_return fail(Errc::denied, "stripe {}: its owner's servers write it themselves", descriptor.stripe);
  if (!parts.members.is_trusted(descriptor.person))
    co_return fail(Errc::denied, "person {} is not trusted: nobody keeps anything of his", descriptor.person);
  CO_TRY(const auto terms, check_offer(message.contract()));
  const auto now = parts.runtime.wall_ms();
  if (terms.until_ms > now + term_max_ms)
    co_return fail(Errc::invalid, "stripe {}: a contract until {}", descriptor.stripe, terms.until_ms);
  const bool listed = facts.newest.names(parts.identity.server, terms.index);  // and it was lost here
  const auto trial =
      listed ? rebuilt_for_good : now + std::chrono::duration_cast<std::chrono::milliseconds>(options.trial).count();
  wire::MendPutReply reply;
  CO_TRY(*reply.mutable_contract(),
         co_await parts.shards.put_rebuilt(caller.server, std::move(*message.mutable_stripe_descriptor()),
                                           std::move(*message.mutable_contract()), request.payload, trial));
  // Its list comes along, so that this server is told what follows it.
  if (auto taken = co_await adopt(std::move(*message.mutable_chain())); !taken) co_return fail(taken.error());
  CO_TRY(const auto stored, co_await kept(descriptor.stripe));
  if (stored) note(*stored);
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<void>> Mender::take(wire::HolderChain chain) {
  const auto taken = co_await state_->adopt(std::move(chain));
  if (!taken) co_return fail(taken.error());
  co_return Result<void>{};
}

}  // namespace spatter
