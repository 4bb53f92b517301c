// Whose servers keep a record.
#include "directory/places.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "contacts.h"

namespace spatter {
namespace {

std::vector<ContactPtr> sorted(std::vector<ContactPtr> contacts, const Position& target) {
  std::ranges::sort(contacts, [&](const auto& a, const auto& b) { return nearer(a, b, target); });
  return contacts;
}

TEST(Places, ASecondServerOfOnePersonHasNone) {
  ContactMaker maker(1);
  const Position target = maker.random.id<Position>();
  const auto person = maker.random.id<PersonId>();
  std::vector<ContactPtr> contacts;
  for (int i = 0; i < 1000; ++i) contacts.push_back(maker.at(maker.sharing(target, 20), person));
  for (int i = 0; i < 30; ++i) contacts.push_back(maker.any());
  const auto places = choose_places(sorted(contacts, target), replicas, false);
  ASSERT_EQ(places.size(), replicas);
  EXPECT_EQ(std::ranges::count(places, person, [](const auto& one) { return one->person; }), 1);
}

TEST(Places, OfOneNetworkPrefixThereAreTwoWhileThereAreOthers) {
  ContactMaker maker(2);
  const Position target = maker.random.id<Position>();
  std::vector<ContactPtr> contacts;
  for (int i = 0; i < 30; ++i)
    contacts.push_back(maker.at(maker.sharing(target, 20), maker.random.id<PersonId>(), {77}));
  EXPECT_EQ(choose_places(sorted(contacts, target), replicas, false).size(), replicas);
  for (int i = 0; i < 30; ++i) contacts.push_back(maker.any());
  const auto places = choose_places(sorted(contacts, target), replicas, false);
  EXPECT_EQ(std::ranges::count(places, NetworkPrefix{77}, [](const auto& one) { return one->prefix; }),
            2);
}

TEST(Places, AFewPersonsAloneUseAllTheirServers) {
  ContactMaker maker(3);
  const auto one = maker.random.id<PersonId>(), other = maker.random.id<PersonId>();
  std::vector<ContactPtr> contacts;
  for (int i = 0; i < 4; ++i) contacts.push_back(maker.of(i % 2 ? one : other));
  EXPECT_EQ(choose_places(contacts, replicas, true).size(), 4u);
  EXPECT_EQ(choose_places(contacts, replicas, false).size(), 2u);
}

TEST(NetworkPrefix, IsTheFrontOfTheAddress) {
  const auto of = [](const char* host) { return NetworkPrefix::of({host, 1}); };
  EXPECT_EQ(of("192.0.2.1"), of("192.0.2.254"));
  EXPECT_NE(of("192.0.2.1"), of("192.0.3.1"));
  EXPECT_EQ(of("2001:db8:7::1"), of("2001:db8:7:ffff::2"));
  EXPECT_NE(of("2001:db8:7::1"), of("2001:db8:8::1"));
  EXPECT_TRUE(of("127.0.0.1").is_none() && of("::1").is_none() && of("name.example").is_none());
}

RC_GTEST_PROP(Places, AreNearestFirstAndOfDifferentPersons, (std::uint64_t seed)) {
  ContactMaker maker(seed);
  const Position target = maker.random.id<Position>();
  std::vector<PersonId> persons;
  for (std::uint64_t i = maker.random.below(20) + 1; i > 0; --i)
    persons.push_back(maker.random.id<PersonId>());
  std::vector<ContactPtr> contacts;
  for (std::uint64_t i = maker.random.below(60); i > 0; --i)
    contacts.push_back(maker.of(persons[maker.random.below(persons.size())],
                                {maker.random.below(4)}));
  contacts = sorted(contacts, target);
  const auto places = choose_places(contacts, replicas, false);
  std::set<PersonId> had;
  for (std::size_t i = 0; i < places.size(); ++i) {
    RC_ASSERT(had.insert(places[i]->person).second);
    if (i > 0) RC_ASSERT(nearer(places[i - 1], places[i], target));
  }
  std::set<PersonId> all;
  for (const auto& contact : contacts) all.insert(contact->person);
  RC_ASSERT(places.size() == std::min(all.size(), replicas));
}

}  // namespace
}  // namespace spatter
