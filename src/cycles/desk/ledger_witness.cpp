// Two servers that do not agree on what was given have drawn persons' servers look.
#include <algorithm>

#include "crypto/hash.h"
#include "cycles/work_desk.h"
#include "ledger_desk_state.h"
#include "net/methods.h"

namespace spatter {
namespace {

using Found = wire::CyclesWitnessReply;

constexpr std::size_t complaints_max = 256;      ///< under way at once
constexpr std::uint64_t shown_bytes_max = 1ULL << 30;
constexpr auto show_timeout = std::chrono::seconds(60);
constexpr auto look_max = std::chrono::minutes(10);
constexpr std::uint64_t verdict_room_epochs = 2; ///< before leases are settled
constexpr std::uint64_t seen_late_epochs = 2;    ///< of a lease, after its date
constexpr std::uint64_t silent_epochs = 2;       ///< of a worker

}  // namespace

/// SAID only with a verdict of his that says what is wanted.
Task<wire::CyclesWitnessReply::State> LedgerDesk::State::ask_witness(PersonId person, const wire::CyclesWitnessRequest& request,
                                                                     cycles::Verdict wanted) {
  auto servers = parts.members.connected();
  std::erase_if(servers, [&](const Member& one) { return !one.up || one.person != person; });
  for (const auto& one : servers) {
    auto reply = co_await parts.wire.call(
        one.id, {.method = method::cycles_witness, .body = request.SerializeAsString(), .payload = {}});
    wire::CyclesWitnessReply message;
    if (!reply || !message.ParseFromString(reply->body)) continue;
    if (message.state() != Found::SAID) co_return message.state();
    const auto taken = co_await take(message.verdict(), one.id);
    const auto* verdict = taken ? std::get_if<cycles::Verdict>(&taken->entry.what) : nullptr;
    if (verdict && taken->entry.person == person && verdict->lease == wanted.lease && verdict->finding == wanted.finding)
      co_return Found::SAID;
  }
  co_return Found::LOOKING;
}

/// Goes on asking the drawn ones until two agree, or it is too late.
Task<void> LedgerDesk::State::complain(EntryId id, bool delivery) {
  const Entry* entry = ledger.find(id);
  const auto* lease = entry ? std::get_if<cycles::Lease>(&entry->what) : nullptr;
  if (!lease || lease->best_effort || complaining.size() >= complaints_max || !complaining.insert(id).second) co_return;
  const auto asked_in = rules.epoch_of(entry->made_ms);
  const auto made = make_draw(parts.identity.server_key, cycles::witness_draw(parts.identity.network, asked_in, entry->server, lease->worker));
  const auto drawn = ledger.witnesses(id, made.proof);
  std::set<PersonId> left;
  if (drawn && drawn->size() >= cycles::witnesses_needed) left.insert(drawn->begin(), drawn->end());
  wire::CyclesWitnessRequest request;
  request.set_draw(made.proof.proof.data(), made.proof.proof.size());
  if (auto record = co_await record_of(id)) *request.mutable_lease() = std::move(*record);
  cycles::Verdict wanted;
  wanted.lease = id;
  wanted.finding = delivery ? Finding::delivered : Finding::not_given;
  unsigned agreed = 0;
  while (!left.empty() && agreed < cycles::witnesses_needed && epoch() + verdict_room_epochs < asked_in + rules.settle_epochs) {
    const auto* story = story_of(id);
    if (!story || story->receipt) break;
    const auto answer = story->answer, delivered = story->delivery;
    if (auto record = co_await record_of(answer)) *request.mutable_answer() = std::move(*record);
    if (auto record = delivery ? co_await record_of(delivered) : std::nullopt) *request.mutable_delivery() = std::move(*record);
    for (const auto& person : std::set(left)) {
      const auto state = co_await ask_witness(person, request, wanted);
      if (state == Found::LOOKING) continue;
      left.erase(person);
      agreed += state == Found::SAID;
    }
    // Who is ready is asked again by the job, with another lease.
    if (left.size() + agreed < cycles::witnesses_needed) break;
    if (!left.empty() && agreed < cycles::witnesses_needed) co_await parts.runtime.sleep(std::chrono::milliseconds(rules.epoch_ms));
  }
  complaining.erase(id);
}

Task<Result<RpcReply>> LedgerDesk::State::handle_witness(Caller caller, RpcRequest request) {
  if (!parts.members.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  wire::CyclesWitnessRequest message;
  if (!message.ParseFromString(request.body) || !message.has_lease())
    co_return fail(Errc::invalid, "a cycles.witness request that cannot be read");
  if (!questions.take(caller.server, 1, parts.runtime.now()))
    co_return fail(Errc::busy, "server {} wants too much looked at", caller.server);
  cycles::Verdict verdict;
  if (message.draw().size() != verdict.draw.size()) co_return fail(Errc::invalid, "a draw of {} bytes", message.draw().size());
  std::ranges::copy(message.draw(), reinterpret_cast<char*>(verdict.draw.data()));
  CO_TRY(const auto taken, co_await take(message.lease(), caller.server));
  const Entry& entry = taken.entry;
  const auto* lease = std::get_if<cycles::Lease>(&entry.what);
  const bool by_worker = lease && caller.server == lease->worker;
  if (!lease || (!by_worker && caller.server != entry.server))
    co_return fail(Errc::denied, "entry {} is no lease of server {}, nor to it", entry.id, caller.server);
  if (message.has_answer()) (void)co_await take(message.answer(), caller.server);
  wire::CyclesWitnessReply reply;
  const auto answer_with = [&](wire::CyclesWitnessReply::State state) {
    reply.set_state(state);
    return RpcReply{reply.SerializeAsString(), {}};
  };
  const auto asked_in = rules.epoch_of(entry.made_ms);
  const auto now = epoch();
  DrawProof proof{.key = entry.key, .proof = verdict.draw};
  std::ranges::copy(caller.key, proof.key.begin());
  CO_TRY(const auto drawn, ledger.witnesses(entry.id, proof));
  const auto* story = story_of(entry.id);
  // One that came here long after its date may have been asked of nobody then.
  if (lease->best_effort || now >= asked_in + rules.settle_epochs || !std::ranges::count(drawn, parts.identity.person) || !story ||
      (!by_worker && story->seen_in > asked_in + seen_late_epochs))
    co_return answer_with(Found::NOT_MINE);
  verdict.lease = entry.id;
  verdict.finding = by_worker ? Finding::delivered : Finding::not_given;
  if (const auto said_before = verdicts.find({entry.id, verdict.finding}); said_before != verdicts.end()) {
    *reply.mutable_verdict() = said_before->second;
    co_return answer_with(Found::SAID);
  }
  if (by_worker) {
    CO_TRY(const auto delivery, co_await take(message.delivery(), caller.server));
    const auto* what = std::get_if<cycles::Delivery>(&delivery.entry.what);
    if (!what || what->lease != entry.id || delivery.entry.server != caller.server)
      co_return fail(Errc::invalid, "entry {} is no delivery for lease {}", delivery.entry.id, entry.id);
    // That may take a while: he asks again.
    if (looking.insert(entry.id).second) tasks.spawn(look_and_say(verdict, delivery.entry.id));
    co_return answer_with(Found::LOOKING);
  }
  const auto found = co_await look_at_refusal(entry, message.lease());
  if (found != Found::SAID) co_return answer_with(found);
  CO_TRY(*reply.mutable_verdict(), co_await say(verdict));
  co_return answer_with(Found::SAID);
}

Task<Result<wire::CyclesRecord>> LedgerDesk::State::say(cycles::Verdict verdict) {
  const auto permit = co_await answering.lock();
  const auto key = std::pair(verdict.lease, verdict.finding);
  if (const auto before = verdicts.find(key); before != verdicts.end()) co_return before->second;
  const Entry* lease = ledger.find(verdict.lease);
  CO_TRY(auto made, co_await append(verdict, lease->made_ms));
  verdicts[key] = made.record;
  co_return std::move(made.record);
}

/// Asks the worker itself. SAID: by its own signed word it was asked and refuses, or for two epochs it could not be reached, or
/// neither had the work nor would have taken it. Other troubles say nothing.
Task<wire::CyclesWitnessReply::State> LedgerDesk::State::look_at_refusal(const Entry& lease, const wire::CyclesRecord& record) {
  const auto id = lease.id;
  const auto worker = std::get<cycles::Lease>(lease.what).worker;
  const auto is_refused = [&] {
    const auto* story = story_of(id);
    const auto* answer = story ? find<cycles::Answer>(story->answer) : nullptr;
    return answer && answer->kind != cycles::Answer::Kind::accepted;
  };
  wire::CyclesAskRequest request;
  *request.mutable_lease() = record;
  auto reply = co_await parts.wire.call(worker, {.method = method::cycles_ask, .body = request.SerializeAsString(), .payload = {}});
  if (!reply && reply.error().code != Errc::unavailable && reply.error().code != Errc::timeout)
    co_return is_refused() ? Found::SAID : Found::LOOKING;
  wire::CyclesAskReply message;
  const bool heard = reply && message.ParseFromString(reply->body);
  if (heard && message.has_answer()) (void)co_await take(message.answer(), worker);
  if (heard && message.has_delivery()) (void)co_await take(message.delivery(), worker);
  if (is_refused()) co_return Found::SAID;
  if (const auto* story = story_of(id); heard && (message.ready() || (story && story->delivery))) {
    silent_since.erase(id);
    co_return Found::READY;
  }
  const auto now = parts.runtime.now();
  const auto since = silent_since.try_emplace(id, now).first->second;
  co_return now - since >= std::chrono::milliseconds(silent_epochs * rules.epoch_ms) ? Found::SAID : Found::LOOKING;
}

/// Another output of the same work was receipted: then this one was not what was asked for.
bool LedgerDesk::State::is_contradicted(const Entry& lease, const cycles::Delivery& delivery) const {
  const auto others = leases_for.find({lease.server, std::get<cycles::Lease>(lease.what).job});
  if (others == leases_for.end()) return false;
  return std::ranges::any_of(others->second, [&](const EntryId& id) {
    const auto story = stories.find(id);
    if (story == stories.end() || !story->second.receipt) return false;
    const auto* other = find<cycles::Delivery>(story->second.delivery);
    return other && other->output != delivery.output;
  });
}

Task<void> LedgerDesk::State::look_and_say(cycles::Verdict verdict, EntryId delivery) {
  const Entry* lease = ledger.find(verdict.lease);
  const Entry* given_as = ledger.find(delivery);
  if (lease && given_as && co_await look_at_delivery(*lease, *given_as) == Found::SAID) (void)co_await say(verdict);
  looking.erase(verdict.lease);
}

/// Has the worker show all of what it says it gave.
Task<wire::CyclesWitnessReply::State> LedgerDesk::State::look_at_delivery(const Entry& lease, const Entry& entry) {
  const auto delivery = std::get<cycles::Delivery>(entry.what);
  if (const auto* story = story_of(lease.id); (story && story->receipt) || is_contradicted(lease, delivery)) co_return Found::NOT_MINE;
  const auto until = parts.runtime.now() + look_max;
  Sha256 hash;
  std::optional<std::uint64_t> bytes;
  for (std::uint64_t offset = 0; !bytes || offset < *bytes;) {
    if (parts.runtime.now() > until) co_return Found::LOOKING;
    wire::CyclesShowRequest request;
    request.set_lease(lease.id.raw());
    request.set_offset(offset);
    request.set_length(work_fetch_bytes_max);
    auto reply = co_await parts.wire.call(
        entry.server, {.method = method::cycles_show, .body = request.SerializeAsString(), .payload = {}},
        {.timeout = show_timeout, .priority = Priority::bulk, .reply_payload_bytes = work_fetch_bytes_max});
    wire::CyclesShowReply message;
    if (!reply || !message.ParseFromString(reply->body)) co_return Found::LOOKING;
    if (!bytes) bytes = message.bytes();
    if (message.bytes() != *bytes || *bytes > shown_bytes_max) co_return Found::NOT_MINE;
    const auto part = std::min<std::uint64_t>(work_fetch_bytes_max, *bytes - offset);
    if (reply->payload.size() != part) co_return Found::NOT_MINE;
    hash.update(reply->payload.flat());
    offset += part;
  }
  co_return hash.finish() == delivery.output ? Found::SAID : Found::NOT_MINE;
}

}  // namespace spatter
