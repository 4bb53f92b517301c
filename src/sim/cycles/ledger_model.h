// What the ledger should come to, computed otherwise: from what the actors of the simulation did, not from
// records, and with a leaky bucket that drains epoch by epoch, where the ledger has intervals of a
// line. Slow, simple and all in one place; it shares no code with the ledger but the constants.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "cycles/ledger_rules.h"

namespace spatter::sim::cycles {

using spatter::cycles::Fuel;
using spatter::cycles::LedgerRules;

class LedgerModel {
 public:
  struct Month {
    Fuel promised = 0, asked = 0, delivered = 0, owed = 0, beyond = 0, repaid = 0, debt = 0, docked = 0, entitlement = 0, spent = 0;
    bool operator==(const Month&) const = default;
  };

  /// Servers are numbered in the order of their ids.
  LedgerModel(const LedgerRules& rules, std::vector<std::size_t> person_of_server, std::size_t persons);

  // What happened, in any order. `made` and `number`: of the entry in which it was said.
  void pledge(std::size_t server, WallMs made, std::uint64_t number, std::uint32_t share_ppm, std::uint64_t from_month);
  std::size_t lease(std::size_t asker, WallMs made, std::uint64_t number, std::size_t worker, Fuel fuel, bool best_effort);
  void answer(std::size_t lease, WallMs made, std::uint64_t number, bool accepted);
  void delivery(std::size_t lease, WallMs made, Fuel fuel);
  void receipt(std::size_t lease, WallMs made, std::uint64_t number, Fuel fuel, std::uint64_t elapsed_ms);
  void vote(std::size_t lease, WallMs made, std::size_t person, bool delivered);
  void fork(std::size_t server, WallMs made);

  void run(std::uint64_t epochs);

  Month month(std::size_t person, std::uint64_t number) const;
  /// What each server promised in each epoch, and what leases took of it.
  const std::vector<std::vector<Fuel>>& promised() const { return promise_; }
  std::vector<std::vector<Fuel>> taken() const;
  /// How much of each server's promise was asked for in each epoch and accepted.
  std::vector<std::vector<Fuel>> arrived() const;
  /// For each lease whether it took of its server's promise.
  std::vector<bool> took_promise() const;
  std::uint64_t over_month_ends() const;  ///< how many of them drained in two months

 private:
  enum Kind { pledges, leases, answers, deliveries, receipts, votes, forks };
  struct Event {
    Kind kind;
    WallMs made;
    std::size_t server;
    std::uint64_t number;
    std::size_t lease = 0, person = 0;
    std::uint64_t amount = 0, other = 0;
    bool yes = false;
  };
  /// A lease waits until what is before it has drained, then drains itself.
  struct Asked {
    std::size_t asker, worker;
    Fuel fuel;
    bool best_effort;
    std::uint64_t epoch = 0;
    bool known = false, entitled = false, answered = false, accepted = false, fits = false, settled = false;
    Fuel holding = 0;
    Fuel wait = 0, left = 0;
    std::uint64_t accepted_epoch = 0;
    std::vector<std::pair<std::uint64_t, Fuel>> drained;  ///< in which epoch how much
    bool done = false, receipted = false;
    Fuel said = 0, verified = 0, delivered = 0;
    bool blamed = false;
    std::set<std::size_t> not_given, given;
  };
  struct Server {
    std::uint32_t share = 0;
    bool changes = false;
    std::uint64_t change_epoch = 0;
    std::uint32_t change_share = 0;
    /// By receiver, then month: fuel, and milliseconds times share.
    std::map<std::size_t, std::map<std::uint64_t, std::pair<unsigned __int128, unsigned __int128>>> results;
    bool stale = false;  ///< speed is to be computed anew
    Fuel speed = 0;
    Fuel backlog = 0, flowed = 0;
    std::vector<std::size_t> draining;
  };
  struct Person {
    Fuel debt = 0;
    std::uint64_t barred_from = 0, barred_until = 0;
    std::map<std::uint64_t, Month> months;
  };
  void happened(Event event);
  void begin(std::uint64_t epoch);
  void take(std::uint64_t epoch, const Event& event);
  void flow(std::uint64_t epoch, std::size_t server, Fuel up_to);
  void place(Asked& asked, std::size_t index, bool takes, std::uint64_t epoch);
  void settle(Asked& asked);
  void end_month(std::uint64_t number);
  Fuel speed_of(const Server& server, std::uint64_t month) const;

  LedgerRules rules_;
  std::vector<std::size_t> person_of_;
  std::vector<Server> servers_;
  std::vector<Person> persons_;
  std::vector<Asked> asked_;
  std::map<std::uint64_t, std::vector<Event>> events_;
  struct Fresh {
    std::size_t server, receiver;
    unsigned __int128 fuel, time;
  };
  std::map<std::uint64_t, std::vector<Fresh>> fresh_;  ///< by the epoch in which it counts
  std::vector<std::vector<Fuel>> promise_;
};

}  // namespace spatter::sim::cycles
