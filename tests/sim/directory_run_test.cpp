// The directory of a few hundred servers under attack: what ten thousand are measured for, in small.
#include <gtest/gtest.h>

#include "scenario.h"

namespace spatter::sim::directory {
namespace {

DirectoryScenario small(std::uint64_t seed) {
  DirectoryScenario scenario;
  scenario.servers = 250;
  scenario.lookups = 300;
  scenario.seed = seed;
  return scenario;
}

TEST(DirectoryRun, FindsEverythingWhenAllAreHonest) {
  const auto figures = run_directory(small(1));
  EXPECT_EQ(figures.found, figures.lookups);
  EXPECT_LE(figures.hops_p99, 3u);
  EXPECT_NEAR(figures.network_size_p50, 250, 40);
}

TEST(DirectoryRun, FindsNearlyEverythingAmongAThirdOfLiarsUnderChurn) {
  auto scenario = small(2);
  scenario.hostile = 0.3;
  scenario.churn_per_hour = 0.5;
  const auto figures = run_directory(scenario);
  EXPECT_GE(figures.success, 0.98);
  EXPECT_LE(figures.hostile_contacts, 0.45);
}

TEST(DirectoryRun, FindsMostAmongLiarsByHalf) {
  for (const auto attack : {Attack::drop, Attack::lie, Attack::collude}) {
    auto scenario = small(3);
    scenario.hostile = 0.5;
    scenario.attack = attack;
    EXPECT_GE(run_directory(scenario).success, 0.9) << static_cast<int>(attack);
  }
}

TEST(DirectoryRun, ARecordIsNotEclipsedWherePlainKademliaLosesIt) {
  auto scenario = small(4);
  scenario.attack = Attack::eclipse;
  scenario.attackers = 40;
  scenario.attacker_persons = 10;
  EXPECT_EQ(run_directory(scenario).success, 1);
  scenario.plain = true;
  EXPECT_LE(run_directory(scenario).success, 0.1);
}

TEST(DirectoryRun, GrindingKeysHelpsOnlyWhoeverHasFriendsForDrawers) {
  auto scenario = small(8);
  scenario.attack = Attack::eclipse;
  scenario.grind = true;
  scenario.attackers = 40;
  scenario.attacker_persons = 1;
  auto figures = run_directory(scenario);
  EXPECT_EQ(figures.attackers, 32u);  // no person has more places
  EXPECT_EQ(figures.ground_places, 0u);
  EXPECT_EQ(figures.success, 1);
  // Where a third of all persons collude, nearly all of them have a place to choose, and the record is gone.
  scenario.attackers = scenario.attacker_persons = 90;
  figures = run_directory(scenario);
  EXPECT_GE(figures.ground_places, 80u);
  EXPECT_GE(figures.ground_servers, figures.ground_places);
  EXPECT_LE(figures.success, 0.5);
}

TEST(DirectoryRun, ManyServersOfOnePersonGetOnePlaceOfARecord) {
  auto scenario = small(5);
  scenario.sybils = 60;
  EXPECT_EQ(run_directory(scenario).sybil_places_max, 1u);
  scenario.plain = true;
  EXPECT_GE(run_directory(scenario).sybil_places_max, 4u);
}

TEST(DirectoryRun, TheSameSeedGivesTheSameRun) {
  auto scenario = small(6);
  scenario.hostile = 0.2;
  scenario.churn_per_hour = 1;
  const auto once = run_directory(scenario), again = run_directory(scenario);
  EXPECT_EQ(once.questions, again.questions);
  EXPECT_EQ(once.bytes_per_lookup, again.bytes_per_lookup);
  scenario.seed = 7;
  EXPECT_NE(run_directory(scenario).questions, once.questions);
}

}  // namespace
}  // namespace spatter::sim::directory
