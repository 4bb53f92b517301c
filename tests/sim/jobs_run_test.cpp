// Many pieces at workers of whom a fifth cheat.
#include <gtest/gtest.h>

#include "scenario.h"

namespace spatter::sim::jobs {
namespace {

TEST(Jobs, NoWrongResultIsAcceptedFromAFifthOfCheats) {
  for (const bool patient : {true, false}) {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      const auto outcome = run({.seed = seed, .pieces = 50'000, .cheat_rate = 0.3, .patient = patient});
      SCOPED_TRACE(fmt::format("seed {}, patient {}", seed, patient));
      EXPECT_GT(outcome.wrong_computed, 50u);  // else nothing was tested
      EXPECT_EQ(outcome.wrong_accepted, 0u);
      EXPECT_EQ(outcome.honest_caught, 0u);
      EXPECT_EQ(outcome.hopeless, 0u);
    }
  }
}

TEST(Jobs, CheatsWhoKnowOneAnotherAreCaughtToo) {
  const auto outcome = run({.seed = 3, .pieces = 50'000, .cheat_rate = 0.3, .collude = true});
  EXPECT_GT(outcome.caught, 0u);
  // Two of them may outvote somebody honest at first; the piece is computed again when one of them is caught.
  EXPECT_EQ(outcome.wrong_accepted, 0u);
}

TEST(Jobs, TrustedWorkersAreHardlyEverDoubled) {
  const auto outcome = run({.seed = 4, .pieces = 50'000, .cheats = 0, .trusted = true});
  EXPECT_LT(outcome.overhead(), 0.08);
  EXPECT_GT(outcome.overhead(), 0.04);  // they are checked
}

TEST(Jobs, ASeedReplays) {
  const auto once = run({.seed = 5, .pieces = 5'000});
  const auto again = run({.seed = 5, .pieces = 5'000});
  EXPECT_EQ(once.copies, again.copies);
  EXPECT_EQ(once.seconds, again.seconds);
}

}  // namespace
}  // namespace spatter::sim::jobs
