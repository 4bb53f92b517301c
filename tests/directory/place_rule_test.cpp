// Whom chance names to draw a server's place, and how little that changes as a network grows.
#include "directory/place_rule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"

namespace spatter {
namespace {

struct PlaceRule : testing::Test {
  std::vector<PersonId> persons(std::size_t count) {
    std::vector<PersonId> result;
    for (std::size_t i = 0; i < count; ++i) result.push_back(random.id<PersonId>());
    return result;
  }
  void shuffle(std::vector<PersonId>& all) {
    for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.below(i)]);
  }

  SeededRandom random{1};
};

TEST_F(PlaceRule, TheOrderIsTheSameWhateverTheOrderOfThePersons) {
  auto trusted = persons(40);
  const auto owner = trusted[7];
  const auto server = random.id<ServerId>();
  const auto order = place_drawers(server, owner, trusted, 40);
  for (int round = 0; round < 20; ++round) {
    shuffle(trusted);
    EXPECT_EQ(place_drawers(server, owner, trusted, 40), order);
  }
  // A shorter list is the beginning of the longer one; another server's is another.
  EXPECT_EQ(place_drawers(server, owner, trusted, 5), std::vector(order.begin(), order.begin() + 5));
  EXPECT_NE(place_drawers(random.id<ServerId>(), owner, trusted, 40), order);
}

TEST_F(PlaceRule, NobodyDrawsForHimselfWhileThereAreOthers) {
  const auto trusted = persons(12);
  for (const PersonId& owner : trusted) {
    const auto order = place_drawers(random.id<ServerId>(), owner, trusted, 12);
    EXPECT_EQ(order.size(), 11u);
    EXPECT_EQ(std::ranges::find(order, owner), order.end());
  }
}

TEST_F(PlaceRule, AloneTheOwnerDrawsForHimselfUntilSomebodyElseComes) {
  const auto all = persons(2);
  const auto server = random.id<ServerId>();
  const std::vector alone{all[0]};
  EXPECT_EQ(place_drawers(server, all[0], alone, place_drawers_asked), alone);
  EXPECT_TRUE(is_place_drawer(all[0], server, all[0], alone, 1));
  EXPECT_EQ(place_drawers(server, all[0], all, place_drawers_asked), std::vector{all[1]});
  EXPECT_FALSE(is_place_drawer(all[0], server, all[0], all, place_drawers_valid));
  EXPECT_TRUE(is_place_drawer(all[1], server, all[0], all, 1));
}

TEST_F(PlaceRule, WhetherSomebodyIsOneAgreesWithTheOrder) {
  for (const std::size_t count : {1U, 2U, 3U, 9U, 20U}) {
    auto trusted = persons(count);
    const auto server = random.id<ServerId>();
    auto asked = trusted;
    asked.push_back(random.id<PersonId>());  // a stranger
    for (const PersonId& owner : trusted) {
      for (std::size_t within = 1; within <= count + 1; ++within) {
        const auto order = place_drawers(server, owner, trusted, within);
        for (const PersonId& person : asked)
          EXPECT_EQ(is_place_drawer(person, server, owner, trusted, within),
                    std::ranges::find(order, person) != order.end());
      }
    }
  }
}

TEST_F(PlaceRule, EverybodyDrawsForAsManyServers) {
  const auto trusted = persons(21);
  const auto owner = trusted.front();
  std::map<PersonId, int> first, among_asked;
  for (int i = 0; i < 4000; ++i) {
    const auto order = place_drawers(random.id<ServerId>(), owner, trusted, place_drawers_asked);
    ++first[order.front()];
    for (const PersonId& person : order) ++among_asked[person];
  }
  EXPECT_EQ(first.size(), 20u);
  // 200 and 600 of each are expected, give or take 14 and 23.
  for (const auto& [person, count] : first) EXPECT_NEAR(count, 200, 70) << person.hex();
  for (const auto& [person, count] : among_asked) EXPECT_NEAR(count, 600, 115) << person.hex();
}

TEST_F(PlaceRule, OnePersonMorePushesNobodyMoreThanOnePlaceBack) {
  auto trusted = persons(30);
  const auto owner = trusted.front();
  for (int i = 0; i < 200; ++i) {
    const auto server = random.id<ServerId>();
    const auto before = place_drawers(server, owner, trusted, place_drawers_kept);
    auto more = trusted;
    more.push_back(random.id<PersonId>());
    for (const PersonId& person : before)
      EXPECT_TRUE(is_place_drawer(person, server, owner, more, place_drawers_kept + 1));
  }
}

TEST_F(PlaceRule, WhoWasDrawnStaysValidWhenTheNetworkDoubles) {
  const auto trusted = persons(50);
  const auto owner = trusted.front();
  auto doubled = trusted;
  for (const PersonId& person : persons(50)) doubled.push_back(person);
  constexpr int servers = 2000;
  std::array<int, place_drawers_asked> stay{};
  for (int i = 0; i < servers; ++i) {
    const auto server = random.id<ServerId>();
    const auto before = place_drawers(server, owner, trusted, place_drawers_asked);
    for (std::size_t rank = 0; rank < before.size(); ++rank)
      stay[rank] += is_place_drawer(before[rank], server, owner, doubled, place_drawers_valid);
  }
  // The first drops out only when eight newcomers come before him: once in 256. The second and the third,
  // who draw when those before them are off, do in 9 and 37 of 256.
  EXPECT_GE(stay[0], servers * 99 / 100);
  EXPECT_GE(stay[1], servers * 95 / 100);
  EXPECT_GE(stay[2], servers * 82 / 100);
}

}  // namespace
}  // namespace spatter
