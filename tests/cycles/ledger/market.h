// Persons with servers who promise, ask and give, by hand: months of 24 epochs, and every clock is right unless
// a test says otherwise.
#pragma once

#include <gtest/gtest.h>

#include "base/random.h"
#include "cycles/ledger.h"

namespace spatter::cycles {

struct Trader {
  explicit Trader(Random& random, std::optional<PersonId> of = {})
      : person(of ? *of : random.id<PersonId>()), key(SigningKey::generate(random)), id(server_id(key.public_key())) {}
  PersonId person;
  SigningKey key;
  ServerId id;
  ChainHead head;
};

class Market {
 public:
  static constexpr WallMs founded = 1'700'000'000'000;
  /// With all cores; a trader that pledges half of them promises half as much.
  static constexpr Fuel speed = 1'000'000;
  static constexpr Fuel epoch_promise = speed * 3600 / 2;

  explicit Market(std::size_t traders = 6) {
    for (std::size_t i = 0; i < traders; ++i) this->traders.emplace_back(random);
  }

  WallMs at(double epoch) const { return founded + static_cast<WallMs>(epoch * static_cast<double>(rules.epoch_ms)); }

  /// The next entry of a trader's chain, given to everybody.
  MadeEntry say(std::size_t who, const What& what, double epoch, WallMs cause_ms = 0) {
    auto made = make(who, what, epoch, cause_ms);
    give(made);
    return made;
  }
  MadeEntry make(std::size_t who, const What& what, double epoch, WallMs cause_ms = 0) {
    Trader& trader = traders[who];
    auto made = make_entry(trader.key, network, trader.person, trader.head, what, at(epoch), cause_ms);
    trader.head = {made.entry.number, made.entry.id, made.entry.made_ms};
    return made;
  }
  void give(const MadeEntry& made) {
    records.push_back(made.record);
    const auto added = ledger.add(check_entry(made.record, network).value());
    ASSERT_TRUE(added.has_value()) << added.error().message;
  }

  MadeEntry ask(std::size_t asker, std::size_t worker, Fuel fuel, double epoch, bool best_effort = false) {
    return say(asker, Lease{traders[worker].id, fuel, best_effort, {}}, epoch);
  }
  void answer(std::size_t worker, const MadeEntry& lease, double epoch, Answer::Kind kind = Answer::Kind::accepted) {
    say(worker, Answer{lease.entry.id, kind}, epoch, lease.entry.made_ms);
  }
  MadeEntry deliver(std::size_t worker, const MadeEntry& lease, double epoch, std::optional<Fuel> fuel = {}) {
    return say(worker, Delivery{lease.entry.id, fuel.value_or(std::get<Lease>(lease.entry.what).fuel), {}}, epoch);
  }
  void receipt(std::size_t asker, const MadeEntry& delivery, double epoch, std::optional<std::uint64_t> elapsed_ms = {}) {
    const Fuel fuel = std::get<Delivery>(delivery.entry.what).fuel;
    say(asker, Receipt{delivery.entry.id, fuel, elapsed_ms.value_or(std::max<std::uint64_t>(1, fuel * 1000 / (speed / 2)))}, epoch);
  }
  /// Asked, accepted, delivered and receipted.
  MadeEntry trade(std::size_t asker, std::size_t worker, Fuel fuel, double epoch, bool best_effort = false) {
    const auto lease = ask(asker, worker, fuel, epoch, best_effort);
    answer(worker, lease, epoch);
    receipt(asker, deliver(worker, lease, epoch + 0.1), epoch + 0.2);
    return lease;
  }
  /// Everybody pledges half of his cores in epoch 0 and shows his speed in epoch 3: from epoch 6 on each promises
  /// epoch_promise an epoch.
  void open() {
    for (std::size_t i = 0; i < traders.size(); ++i) say(i, Pledge{500'000, 0}, 0.1);
    for (std::size_t i = 0; i < traders.size(); ++i) trade((i + 1) % traders.size(), i, 1'000'000, 3.1, true);
  }

  /// The first `votes` of the witnesses drawn say it.
  void witness(std::size_t asker, std::size_t worker, const MadeEntry& lease, Verdict::Finding finding, double epoch,
               std::size_t votes = 3) {
    const std::size_t drawer = finding == Verdict::Finding::not_given ? asker : worker;
    const auto draw = draw_of(drawer, asker, worker, lease);
    const auto drawn = ledger.witnesses(lease.entry.id, draw).value();
    for (std::size_t i = 0; i < std::min(votes, drawn.size()); ++i)
      say(number_of(drawn[i]), Verdict{lease.entry.id, finding, draw.proof}, epoch);
  }
  DrawProof draw_of(std::size_t drawer, std::size_t asker, std::size_t worker, const MadeEntry& lease) const {
    return make_draw(traders[drawer].key, witness_draw(network, rules.epoch_of(lease.entry.made_ms), traders[asker].id, traders[worker].id)).proof;
  }
  std::size_t number_of(const PersonId& person) const {
    for (std::size_t i = 0; i < traders.size(); ++i)
      if (traders[i].person == person) return i;
    ADD_FAILURE() << "nobody";
    return 0;
  }

  void close(std::uint64_t until) { ledger.close_until(until); }
  MonthView month(std::size_t who, std::uint64_t number = 0) const {
    for (const MonthView& view : ledger.months(traders[who].person))
      if (view.month == number) return view;
    return {.month = number};
  }

  SeededRandom random{1};
  LedgerRules rules{.founded_ms = founded, .month_epochs = 24};
  NetworkId network = random.id<NetworkId>();
  std::vector<Trader> traders;
  std::vector<wire::CyclesRecord> records;
  Ledger ledger{network, rules};
};

}  // namespace spatter::cycles
