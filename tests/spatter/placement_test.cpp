// Placement over every width: the even deal, what may be lost, the bounds on persons and networks
// compared with what is possible at all, and that repair and growth move no more than they must.
#include "spatter/placement.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>

#include "base/random.h"

namespace spatter {
namespace {

Candidate candidate(unsigned number, unsigned person, std::string prefix = {}) {
  Candidate result;
  result.server.bytes.fill(static_cast<std::uint8_t>(number));
  result.server.bytes[0] = static_cast<std::uint8_t>(number >> 8);
  result.person.bytes.fill(static_cast<std::uint8_t>(person));
  result.person.bytes[0] = static_cast<std::uint8_t>(person >> 8);
  result.prefix = std::move(prefix);
  return result;
}

std::vector<Candidate> strangers(unsigned count) {
  std::vector<Candidate> result;
  for (unsigned i = 0; i < count; ++i) result.push_back(candidate(i + 1, i + 1));
  return result;
}

StripeId stripe_id(std::uint64_t seed) {
  SeededRandom random(seed);
  return random.id<StripeId>();
}

std::map<ServerId, unsigned> loads(const Assignment& assignment) {
  std::map<ServerId, unsigned> result;
  for (const auto& holder : assignment)
    if (holder) ++result[*holder];
  return result;
}

unsigned moves(const Assignment& before, const Assignment& after) {
  unsigned result = 0;
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i] != after[i]) ++result;
  return result;
}

unsigned placed(const Assignment& assignment) {
  return static_cast<unsigned>(
      std::count_if(assignment.begin(), assignment.end(), [](const auto& h) { return !!h; }));
}

TEST(Shape, OfTheFirstMachines) {
  EXPECT_EQ(shape_for(0), (Shape{1, 3, 0, true}));
  EXPECT_EQ(shape_for(1), (Shape{1, 3, 1, true}));
  EXPECT_EQ(shape_for(2), (Shape{1, 3, 2, true}));
  EXPECT_EQ(shape_for(3), (Shape{1, 3, 3, false}));
  EXPECT_EQ(shape_for(4), (Shape{4, 12, 12, false}));
  EXPECT_EQ(shape_for(16), (Shape{16, 48, 48, false}));
  EXPECT_EQ(shape_for(1000), (Shape{16, 48, 48, false}));
  EXPECT_EQ(shape_for(0).safe_at(), 1u);
  EXPECT_EQ(shape_for(1).safe_at(), 2u);
  EXPECT_EQ(shape_for(2).safe_at(), 2u);
  EXPECT_EQ(shape_for(7).safe_at(), 14u);
}

TEST(Place, DealsEvenlyAtEveryWidth) {
  for (unsigned width = 0; width <= 64; ++width) {
    const auto shape = shape_for(width);
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const auto dealt = place(stripe_id(seed), shape.n, shape.placed, strangers(width));
      ASSERT_EQ(placed(dealt), width == 0 ? 0 : shape.placed) << width;
      const auto load = loads(dealt);
      EXPECT_EQ(load.size(), std::min(width, shape.placed));
      for (const auto& [server, count] : load) {
        EXPECT_LE(count, fair_share_max(shape.placed, width)) << width;
        EXPECT_GE(count, std::max(1u, width == 0 ? 0 : shape.placed / width)) << width;
      }
    }
  }
}

TEST(Place, GivesEachServerOnePlainColumnWhileThereAreAsManyServers) {
  for (unsigned width = 4; width <= 20; ++width) {
    const auto shape = shape_for(width);
    const auto dealt = place(stripe_id(7), shape.n, shape.placed, strangers(width));
    std::set<ServerId> plain;
    for (unsigned i = 0; i < shape.k; ++i) plain.insert(*dealt[i]);
    EXPECT_EQ(plain.size(), shape.k);
  }
}

TEST(Place, SurvivesAnyTwoThirdsUpToWidthSixteen) {
  for (unsigned width = 1; width <= 16; ++width) {
    const auto shape = shape_for(width);
    const auto dealt = place(stripe_id(width), shape.n, shape.placed, strangers(width));
    std::vector<unsigned> counts;
    for (const auto& [server, count] : loads(dealt)) counts.push_back(count);
    std::sort(counts.rbegin(), counts.rend());
    const unsigned dead = 2 * width / 3;
    // The own copy of W < 3 stands besides; of the others' alone at least one third must be left.
    unsigned left = shape.own_copy ? 1 : 0;
    for (unsigned i = dead; i < counts.size(); ++i) left += counts[i];
    EXPECT_GE(left, shape.k) << width;
  }
}

TEST(Place, NobodyHoldsTwoIdenticalShards) {
  for (unsigned width = 1; width <= 10; ++width) {
    const auto dealt = place(stripe_id(width), 3, std::min(width, 3u), strangers(width));
    for (const auto& [server, count] : loads(dealt)) EXPECT_EQ(count, 1u);
  }
}

TEST(Place, APersonsServersShareOnePlaceWhileItCanBeAvoided) {
  // Seventeen strangers' servers and three of one more person: 48 shards fit without relaxing.
  auto servers = strangers(17);
  for (unsigned i = 0; i < 3; ++i) servers.push_back(candidate(100 + i, 99));
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto dealt = place(stripe_id(seed), 48, 48, servers);
    ASSERT_EQ(placed(dealt), 48u);
    unsigned theirs = 0;
    for (const auto& [server, count] : loads(dealt)) {
      EXPECT_LE(count, 3u);
      if (server >= candidate(100, 0).server && server <= candidate(102, 0).server) theirs += count;
    }
    EXPECT_LE(theirs, 3u);
  }
}

TEST(Place, OnePersonsSevenServersStillTakeAll) {
  std::vector<Candidate> servers;
  for (unsigned i = 0; i < 7; ++i) servers.push_back(candidate(i + 1, 1, "192.0.2"));
  const auto dealt = place(stripe_id(1), 21, 21, servers);
  EXPECT_EQ(placed(dealt), 21u);
  for (const auto& [server, count] : loads(dealt)) EXPECT_EQ(count, 3u);
}

// What the bounds allow at best, found by trying everything: the least person bound, and with it
// the least prefix bound (the prefix's is raised first, so alone if that is enough).
struct Bounds {
  unsigned person = 0;
  unsigned prefix = 0;
  auto operator<=>(const Bounds&) const = default;
};

Bounds bounds_of(const Assignment& assignment, const std::vector<Candidate>& servers) {
  std::map<PersonId, unsigned> persons;
  std::map<std::string, unsigned> prefixes;
  for (const auto& holder : assignment) {
    if (!holder) continue;
    for (const auto& server : servers) {
      if (server.server != *holder) continue;
      ++persons[server.person];
      if (!server.prefix.empty()) ++prefixes[server.prefix];
    }
  }
  Bounds result;
  for (const auto& [person, count] : persons) result.person = std::max(result.person, count);
  for (const auto& [prefix, count] : prefixes) result.prefix = std::max(result.prefix, count);
  return result;
}

bool possible(const std::vector<Candidate>& servers, std::size_t at, unsigned left,
              unsigned per_server, Bounds bounds, std::map<PersonId, unsigned>& persons,
              std::map<std::string, unsigned>& prefixes) {
  if (left == 0) return true;
  if (at == servers.size()) return false;
  const auto& server = servers[at];
  for (unsigned take = 0; take <= std::min(left, per_server); ++take) {
    if (persons[server.person] + take > bounds.person) break;
    if (!server.prefix.empty() && prefixes[server.prefix] + take > bounds.prefix) break;
    persons[server.person] += take;
    if (!server.prefix.empty()) prefixes[server.prefix] += take;
    const bool ok = possible(servers, at + 1, left - take, per_server, bounds, persons, prefixes);
    persons[server.person] -= take;
    if (!server.prefix.empty()) prefixes[server.prefix] -= take;
    if (ok) return true;
  }
  return false;
}

TEST(Place, KeepsTheBoundsOnPersonsAndNetworksWheneverThatIsPossible) {
  const bool held = rc::check("bounds are the least possible", [] {
    const auto width = *rc::gen::inRange(1u, 8u);
    const auto count = *rc::gen::inRange(1u, 13u);
    std::vector<Candidate> servers;
    for (unsigned i = 0; i < width; ++i) {
      const auto prefix = *rc::gen::inRange(0, 5);
      servers.push_back(candidate(i + 1, *rc::gen::inRange(1u, 6u),
                                  prefix == 0 ? "" : fmt::format("10.0.{}", prefix)));
    }
    const auto seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
    const auto dealt = place(stripe_id(seed), 48, count, servers);
    RC_ASSERT(placed(dealt) == count);
    const unsigned fair = fair_share_max(count, width);
    for (const auto& [server, load] : loads(dealt)) RC_ASSERT(load <= fair);

    const auto can = [&](unsigned person, unsigned prefix) {
      std::map<PersonId, unsigned> persons;
      std::map<std::string, unsigned> prefixes;
      return possible(servers, 0, count, fair, {person, prefix}, persons, prefixes);
    };
    Bounds best{fair, fair};
    while (!can(best.person, count)) ++best.person;
    while (!can(best.person, best.prefix)) ++best.prefix;
    const auto got = bounds_of(dealt, servers);
    RC_ASSERT(got.person <= best.person);
    RC_ASSERT(got.prefix <= best.prefix);
  });
  EXPECT_TRUE(held);
}

TEST(Place, ReplacesALostHolderAndMovesNothingElse) {
  for (unsigned width = 5; width <= 20; ++width) {
    const auto shape = shape_for(width);
    auto servers = strangers(width);
    const auto before = place(stripe_id(width), shape.n, shape.placed, servers);
    const auto dead = servers.front().server;
    const unsigned held = loads(before)[dead];
    servers.erase(servers.begin());
    const auto after = place(stripe_id(width), shape.n, shape.placed, servers, before);
    EXPECT_EQ(placed(after), shape.placed);
    // Evening out among the rest may cost a few more than what was lost, at most one per server.
    EXPECT_GE(moves(before, after), held);
    if (3 * width == shape.n) EXPECT_EQ(moves(before, after), held) << width;
    for (std::size_t i = 0; i < after.size(); ++i) EXPECT_NE(after[i], dead);
  }
}

TEST(Place, ANewcomerGetsItsShareAndNothingElseMoves) {
  for (unsigned width = 16; width <= 60; ++width) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const auto before = place(stripe_id(seed), 48, 48, strangers(width));
      const auto after = place(stripe_id(seed), 48, 48, strangers(width + 1), before);
      const auto newcomer = strangers(width + 1).back().server;
      const auto load = loads(after);
      const auto at = load.find(newcomer);
      const unsigned taken = at == load.end() ? 0 : at->second;
      for (std::size_t i = 0; i < after.size(); ++i)
        if (before[i] != after[i]) EXPECT_EQ(after[i], newcomer) << width;
      EXPECT_EQ(moves(before, after), taken);
      EXPECT_EQ(moves(after, place(stripe_id(seed), 48, 48, strangers(width + 1), after)), 0u);
    }
  }
}

TEST(Place, NewcomersAreFilledInProportionOverManyStripes) {
  std::map<ServerId, unsigned> total;
  const unsigned width = 60, stripes = 2000;
  for (std::uint64_t seed = 0; seed < stripes; ++seed)
    for (const auto& [server, count] : loads(place(stripe_id(seed), 48, 48, strangers(width))))
      total[server] += count;
  for (const auto& [server, count] : total) EXPECT_NEAR(count, stripes * 48 / width, 100);
}

TEST(Place, AFullServerKeepsWhatItHasAndTheOthersTakeTheRest) {
  auto servers = strangers(7);
  const auto before = place(stripe_id(3), 21, 21, servers);
  servers[2].accepts = false;
  EXPECT_EQ(moves(before, place(stripe_id(3), 21, 21, servers, before)), 0u);
  const auto fresh = place(stripe_id(4), 21, 21, servers);
  EXPECT_EQ(placed(fresh), 21u);
  EXPECT_EQ(loads(fresh).count(servers[2].server), 0u);
  for (const auto& [server, count] : loads(fresh)) EXPECT_LE(count, 4u);
}

TEST(Place, NobodyAcceptingPlacesNothing) {
  auto servers = strangers(3);
  for (auto& server : servers) server.accepts = false;
  EXPECT_EQ(placed(place(stripe_id(1), 3, 3, servers)), 0u);
  EXPECT_EQ(placed(place(stripe_id(1), 3, 3, {})), 0u);
}

std::vector<ServerId> holders_of(const Assignment& assignment) {
  std::vector<ServerId> result;
  for (const auto& [server, count] : loads(assignment)) result.push_back(server);
  return result;
}

TEST(CheckPlacement, WhatPlaceNamesIsAsDrawnAtEveryWidth) {
  for (unsigned width = 1; width <= 64; ++width) {
    const auto shape = shape_for(width);
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const auto servers = strangers(width);
      const auto holders = holders_of(place(stripe_id(seed), shape.n, shape.placed, servers));
      const auto check = check_placement(stripe_id(seed), servers, holders);
      EXPECT_TRUE(check.as_drawn()) << width;
      EXPECT_TRUE(check.passed_over.empty());
      std::set<std::size_t> ranks;
      ASSERT_EQ(check.holders.size(), holders.size());
      for (std::size_t i = 0; i < holders.size(); ++i) {
        EXPECT_EQ(check.holders[i].server, holders[i]);
        ASSERT_TRUE(check.holders[i].rank);
        ranks.insert(*check.holders[i].rank);
      }
      // They are the first of the draw, each at a rank of its own.
      EXPECT_EQ(ranks.size(), holders.size());
      EXPECT_EQ(*ranks.rbegin(), holders.size() - 1);
    }
  }
}

TEST(CheckPlacement, WhoeverTakesTheOrderOfTheServersFindsTheSame) {
  auto servers = strangers(60);
  const auto holders = holders_of(place(stripe_id(5), 48, 48, servers));
  std::ranges::reverse(servers);
  EXPECT_TRUE(check_placement(stripe_id(5), servers, holders).as_drawn());
}

TEST(CheckPlacement, OneWhoGaveWayToTheNextIsShownAsPassedOver) {
  auto servers = strangers(60);
  const auto drawn = holders_of(place(stripe_id(6), 48, 48, servers));
  ASSERT_EQ(drawn.size(), 48u);
  const auto full = drawn[7];
  for (auto& server : servers)
    if (server.server == full) server.accepts = false;
  const auto holders = holders_of(place(stripe_id(6), 48, 48, servers));
  ASSERT_EQ(holders.size(), 48u);
  const auto check = check_placement(stripe_id(6), servers, holders);
  EXPECT_EQ(check.passed_over, std::vector{full});
  EXPECT_FALSE(check.as_drawn());
  // Whoever took its place was the next.
  std::size_t last = 0;
  for (const auto& holder : check.holders) last = std::max(last, holder.rank.value());
  EXPECT_EQ(last, 48u);
}

TEST(CheckPlacement, WhoIsNoCandidateHasNoRank) {
  const auto servers = strangers(20);
  auto holders = holders_of(place(stripe_id(7), 48, 48, servers));
  const auto friends = candidate(999, 999).server;
  holders.push_back(friends);
  const auto check = check_placement(stripe_id(7), servers, holders);
  EXPECT_FALSE(check.as_drawn());
  EXPECT_EQ(check.holders.back().server, friends);
  EXPECT_FALSE(check.holders.back().rank);
  EXPECT_TRUE(check.passed_over.empty());
  // Nobody is known: nobody could be drawn, and nobody was passed over.
  const auto unknown = check_placement(stripe_id(7), {}, {friends});
  EXPECT_FALSE(unknown.as_drawn());
  EXPECT_TRUE(unknown.passed_over.empty());
  EXPECT_TRUE(check_placement(stripe_id(7), servers, {}).as_drawn());
}

TEST(CheckPlacement, AnotherStripesHoldersAreNotAsDrawn) {
  const auto servers = strangers(200);
  unsigned as_drawn = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed)
    as_drawn += check_placement(stripe_id(seed + 1000), servers, holders_of(place(stripe_id(seed), 48, 48, servers)))
                    .as_drawn();
  EXPECT_EQ(as_drawn, 0u);
}

TEST(NetworkPrefix, CutsAddresses) {
  EXPECT_EQ(network_prefix("192.0.2.77"), "192.0.2");
  EXPECT_EQ(network_prefix("127.0.0.1"), "");
  EXPECT_EQ(network_prefix("::1"), "");
  EXPECT_EQ(network_prefix("2001:db8:7:1::9"), "2001:db8:7");
  EXPECT_EQ(network_prefix("2001:0db8:7::9"), "2001:db8:7");
  EXPECT_EQ(network_prefix("2001:db8::9"), "2001:db8:0");
  EXPECT_EQ(network_prefix("storage.example"), "");
  EXPECT_EQ(network_prefix("1.2.3"), "");
  EXPECT_EQ(network_prefix("1.2.3.456"), "");
  EXPECT_EQ(network_prefix(""), "");
}

}  // namespace
}  // namespace spatter
