// Agreeing on a new list of holders: the coordinator asks, the old holders look for themselves and sign.
#include <algorithm>

#include "crypto/hash.h"
#include "mender_state.h"

namespace spatter {
namespace {

constexpr CallOptions sign_options{.timeout = std::chrono::seconds(60)};
constexpr CallOptions check_options{.timeout = std::chrono::seconds(20)};

HolderList next_list(const HolderList& now, const std::string& body, std::uint64_t promised, WallMs made_ms) {
  HolderList next;
  next.stripe = now.stripe;
  next.version = std::max(now.version, promised) + 1;
  next.previous = holder_list_id(body);
  next.made_ms = made_ms;
  return next;
}

}  // namespace

/// Whether enough of the old holders can be asked. Holders that have been away for very long are named
/// as absent if it takes that.
Result<void> Mender::State::can_agree(Job& job) {
  const auto& now = job.kept.facts->newest;
  const auto promised = promises.find(job.id);
  job.next = next_list(now, job.kept.facts->body, promised == promises.end() ? 0 : promised->second.version,
                       parts.runtime.wall_ms());
  std::vector<ServerId> up;
  for (const auto& holder : now.holders)
    if (holder.server == parts.identity.server || parts.members.is_up(holder.server)) up.push_back(holder.server);
  const auto met = [&] {
    return is_met(holder_quorum(now, job.next, job.kept.descriptor.k), now, up);
  };
  if (met()) return {};
  for (const auto& holder : now.holders)
    if (is_absent(holder.server)) job.next.absent.push_back(holder.server);
  if (met()) return {};
  return fail(Errc::unavailable, "stripe {}: {} of its {} holders are up, too few to agree on new ones", job.id,
              up.size(), now.holders.size());
}

/// Whoever comes first in the draw has it while he is up: a later one makes way, so that two do not both
/// fetch and send what one of them will throw away.
Result<void> Mender::State::grant(const KeptFacts& facts, const ServerId& coordinator) {
  const auto& now = facts.facts->newest;
  auto& claim = claims[now.stripe];
  if (claim.version != now.version) claim = {.coordinator = {}, .until = {}, .version = now.version, .had = {}};
  const bool held = claim.until > parts.runtime.now() &&
                    (claim.coordinator == parts.identity.server || parts.members.is_up(claim.coordinator));
  if (held && claim.coordinator == coordinator) return {};
  // Each has his time once, so that nobody keeps others off by asking again and again; when all had theirs
  // it begins anew.
  if (claim.had.contains(coordinator)) {
    if (held) return fail(Errc::busy, "stripe {}: server {} is rebuilding it", now.stripe, claim.coordinator);
    const bool another = std::ranges::any_of(now.holders, [&](const HolderEntry& holder) {
      return !claim.had.contains(holder.server) && parts.members.is_up(holder.server);
    });
    if (another && claim.until + options.claim > parts.runtime.now())
      return fail(Errc::busy, "stripe {}: it is for others to rebuild it", now.stripe);
    claim.had.clear();
  }
  if (held) {
    const ServerId both[] = {claim.coordinator, coordinator};
    if (coordinators(now.stripe, now.version, both).front() != coordinator)
      return fail(Errc::busy, "stripe {}: server {} is rebuilding it", now.stripe, claim.coordinator);
  }
  claim.coordinator = coordinator;
  claim.until = parts.runtime.now() + options.claim;
  claim.had.insert(coordinator);
  return {};
}

Task<void> Mender::State::ask_claim(std::shared_ptr<Job> job, StepPtr step, ServerId holder) {
  wire::MendSignRequest request;
  *request.mutable_chain() = job->kept.chain;
  const auto reply = co_await parts.rpc.call(
      holder, {.method = method::mend_sign, .body = request.SerializeAsString(), .payload = {}}, check_options);
  if (step->over) co_return;
  if (reply) {
    job->signers.push_back(holder);
  } else {
    job->refusals.push_back(reply.error());
  }
  step->ended();
}

/// Before a byte is moved: as many holders as have to agree in the end know who is at it.
Task<Result<void>> Mender::State::claim(std::shared_ptr<Job> job) {
  const auto& now = job->kept.facts->newest;
  CO_TRY_VOID(grant(job->kept, parts.identity.server));
  if (now.find(parts.identity.server)) job->signers.push_back(parts.identity.server);
  const auto quorum = holder_quorum(now, job->next, job->kept.descriptor.k);
  const auto step = std::make_shared<Step>(parts.runtime.executor());
  const StepEnd end{*step};
  TaskGroups::Scope scope(groups);
  for (const auto& voter : quorum.voters) {
    if (voter == parts.identity.server || !parts.members.is_up(voter)) continue;
    ++step->running;
    scope.spawn(ask_claim(job, step, voter));
  }
  while (step->running > 0 && !is_met(quorum, now, job->signers)) co_await step->changed.wait();
  const bool met = is_met(quorum, now, job->signers);
  job->signers.clear();
  if (met) co_return Result<void>{};
  co_return fail(Errc::busy, "{}", job->refusals.empty() ? fmt::format("stripe {}: its holders do not answer", job->id)
                                                          : job->refusals.front().message);
}

Task<void> Mender::State::ask_signature(std::shared_ptr<Job> job, StepPtr step, ServerId holder) {
  wire::MendSignRequest request;
  *request.mutable_chain() = job->kept.chain;
  request.set_body(job->body);
  for (const auto& [key, receipt] : job->receipts) *request.add_receipts() = receipt;
  auto reply = co_await parts.rpc.call(
      holder, {.method = method::mend_sign, .body = request.SerializeAsString(), .payload = {}}, sign_options);
  if (step->over) co_return;
  wire::MendSignReply message;
  Result<ServerId> signer = fail(Errc::invalid, "server {}: its answer cannot be read", holder);
  if (!reply) {
    signer = fail(std::move(reply).error());
  } else if (message.ParseFromString(reply->body)) {
    wire::HolderList::Signature signature;
    signature.set_key(message.key());
    signature.set_signature(message.signature());
    signer = check_holder_signature(signature, job->body);
    if (signer && *signer == holder) {
      job->signatures.push_back(std::move(signature));
      job->signers.push_back(holder);
    }
  }
  if (!signer) job->refusals.push_back(signer.error());
  step->ended();
}

Task<Result<void>> Mender::State::agree(std::shared_ptr<Job> job) {
  const auto& now = job->kept.facts->newest;
  std::map<ServerId, std::set<std::uint8_t>> holders;
  for (const auto& holder : now.holders)
    for (const auto index : holder.indices)
      if (counts(job->id, index, holder.server)) holders[holder.server].insert(index);
  for (const auto& [key, receipt] : job->receipts) holders[key.second].insert(static_cast<std::uint8_t>(key.first));
  for (const auto& [server, indices] : holders) job->next.holders.push_back({server, {indices.begin(), indices.end()}});
  job->body = holder_list_body(job->next);
  CO_TRY_VOID(promise(job->id, job->next, job->body));
  if (now.find(parts.identity.server)) {
    job->signatures.push_back(sign_holder_list(parts.identity.server_key, job->body));
    job->signers.push_back(parts.identity.server);
  }
  job->refusals.clear();
  const auto quorum = holder_quorum(now, job->next, job->kept.descriptor.k);
  const auto step = std::make_shared<Step>(parts.runtime.executor());
  const StepEnd end{*step};
  TaskGroups::Scope scope(groups);
  for (const auto& voter : quorum.voters) {
    if (voter == parts.identity.server || !parts.members.is_up(voter)) continue;
    ++step->running;
    scope.spawn(ask_signature(job, step, voter));
  }
  while (!is_met(quorum, now, job->signers) && step->running > 0) co_await step->changed.wait();
  if (!is_met(quorum, now, job->signers))
    co_return fail(Errc::unavailable, "stripe {}: {} of {} holders agree to new ones: {}", job->id,
                   job->signers.size(), quorum.voters.size(),
                   job->refusals.empty() ? "the others did not answer" : job->refusals.front().message);
  job->chain = job->kept.chain;
  auto* list = job->chain.add_lists();
  list->set_body(job->body);
  std::ranges::sort(job->signatures, {}, [](const auto& signature) { return signature.key(); });
  for (const auto& signature : job->signatures) *list->add_signatures() = signature;
  CO_TRY(const bool adopted, co_await adopt(job->chain));
  if (!adopted) co_return fail(Errc::exists, "stripe {}: others have agreed on new holders meanwhile", job->id);
  co_return Result<void>{};
}

/// One list at a time may follow another, so that two coordinators do not both get what both need; a
/// higher version may take its place, for a coordinator may die.
Result<void> Mender::State::promise(const StripeId& stripe, const HolderList& next, const std::string& body) {
  const Digest id = holder_list_id(body);
  auto& last = promises[stripe];
  if (last.previous == *next.previous && last.version >= next.version && last.body != id)
    return fail(Errc::busy, "stripe {}: another list of its holders is being signed", stripe);
  last = {*next.previous, next.version, id};
  return {};
}

/// Every holder that is to lose a shard must have lost it, as far as can be seen from here.
Task<Result<void>> Mender::State::check_removed(const KeptFacts& facts, const HolderList& next) {
  for (const auto& holder : facts.facts->newest.holders) {
    std::vector<unsigned> gone;
    for (const auto index : holder.indices)
      if (!next.names(holder.server, index)) gone.push_back(index);
    if (gone.empty() || is_gone(holder.server)) continue;
    const auto whole = [&]() -> Task<Result<bool>> {
      if (holder.server == parts.identity.server) {
        std::vector<ShardKey> keys;
        for (const auto index : gone) keys.push_back({next.stripe, index});
        CO_TRY(const auto own, co_await parts.shards.check(std::move(keys), true));
        co_return std::ranges::find(own, true) != own.end();
      }
      wire::ShardCheckRequest request;
      request.set_deep(true);
      for (const auto index : gone) {
        auto* shard = request.add_shards();
        shard->set_stripe(next.stripe.raw());
        shard->set_index(index);
      }
      CO_TRY(const auto reply, co_await parts.rpc.call(holder.server, {.method = method::shard_check,
                                                                       .body = request.SerializeAsString(),
                                                                       .payload = {}},
                                                       check_options));
      wire::ShardCheckReply message;
      if (!message.ParseFromString(reply.body) || message.whole_size() != request.shards_size())
        co_return fail(Errc::invalid, "its answer cannot be read");
      co_return std::ranges::find(message.whole(), true) != message.whole().end();
    };
    // What an audit or a rebuilding has found here counts more than what the holder says.
    if (std::ranges::none_of(gone, [&](unsigned index) { return counts(next.stripe, index, holder.server); })) continue;
    const auto found = co_await whole();
    if (!found)
      co_return fail(Errc::denied, "stripe {}: server {} has not been away for long enough, and could not be asked: {}",
                     next.stripe, holder.server, found.error().message);
    if (*found)
      co_return fail(Errc::denied, "stripe {}: server {} still has what it is to be relieved of", next.stripe,
                     holder.server);
  }
  for (const auto& server : next.absent)
    if (facts.facts->newest.find(server) && !is_absent(server))
      co_return fail(Errc::denied, "stripe {}: server {} has not been away for so long that it has no voice",
                     next.stripe, server);
  co_return Result<void>{};
}

/// Every holder that is to get a shard must have signed for it, and be one that may hold.
Result<void> Mender::State::check_added(const KeptFacts& facts, const HolderList& next,
                                        const google::protobuf::RepeatedPtrField<wire::Contract>& receipts,
                                        const ServerId& asker) {
  std::set<std::pair<unsigned, ServerId>> signed_for;
  if (receipts.size() > 2 * static_cast<int>(facts.descriptor.n))
    return fail(Errc::invalid, "stripe {}: {} receipts for {} shards", next.stripe, receipts.size(), facts.descriptor.n);
  for (const auto& receipt : receipts) {
    TRY(const auto terms, check_contract(receipt));
    if (is_receipt(receipt, facts.descriptor, terms.index, terms.holder)) signed_for.insert({terms.index, terms.holder});
  }
  bool asker_gains = false;
  for (const auto& holder : next.holders) {
    for (const auto index : holder.indices) {
      if (facts.facts->newest.names(holder.server, index)) continue;
      asker_gains |= holder.server == asker;
      if (!signed_for.contains({index, holder.server}))
        return fail(Errc::denied, "stripe {}: server {} has not signed for shard {}", next.stripe, holder.server, index);
      const auto person = parts.members.person_of(holder.server);
      if (!person || (!parts.members.is_trusted(*person) && *person != facts.descriptor.person))
        return fail(Errc::denied, "stripe {}: server {} may not hold shards", next.stripe, holder.server);
    }
  }
  if (!facts.facts->newest.find(asker) && !asker_gains)
    return fail(Errc::denied, "stripe {}: server {} does not hold it", next.stripe, asker);
  return {};
}

Task<Result<RpcReply>> Mender::State::handle_sign(Caller caller, RpcRequest request) {
  CO_TRY_VOID(member(caller));
  wire::MendSignRequest message;
  if (!message.ParseFromString(request.body)) co_return fail(Errc::invalid, "a mend.sign request that cannot be read");
  if (message.chain().lists().empty()) co_return fail(Errc::invalid, "a mend.sign request without a list of holders");
  CO_TRY(const auto told, read_holder_list(message.chain().lists(message.chain().lists_size() - 1).body()));
  // A list that this server has missed comes along.
  if (auto taken = co_await adopt(std::move(*message.mutable_chain())); !taken) co_return fail(taken.error());
  CO_TRY(const auto facts, co_await kept(told.stripe));
  if (!facts || !facts->facts)
    co_return fail(Errc::not_found, "stripe {} is not kept here", told.stripe);
  const auto& now = facts->facts->newest;
  if (told.version < now.version)
    co_return fail(Errc::exists, "stripe {}: the holders have changed: list {} is known here", now.stripe, now.version);
  const bool holds = now.find(caller.server) != nullptr;
  if (holds) CO_TRY_VOID(grant(*facts, caller.server));
  if (message.body().empty() && !holds)
    co_return fail(Errc::denied, "stripe {}: server {} does not hold it", now.stripe, caller.server);
  if (message.body().empty()) co_return RpcReply{wire::MendSignReply().SerializeAsString(), {}};
  CO_TRY(const auto next, read_holder_list(message.body()));
  if (next.stripe != now.stripe) co_return fail(Errc::invalid, "a list of stripe {} to follow one of {}", next.stripe, now.stripe);
  if (next.previous != holder_list_id(facts->facts->body) || next.version <= now.version)
    co_return fail(Errc::exists, "stripe {}: the holders have changed: list {} is known here", next.stripe, now.version);
  if (!now.find(parts.identity.server))
    co_return fail(Errc::denied, "stripe {}: this server is no longer among its holders", next.stripe);
  for (const auto& holder : next.holders)
    if (holder.indices.back() >= facts->descriptor.n)
      co_return fail(Errc::invalid, "stripe {}: shard {} of {}", next.stripe, holder.indices.back(), facts->descriptor.n);
  CO_TRY_VOID(check_added(*facts, next, message.receipts(), caller.server));
  CO_TRY_VOID(co_await check_removed(*facts, next));
  // Asking others took its time: meanwhile another list may have come.
  if (const auto stored = co_await parts.shards.kept_stripe(next.stripe);
      !stored || !*stored || (*stored)->holders_version != now.version)
    co_return fail(Errc::exists, "stripe {}: the holders have changed", next.stripe);
  CO_TRY_VOID(promise(next.stripe, next, message.body()));
  const auto signature = sign_holder_list(parts.identity.server_key, message.body());
  wire::MendSignReply reply;
  reply.set_key(signature.key());
  reply.set_signature(signature.signature());
  co_return RpcReply{reply.SerializeAsString(), {}};
}

}  // namespace spatter
