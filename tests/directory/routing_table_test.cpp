// What a routing table takes, keeps, gives up and hands out, whoever tries to fill it.
#include "directory/routing_table.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "contacts.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{24h};

struct Fixture {
  explicit Fixture(std::uint64_t seed = 1, TableOptions options = {})
      : maker(seed), table(maker.random.id<ServerId>(), maker.random.id<Position>(), seed, options) {}
  ContactMaker maker;
  RoutingTable table;
};

TEST(RoutingTable, HearsayIsHandedOnToNobody) {
  Fixture test;
  const auto contact = test.maker.any();
  test.table.heard(contact, start);
  EXPECT_TRUE(test.table.nearest(contact->position, 5).empty());
  const auto check = test.table.next_check(start, 0);
  ASSERT_TRUE(check);
  EXPECT_EQ(check->contact, contact);
  test.table.answered(contact, start);
  EXPECT_EQ(test.table.nearest(contact->position, 5), std::vector{contact});
}

TEST(RoutingTable, KnowsEverybodyInASmallNetwork) {
  Fixture test;
  for (int i = 0; i < 60; ++i) test.table.answered(test.maker.any(), start);
  EXPECT_TRUE(test.table.holds_everybody());
  EXPECT_EQ(test.table.network_size(), 61);
  EXPECT_EQ(test.table.nearest(test.table.position(), 100).size(), 60u);
}

TEST(RoutingTable, EstimatesTheSizeOfTheNetwork) {
  double sum = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Fixture test(seed);
    for (int i = 0; i < 3000; ++i) test.table.answered(test.maker.any(), start);
    EXPECT_FALSE(test.table.holds_everybody());
    EXPECT_GT(test.table.network_size(), 1800);
    EXPECT_LT(test.table.network_size(), 5000);
    sum += test.table.network_size();
  }
  EXPECT_NEAR(sum / 20, 3000, 300);
}

TEST(RoutingTable, GrowsWithTheLogarithmOfTheNetwork) {
  Fixture test;
  for (int i = 0; i < 1000; ++i) test.table.answered(test.maker.any(), start);
  const std::size_t thousand = test.table.size();
  for (int i = 0; i < 15'000; ++i) test.table.answered(test.maker.any(), start);
  EXPECT_LE(test.table.size(), thousand + 4 * 2 * RoutingTable::slots_per_bucket + 16);
}

TEST(RoutingTable, KeepsTheNearestAsSiblings) {
  Fixture test;
  std::vector<ContactPtr> all;
  for (int i = 0; i < 2000; ++i) {
    all.push_back(test.maker.any());
    test.table.answered(all.back(), start);
  }
  const Position own = test.table.position();
  std::ranges::sort(all, [&](const auto& a, const auto& b) { return nearer(a, b, own); });
  all.resize(TableOptions{}.siblings);
  EXPECT_EQ(test.table.nearest(own, all.size()), all);
}

TEST(RoutingTable, SomebodyWithAThousandServersGetsNoMoreOfATableThanHisShare) {
  Fixture test;
  const auto person = test.maker.random.id<PersonId>();
  std::vector<ContactPtr> all;
  for (int i = 0; i < 2000; ++i) all.push_back(test.maker.any());
  for (int i = 0; i < 1000; ++i) all.push_back(test.maker.of(person));
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[test.maker.random.below(i)]);
  for (int round = 0; round < 3; ++round)
    for (const auto& contact : all) test.table.answered(contact, start + round * 1h);
  std::map<int, int> per_bucket;
  std::size_t his = 0;
  const auto contacts = test.table.contacts();
  for (const auto& contact : contacts) {
    if (contact->person != person) continue;
    ++his;
    ++per_bucket[distance(contact->position, test.table.position()).shared_bits()];
  }
  EXPECT_LE(his, contacts.size() / 6);
  // One a bucket, and two among the siblings.
  for (const auto& [bucket, count] : per_bucket) EXPECT_LE(count, 3) << "bucket " << bucket;
}

TEST(RoutingTable, AFullBucketTakesNobodyWhoDrewNoBetterLot) {
  Fixture test;
  std::vector<ContactPtr> all;
  for (int i = 0; i < 3000; ++i) {
    all.push_back(test.maker.any());
    test.table.answered(all.back(), start - 1h);
  }
  for (const auto& contact : all) test.table.answered(contact, start);
  std::size_t wanted = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto contact = test.maker.at(test.maker.sharing(test.table.position(), 0));
    wanted += test.table.wants(*contact, start);
  }
  // 16 holders, the best lots of some 94 each: a newcomer has a better one with a chance of 1 in 95.
  EXPECT_LT(wanted, 60u);
}

TEST(RoutingTable, SlotsGoToPersonsNotToWhoeverBringsTheMostServers) {
  Fixture test;
  // Half of all servers are of one person in twenty: in slots drawn by servers they would hold half.
  std::vector<PersonId> few;
  for (int i = 0; i < 100; ++i) few.push_back(test.maker.random.id<PersonId>());
  std::vector<ContactPtr> all;
  for (int i = 0; i < 1900; ++i) all.push_back(test.maker.any());
  for (int i = 0; i < 1900; ++i) {
    auto contact = std::make_shared<Contact>(*test.maker.any());
    contact->person = few[static_cast<std::size_t>(i) % few.size()];
    all.push_back(std::move(contact));
  }
  for (int round = 0; round < 4; ++round) {
    for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[test.maker.random.below(i)]);
    for (const auto& contact : all) test.table.answered(contact, start + round * 1h);
  }
  std::size_t slots = 0, of_few = 0;
  const auto in_use = test.table.contacts();  // not the spares, of which each slot has one
  for (const auto& one : test.table.known()) {
    if (one.sibling || std::ranges::find(in_use, one.contact) == in_use.end()) continue;
    ++slots;
    of_few += std::ranges::find(few, one.contact->person) != few.end();
  }
  EXPECT_GT(slots, 50u);
  EXPECT_LT(of_few * 4, slots);
}

TEST(RoutingTable, ANewcomerWaitsUntilItHasBeenThereForLong) {
  TableOptions options;
  options.siblings = 4;
  Fixture test(7, options);
  std::vector<ContactPtr> all;
  for (int i = 0; i < 200; ++i) all.push_back(test.maker.any());
  for (const auto when : {start - 2h, start - 1h})
    for (const auto& contact : all) test.table.answered(contact, when);
  // Somebody with a better lot than a slot's holder.
  ContactPtr newcomer;
  do newcomer = test.maker.at(test.maker.sharing(test.table.position(), 0));
  while (!test.table.wants(*newcomer, start));
  const auto in_use = [&] {
    const auto contacts = test.table.contacts();
    return std::ranges::find(contacts, newcomer) != contacts.end();
  };
  test.table.answered(newcomer, start);
  const bool slot_was_empty = in_use();
  if (!slot_was_empty) {
    test.table.answered(newcomer, start + 10min);
    EXPECT_FALSE(in_use());
    test.table.answered(newcomer, start + 31min);
    EXPECT_TRUE(in_use());
  }
}

TEST(RoutingTable, ForgetsWhoDoesNotAnswerTwiceAndTheSpareTakesOver) {
  Fixture test;
  std::vector<ContactPtr> all;
  for (int i = 0; i < 3000; ++i) {
    all.push_back(test.maker.any());
    test.table.answered(all.back(), start);
  }
  const auto before = test.table.contacts().size();
  for (const auto& contact : test.table.contacts()) {
    test.table.failed(contact, start + 1min);
    test.table.failed(contact, start + 2min);
    const auto now = test.table.contacts();
    EXPECT_TRUE(std::ranges::find(now, contact) == now.end());
    test.table.answered(now.front(), start + 2min);
  }
  EXPECT_GT(test.table.contacts().size(), before / 3);
}

TEST(RoutingTable, ForgetsNobodyWhenNobodyAnswersAtAll) {
  Fixture test;
  for (int i = 0; i < 500; ++i) test.table.answered(test.maker.any(), start);
  const auto contacts = test.table.contacts();
  for (int round = 0; round < 5; ++round)
    for (const auto& contact : contacts) test.table.failed(contact, start + round * 1min);
  EXPECT_GT(test.table.proven(), contacts.size() - 20);
}

TEST(RoutingTable, WhoIsCaughtLyingIsShunnedForAWhile) {
  Fixture test;
  for (int i = 0; i < 20; ++i) test.table.answered(test.maker.any(), start);
  const auto liar = test.table.contacts().front();
  for (int i = 0; i < 3; ++i) test.table.lied(liar, start);
  EXPECT_FALSE(test.table.wants(liar->id, liar->person, liar->place_number, liar->position, 9, start + 1h));
  test.table.answered(liar, start + 1h);
  EXPECT_EQ(test.table.size(), 19u);
  EXPECT_TRUE(test.table.wants(liar->id, liar->person, liar->place_number, liar->position, 9, start + 4h));
}

TEST(RoutingTable, NobodyHasOnePlaceForTwoServersThatAreThere) {
  Fixture test;
  const auto person = test.maker.random.id<PersonId>();
  const auto first = test.maker.of(person);
  test.table.answered(first, start);
  auto second = std::make_shared<Contact>(*test.maker.of(person));
  second->place_number = first->place_number;
  test.table.answered(second, start);
  test.table.heard(second, start);
  EXPECT_EQ(test.table.contacts(), std::vector{first});
  // Others of his places, and other persons' of that number, are welcome.
  auto other = std::make_shared<Contact>(*test.maker.any());
  other->place_number = first->place_number;
  test.table.answered(other, start);
  test.table.answered(test.maker.of(person), start);
  EXPECT_EQ(test.table.size(), 3u);
  // The first is gone.
  test.table.failed(first, start + 1h);
  test.table.answered(second, start + 1h);
  EXPECT_EQ(test.table.size(), 4u);
}

TEST(RoutingTable, AServerThatHasAnotherPlaceNowIsNoLongerAtItsOldOne) {
  Fixture test;
  const auto before = test.maker.any();
  test.table.answered(before, start);
  auto after = std::make_shared<Contact>(*before);
  after->position = test.maker.random.id<Position>();
  after->place_number = 30;
  test.table.heard(after, start);
  EXPECT_EQ(test.table.size(), 1u);  // no newer than what is known
  EXPECT_EQ(test.table.contacts(), std::vector{before});
  after->version = 2;
  test.table.answered(after, start);
  EXPECT_EQ(test.table.contacts(), (std::vector<ContactPtr>{after}));
  test.table.answered(before, start);  // what is old does not come back
  EXPECT_EQ(test.table.size(), 1u);
}

TEST(RoutingTable, ANewerRecordReplacesTheOlder) {
  Fixture test;
  const auto old = test.maker.any();
  test.table.answered(old, start);
  auto newer = std::make_shared<Contact>(*old);
  newer->version = 2;
  test.table.heard(newer, start);
  EXPECT_EQ(test.table.nearest(old->position, 1).front()->version, 2u);
  test.table.heard(old, start);
  EXPECT_EQ(test.table.nearest(old->position, 1).front()->version, 2u);
}

TEST(RoutingTable, ChecksMoreOftenWhereServersVanish) {
  Fixture calm, wild;
  for (int i = 0; i < 100; ++i) {
    calm.table.answered(calm.maker.any(), start);
    wild.table.answered(wild.maker.any(), start);
  }
  for (const auto& contact : calm.table.contacts()) calm.table.answered(contact, start + 2h);
  int turn = 0;
  for (const auto& contact : wild.table.contacts()) {
    if (turn++ % 2) {
      wild.table.answered(contact, start + 2h);
    } else {
      wild.table.failed(contact, start + 2h);
      wild.table.failed(contact, start + 2h);
    }
  }
  EXPECT_EQ(calm.table.check_interval(), TableOptions{}.check_max);
  EXPECT_LT(wild.table.check_interval(), 1h + 30min);
  EXPECT_GE(wild.table.check_interval(), TableOptions{}.check_min);
}

TEST(RoutingTable, WhoMayNotBeThereAnyMoreIsForgottenAndTheSiblingsFillUp) {
  Fixture test;
  const auto person = test.maker.random.id<PersonId>();
  for (int i = 0; i < 3000; ++i) test.table.answered(i % 4 ? test.maker.any() : test.maker.of(person), start);
  // Of others one who has not answered, as near as can be.
  const auto candidate = test.maker.at(test.maker.sharing(test.table.position(), 40));
  test.table.heard(candidate, start);
  const auto is_gone = [&](const Contact& contact) {
    return contact.person == person || contact_tag(contact.id) % 2 == 0 || contact.id == candidate->id;
  };
  std::set<ServerId> left;
  for (const auto& one : test.table.known())
    if (!is_gone(*one.contact)) left.insert(one.contact->id);
  test.table.forget_if(is_gone, start);
  std::set<ServerId> known;
  std::size_t siblings = 0;
  ContactPtr farthest_sibling;
  for (const auto& one : test.table.known()) {
    EXPECT_TRUE(known.insert(one.contact->id).second);
    if (!one.sibling) continue;
    ++siblings;
    if (!farthest_sibling || nearer(farthest_sibling, one.contact, test.table.position()))
      farthest_sibling = one.contact;
  }
  EXPECT_EQ(known, left);
  EXPECT_EQ(siblings, std::min(TableOptions{}.siblings, test.table.proven()));
  for (const auto& one : test.table.known())
    if (!one.sibling) EXPECT_TRUE(nearer(farthest_sibling, one.contact, test.table.position()));
  // They come back like anybody, when they may.
  test.table.answered(candidate, start);
  EXPECT_EQ(test.table.nearest(test.table.position(), 1).front(), candidate);
  test.table.forget_if([](const Contact&) { return true; }, start);
  EXPECT_EQ(test.table.size(), 0u);
  EXPECT_EQ(test.table.network_size(), 1);
}

TEST(RoutingTable, SparesTakeThePlacesOfHoldersThatMayNotBeThereAnyMore) {
  Fixture test;
  std::vector<ContactPtr> all;
  for (int i = 0; i < 3000; ++i) all.push_back(test.maker.any());
  for (const auto when : {start - 2h, start - 1h})
    for (const auto& contact : all) test.table.answered(contact, when);
  std::set<ServerId> holders;
  const auto in_use = test.table.contacts();
  std::size_t siblings = 0;
  for (const auto& one : test.table.known()) {
    siblings += one.sibling;
    if (!one.sibling && std::ranges::find(in_use, one.contact) != in_use.end()) holders.insert(one.contact->id);
  }
  ASSERT_GT(holders.size(), 40u);
  test.table.forget_if([&](const Contact& contact) { return holders.contains(contact.id); }, start);
  EXPECT_GT(test.table.contacts().size(), siblings + holders.size() / 2);
}

TEST(RoutingTable, ACandidateThatAsksUsIsCheckedWithoutWaiting) {
  Fixture test;
  const TableOptions options;
  const auto candidate = test.maker.any();
  test.table.heard(candidate, start);
  EXPECT_TRUE(test.table.is_candidate(*candidate));
  ASSERT_TRUE(test.table.next_check(start, 0));
  // It is being asked; that it asks us in the same moment is no reason to ask again,
  test.table.met(candidate, start + 1s);
  EXPECT_FALSE(test.table.next_check(start + 1s, 0));
  // nor is the mere passing of a few seconds; that it asks us then is.
  EXPECT_FALSE(test.table.next_check(start + 3s, 0));
  test.table.met(candidate, start + 3s);
  const auto check = test.table.next_check(start + 3s, 0);
  ASSERT_TRUE(check);
  EXPECT_EQ(check->contact, candidate);
  // Without that it waits its time.
  EXPECT_FALSE(test.table.next_check(start + 3s + options.retry_after - 1s, 0));
  EXPECT_TRUE(test.table.next_check(start + 3s + options.retry_after, 0));
  // Asking proves nothing; answering does, and then there is nothing to be checked.
  EXPECT_TRUE(test.table.is_candidate(*candidate));
  EXPECT_TRUE(test.table.nearest(candidate->position, 1).empty());
  test.table.answered(candidate, start + 1min);
  EXPECT_FALSE(test.table.is_candidate(*candidate));
  test.table.met(candidate, start + 2min);
  EXPECT_FALSE(test.table.next_check(start + 2min, 0));
  EXPECT_FALSE(test.table.is_candidate(*test.maker.any()));
}

RC_GTEST_PROP(RoutingTable, StaysWithinItsBoundsWhateverHappens, (std::uint64_t seed)) {
  TableOptions options;
  options.siblings = 8;
  options.siblings_unproven = 4;
  Fixture test(seed, options);
  std::vector<ContactPtr> all;
  std::vector<PersonId> persons;
  for (int i = 0; i < 10; ++i) persons.push_back(test.maker.random.id<PersonId>());
  TimePoint now = start;
  for (int step = 0; step < 600; ++step) {
    now += 1min;
    if (all.empty() || test.maker.random.below(3) == 0) {
      const auto bits = test.maker.random.below(12);
      all.push_back(test.maker.at(test.maker.sharing(test.table.position(), bits),
                                  persons[test.maker.random.below(persons.size())]));
    }
    const auto& contact = all[test.maker.random.below(all.size())];
    switch (test.maker.random.below(7)) {
      case 0: test.table.heard(contact, now); break;
      case 1: test.table.met(contact, now); break;
      case 2: test.table.failed(contact, now); break;
      case 3: test.table.lied(contact, now); break;
      case 4: (void)test.table.next_check(now, test.maker.random.next_u64()); break;
      case 5:
        test.table.forget_if([&, out = persons[test.maker.random.below(persons.size())]](const Contact& one) {
          return one.person == out && test.maker.random.below(4) == 0;
        }, now);
        break;
      default: test.table.answered(contact, now); break;
    }
    RC_ASSERT(test.table.size() <= 8 + 4 + 12 * 2 * RoutingTable::slots_per_bucket);
  }
  // The siblings are the nearest of all that have answered and count for no crowd; in any case, what
  // is handed out is sorted and known once.
  const auto nearest = test.table.nearest(test.table.position(), 50);
  for (std::size_t i = 1; i < nearest.size(); ++i)
    RC_ASSERT(nearer(nearest[i - 1], nearest[i], test.table.position()));
}

}  // namespace
}  // namespace spatter
