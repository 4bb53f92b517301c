// What is decided now, on the closed epochs and what has been entered since.
#include <algorithm>
#include <limits>

#include "state.h"

namespace spatter::cycles {

void Ledger::each_open(const std::function<void(const Entry&)>& counting) const {
  for (auto at = by_epoch_.lower_bound(state_->next_epoch); at != by_epoch_.end(); ++at)
    for (const Entry* entry : at->second) counting(*entry);
}

Promise Ledger::promise_ahead(const ServerId& server, std::uint64_t epoch) const {
  const auto found = state_->servers.find(server);
  if (found == state_->servers.end()) return Promise(epoch);
  Promise promise = found->second.promise;
  while (promise.epoch() < epoch) promise.begin(rules_, promise.epoch() + 1);
  return promise;
}

/// With what the worker has accepted since, in the order of its chain.
Mark Ledger::taken_ahead(const ServerId& worker) const {
  const auto found = state_->servers.find(worker);
  if (found == state_->servers.end()) return 0;
  std::vector<const Entry*> accepted;
  each_open([&](const Entry& entry) {
    const auto* answer = std::get_if<Answer>(&entry.what);
    if (answer && entry.server == worker && answer->kind == Answer::Kind::accepted) accepted.push_back(&entry);
  });
  std::ranges::sort(accepted, {}, [](const Entry* entry) { return entry->number; });
  Mark taken = found->second.taken;
  for (const Entry* entry : accepted) {
    const Entry* asked = find(std::get<Answer>(entry->what).lease);
    const auto* lease = asked ? std::get_if<Lease>(&asked->what) : nullptr;
    if (!lease || lease->best_effort) continue;
    const Promise promise = promise_ahead(worker, rules_.epoch_of(entry->made_ms));
    const Span span = promise.next(rules_, taken, lease->fuel, entry->made_ms);
    if (promise.conforms(rules_, span, entry->made_ms)) taken = span.end;
  }
  return taken;
}

Fuel Ledger::affordable(const PersonId& person, WallMs now) const {
  Place last{now, std::numeric_limits<std::uint64_t>::max(), {}};
  last.server.bytes.fill(0xff);
  return affordable_before(person, last);
}

/// Besides what he has asked for since, in so far as it comes before in the ledger's order. What comes after does not
/// count: else who asks could make a worker refuse what the ledger will say it owed.
Fuel Ledger::affordable_before(const PersonId& person, const Place& place) const {
  const auto found = state_->persons.find(person);
  const std::uint64_t epoch = std::max(rules_.epoch_of(place.made_ms), state_->next_epoch);
  if (found == state_->persons.end() || found->second.barred(epoch)) return 0;
  const PersonState& state = found->second;
  const std::uint64_t month = rules_.month_of(epoch);
  Fuel entitlement = 0, spent = 0;
  if (const auto view = state.months.find(month); view != state.months.end()) {
    entitlement = view->second.entitlement;
    spent = view->second.spent;
  }
  const std::uint32_t docked = docked_ppm(state.debt, state.promised_before(month));
  const std::uint64_t first = std::max(state_->next_epoch, rules_.first_of(month));
  for (std::uint64_t coming = first; coming <= epoch; ++coming) {
    Fuel promised = 0;
    for (const ServerId& server : state.servers) promised = plus(promised, promise_ahead(server, coming).in_epoch());
    entitlement = plus(entitlement, static_cast<Fuel>(Mark{promised} * (whole_ppm - docked) / whole_ppm));
  }
  std::set<EntryId> refused;
  each_open([&](const Entry& entry) {
    const auto* answer = std::get_if<Answer>(&entry.what);
    if (answer && answer->kind != Answer::Kind::accepted && entry.made_ms < place.made_ms) refused.insert(answer->lease);
  });
  each_open([&](const Entry& entry) {
    const auto* lease = std::get_if<Lease>(&entry.what);
    if (lease && !lease->best_effort && entry.person == person && !refused.contains(entry.id) &&
        Place{entry.made_ms, entry.number, entry.server} < place && rules_.month_of(rules_.epoch_of(entry.made_ms)) == month)
      spent = plus(spent, lease->fuel);
  });
  return entitlement - std::min(entitlement, spent);
}

Ledger::Decision Ledger::decide(const Entry& entry, WallMs now) const {
  const auto& lease = std::get<Lease>(entry.what);
  Decision decision;
  if (!check_dated(rules_, entry.made_ms, now)) {
    decision.kind = Answer::Kind::clocks_differ;
    return decision;
  }
  const auto worker = state_->servers.find(lease.worker);
  if (lease.best_effort) {
    decision.reduces_debt = worker != state_->servers.end() && debt(worker->second.person) > 0;
    return decision;
  }
  if (affordable_before(entry.person, {entry.made_ms, entry.number, entry.server}) < lease.fuel) {
    decision.kind = Answer::Kind::not_entitled;
    return decision;
  }
  const WallMs moment = std::max(now, entry.made_ms);
  const Promise promise = promise_ahead(lease.worker, std::max(rules_.epoch_of(moment), state_->next_epoch));
  decision.span = promise.next(rules_, taken_ahead(lease.worker), lease.fuel, moment);
  decision.promised = promise.conforms(rules_, decision.span, moment);
  if (!decision.promised) decision.kind = Answer::Kind::time_taken;
  return decision;
}

Result<std::vector<PersonId>> Ledger::witnesses(const EntryId& id, const DrawProof& draw) const {
  const Entry* entry = find(id);
  const auto* lease = entry ? std::get_if<Lease>(&entry->what) : nullptr;
  if (!lease) return fail(Errc::not_found, "no lease {} here", id);
  const std::uint64_t epoch = rules_.epoch_of(entry->made_ms);
  const auto output = checked_draw(*entry, epoch, draw);
  if (!output) return fail(Errc::corrupt, "the draw of witnesses about lease {} is not right", id);
  const auto worker = state_->servers.find(lease->worker);
  if (worker == state_->servers.end()) return std::vector<PersonId>();
  const PersonId& of = worker->second.person;
  // As it was then, while that is remembered; as it will be.
  if (epoch < state_->next_epoch && state_->next_epoch - epoch <= state_->promising.size())
    return drawn_witnesses(*output, *state_->promising[state_->promising.size() - (state_->next_epoch - epoch)], entry->person, of);
  std::set<PersonId> promising;
  for (const auto& [server, state] : state_->servers)
    if (state.promise.share_in(epoch) > 0) promising.insert(state.person);
  const std::vector<PersonId> persons(promising.begin(), promising.end());
  return drawn_witnesses(*output, persons, entry->person, of);
}

}  // namespace spatter::cycles
