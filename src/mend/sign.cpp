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
/// as absent if it takes that. Of what is in danger it is enough that they will be there one after another: all of
/// them at once is what a network of home PCs may never see.
Result<void> Mender::State::can_agree(Job& job) {
  const auto& now = job.kept.facts->newest;
  const auto promised = promises.find(job.id);
  job.next = next_list(now, job.kept.facts->body, promised == promises.end() ? 0 : promised->second.version,
                       parts.runtime.wall_ms());
  std::vector<ServerId> up, expected, absent;
  for (const auto& holder : now.holders) {
    if (holder.server == parts.identity.server || parts.members.is_up(holder.server)) up.push_back(holder.server);
    if (is_absent(holder.server)) absent.push_back(holder.server);
    if (!is_gone(holder.server)) expected.push_back(holder.server);
  }
  const auto met = [&](const std::vector<ServerId>& signers) {
    for (const auto& without : {std::vector<ServerId>(), absent}) {
      job.next.absent = without;
      if (is_met(holder_quorum(now, job.next, job.kept.descriptor.k), now, signers)) return true;
    }
    return false;
  };
  job.over_time = false;
  if (met(up)) return {};
  job.over_time = job.danger >= Danger::urgent && met(expected);
  if (job.over_time) return {};
  return fail(Errc::unavailable, "stripe {}: {} of its {} holders are up, too few to agree on new ones", job.id,
              up.size(), now.holders.size());
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
  if (!signer) {
    job->refusals.push_back(signer.error());
    learn_from(*job, holder, signer.error());
  }
  step->ended();
}

Task<Result<void>> Mender::State::agree(std::shared_ptr<Job> job) {
  CO_TRY_VOID(propose(*job));
  co_return co_await collect(job);
}

/// The next list, with the own signature.
Result<void> Mender::State::propose(Job& job) {
  const auto& now = job.kept.facts->newest;
  std::map<ServerId, std::set<std::uint8_t>> holders;
  for (const auto& holder : now.holders)
    for (const auto index : holder.indices)
      if (counts(job.id, index, holder.server)) holders[holder.server].insert(index);
  for (const auto& [key, receipt] : job.receipts) holders[key.second].insert(static_cast<std::uint8_t>(key.first));
  for (const auto& [server, indices] : holders) job.next.holders.push_back({server, {indices.begin(), indices.end()}});
  job.body = holder_list_body(job.next);
  TRY_VOID(promise(job.id, job.next, job.body));
  if (now.find(parts.identity.server)) {
    job.signatures.push_back(sign_holder_list(parts.identity.server_key, job.body));
    job.signers.push_back(parts.identity.server);
  }
  return {};
}

/// Asks those who have not signed yet, until they are enough.
Task<Result<void>> Mender::State::collect(std::shared_ptr<Job> job) {
  const auto& now = job->kept.facts->newest;
  job->refusals.clear();
  const auto quorum = holder_quorum(now, job->next, job->kept.descriptor.k);
  const auto step = std::make_shared<Step>(parts.runtime.executor());
  const StepEnd end{*step};
  TaskGroups::Scope scope(groups);
  for (const auto& voter : quorum.voters) {
    if (std::ranges::find(job->signers, voter) != job->signers.end() || !parts.members.is_up(voter)) continue;
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

/// The list of this server's that waits for signatures, if it may still come to something.
Mender::State::Proposal* Mender::State::open_proposal(const KeptFacts& facts) {
  const auto at = proposals.find(facts.kept.stripe);
  if (at == proposals.end()) return nullptr;
  auto& proposal = at->second;
  const auto& job = *proposal.job;
  if (proposal.until <= parts.runtime.now() || job.kept.facts->body != facts.facts->body) {
    proposals.erase(at);
    return nullptr;
  }
  // Who was to be relieved of shards has come back with them: that list would be refused.
  for (const auto& holder : facts.facts->newest.holders)
    for (const auto index : holder.indices)
      proposal.stale |= !job.next.names(holder.server, index) && counts(job.id, index, holder.server);
  proposal.stale |= !promise(job.id, job.next, job.body);
  return &proposal;
}

/// What was placed for a list that came to nothing is not placed again.
void Mender::State::take_over_receipts(Job& job) {
  const auto at = proposals.find(job.id);
  if (at == proposals.end()) return;
  for (const auto& [key, receipt] : at->second.job->receipts)
    if (std::erase(job.wanted, key) > 0) {
      job.receipts.emplace(key, receipt);
      job.placed_at = at->second.job->placed_at;
    }
}

/// What too few have signed by now stays for the next try.
Task<Result<void>> Mender::State::sign_on(std::shared_ptr<Job> job) {
  if (const auto signed_by = co_await collect(job); !signed_by) {
    const bool overtaken = std::ranges::find(job->refusals, Errc::exists, &Error::code) != job->refusals.end();
    if (signed_by.error().code == Errc::unavailable)
      proposals[job->id] = {.job = job, .until = job->placed_at + options.trial, .stale = overtaken};
    co_return signed_by;
  }
  co_await finish(job);
  co_return Result<void>{};
}

Task<void> Mender::State::finish(std::shared_ptr<Job> job) {
  ++done.rebuilt_stripes;
  done.rebuilt_shards += job->receipts.size();
  done.rebuilt_bytes += job->receipts.size() * job->kept.descriptor.shard_size;
  parts.runtime.log().info("stripe {}: {} shards are rebuilt and have new holders", job->id, job->receipts.size());
  co_await tell_all(job);
  proposals.erase(job->id);
  co_await gathered.drop(job->id);
}

/// One list at a time may follow another, so that two coordinators do not both get what both need; a
/// higher version may take its place, for a coordinator may die.
Result<void> Mender::State::promise(const StripeId& stripe, const HolderList& next, const std::string& body) {
  const Digest id = holder_list_id(body);
  auto& last = promises[stripe];
  if (last.previous == *next.previous && last.version >= next.version && last.body != id)
    return fail(Errc::exists, "stripe {}: another list of its holders is being signed", stripe);
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
  if (message.body().empty() && message.release()) {
    take_back_claim(now.stripe, caller.server);
    co_return RpcReply{wire::MendSignReply().SerializeAsString(), {}};
  }
  if (holds)
    CO_TRY_VOID(message.body().empty() && message.gathering() ? grant_gathering(*facts, caller.server)
                                                              : grant(*facts, caller.server, message.body().empty() ? ClaimTo::rebuild : ClaimTo::sign));
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
  prolong_claim(next.stripe, caller.server);
  const auto signature = sign_holder_list(parts.identity.server_key, message.body());
  wire::MendSignReply reply;
  reply.set_key(signature.key());
  reply.set_signature(signature.signature());
  co_return RpcReply{reply.SerializeAsString(), {}};
}

}  // namespace spatter
