// Closing an epoch: the rule by which entries become accounts. The order of everything here is part
// of it, and docs/ledger.md says it in words.
#include <algorithm>
#include <ranges>

#include "closing.h"

namespace spatter::cycles {

Fuel LeaseState::delivered() const {
  if (!delivery) return 0;
  const Fuel said = std::get<Delivery>(delivery->what).fuel;
  Fuel verified = 0;
  if (found_delivered.size() >= witnesses_needed) verified = said;
  else if (receipt) verified = std::min(said, std::get<Receipt>(receipt->what).fuel);
  return std::min(verified, lease().fuel);
}

std::uint32_t docked_ppm(Fuel debt, Fuel promised_before) {
  if (debt == 0) return 0;
  if (debt >= promised_before) return whole_ppm;
  return static_cast<std::uint32_t>(Mark{debt} * whole_ppm / promised_before);
}

void add_open_parts(const ServerState& server, std::uint64_t month, Mark end, ServerMonth& out) {
  const auto before = server.months.find(month - 1);
  const Mark begin = month > 0 && before != server.months.end() ? before->second.end : 0;
  for (const AskedPart& part : server.parts) {
    const Mark from = std::max(part.span.begin, begin), to = std::min(part.span.end, end);
    if (from < to) (part.delivered ? out.delivered : out.undelivered) += static_cast<Fuel>(to - from);
  }
}

void Ledger::Closing::close() {
  if (epoch > 0)
    for (auto& [id, server] : state.servers) server.promise.begin(rules, epoch);
  note_promising();
  accrue();
  take_entries();
  look_at_silent();
  if (epoch >= rules.settle_epochs) settle_all(epoch - rules.settle_epochs);
  for (auto& [id, server] : state.servers) end_epoch(server);
  const std::uint64_t next = epoch + 1;
  if (next >= rules.settle_epochs && rules.begins_month(next - rules.settle_epochs) && next > rules.settle_epochs)
    close_month(rules.month_of(next - rules.settle_epochs) - 1);
  state.next_epoch = next;
}

void Ledger::Closing::note_promising() {
  std::set<PersonId> persons;
  for (const auto& [id, server] : state.servers)
    if (server.promise.share_ppm() > 0) persons.insert(server.person);
  auto& kept = state.promising;
  if (!kept.empty() && std::ranges::equal(*kept.back(), persons)) kept.push_back(kept.back());
  else kept.push_back(std::make_shared<const std::vector<PersonId>>(persons.begin(), persons.end()));
  if (kept.size() > rules.settle_epochs + 1) kept.pop_front();
}

/// Each person's promise of this epoch, and the entitlement that comes of it at once.
void Ledger::Closing::accrue() {
  for (auto& [id, person] : state.persons) {
    Fuel promised = 0;
    for (const ServerId& server : person.servers) promised = plus(promised, state.servers.at(server).promise.in_epoch());
    MonthView& view = month_of(person, month);
    view.promised = plus(view.promised, promised);
    view.docked_ppm = docked_ppm(person.debt, person.promised_before(month));
    const Fuel docked = static_cast<Fuel>((Mark{promised} * view.docked_ppm + whole_ppm - 1) / whole_ppm);
    view.docked = plus(view.docked, docked);
    if (!person.barred(epoch)) view.entitlement = plus(view.entitlement, promised - docked);
  }
}

void Ledger::Closing::take_entries() {
  if (!entries) return;
  std::vector<const Entry*> order = *entries;
  std::ranges::sort(order, {}, [](const Entry* entry) {
    return std::tuple(entry->made_ms, entry->what.index(), entry->server, entry->number, entry->id);
  });
  for (const Entry* entry : order) {
    if (server_of(*entry).person != entry->person) continue;
    std::visit([&](const auto& what) { take(*entry, what); }, entry->what);
  }
}

ServerState& Ledger::Closing::server_of(const Entry& entry) {
  const auto [at, fresh] = state.servers.try_emplace(entry.server, ServerState{entry.person, Promise(epoch)});
  if (fresh) state.persons[entry.person].servers.push_back(entry.server);
  return at->second;
}

LeaseState* Ledger::Closing::lease_of(const EntryId& id) {
  const auto found = state.leases.find(id);
  return found == state.leases.end() ? nullptr : &found->second;
}

void Ledger::Closing::take(const Entry& entry, const Pledge& pledge) { server_of(entry).promise.pledge(rules, pledge); }

void Ledger::Closing::take(const Entry& entry, const Lease& lease) {
  LeaseState asked{.entry = &entry, .epoch = epoch};
  PersonState& asker = state.persons[entry.person];
  MonthView& view = month_of(asker, month);
  if (!lease.best_effort && !asker.barred(epoch) && view.entitlement - std::min(view.entitlement, view.spent) >= lease.fuel) {
    asked.entitled = asked.held = true;
    view.spent += lease.fuel;
  }
  state.leases.emplace(entry.id, asked);
  state.asked[epoch].push_back(entry.id);
}

/// The worker's chain says in which order its promise was taken.
void Ledger::Closing::take(const Entry& entry, const Answer& answer) {
  LeaseState* asked = lease_of(answer.lease);
  if (!asked || asked->said != LeaseState::Said::nothing || asked->lease().worker != entry.server ||
      asked->entry->person == entry.person || entry.made_ms < asked->entry->made_ms || epoch > asked->epoch + clock_epochs_max)
    return;
  ServerState& worker = server_of(entry);
  if (asked->entitled) {
    asked->span = worker.promise.next(rules, worker.taken, asked->lease().fuel, entry.made_ms);
    asked->conforms = worker.promise.conforms(rules, asked->span, entry.made_ms);
  }
  if (answer.kind != Answer::Kind::accepted) {
    asked->said = LeaseState::Said::refused;
    give_back(*asked, asked->lease().fuel);
  } else if (asked->conforms) {
    asked->said = LeaseState::Said::promised;
    worker.taken = asked->span.end;
  } else {
    asked->said = LeaseState::Said::freely;
  }
}

void Ledger::Closing::take(const Entry& entry, const Delivery& delivery) {
  LeaseState* asked = lease_of(delivery.lease);
  if (!asked || asked->delivery || asked->lease().worker != entry.server || entry.made_ms < asked->entry->made_ms ||
      epoch > asked->epoch + rules.deadline_epochs)
    return;
  if (asked->said != LeaseState::Said::promised && asked->said != LeaseState::Said::freely) return;
  asked->delivery = &entry;
  state.deliveries.emplace(entry.id, delivery.lease);
}

void Ledger::Closing::take(const Entry& entry, const Receipt& receipt) {
  const auto of = state.deliveries.find(receipt.delivery);
  if (of == state.deliveries.end()) return;
  LeaseState& asked = state.leases.at(of->second);
  if (asked.receipt || asked.entry->server != entry.server || entry.made_ms < asked.delivery->made_ms) return;
  asked.receipt = &entry;
  const Fuel verified = std::min(receipt.fuel, std::get<Delivery>(asked.delivery->what).fuel);
  state.servers.at(asked.lease().worker).promise.learn(entry.person, verified, receipt.elapsed_ms);
}

void Ledger::Closing::take(const Entry& entry, const Verdict& verdict) {
  LeaseState* asked = lease_of(verdict.lease);
  if (!asked || entry.made_ms < asked->entry->made_ms) return;
  const auto worker = state.servers.find(asked->lease().worker);
  if (worker == state.servers.end()) return;
  // By whom the witnesses were drawn follows from what they say.
  const bool by_asker = verdict.finding == Verdict::Finding::not_given;
  const auto key = by_asker ? std::optional(asked->entry->key) : worker_key(*asked);
  if (!key) return;
  const auto output = ledger.checked_draw(*asked->entry, asked->epoch, {*key, verdict.draw});
  if (!output) return;
  const std::size_t ago = epoch - asked->epoch;
  const auto& persons = *state.promising.at(state.promising.size() - 1 - ago);
  const auto drawn = drawn_witnesses(*output, persons, asked->entry->person, worker->second.person);
  if (std::ranges::find(drawn, entry.person) == drawn.end()) return;
  (by_asker ? asked->found_not_given : asked->found_delivered).insert(entry.person);
}

/// With which it signed its delivery: without one nobody can say that it was delivered.
std::optional<PublicKey> Ledger::Closing::worker_key(const LeaseState& asked) const {
  if (!asked.delivery) return {};
  return asked.delivery->key;
}

void Ledger::Closing::take(const Entry&, const Fork& fork) {
  const auto server = state.servers.find(fork.server);
  if (server == state.servers.end() || !state.forks.emplace(fork.server, fork.number).second) return;
  PersonState& person = state.persons.at(server->second.person);
  if (!person.barred(epoch) && !person.barred(epoch + 1)) person.barred_from = epoch + 1;
  person.barred_until = rules.first_of(month + 1 + fork_months);
}

/// What those who did not answer would have given: as if they had been asked at the end of the epoch.
void Ledger::Closing::look_at_silent() {
  const auto asked = state.asked.find(epoch);
  if (asked == state.asked.end()) return;
  for (const EntryId& id : asked->second) {
    LeaseState& lease = state.leases.at(id);
    const auto worker = state.servers.find(lease.lease().worker);
    if (lease.said != LeaseState::Said::nothing || !lease.entitled || worker == state.servers.end() ||
        worker->second.person == lease.entry->person)
      continue;
    const Promise& promise = worker->second.promise;
    const WallMs end = rules.start_of(epoch + 1);
    lease.span = promise.next(rules, worker->second.taken, lease.lease().fuel, end);
    lease.conforms = promise.conforms(rules, lease.span, end);
  }
}

void Ledger::Closing::settle_all(std::uint64_t asked_epoch) {
  const auto asked = state.asked.find(asked_epoch);
  if (asked == state.asked.end()) return;
  for (const EntryId& id : asked->second) {
    LeaseState& lease = state.leases.at(id);
    settle(lease);
    if (lease.delivery) state.deliveries.erase(lease.delivery->id);
    state.leases.erase(id);
  }
  state.asked.erase(asked);
}

void Ledger::Closing::settle(LeaseState& asked) {
  const Fuel fuel = asked.lease().fuel, delivered = asked.delivered();
  give_back(asked, fuel - delivered);
  const auto found = state.servers.find(asked.lease().worker);
  if (found == state.servers.end()) return;
  ServerState& worker = found->second;
  if (asked.said == LeaseState::Said::freely) {
    PersonState& person = state.persons.at(worker.person);
    MonthView& view = month_of(person, rules.month_of(asked.epoch));
    const Fuel repaid = std::min(person.debt, delivered);
    person.debt -= repaid;
    view.repaid = plus(view.repaid, repaid);
    view.beyond = plus(view.beyond, delivered);
    return;
  }
  if (!asked.conforms) return;
  const Mark given = asked.span.begin + (asked.said == LeaseState::Said::promised ? delivered : 0);
  if (given > asked.span.begin) worker.parts.push_back({{asked.span.begin, given}, true});
  if (asked.found_not_given.size() < witnesses_needed) return;
  // Nobody has to give before its time what was promised for later.
  const std::size_t since = rules.settle_epochs - rules.deadline_epochs;  // ends has not got this epoch's yet
  const Mark due = since <= worker.ends.size() ? worker.ends[worker.ends.size() - since] : 0;
  const Mark end = std::min(asked.span.end, due);
  if (given < end) worker.parts.push_back({{given, end}, false});
}

void Ledger::Closing::give_back(LeaseState& asked, Fuel fuel) {
  if (!asked.held) return;
  asked.held = false;
  MonthView& view = month_of(state.persons.at(asked.entry->person), rules.month_of(asked.epoch));
  view.spent -= fuel;
}

void Ledger::Closing::end_epoch(ServerState& server) {
  server.ends.push_back(server.promise.after());
  if (server.ends.size() > rules.settle_epochs) server.ends.pop_front();
  ServerMonth& view = server.months[month];
  view.promised = plus(view.promised, server.promise.in_epoch());
  view.end = server.promise.after();
}

void Ledger::Closing::close_month(std::uint64_t closed) {
  for (auto& [id, server] : state.servers) {
    const auto at = server.months.find(closed);
    if (at == server.months.end()) continue;
    ServerMonth& view = at->second;
    add_open_parts(server, closed, view.end, view);
    std::erase_if(server.parts, [&](const AskedPart& part) { return part.span.end <= view.end; });
    MonthView& sum = month_of(state.persons.at(server.person), closed);
    sum.delivered = plus(sum.delivered, view.delivered);
    sum.owed = plus(sum.owed, view.owed());
  }
  for (auto& [id, person] : state.persons) {
    MonthView& view = month_of(person, closed);
    view.asked = plus(view.delivered, view.owed);
    const Fuel most = plus(view.promised, person.promised_before(closed));
    person.debt = std::min(plus(person.debt, view.owed), most);
    view.debt = person.debt;
    view.closed = true;
  }
}

MonthView& Ledger::Closing::month_of(PersonState& person, std::uint64_t number) {
  MonthView& view = person.months[number];
  view.month = number;
  return view;
}

}  // namespace spatter::cycles
