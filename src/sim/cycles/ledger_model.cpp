#include "ledger_model.h"

#include <algorithm>
#include <tuple>

namespace spatter::sim::cycles {

using Wide = unsigned __int128;

LedgerModel::LedgerModel(const LedgerRules& rules, std::vector<std::size_t> person_of_server, std::size_t persons)
    : rules_(rules), person_of_(std::move(person_of_server)), servers_(person_of_.size()), persons_(persons),
      promise_(person_of_.size()) {}

void LedgerModel::happened(Event event) { events_[rules_.epoch_of(event.made)].push_back(event); }

void LedgerModel::pledge(std::size_t server, WallMs made, std::uint64_t number, std::uint32_t share_ppm, std::uint64_t from_month) {
  happened({.kind = pledges, .made = made, .server = server, .number = number, .amount = share_ppm, .other = from_month});
}
std::size_t LedgerModel::lease(std::size_t asker, WallMs made, std::uint64_t number, std::size_t worker, Fuel fuel, bool best_effort) {
  asked_.push_back({.asker = asker, .worker = worker, .fuel = fuel, .best_effort = best_effort});
  happened({.kind = leases, .made = made, .server = asker, .number = number, .lease = asked_.size() - 1});
  return asked_.size() - 1;
}
void LedgerModel::answer(std::size_t lease, WallMs made, std::uint64_t number, bool accepted) {
  happened({.kind = answers, .made = made, .server = asked_[lease].worker, .number = number, .lease = lease, .yes = accepted});
}
void LedgerModel::delivery(std::size_t lease, WallMs made, Fuel fuel) {
  happened({.kind = deliveries, .made = made, .server = asked_[lease].worker, .number = 0, .lease = lease, .amount = fuel});
}
void LedgerModel::receipt(std::size_t lease, WallMs made, std::uint64_t number, Fuel fuel, std::uint64_t elapsed_ms) {
  happened({.kind = receipts, .made = made, .server = asked_[lease].asker, .number = number, .lease = lease, .amount = fuel, .other = elapsed_ms});
}
void LedgerModel::vote(std::size_t lease, WallMs made, std::size_t person, bool delivered) {
  happened({.kind = votes, .made = made, .server = 0, .number = 0, .lease = lease, .person = person, .yes = delivered});
}
void LedgerModel::fork(std::size_t server, WallMs made) {
  happened({.kind = forks, .made = made, .server = server, .number = 0});
}

void LedgerModel::run(std::uint64_t epochs) {
  for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
    begin(epoch);
    auto& events = events_[epoch];
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
      return std::tie(a.made, a.kind, a.server, a.number, a.lease) < std::tie(b.made, b.kind, b.server, b.number, b.lease);
    });
    for (const Event& event : events) take(epoch, event);
    for (std::size_t server = 0; server < servers_.size(); ++server) flow(epoch, server, promise_[server][epoch]);
    for (std::size_t i = 0; i < asked_.size(); ++i) {
      Asked& asked = asked_[i];
      if (!asked.known || asked.settled) continue;
      if (asked.epoch == epoch && !asked.answered && asked.entitled) place(asked, i, false, epoch);
      if (asked.epoch + rules_.settle_epochs == epoch) settle(asked);
    }
    const std::uint64_t months_before = rules_.settle_epochs;
    if (epoch >= months_before && (epoch - months_before + 1) % rules_.month_epochs == 0)
      end_month((epoch - months_before) / rules_.month_epochs);
  }
}

Fuel LedgerModel::speed_of(const Server& server, std::uint64_t month) const {
  std::vector<Wide> speeds;
  for (const auto& [receiver, months] : server.results) {
    Wide fuel = 0, time = 0;
    for (std::uint64_t i = 0; i <= month; ++i) {
      if (fuel >= 1 << 20 && time >= 1 << 20) {
        fuel /= 2;
        time /= 2;
      }
      if (const auto found = months.find(i); found != months.end()) {
        fuel += found->second.first;
        time += found->second.second;
      }
    }
    if (time > 0) speeds.push_back(std::min<Wide>(fuel * 1'000'000'000 / time, Fuel{1} << 42));
  }
  std::sort(speeds.begin(), speeds.end());
  return speeds.empty() ? 0 : static_cast<Fuel>(speeds[(speeds.size() - 1) / 2]);
}

void LedgerModel::begin(std::uint64_t epoch) {
  const std::uint64_t month = epoch / rules_.month_epochs;
  for (const Fresh& fresh : fresh_[epoch]) {
    auto& sum = servers_[fresh.server].results[fresh.receiver][month];
    sum.first += fresh.fuel;
    sum.second += fresh.time;
    servers_[fresh.server].stale = true;
  }
  std::vector<Fuel> promised(persons_.size());
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    Server& server = servers_[i];
    if (server.changes && epoch >= server.change_epoch) {
      server.share = server.change_share;
      server.changes = false;
    }
    if (server.stale || epoch % rules_.month_epochs == 0) server.speed = speed_of(server, month);
    server.stale = false;
    const Wide fuel = Wide{server.share} * server.speed * rules_.epoch_ms / 1'000'000'000;
    promise_[i].push_back(static_cast<Fuel>(std::min<Wide>(fuel, Fuel{1} << 60)));
    promised[person_of_[i]] += promise_[i].back();
    server.flowed = 0;
  }
  for (std::size_t i = 0; i < persons_.size(); ++i) {
    Person& person = persons_[i];
    const Fuel before = month == 0 ? 0 : person.months[month - 1].promised;
    const Wide rate = person.debt == 0 ? 0 : std::min<Wide>(1'000'000, before == 0 ? 1'000'000 : Wide{person.debt} * 1'000'000 / before);
    const Fuel kept = static_cast<Fuel>(Wide{promised[i]} * (1'000'000 - rate) / 1'000'000);
    Month& now = person.months[month];
    now.promised += promised[i];
    now.docked += promised[i] - kept;
    if (epoch < person.barred_from || epoch >= person.barred_until) now.entitlement += kept;
  }
}

/// So much of the epoch's promise is over: what was waiting drains by as much.
void LedgerModel::flow(std::uint64_t epoch, std::size_t index, Fuel up_to) {
  Server& server = servers_[index];
  const Fuel passed = up_to - server.flowed;
  server.flowed = up_to;
  server.backlog -= std::min(server.backlog, passed);
  for (const std::size_t i : server.draining) {
    Asked& asked = asked_[i];
    const Fuel waited = std::min(asked.wait, passed), drained = std::min(asked.left, passed - waited);
    asked.wait -= waited;
    asked.left -= drained;
    if (drained > 0) asked.drained.emplace_back(epoch, drained);
  }
  std::erase_if(server.draining, [&](std::size_t i) { return asked_[i].left == 0; });
}

/// Puts a lease behind what is there now.
void LedgerModel::place(Asked& asked, std::size_t index, bool takes, std::uint64_t epoch) {
  Server& server = servers_[asked.worker];
  std::erase(server.draining, index);
  asked.drained.clear();
  asked.fits = Wide{server.backlog} + asked.fuel <= Wide{promise_[asked.worker][epoch]} * rules_.guard_epochs &&
               person_of_[asked.asker] != person_of_[asked.worker];
  if (!asked.fits) return;
  asked.wait = server.backlog;
  asked.left = asked.fuel;
  server.draining.push_back(index);
  if (takes) {
    server.backlog += asked.fuel;
    asked.accepted_epoch = epoch;
  }
}

void LedgerModel::take(std::uint64_t epoch, const Event& event) {
  const std::uint64_t month = epoch / rules_.month_epochs;
  if (event.kind == pledges) {
    Server& server = servers_[event.server];
    std::uint64_t from = epoch + 3;
    if (event.other > month) from = std::max(from, std::min(event.other, month + 12) * rules_.month_epochs);
    if (event.amount < server.share) from = std::max(from, (month + 1) * rules_.month_epochs);
    server.changes = true;
    server.change_epoch = from;
    server.change_share = static_cast<std::uint32_t>(event.amount);
    return;
  }
  if (event.kind == forks) {
    Person& person = persons_[person_of_[event.server]];
    if (epoch + 1 >= person.barred_until) person.barred_from = epoch + 1;
    person.barred_until = (month + 2) * rules_.month_epochs;
    return;
  }
  Asked& asked = asked_[event.lease];
  if (asked.settled || (event.kind != leases && !asked.known)) return;
  Person& asker = persons_[person_of_[asked.asker]];
  switch (event.kind) {
    case leases: {
      asked.known = true;
      asked.epoch = epoch;
      Month& now = asker.months[month];
      const bool barred = epoch >= asker.barred_from && epoch < asker.barred_until;
      if (asked.best_effort || barred || now.spent + asked.fuel > now.entitlement) break;
      asked.entitled = true;
      asked.holding = asked.fuel;
      now.spent += asked.fuel;
      break;
    }
    case answers: {
      if (asked.answered || epoch > asked.epoch + 1 || person_of_[asked.asker] == person_of_[asked.worker]) break;
      asked.answered = true;
      asked.accepted = event.yes;
      const auto since = static_cast<std::uint64_t>(event.made - rules_.founded_ms) - epoch * rules_.epoch_ms;
      flow(epoch, asked.worker, static_cast<Fuel>(Wide{promise_[asked.worker][epoch]} * since / rules_.epoch_ms));
      if (asked.entitled) place(asked, event.lease, event.yes, epoch);
      if (!event.yes) {
        asker.months[asked.epoch / rules_.month_epochs].spent -= asked.holding;
        asked.holding = 0;
      }
      break;
    }
    case deliveries:
      if (asked.done || !asked.accepted || epoch > asked.epoch + rules_.deadline_epochs) break;
      asked.done = true;
      asked.said = event.amount;
      break;
    case receipts: {
      if (asked.receipted || !asked.done) break;
      asked.receipted = true;
      asked.verified = std::min(event.amount, asked.said);
      const Server& worker = servers_[asked.worker];
      if (worker.share > 0)
        fresh_[epoch + 3].push_back({asked.worker, person_of_[asked.asker], asked.verified, Wide{event.other} * worker.share});
      break;
    }
    case votes:
      if (event.yes && !asked.done) break;
      (event.yes ? asked.given : asked.not_given).insert(event.person);
      break;
    default: break;
  }
}

void LedgerModel::settle(Asked& asked) {
  asked.settled = true;
  if (asked.given.size() >= 2) asked.delivered = asked.said;
  else if (asked.receipted) asked.delivered = asked.verified;
  asked.delivered = std::min(asked.delivered, asked.fuel);
  asked.blamed = asked.not_given.size() >= 2;
  const std::uint64_t month = asked.epoch / rules_.month_epochs;
  persons_[person_of_[asked.asker]].months[month].spent -= asked.holding - std::min(asked.holding, asked.delivered);
  if (!asked.accepted || (asked.entitled && asked.fits)) return;
  // Given without having to.
  Person& worker = persons_[person_of_[asked.worker]];
  const Fuel repaid = std::min(worker.debt, asked.delivered);
  worker.debt -= repaid;
  worker.months[month].repaid += repaid;
  worker.months[month].beyond += asked.delivered;
}

void LedgerModel::end_month(std::uint64_t number) {
  std::vector<Fuel> delivered(servers_.size()), missed(servers_.size());
  for (const Asked& asked : asked_) {
    if (!asked.settled || !asked.entitled || !asked.fits) continue;
    Fuel left = asked.accepted ? asked.delivered : 0;
    for (const auto& [epoch, fuel] : asked.drained) {
      const Fuel given = std::min(left, fuel);
      left -= given;
      if (epoch / rules_.month_epochs != number) continue;
      delivered[asked.worker] += given;
      if (asked.blamed && epoch <= asked.epoch + rules_.deadline_epochs) missed[asked.worker] += fuel - given;
    }
  }
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    Fuel promised = 0;
    for (std::uint64_t e = number * rules_.month_epochs; e < (number + 1) * rules_.month_epochs; ++e) promised += promise_[i][e];
    Month& sum = persons_[person_of_[i]].months[number];
    sum.delivered += delivered[i];
    sum.owed += std::min(missed[i], promised - delivered[i]);
  }
  for (Person& person : persons_) {
    Month& sum = person.months[number];
    sum.asked = sum.delivered + sum.owed;
    const Fuel before = number == 0 ? 0 : person.months[number - 1].promised;
    person.debt = std::min(person.debt + sum.owed, sum.promised + before);
    sum.debt = person.debt;
  }
}

LedgerModel::Month LedgerModel::month(std::size_t person, std::uint64_t number) const {
  const auto found = persons_[person].months.find(number);
  return found == persons_[person].months.end() ? Month{} : found->second;
}

std::vector<std::vector<Fuel>> LedgerModel::taken() const {
  std::vector<std::vector<Fuel>> sums;
  for (const auto& promise : promise_) sums.emplace_back(promise.size());
  for (const Asked& asked : asked_)
    if (asked.accepted && asked.entitled && asked.fits)
      for (const auto& [epoch, fuel] : asked.drained) sums[asked.worker][epoch] += fuel;
  return sums;
}

std::vector<std::vector<Fuel>> LedgerModel::arrived() const {
  std::vector<std::vector<Fuel>> sums;
  for (const auto& promise : promise_) sums.emplace_back(promise.size());
  for (const Asked& asked : asked_)
    if (asked.accepted && asked.entitled && asked.fits) sums[asked.worker][asked.accepted_epoch] += asked.fuel;
  return sums;
}

std::vector<bool> LedgerModel::took_promise() const {
  std::vector<bool> took;
  for (const Asked& asked : asked_) took.push_back(asked.accepted && asked.entitled && asked.fits);
  return took;
}

std::uint64_t LedgerModel::over_month_ends() const {
  return static_cast<std::uint64_t>(std::count_if(asked_.begin(), asked_.end(), [&](const Asked& asked) {
    return asked.accepted && asked.entitled && asked.fits && !asked.drained.empty() &&
           asked.drained.front().first / rules_.month_epochs != asked.drained.back().first / rules_.month_epochs;
  }));
}

}  // namespace spatter::sim::cycles
