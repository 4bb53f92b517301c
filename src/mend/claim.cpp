// Who is at it: a coordinator has its co-holders know that it rebuilds a stripe, or gathers its shards, so that
// others do not move the same bytes.
#include <algorithm>

#include "mender_state.h"

namespace spatter {
namespace {

constexpr CallOptions check_options{.timeout = std::chrono::seconds(20)};
constexpr int signed_claims = 6;  ///< times as long as a claim lasts: after a signature

}  // namespace

bool Mender::State::is_held(const Claim& claim) const {
  return claim.until > parts.runtime.now() &&
         (claim.coordinator == parts.identity.server || parts.members.is_up(claim.coordinator));
}

/// Of those who begin at the same time the first in the draw has it. Later nobody makes way: what the other has moved
/// by then would be lost.
bool Mender::State::goes_before(const ServerId& one, const Claim& other, const StripeId& stripe) const {
  if (parts.runtime.now() - other.since > options.look_every) return false;
  const ServerId both[] = {other.coordinator, one};
  return coordinators(stripe, other.version, both).front() == one;
}

/// Whether another is known to be at it.
bool Mender::State::is_left_to_another(const StripeId& id, const MendedStripe& stripe) const {
  const auto at = claims.find(id);
  if (at == claims.end() || at->second.version != stripe.list.version || !is_held(at->second)) return false;
  return at->second.coordinator != parts.identity.server && !goes_before(parts.identity.server, at->second, id);
}

/// Two do not both fetch and send what one of them will throw away.
Result<void> Mender::State::grant(const KeptFacts& facts, const ServerId& coordinator, ClaimTo what) {
  const auto& now = facts.facts->newest;
  auto& claim = claims[now.stripe];
  if (claim.version != now.version) claim = {.coordinator = {}, .since = {}, .until = {}, .version = now.version, .had = {}};
  const bool held = is_held(claim);
  if (held && claim.coordinator == coordinator) return {};
  // Each has his time once, so that nobody keeps others off by asking again and again; when all had theirs
  // it begins anew. Whoever has it rebuilt only wants it signed.
  if (claim.had.contains(coordinator) && (held || what != ClaimTo::sign)) {
    if (held) return fail(Errc::busy, "stripe {}: server {} is rebuilding it", now.stripe, claim.coordinator);
    const bool another = std::ranges::any_of(now.holders, [&](const HolderEntry& holder) {
      return !claim.had.contains(holder.server) && parts.members.is_up(holder.server) &&
             parts.members.person_of(holder.server) != facts.kept.person;
    });
    if (another && claim.until + options.claim > parts.runtime.now())
      return fail(Errc::busy, "stripe {}: it is for others to rebuild it", now.stripe);
    claim.had.clear();
  }
  if (held && !goes_before(coordinator, claim, now.stripe))
    return fail(Errc::busy, "stripe {}: server {} is rebuilding it", now.stripe, claim.coordinator);
  claim.coordinator = coordinator;
  claim.since = parts.runtime.now();
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

/// Whoever goes before us may have come after we began.
Result<void> Mender::State::check_claim(const Job& job) const {
  const auto at = claims.find(job.id);
  if (at == claims.end() || at->second.coordinator == parts.identity.server || !is_held(at->second)) return {};
  return fail(Errc::busy, "stripe {}: server {} is rebuilding it", job.id, at->second.coordinator);
}

void Mender::State::take_back_claim(const StripeId& stripe, const ServerId& coordinator) {
  const auto at = claims.find(stripe);
  if (at == claims.end() || at->second.coordinator != coordinator) return;
  at->second.until = std::min(at->second.until, parts.runtime.now());
  wanted.set();
}

/// What did not come off is for others to try at once.
Task<void> Mender::State::release_claim(std::shared_ptr<Job> job) {
  take_back_claim(job->id, parts.identity.server);
  wire::MendSignRequest request;
  request.set_release(true);
  *request.mutable_chain() = job->kept.chain;
  const auto body = request.SerializeAsString();
  for (const auto& holder : job->kept.facts->newest.holders)
    if (holder.server != parts.identity.server && parts.members.is_up(holder.server))
      static_cast<void>(co_await parts.rpc.call(
          holder.server, {.method = method::mend_sign, .body = body, .payload = {}}, check_options));
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
  CO_TRY_VOID(what == ClaimTo::gather ? grant_gathering(job->kept, own) : grant(job->kept, own, what));
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
  job->claimed = what == ClaimTo::rebuild;
  if (had) co_return Result<void>{};
  co_return fail(Errc::busy, "{}", job->refusals.empty() ? fmt::format("stripe {}: its holders do not answer", job->id)
                                                          : job->refusals.front().message);
}

}  // namespace spatter
