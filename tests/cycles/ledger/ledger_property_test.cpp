// Aim: all who have the same entries have the same ledger, in whatever order and however often they got them, and
// whenever they closed epochs in between; and sums that must hold do.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "market.h"

namespace spatter::cycles {
namespace {

/// Three months of deeds by the seed, many of them nonsense.
void let_happen(Market& market, SeededRandom& random) {
  market.open();
  std::vector<MadeEntry> leases, deliveries;
  for (double epoch = 7; epoch < 72; epoch += 0.3) {
    const auto anyone = [&] { return random.below(market.traders.size()); };
    const auto some = [&](const std::vector<MadeEntry>& of) -> const MadeEntry& { return of[of.size() - 1 - random.below(std::min<std::size_t>(of.size(), 4))]; };
    market.close(epoch > 8 ? static_cast<std::uint64_t>(epoch) - 1 : 0);
    switch (random.below(9)) {
      case 0: market.say(anyone(), Pledge{static_cast<std::uint32_t>(random.below(1'000'001)), random.below(4)}, epoch); break;
      case 1:
      case 2: leases.push_back(market.ask(anyone(), anyone(), 1 + random.below(3 * Market::epoch_promise), epoch, random.below(4) == 0)); break;
      case 3:
      case 4:
        if (!leases.empty())
          market.say(anyone(), Answer{some(leases).entry.id, static_cast<Answer::Kind>(1 + random.below(2) * random.below(5))}, epoch);
        break;
      case 5:
      case 6:
        if (!leases.empty()) deliveries.push_back(market.say(anyone(), Delivery{some(leases).entry.id, 1 + random.below(2 * Market::epoch_promise), {}}, epoch));
        break;
      case 7:
        if (!deliveries.empty())
          market.say(anyone(), Receipt{some(deliveries).entry.id, 1 + random.below(2 * Market::epoch_promise), 1 + random.below(9'000'000)}, epoch);
        break;
      default: {
        if (leases.empty()) break;
        const MadeEntry& lease = some(leases);
        std::size_t asker = 0, worker = 0;
        for (std::size_t i = 0; i < market.traders.size(); ++i) {
          if (market.traders[i].id == lease.entry.server) asker = i;
          if (market.traders[i].id == std::get<Lease>(lease.entry.what).worker) worker = i;
        }
        market.witness(asker, worker, lease, random.below(4) == 0 ? Verdict::Finding::delivered : Verdict::Finding::not_given, epoch, 3);
      }
    }
  }
}

TEST(LedgerProperty, OrderDoubletsAndTimesOfClosingChangeNothing) {
  std::uint64_t delivered = 0, owed = 0;
  EXPECT_TRUE(rc::check("one ledger", [&] {
    SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
    Market market;
    let_happen(market, random);
    market.close(90);
    std::vector<const wire::CyclesRecord*> shuffled;
    for (const auto& record : market.records)
      for (std::uint64_t times = 1 + random.below(2); times > 0; --times) shuffled.push_back(&record);
    for (std::size_t i = shuffled.size(); i > 1; --i) std::swap(shuffled[i - 1], shuffled[random.below(i)]);
    Ledger other(market.network, market.rules);
    for (const auto* record : shuffled) {
      RC_ASSERT(other.add(check_entry(*record, market.network).value()).has_value());
      if (random.below(40) == 0) other.close_until(random.below(90));
    }
    other.close_until(90);
    for (const Trader& trader : market.traders) {
      const auto months = market.ledger.months(trader.person);
      RC_ASSERT(months == other.months(trader.person));
      Fuel last_promised = 0;
      for (const MonthView& month : months) {
        RC_ASSERT(month.asked == month.delivered + month.owed);
        RC_ASSERT(month.asked <= month.promised);
        RC_ASSERT(month.spent <= month.entitlement);
        RC_ASSERT(month.entitlement + month.docked <= month.promised);
        RC_ASSERT(month.repaid <= month.beyond);
        if (month.closed) RC_ASSERT(month.debt <= month.promised + last_promised);
        last_promised = month.promised;
        delivered += month.delivered;
        owed += month.owed;
      }
    }
  }));
  EXPECT_GT(delivered, 0u);
  EXPECT_GT(owed, 0u);
}

}  // namespace
}  // namespace spatter::cycles
