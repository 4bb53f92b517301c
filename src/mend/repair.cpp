// Rebuilding a stripe: any k shards are fetched and checked against the owner's roots, the missing ones
// computed and checked likewise, sent to new holders, and the new list agreed on.
#include <algorithm>

#include "code/stripe_code.h"
#include "crypto/merkle.h"
#include "mender_state.h"
#include "spatter/writer.h"

namespace spatter {
namespace {

constexpr Duration fetch_timeout = std::chrono::seconds(60);
constexpr Duration hedge_after = std::chrono::seconds(10);  ///< of no further shard, another is asked for
constexpr CallOptions put_options{.timeout = std::chrono::seconds(120), .priority = Priority::bulk};

/// Shards computed in one pass over the columns; at most twice as many of a stripe are in memory.
constexpr std::size_t rebuilt_together = 4;

/// Indices for which nobody counts, or for k = 1 those that make up the three copies.
std::vector<unsigned> missing(const std::vector<std::optional<ServerId>>& present) {
  std::vector<unsigned> result;
  for (unsigned i = 0; i < present.size(); ++i)
    if (!present[i]) result.push_back(i);
  return result;
}

}  // namespace

/// Who counts for what.
void Mender::State::reckon(Job& job) {
  const auto& descriptor = job.kept.descriptor;
  job.present.assign(descriptor.n, std::nullopt);
  std::set<ServerId> copies;
  for (const auto& holder : job.kept.facts->newest.holders)
    for (const auto index : holder.indices) {
      if (!counts(job.id, index, holder.server)) continue;
      if (descriptor.k == 1 && !copies.insert(holder.server).second) continue;
      job.present[index] = holder.server;
    }
}

/// Who counts, and who gets what is missing. Errc::unavailable: nothing can be done now.
Result<void> Mender::State::plan(Job& job) {
  reckon(job);
  const auto& descriptor = job.kept.descriptor;
  std::vector<Candidate> candidates;
  for (const auto& member : parts.members.all()) {
    const bool holds = std::ranges::find(job.present, std::optional(member.id)) != job.present.end();
    const bool trusted = parts.members.is_trusted(member.person) || member.person == descriptor.person;
    // The owner's machine is what a stripe must outlive; in small networks it holds a copy itself.
    const bool takes = trusted && (member.id == parts.identity.server || (member.up && member.may_hold)) &&
                       member.id != descriptor.server && member.free_bytes > 2 * descriptor.shard_size;
    if (holds || takes) candidates.push_back(candidate_of(member, takes));
  }
  for (const auto& holder : job.present)  // counted, and no member that is known just now
    if (holder && std::ranges::find(candidates, *holder, &Candidate::server) == candidates.end())
      candidates.push_back({.server = *holder, .person = {}, .prefix = {}, .weight = 1, .accepts = false});
  const auto wanted = place(job.id, descriptor.n, descriptor.n, candidates, job.present);
  for (const unsigned index : missing(job.present))
    if (wanted[index]) job.wanted.emplace_back(index, *wanted[index]);
  if (job.wanted.empty()) note_takers(job.id, false);
  if (job.wanted.empty())
    return fail(Errc::unavailable, "stripe {}: no other server can take its {} missing shards: more servers would help",
                job.id, missing(job.present).size());
  return {};
}

void Mender::State::note_takers(const StripeId& id, bool any) {
  if (const auto at = stripes.find(id); at != stripes.end()) at->second.no_takers = !any;
}

Task<void> Mender::State::pace(std::uint64_t bytes, Danger danger) {
  done.moved_bytes += bytes;
  if (!rate || danger >= Danger::urgent) co_return;
  const auto wait = rate->take(bytes, parts.runtime.now());
  if (wait > Duration{}) co_await parts.runtime.sleep(wait);
}

Task<void> Mender::State::fetch_one(std::shared_ptr<Job> job, StepPtr step, unsigned index, ServerId holder) {
  const auto& descriptor = job->kept.descriptor;
  Result<Rope> shard = fail(Errc::unavailable, "not asked");
  if (holder == parts.identity.server) {
    auto part = co_await parts.shards.read({job->id, index}, 0, 0);
    shard = part ? Result<Rope>(part->leaves) : fail(std::move(part).error());
  } else {
    wire::ShardReadRequest request;
    request.set_stripe(job->id.raw());
    request.set_index(index);
    auto reply = co_await parts.rpc.call(
        holder, {.method = method::shard_read, .body = request.SerializeAsString(), .payload = {}},
        {.timeout = fetch_timeout, .priority = Priority::bulk, .reply_payload_bytes = descriptor.shard_size});
    shard = reply ? Result<Rope>(std::move(reply->payload)) : fail(std::move(reply).error());
    if (shard) co_await pace(shard->size(), job->danger);
  }
  if (shard) {
    const auto whole = co_await heavily([&] { return check_whole(*shard, descriptor, index); });
    if (!whole) shard = fail(whole.error());
  }
  if (shard && job->gathering) {
    if (const auto kept = co_await gathered.keep(descriptor, index, shard->flat()); !kept)
      parts.runtime.log().info("mending: {}", kept.error().message);
    if (step->over) co_return;
  } else if (step->over) {
    co_return;
  } else if (shard) {
    job->columns.emplace(index, std::move(*shard));
  } else {
    const auto code = shard.error().code;
    parts.runtime.log().info("stripe {}: shard {} did not come from server {}: {}", job->id, index, holder,
                             shard.error().message);
    // It is there and has not got it whole: that is known for certain now.
    if (holder != parts.identity.server && (code == Errc::corrupt || code == Errc::not_found))
      failed[job->id].insert({index, holder});
  }
  step->ended();
}

/// Until k are there (of a job that gathers: at hand) or nobody is left: another is asked whenever one fails or
/// all lag.
Task<void> Mender::State::ask_for(std::shared_ptr<Job> job, Sources sources) {
  const unsigned k = job->kept.descriptor.k;
  const auto there = [&] { return job->gathering ? at_hand(job->id).count() : job->columns.size(); };
  const auto step = std::make_shared<Step>(parts.runtime.executor());
  const StepEnd end{*step};
  TaskGroups::Scope scope(groups);
  std::size_t next = 0;
  const auto ask = [&] {
    const auto [index, holder] = sources[next++];
    ++step->running;
    scope.spawn(fetch_one(job, step, index, holder));
  };
  while (there() < k) {
    while (next < sources.size() && there() + step->running < k) ask();
    if (step->running == 0) co_return;
    const auto before = there() + (sources.size() - next);
    co_await wait_until(parts.runtime, step->changed, parts.runtime.now() + hedge_after);
    if (there() + (sources.size() - next) == before && next < sources.size()) ask();
  }
}

/// Own shards first, then what was gathered, then whoever answers.
Task<Result<void>> Mender::State::fetch(std::shared_ptr<Job> job) {
  const unsigned k = job->kept.descriptor.k;
  Sources own, others;
  for (unsigned index = 0; index < job->present.size(); ++index)
    if (job->present[index] == parts.identity.server) own.emplace_back(index, parts.identity.server);
  co_await ask_for(job, std::move(own));
  co_await take_gathered(job);
  for (unsigned index = 0; index < job->present.size(); ++index) {
    const auto& holder = job->present[index];
    if (holder && *holder != parts.identity.server && !job->columns.contains(index) && parts.members.is_up(*holder))
      others.emplace_back(index, *holder);
  }
  co_await ask_for(job, std::move(others));
  if (job->columns.size() < k)
    co_return fail(Errc::unavailable, "stripe {}: {} of the {} shards that are needed could be had", job->id,
                   job->columns.size(), k);
  co_return Result<void>{};
}

/// The columns' pieces end where they came in; each stretch that is whole in all of them is computed by itself.
Result<std::map<unsigned, Buffer>> Mender::State::rebuild(const Job& job, Share share) const {
  const auto& descriptor = job.kept.descriptor;
  TRY(const auto code, StripeCode::make(descriptor.k, descriptor.n));
  std::map<unsigned, Buffer> shards;
  std::vector<unsigned> have, want;
  std::vector<RopeReader> readers;
  for (const auto& [index, shard] : job.columns) {
    if (have.size() == descriptor.k) break;
    have.push_back(index);
    readers.emplace_back(shard);
  }
  std::vector<std::uint8_t*> out;
  for (const auto& [index, holder] : share) {
    if (shards.contains(index)) continue;
    if (const auto at = job.columns.find(index); at != job.columns.end()) {
      shards[index] = at->second.flat();
      continue;
    }
    want.push_back(index);
    out.push_back((shards[index] = Buffer::allocate(descriptor.shard_size)).mutable_data());
  }
  if (want.empty()) return shards;
  TRY(const auto way, code.rebuild(have, want));
  std::vector<const std::uint8_t*> in(readers.size());
  for (std::uint64_t done = 0; done < descriptor.shard_size;) {
    std::size_t bytes = descriptor.shard_size - done;
    for (const auto& reader : readers) bytes = std::min(bytes, reader.piece().size());
    for (std::size_t i = 0; i < readers.size(); ++i) {
      in[i] = readers[i].piece().data();
      readers[i].skip(bytes);
    }
    way.run(in, out, bytes);
    for (auto& column : out) column += bytes;
    done += bytes;
  }
  for (const auto index : want) TRY_VOID(check_whole(shards.at(index), descriptor, index));
  return shards;
}

Task<void> Mender::State::place_one(std::shared_ptr<Job> job, StepPtr step, unsigned index, ServerId holder,
                                    Buffer shard) {
  const auto now = parts.runtime.wall_ms();
  const auto& own = parts.identity;
  auto offer = offer_contract(own.server_key, job->kept.descriptor, index, holder, now, now + contract_term_ms);
  Result<wire::Contract> receipt = fail(Errc::unavailable, "not sent");
  if (holder == own.server) {
    const auto trial = std::chrono::duration_cast<std::chrono::milliseconds>(options.trial).count();
    const bool listed = job->kept.facts->newest.names(own.server, index);
    receipt = co_await parts.shards.put_rebuilt(own.server, job->kept.signed_descriptor, std::move(offer), shard,
                                                listed ? rebuilt_for_good : now + trial);
  } else {
    co_await pace(shard.size(), job->danger);
    wire::MendPutRequest request;
    *request.mutable_chain() = job->kept.chain;
    *request.mutable_stripe_descriptor() = job->kept.signed_descriptor;
    *request.mutable_contract() = std::move(offer);
    auto reply = co_await parts.rpc.call(
        holder, {.method = method::mend_put, .body = request.SerializeAsString(), .payload = shard}, put_options);
    wire::MendPutReply message;
    if (!reply) {
      receipt = fail(std::move(reply).error());
    } else if (!message.ParseFromString(reply->body)) {
      receipt = fail(Errc::invalid, "its answer cannot be read");
    } else {
      receipt = std::move(*message.mutable_contract());
    }
  }
  if (receipt && !is_receipt(*receipt, job->kept.descriptor, index, holder))
    receipt = fail(Errc::corrupt, "what it signed is no receipt for that shard");
  if (step->over) co_return;
  if (receipt) {
    job->receipts.emplace(std::pair(index, holder), std::move(*receipt));
  } else {
    parts.runtime.log().info("stripe {}: server {} does not take rebuilt shard {}: {}", job->id, holder, index,
                             receipt.error().message);
    job->refusals.push_back(receipt.error());
  }
  step->ended();
}

/// A few shards at a time, so that they are on their way while the next are computed, and memory is bounded.
Task<Result<void>> Mender::State::rebuild_and_place(std::shared_ptr<Job> job) {
  if (job->placed_at == TimePoint{}) job->placed_at = parts.runtime.now();
  const auto step = std::make_shared<Step>(parts.runtime.executor());
  const StepEnd end{*step};
  TaskGroups::Scope scope(groups);
  const Share wanted(job->wanted);
  for (std::size_t next = 0; next < wanted.size(); next += rebuilt_together) {
    while (step->running > rebuilt_together) co_await step->changed.wait();
    const auto share = wanted.subspan(next, std::min(rebuilt_together, wanted.size() - next));
    auto shards = co_await heavily([&] { return rebuild(*job, share); });
    if (!shards) co_return fail(std::move(shards).error());
    for (const auto& [index, holder] : share) {
      ++step->running;
      scope.spawn(place_one(job, step, index, holder, shards->at(index)));
    }
  }
  while (step->running > 0) co_await step->changed.wait();
  note_takers(job->id, !job->receipts.empty());
  if (job->receipts.empty())
    co_return fail(Errc::unavailable, "stripe {}: nobody takes its rebuilt shards: {}", job->id,
                   job->refusals.front().message);
  job->columns.clear();
  co_return Result<void>{};
}

/// All in one go where that can be; else what can be had by now is kept, and the next try goes on with it.
Task<Result<void>> Mender::State::try_repair(StripeId id, std::shared_ptr<Job> job) {
  CO_TRY(auto facts, co_await kept(id));
  if (!facts || !facts->facts) {
    stripes.erase(id);
    co_return Result<void>{};
  }
  note(*facts);
  job->kept = std::move(*facts);
  job->danger = stripes.at(id).danger;
  if (!stripes.at(id).mendable) co_return Result<void>{};
  for (const auto& holder : job->kept.facts->newest.holders)
    if (parts.members.is_up(holder.server)) job->up.insert(holder.server);
  if (const auto* open = open_proposal(job->kept); open && !open->stale) co_return co_await sign_on(open->job);
  reckon(*job);
  if (!can_agree(*job) || !in_reach(*job)) CO_TRY_VOID(co_await gather(job));
  CO_TRY_VOID(can_agree(*job));
  CO_TRY_VOID(plan(*job));
  CO_TRY_VOID(co_await claim(job, ClaimTo::rebuild));
  take_over_receipts(*job);
  if (!job->wanted.empty()) {
    CO_TRY_VOID(co_await fetch(job));
    CO_TRY_VOID(check_claim(*job));
    CO_TRY_VOID(co_await rebuild_and_place(job));
  }
  CO_TRY_VOID(propose(*job));
  co_return co_await sign_on(job);
}

Task<void> Mender::State::repair(StripeId id) {
  struct End {
    State& state;
    StripeId id;
    ~End() {
      state.repairing.erase(id);
      if (state.repairing.empty())
        state.busy_seconds += std::chrono::duration<double>(state.parts.runtime.now() - state.busy_since).count();
      state.wanted.set();
    }
  } end{*this, id};
  const auto job = std::make_shared<Job>(id);
  const auto tried = co_await try_repair(id, job);
  if (tried) {
    done.trouble.clear();
    co_return;
  }
  done.trouble = tried.error().message;
  parts.runtime.log().info("mending: {}", tried.error().message);
  if (job->claimed && !proposals.contains(id)) tasks.spawn(release_claim(job));
  co_await keep_fetched(job);
  const auto at = stripes.find(id);
  if (at == stripes.end()) co_return;
  at->second.again_at = parts.runtime.now() + options.again_after +
                        options.again_after * (parts.runtime.chance().next_u64() % 8) / 8;
  at->second.tried.reset();
  if (tried.error().code == Errc::unavailable && !job->up.empty()) at->second.tried = job->up;
}

/// What this server itself has lost it gets back from the others, and nothing else changes.
Task<void> Mender::State::heal_own(StripeId id) {
  const auto at = stripes.find(id);
  if (at == stripes.end() || at->second.again_at > parts.runtime.now()) co_return;
  at->second.again_at = parts.runtime.now() + options.again_after;
  const auto job = std::make_shared<Job>(id);
  const auto heal = [&]() -> Task<Result<void>> {
    CO_TRY(auto facts, co_await kept(id));
    if (!facts || !facts->facts) co_return Result<void>{};
    job->kept = std::move(*facts);
    job->danger = Danger::urgent;
    const auto& list = job->kept.facts->newest;
    job->present.assign(job->kept.descriptor.n, std::nullopt);
    for (const auto& holder : list.holders)
      for (const auto index : holder.indices)
        if (counts(id, index, holder.server)) job->present[index] = holder.server;
    if (const auto* entry = list.find(parts.identity.server))
      for (const auto index : entry->indices) {
        const auto& here = job->kept.kept.shards;
        const auto at = std::ranges::find(here, index, &KeptStripe::Shard::index);
        if (at == here.end() || at->lost) job->wanted.emplace_back(index, parts.identity.server);
      }
    if (job->wanted.empty()) co_return Result<void>{};
    CO_TRY_VOID(co_await fetch(job));
    CO_TRY_VOID(co_await rebuild_and_place(job));
    done.rebuilt_shards += job->receipts.size();
    done.rebuilt_bytes += job->receipts.size() * job->kept.descriptor.shard_size;
    parts.runtime.log().info("stripe {}: {} shards that were damaged here are whole again", id,
                             job->receipts.size());
    CO_TRY(facts, co_await kept(id));
    if (facts) note(*facts);
    co_return Result<void>{};
  };
  if (const auto healed = co_await heal(); !healed)
    parts.runtime.log().info("mending what is damaged here: {}", healed.error().message);
}

}  // namespace spatter
