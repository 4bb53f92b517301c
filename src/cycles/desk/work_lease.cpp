// What a worker takes, in which order, and what it shows to witnesses.
#include <algorithm>

#include "net/methods.h"
#include "work_desk_state.h"

namespace spatter {

/// What is asked of the promise has its own bound, the guard; and while this machine's person is in debt, what works it off
/// is not refused for want of a place in the queue.
bool WorkDesk::State::is_owed(const wire::CyclesRecord& lease) const {
  wire::CyclesWhat what;
  if (!what.ParseFromString(lease.what())) return false;
  return !what.lease().best_effort() || parts.ledger->ledger().debt(parts.identity.person) > 0;
}

Task<Result<void>> WorkDesk::State::may_take(const Key& key, const wire::WorkOrder& order, bool is_owed) {
  CO_TRY_VOID(check_order(order));
  const auto space = co_await parts.runtime.blocking([&] { return parts.runtime.disk().space(); });
  if (!space) co_return fail(space.error());
  if (entries.contains(key)) co_return fail(Errc::busy, "the piece was offered twice at once");
  std::size_t of_all = 0, of_asker = 0, kept_of_asker = 0;
  std::uint64_t bytes = room_for(order);
  for (const auto& [other, entry] : entries) {
    kept_of_asker += other.asker == key.asker;
    bytes += at_work(*entry) ? room_for(entry->order) : entry->result.output_bytes;
    if (!at_work(*entry)) continue;
    ++of_all;
    of_asker += other.asker == key.asker;
  }
  if (of_asker >= options.per_asker_max) co_return fail(Errc::busy, "{} pieces of server {} wait here already", of_asker, key.asker);
  if (!is_owed && of_all >= options.waiting_max) co_return fail(Errc::busy, "{} pieces wait here already", of_all);
  if (entries.size() >= options.kept_max || kept_of_asker >= options.kept_per_asker_max)
    co_return fail(Errc::busy, "{} results are kept here that nobody has released", entries.size());
  if (bytes > std::min(options.disk_bytes_max, space->free / 4))
    co_return fail(Errc::busy, "there is no room here for more inputs and outputs");
  co_return Result<void>{};
}

/// What the promise is for goes first, then as they came.
bool WorkDesk::State::is_next(const Entry& entry) const {
  const auto rank = [](const Entry& one) { return std::pair(!(one.lease && one.lease->promised), one.number); };
  return std::ranges::all_of(waiting, [&](const Entry* other) { return rank(entry) <= rank(*other); });
}

/// Its asker does not want it any more, and has not said that he got it.
bool WorkDesk::State::is_kept_for_witnesses(const Entry& entry) const {
  return entry.delivered && entry.lease && entry.lease->promised && !parts.ledger->receipted(entry.lease->lease);
}

void WorkDesk::State::drop_receipted() {
  std::vector<std::pair<Key, std::shared_ptr<Entry>>> gone;
  for (const auto& one : entries)
    if (one.second->released && !is_kept_for_witnesses(*one.second)) gone.push_back(one);
  for (auto& [key, entry] : gone) {
    entries.erase(key);
    tasks.spawn(forget(key, std::move(entry)));
  }
}

std::shared_ptr<WorkDesk::State::Entry> WorkDesk::State::find_lease(const cycles::EntryId& lease) const {
  for (const auto& [key, entry] : entries)
    if (entry->lease && entry->lease->lease == lease) return entry;
  return nullptr;
}

/// Would it, or has it done, what that lease asks for?
Task<Result<RpcReply>> WorkDesk::State::handle_ask(Caller caller, RpcRequest request) {
  if (!parts.ledger || !parts.members.person_of(caller.server))
    co_return fail(Errc::denied, "server {} is not a member of this network", caller.server);
  wire::CyclesAskRequest message;
  if (!message.ParseFromString(request.body) || !message.has_lease())
    co_return fail(Errc::invalid, "a cycles.ask request that cannot be read");
  if (!looks.take(caller.server, 1, parts.runtime.now())) co_return fail(Errc::busy, "server {} asks too often", caller.server);
  const auto willing = [this](const ServerId& asker) -> Result<void> {
    const auto person = parts.members.person_of(asker);
    if (!person) return fail(Errc::denied, "server {} is not a member of this network", asker);
    return parts.may_work(*person);
  };
  const auto unwilling = [&](const ServerId& asker) {
    const auto may = willing(asker);
    return !may && may.error().code == Errc::busy;
  };
  CO_TRY(auto standing, co_await parts.ledger->standing(caller.server, message.lease(), unwilling));
  // Not to be blamed: then it is not for a witness to judge, either.
  if (const auto may = willing(standing.asker); !may && may.error().code != Errc::busy) co_return fail(may.error());
  wire::CyclesAskReply reply;
  const auto held = find_lease(standing.lease);
  reply.set_ready(!standing.refused && ((held && held->stage != Stage::failed) || willing(standing.asker)));
  if (standing.answer) *reply.mutable_answer() = std::move(*standing.answer);
  if (standing.delivery) *reply.mutable_delivery() = std::move(*standing.delivery);
  co_return RpcReply{reply.SerializeAsString(), {}};
}

Task<Result<RpcReply>> WorkDesk::State::handle_show(Caller caller, RpcRequest request) {
  wire::CyclesShowRequest message;
  if (!message.ParseFromString(request.body) || message.length() > work_fetch_bytes_max)
    co_return fail(Errc::invalid, "a cycles.show request that cannot be read, or wants more than {} bytes", work_fetch_bytes_max);
  CO_TRY(const auto lease, cycles::EntryId::from(message.lease()));
  const auto person = parts.members.person_of(caller.server);
  const auto entry = parts.ledger ? find_lease(lease) : nullptr;
  const auto may_see = [&] {
    if (!entry || !entry->delivered || !person) return false;
    if (entry->shown_to.contains(*person)) return true;
    if (!looks.take(caller.server, 1, parts.runtime.now()) || !parts.ledger->may_see(lease, *person)) return false;
    entry->shown_to.insert(*person);
    return true;
  };
  if (!may_see())
    co_return fail(Errc::denied, "server {} may not see what was delivered for lease {}", caller.server, lease);
  wire::CyclesShowReply told;
  told.set_bytes(entry->result.output_bytes);
  RpcReply reply{told.SerializeAsString(), {}};
  CO_TRY(auto payload, co_await read_output(*entry, message.offset(), message.length()));
  reply.payload = Rope(std::move(payload));
  co_return reply;
}

}  // namespace spatter
