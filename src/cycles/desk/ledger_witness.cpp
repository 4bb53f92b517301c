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
constexpr std::uint64_t verdict_room_epochs = 2; ///< before leases are settled

}  // namespace

Task<wire::CyclesWitnessReply::State> LedgerDesk::State::ask_witness(PersonId person, const wire::CyclesWitnessRequest& request) {
  auto servers = parts.members.connected();
  std::erase_if(servers, [&](const Member& one) { return !one.up || one.person != person; });
  for (const auto& one : servers) {
    auto reply = co_await parts.wire.call(
        one.id, {.method = method::cycles_witness, .body = request.SerializeAsString(), .payload = {}},
        {.timeout = std::chrono::seconds(30)});
    wire::CyclesWitnessReply message;
    if (!reply || !message.ParseFromString(reply->body)) continue;
    if (message.state() == Found::SAID) (void)co_await take(message.verdict(), false);
    co_return message.state();
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
  unsigned agreed = 0;
  while (!left.empty() && agreed < cycles::witnesses_needed && epoch() + verdict_room_epochs < asked_in + rules.settle_epochs) {
    const auto* story = story_of(id);
    if (!story || story->receipt) break;
    const auto answer = story->answer, delivered = story->delivery;
    if (auto record = co_await record_of(answer)) *request.mutable_answer() = std::move(*record);
    if (auto record = delivery ? co_await record_of(delivered) : std::nullopt) *request.mutable_delivery() = std::move(*record);
    for (const auto& person : std::set(left)) {
      const auto state = co_await ask_witness(person, request);
      if (state == Found::LOOKING) continue;
      left.erase(person);
      agreed += state == Found::SAID;
    }
    // Who is ready is asked again by the job, with another lease.
    if (left.size() + agreed < cycles::witnesses_needed) break;
    if (!left.empty() && agreed < cycles::witnesses_needed)
      co_await parts.runtime.sleep_until(std::max(begin_of(epoch() + 1), parts.runtime.now() + std::chrono::milliseconds(rules.epoch_ms / 2)));
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
  CO_TRY(const auto taken, co_await take(message.lease(), false));
  const Entry& entry = taken.entry;
  const auto* lease = std::get_if<cycles::Lease>(&entry.what);
  const bool by_worker = lease && caller.server == lease->worker;
  if (!lease || (!by_worker && caller.server != entry.server))
    co_return fail(Errc::denied, "entry {} is no lease of server {}, nor to it", entry.id, caller.server);
  if (message.has_answer()) (void)co_await take(message.answer(), false);
  wire::CyclesWitnessReply reply;
  const auto say = [&](wire::CyclesWitnessReply::State state) {
    reply.set_state(state);
    return RpcReply{reply.SerializeAsString(), {}};
  };
  const auto asked_in = rules.epoch_of(entry.made_ms);
  const auto now = epoch();
  DrawProof proof{.key = entry.key, .proof = verdict.draw};
  std::ranges::copy(caller.key, proof.key.begin());
  CO_TRY(const auto drawn, ledger.witnesses(entry.id, proof));
  if (lease->best_effort || now >= asked_in + rules.settle_epochs || !std::ranges::count(drawn, parts.identity.person))
    co_return say(Found::NOT_MINE);
  if (const auto said_before = verdicts.find(entry.id); said_before != verdicts.end()) {
    *reply.mutable_verdict() = said_before->second;
    co_return say(Found::SAID);
  }
  auto found = Found::NOT_MINE;
  if (by_worker) {
    CO_TRY(const auto delivery, co_await take(message.delivery(), false));
    const auto* what = std::get_if<cycles::Delivery>(&delivery.entry.what);
    if (!what || what->lease != entry.id || delivery.entry.server != caller.server)
      co_return fail(Errc::invalid, "entry {} is no delivery for lease {}", delivery.entry.id, entry.id);
    found = co_await look_at_delivery(entry, delivery.entry);
    verdict.finding = cycles::Verdict::Finding::delivered;
  } else {
    found = co_await look_at_refusal(entry, message.lease());
    verdict.finding = cycles::Verdict::Finding::not_given;
  }
  if (found != Found::SAID) co_return say(found);
  verdict.lease = entry.id;
  CO_TRY(const auto made, co_await append(verdict, entry.made_ms));
  verdicts[entry.id] = made.record;
  *reply.mutable_verdict() = made.record;
  co_return say(Found::SAID);
}

/// Asks the worker itself. Who cannot be reached is asked once more half an epoch later.
Task<wire::CyclesWitnessReply::State> LedgerDesk::State::look_at_refusal(const Entry& lease, const wire::CyclesRecord& record) {
  const auto id = lease.id;
  const auto worker = std::get<cycles::Lease>(lease.what).worker;
  wire::CyclesAskRequest request;
  *request.mutable_lease() = record;
  auto reply = co_await parts.wire.call(worker, {.method = method::cycles_ask, .body = request.SerializeAsString(), .payload = {}});
  if (!reply && (reply.error().code == Errc::unavailable || reply.error().code == Errc::timeout)) {
    const auto now = parts.runtime.now();
    const auto since = silent_since.try_emplace(id, now).first->second;
    co_return now - since >= std::chrono::milliseconds(rules.epoch_ms / 2) ? Found::SAID : Found::LOOKING;
  }
  wire::CyclesAskReply message;
  if (!reply || !message.ParseFromString(reply->body)) co_return Found::SAID;
  silent_since.erase(id);
  if (message.has_answer()) (void)co_await take(message.answer(), false);
  if (message.has_delivery()) (void)co_await take(message.delivery(), false);
  const auto* story = story_of(id);
  if (message.ready() || (story && story->delivery)) co_return Found::READY;
  co_return Found::SAID;
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

/// Has the worker show all of what it says it gave.
Task<wire::CyclesWitnessReply::State> LedgerDesk::State::look_at_delivery(const Entry& lease, const Entry& entry) {
  const auto delivery = std::get<cycles::Delivery>(entry.what);
  if (const auto* story = story_of(lease.id); (story && story->receipt) || is_contradicted(lease, delivery)) co_return Found::NOT_MINE;
  const auto worker = entry.server;
  Sha256 hash;
  std::uint64_t bytes = 1;
  for (std::uint64_t offset = 0; offset < bytes;) {
    wire::CyclesShowRequest request;
    request.set_lease(lease.id.raw());
    request.set_offset(offset);
    request.set_length(work_fetch_bytes_max);
    auto reply = co_await parts.wire.call(
        worker, {.method = method::cycles_show, .body = request.SerializeAsString(), .payload = {}},
        {.timeout = show_timeout, .priority = Priority::bulk, .reply_payload_bytes = work_fetch_bytes_max});
    if (!reply) co_return reply.error().code == Errc::unavailable || reply.error().code == Errc::timeout ? Found::LOOKING : Found::NOT_MINE;
    wire::CyclesShowReply message;
    if (!message.ParseFromString(reply->body) || message.bytes() > shown_bytes_max) co_return Found::NOT_MINE;
    bytes = message.bytes();
    if (bytes == 0) break;
    if (reply->payload.size() == 0) co_return Found::NOT_MINE;
    hash.update(reply->payload.flat());
    offset += reply->payload.size();
  }
  co_return hash.finish() == delivery.output ? Found::SAID : Found::NOT_MINE;
}

}  // namespace spatter
