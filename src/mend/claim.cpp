// Who is at it: a coordinator has its co-holders know that it rebuilds a stripe, or gathers its shards, so that
// others do not move the same bytes.
#include <algorithm>

#include "mender_state.h"

namespace spatter {
namespace {

constexpr CallOptions check_options{.timeout = std::chrono::seconds(20)};
constexpr int signed_claims = 6;  ///< times as long as a claim lasts: after a signature

}  // namespace

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

/// A holder that goes by a newer list is asked for it: this server was off when it was told.
void Mender::State::learn_from(const Job& job, const ServerId& holder, const Error& refusal) {
  if (refusal.code == Errc::exists)
    tasks.spawn(ask_what_followed(holder, job.id, job.kept.facts->newest.version));
}

Task<void> Mender::State::ask_what_followed(ServerId server, StripeId stripe, std::uint64_t version) {
  if (const auto caught = co_await catch_up_with(server, {{stripe, version}}); !caught)
    parts.runtime.log().debug("server {} was not asked for newer lists of holders: {}", server, caught.error().message);
}

/// What remains of a rebuilding that got a signature here is the others': whoever began now would move
/// everything a second time.
void Mender::State::prolong_claim(const StripeId& stripe, const ServerId& coordinator) {
  const auto at = claims.find(stripe);
  if (at != claims.end() && at->second.coordinator == coordinator)
    at->second.until = std::max(at->second.until, parts.runtime.now() + signed_claims * options.claim);
}

Task<void> Mender::State::ask_claim(std::shared_ptr<Job> job, StepPtr step, ServerId holder, ClaimTo what) {
  wire::MendSignRequest request;
  request.set_gathering(what == ClaimTo::gather);
  *request.mutable_chain() = job->kept.chain;
  const auto reply = co_await parts.rpc.call(
      holder, {.method = method::mend_sign, .body = request.SerializeAsString(), .payload = {}}, check_options);
  if (step->over) co_return;
  if (reply) {
    job->signers.push_back(holder);
  } else {
    job->refusals.push_back(reply.error());
    learn_from(*job, holder, reply.error());
  }
  step->ended();
}

/// Before a byte is moved: as many holders as have to agree in the end know who is at it. For a rebuilding
/// to which they will agree one after another, and for gathering, it takes most of those who are there.
Task<Result<void>> Mender::State::claim(std::shared_ptr<Job> job, ClaimTo what) {
  const auto& now = job->kept.facts->newest;
  const auto& own = parts.identity.server;
  CO_TRY_VOID(what == ClaimTo::gather ? grant_gathering(job->kept, own) : grant(job->kept, own));
  if (now.find(own)) job->signers.push_back(own);
  const auto quorum = holder_quorum(now, job->next, job->kept.descriptor.k);
  const auto step = std::make_shared<Step>(parts.runtime.executor());
  const StepEnd end{*step};
  TaskGroups::Scope scope(groups);
  for (const auto& holder : now.holders) {
    const bool votes = what == ClaimTo::gather || std::ranges::find(quorum.voters, holder.server) != quorum.voters.end();
    if (!votes || holder.server == own || !parts.members.is_up(holder.server)) continue;
    ++step->running;
    scope.spawn(ask_claim(job, step, holder.server, what));
  }
  const std::size_t asked = step->running + job->signers.size();
  const auto met = [&] {
    return what == ClaimTo::gather || job->over_time ? 2 * job->signers.size() > asked
                                                     : is_met(quorum, now, job->signers);
  };
  while (step->running > 0 && !met()) co_await step->changed.wait();
  const bool had = met();
  job->signers.clear();
  if (had) co_return Result<void>{};
  co_return fail(Errc::busy, "{}", job->refusals.empty() ? fmt::format("stripe {}: its holders do not answer", job->id)
                                                          : job->refusals.front().message);
}

}  // namespace spatter
