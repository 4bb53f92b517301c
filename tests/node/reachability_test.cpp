// Which relays a server names, from what the others could dial.
#include "reachability.h"

#include <gtest/gtest.h>

namespace spatter {
namespace {

ServerId server(std::uint8_t number) {
  ServerId id;
  id.bytes.fill(number);
  return id;
}

struct Situation {
  std::map<ServerId, ReachAnswer> answers;
  std::vector<Member> others;
  std::set<ServerId> connected;
  PersonId own_person;
  Reach before;

  Member& member(std::uint8_t number, bool carries) {
    Member made;
    made.id = server(number);
    made.person.bytes.fill(number);
    made.up = true;
    made.carries = carries;
    connected.insert(made.id);
    others.push_back(made);
    return others.back();
  }
  Reach choose(bool may_carry = true) const {
    return choose_reach(
        answers, others, [this](const Member& member) { return connected.contains(member.id); },
        own_person, before, may_carry, server(200).view());
  }
};

TEST(Reachability, NothingChangesUntilSomebodyHasAnswered) {
  Situation now;
  now.before = {.relays = {server(1)}, .carries = false};
  EXPECT_EQ(now.choose(), now.before);
}

TEST(Reachability, WhoeverAllCanDialCarriesIfItMay) {
  Situation now;
  now.member(1, true);
  now.answers[server(1)] = {.reached = true};
  EXPECT_EQ(now.choose(), (Reach{.relays = {}, .carries = true}));
  EXPECT_EQ(now.choose(false), Reach{});
}

TEST(Reachability, OneWhoCannotDialIsEnoughToNeedARelay) {
  Situation now;
  now.member(1, true);
  now.member(2, false);
  now.answers[server(1)] = {.reached = true};
  now.answers[server(2)] = {.reached = false};
  EXPECT_EQ(now.choose(), (Reach{.relays = {server(1)}, .carries = false}));
}

TEST(Reachability, RelaysAreUpConnectedDirectlyAndWilling) {
  Situation now;
  now.answers[server(1)] = {.reached = false};
  now.member(1, false);
  now.member(2, true).up = false;
  now.member(3, true);
  now.connected.erase(server(3));
  EXPECT_TRUE(now.choose().relays.empty());
  now.member(4, true);
  EXPECT_EQ(now.choose().relays, std::vector{server(4)});
}

TEST(Reachability, WhileNoRelayIsThereTheLastOnesAreStillNamed) {
  Situation now;
  now.answers[server(1)] = {.reached = false};
  now.before.relays = {server(2), server(3)};
  now.member(2, true).up = false;
  EXPECT_EQ(now.choose(), now.before);
  now.member(4, true);
  EXPECT_EQ(now.choose().relays, std::vector{server(4)});
}

TEST(Reachability, KeptOnesGoFirstThenThePersonsOwnAndThreeAreEnough) {
  Situation now;
  now.answers[server(1)] = {.reached = false};
  for (std::uint8_t number = 1; number <= 20; ++number) now.member(number, true);
  const Reach chosen = now.choose();
  EXPECT_EQ(chosen.relays.size(), 3u);
  EXPECT_TRUE(std::ranges::is_sorted(chosen.relays));
  now.before.relays = {server(17)};
  now.own_person.bytes.fill(9);
  const Reach next = now.choose();
  EXPECT_TRUE(std::ranges::find(next.relays, server(17)) != next.relays.end());
  EXPECT_TRUE(std::ranges::find(next.relays, server(9)) != next.relays.end());
  now.before = next;
  EXPECT_EQ(now.choose(), next);
}

}  // namespace
}  // namespace spatter
