// Years of stripes in small: each rule of repair where it can be counted by hand, and that what befalls
// the machines depends on the seed alone.
#include <gtest/gtest.h>

#include "scenario.h"
#include "spatter/placement.h"

namespace spatter::sim::mend {
namespace {

constexpr double stripe_bytes = 64 << 20;

/// Nothing happens to anybody.
MendScenario calm(const char* scheme = "spatter") {
  MendScenario scenario;
  scenario.scheme = *parse_scheme(scheme);
  scenario.servers = 200;
  scenario.stripes = 40;
  scenario.years = 0.5;
  scenario.machines.always_share = 1;
  scenario.machines.evenings_share = 0;
  scenario.machines.leave_per_month = 0;
  scenario.machines.disk_failures_per_year = 0;
  scenario.rot_per_year = 0;
  scenario.mass_failure = 0;
  scenario.newcomers = false;
  return scenario;
}

/// Worse than anywhere.
MendScenario harsh(const char* scheme = "spatter") {
  MendScenario scenario;
  scenario.scheme = *parse_scheme(scheme);
  scenario.servers = 300;
  scenario.stripes = 300;
  scenario.years = 1;
  scenario.machines.leave_per_month = 0.15;
  scenario.machines.disk_failures_per_year = 0.2;
  scenario.rot_per_year = 0.1;
  scenario.mass_failure = 0.2;
  return scenario;
}

void holders_leave(Simulation& simulation, std::uint32_t stripe, unsigned from, unsigned count) {
  for (unsigned index = from; index < from + count; ++index)
    simulation.leave(simulation.stripes().shard(stripe, index).holder, day);
}

TEST(MendRun, TheSameSeedGivesTheSameRun) {
  auto scenario = harsh();
  const auto once = run_mend(scenario);
  EXPECT_EQ(once, run_mend(scenario));
  EXPECT_GT(once.rebuilds, 0u);
  EXPECT_GT(once.taken_back, 0u);
  scenario.seed = 2;
  EXPECT_NE(once, run_mend(scenario));
}

TEST(MendRun, WhatBefallsTheMachinesDoesNotDependOnTheScheme) {
  const auto spatter = run_mend(harsh());
  for (const char* scheme : {"copies", "rs-10-30", "rs-29-80"}) {
    const auto other = run_mend(harsh(scheme));
    EXPECT_EQ(other.departures, spatter.departures) << scheme;
    EXPECT_EQ(other.server_years, spatter.server_years) << scheme;
  }
}

TEST(MendRun, NothingIsLostNorRebuiltWhereNobodyLeaves) {
  for (const char* scheme : {"spatter", "copies", "rs-10-30", "rs-29-80"}) {
    const auto figures = run_mend(calm(scheme));
    EXPECT_EQ(figures.stripes_lost, 0u) << scheme;
    EXPECT_EQ(figures.shards_lost, 0u) << scheme;
    EXPECT_EQ(figures.repair_bytes, 0) << scheme;
    EXPECT_EQ(figures.read_availability, 1) << scheme;
  }
}

TEST(MendRun, StripesLieWhereTheProductPlacesThem) {
  auto scenario = calm();
  scenario.fill = 0.05;  // nobody is full
  const Simulation simulation(scenario);
  std::vector<Candidate> candidates;
  for (std::uint32_t i = 0; i < scenario.servers; ++i)
    candidates.push_back({simulation.id_of(i), PersonId{simulation.id_of(i).bytes}, "", 1, true});
  for (std::uint32_t stripe = 0; stripe < scenario.stripes; ++stripe) {
    const auto placed = place(simulation.id_of_stripe(stripe), 48, 48, candidates);
    for (unsigned index = 0; index < 48; ++index)
      EXPECT_EQ(simulation.id_of(simulation.stripes().shard(stripe, index).holder), placed[index]);
  }
}

TEST(MendRun, AStripeIsRebuiltInOneGoWhenEnoughIsGone) {
  auto scenario = calm();
  scenario.stripes = 1;
  scenario.fill = 0.01;
  Simulation simulation(scenario);
  simulation.run_until(day);
  holders_leave(simulation, 0, 0, 6);
  simulation.run_until(10 * day);
  EXPECT_EQ(simulation.stripes()[0].standing, 42);
  EXPECT_EQ(simulation.figures().rebuilds, 0u);
  holders_leave(simulation, 0, 6, 1);
  simulation.run_until(11 * day - 1);  // within the grace
  EXPECT_EQ(simulation.stripes()[0].standing, 42);
  simulation.run_until(13 * day);
  EXPECT_EQ(simulation.stripes()[0].standing, 48);
  EXPECT_EQ(simulation.figures().rebuilds, 1u);
  EXPECT_EQ(simulation.figures().repair_bytes, (16 + 7) * stripe_bytes / 16);
}

TEST(MendRun, ACopyIsMadeAnewAtTheFirstLossByOneTransfer) {
  auto scenario = calm("copies");
  scenario.stripes = 1;
  scenario.fill = 0.01;
  Simulation simulation(scenario);
  simulation.run_until(day);
  holders_leave(simulation, 0, 0, 1);
  simulation.run_until(4 * day);
  EXPECT_EQ(simulation.stripes()[0].standing, 3);
  EXPECT_EQ(simulation.figures().repair_bytes, stripe_bytes);
}

TEST(MendRun, TwoThirdsOfAStripesHoldersMayGoAtOnceAndNotOneMore) {
  for (const unsigned going : {32u, 33u}) {
    auto scenario = calm();
    scenario.servers = 1'000;
    Simulation simulation(scenario);
    simulation.run_until(day);
    holders_leave(simulation, 7, 0, going);
    EXPECT_EQ(simulation.stripes()[7].lost, going == 33);
    simulation.run_until(10 * day);
    EXPECT_EQ(simulation.figures().stripes_lost, going == 33 ? 1u : 0u);
    if (going == 32) EXPECT_EQ(simulation.stripes()[7].standing, 48);
  }
}

TEST(MendRun, EveningMachinesAreNeverAwayPastTheGrace) {
  auto scenario = calm();
  scenario.machines.always_share = 0.4;
  scenario.machines.evenings_share = 0.6;
  EXPECT_EQ(run_mend(scenario).shards_missed, 0u);
  scenario.machines.skipped_evenings = 0.1;
  EXPECT_GT(run_mend(scenario).shards_missed, 0u);
}

TEST(MendRun, ErraticMachinesComeBackAndTheirShardsAreTakenBack) {
  auto scenario = calm();
  scenario.machines.always_share = 0.7;
  const auto figures = run_mend(scenario);
  EXPECT_GT(figures.shards_missed, 1000u);
  EXPECT_GT(figures.taken_back, figures.shards_missed * 9 / 10);
  EXPECT_EQ(figures.shards_lost, 0u);
  EXPECT_EQ(figures.rebuilds, 0u);
}

TEST(MendRun, RotAndFailedDisksAreFoundByAuditsAndMended) {
  auto scenario = calm();
  scenario.machines.disk_failures_per_year = 0.5;
  scenario.rot_per_year = 0.5;
  Simulation simulation(scenario);
  simulation.run_until(180 * day);
  const auto figures = simulation.figures();
  EXPECT_GT(figures.shards_lost, 500u);
  EXPECT_GT(figures.rebuilds, 0u);
  EXPECT_EQ(figures.stripes_lost, 0u);
  for (std::uint32_t stripe = 0; stripe < scenario.stripes; ++stripe)
    EXPECT_NEAR(simulation.stripes()[stripe].standing, simulation.stripes()[stripe].good, 8);
}

TEST(MendRun, CopiesLoseMoreThanSpatter) {
  const auto spatter = run_mend(harsh()), copies = run_mend(harsh("copies"));
  EXPECT_LT(spatter.stripes_lost, copies.stripes_lost);
  EXPECT_GT(spatter.read_availability, copies.read_availability);
}

TEST(MendRun, AMassFailureEntersAndLeavesRepairOnly) {
  auto scenario = calm();
  scenario.mass_failure = 0.45;
  scenario.newcomers = true;
  Simulation simulation(scenario);
  const auto middle = static_cast<Seconds>(scenario.years * year / 2);
  simulation.run_until(middle + 24 * hour - 1);
  EXPECT_FALSE(simulation.repair_only());  // nobody has been away past the grace yet
  while (!simulation.repair_only() && simulation.now() < middle + 27 * hour) simulation.run_until(simulation.now() + hour / 4);
  EXPECT_TRUE(simulation.repair_only());
  simulation.run_until(middle + 10 * day);
  EXPECT_FALSE(simulation.repair_only());
  EXPECT_EQ(simulation.figures().repair_only_times, 1u);
  EXPECT_LT(simulation.figures().read_availability, 1);

  scenario.scheme.repair_only = false;
  EXPECT_EQ(run_mend(scenario).repair_only_hours, 0u);
}

TEST(MendRun, WhatIsGatheredAsHoldersComeIsRebuiltWhereTooFewAreEverOnAtOnce) {
  auto scenario = calm();
  scenario.stripes = 1;
  scenario.machines.always_share = 0;
  scenario.machines.evenings_share = 1;
  scenario.stored_gb_per_server = 1;
  for (const bool gather : {false, true}) {
    scenario.gather = gather;
    Simulation simulation(scenario);
    simulation.run_until(day);
    holders_leave(simulation, 0, 0, 24);
    simulation.run_until(20 * day);
    EXPECT_EQ(simulation.stripes()[0].standing, gather ? 48 : 24);
  }
}

TEST(MendRun, ARebuildIsAsQuickAsItsSlowestPart) {
  // All alike: (16 + 16) shards over 20 holders of one shard a second.
  EXPECT_DOUBLE_EQ(flow_of({20, 0}, {1, 1}, 16, 16).seconds, 1.6);
  // Ten quick ones have ten shards between them, however quick they are: six come from the slow.
  const Flow flow = flow_of({10, 20}, {100, 1}, 16, 16);
  EXPECT_DOUBLE_EQ(flow.seconds, 0.3);
  EXPECT_NEAR(flow.shards[0] + flow.shards[1], 32, 1e-9);
  EXPECT_GE(flow.shards[1], 6);
}

TEST(MendRun, UrgentRebuildsHaveAllTheUploadOthersTheDial) {
  UplinkPools pools;
  pools.refill({100, 0}, 0.2);
  EXPECT_DOUBLE_EQ(pools.take({50, 0}, 1, false), 0.4);
  EXPECT_DOUBLE_EQ(pools.take({50, 0}, 1, false), 0);
  EXPECT_DOUBLE_EQ(pools.take({160, 0}, 1, true), 0.5);
  EXPECT_DOUBLE_EQ(pools.take({50, 0}, 1, true), 0);
}

}  // namespace
}  // namespace spatter::sim::mend
