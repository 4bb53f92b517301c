#include "directory/roster.h"

#include <gtest/gtest.h>

#include "people.h"

namespace spatter {
namespace {

TEST(Roster, TheFoundersServersBelongAtOnce) {
  People people;
  Roster roster(people.facts);
  const auto identity = people.server_of(*people.founder);
  EXPECT_TRUE(roster.accept(people.record(identity, 1)).value());
  ASSERT_TRUE(roster.find(identity.server));
  EXPECT_EQ(roster.find(identity.server)->member.person, identity.person);
  EXPECT_EQ(roster.find(identity.server)->member.free_bytes, 500u);
}

TEST(Roster, OthersBelongWhenAdmissionsLeadToThem) {
  People people;
  Roster roster(people.facts);
  const auto ann = people.person();
  const auto bob = people.person();
  const auto of_ann = people.server_of(ann);
  const auto of_bob = people.server_of(bob);
  EXPECT_EQ(roster.accept(people.record(of_bob, 1)).error().code, Errc::denied);
  const auto admits_bob = make_admission(ann, people.facts.network, of_bob.person, 1);
  EXPECT_EQ(roster.admit(admits_bob).error().code, Errc::denied) << "ann is a stranger herself";
  const auto admits_ann = make_admission(*people.founder, people.facts.network, of_ann.person, 1);
  EXPECT_TRUE(roster.admit(admits_ann).value());
  EXPECT_FALSE(roster.admit(admits_ann).value()) << "known already";
  EXPECT_TRUE(roster.admit(admits_bob).value());
  EXPECT_TRUE(roster.accept(people.record(of_bob, 1)).value());

  const auto chain = roster.chain_of(of_bob.person);
  Roster copy(people.facts);
  for (const auto& admission : chain) EXPECT_TRUE(copy.admit(admission).value());
  EXPECT_TRUE(copy.is_admitted(of_bob.person));
  EXPECT_TRUE(roster.chain_of(people.facts.founder).empty());
}

TEST(Roster, TheHighestVersionWins) {
  People people;
  Roster roster(people.facts);
  const auto identity = people.server_of(*people.founder);
  EXPECT_TRUE(roster.accept(people.record(identity, 5, {{"a.example", 1}})).value());
  EXPECT_FALSE(roster.accept(people.record(identity, 5, {{"b.example", 1}})).value());
  EXPECT_FALSE(roster.accept(people.record(identity, 4, {{"b.example", 1}})).value());
  EXPECT_EQ(roster.find(identity.server)->member.addresses[0].host, "a.example");
  EXPECT_TRUE(roster.accept(people.record(identity, 6, {{"b.example", 1}})).value());
  EXPECT_EQ(roster.find(identity.server)->member.addresses[0].host, "b.example");
}

TEST(Roster, NobodySpeaksForAnotherServerOrNetwork) {
  People people;
  People elsewhere(2);
  Roster roster(people.facts);
  const auto identity = people.server_of(*people.founder);
  const auto other = people.server_of(*people.founder);
  wire::ServerRecord record;
  ASSERT_TRUE(record.ParseFromString(people.record(identity, 1).body()));
  EXPECT_EQ(roster.accept(sign_message(other.server_key, kind::server, record)).error().code,
            Errc::denied);
  *record.mutable_certificate() = other.certificate;
  EXPECT_EQ(roster.accept(sign_message(identity.server_key, kind::server, record)).error().code,
            Errc::denied);
  const auto foreign = elsewhere.server_of(*elsewhere.founder);
  EXPECT_EQ(roster.accept(elsewhere.record(foreign, 1)).error().code, Errc::denied);
}

TEST(Roster, RecordsOutOfBoundsAreRefused) {
  People people;
  Roster roster(people.facts);
  const auto identity = people.server_of(*people.founder);
  EXPECT_FALSE(roster.accept(people.record(identity, 0)));
  EXPECT_FALSE(roster.accept(make_server_record(identity, {}, 10, 11, 1)));
  wire::ServerRecord record;
  ASSERT_TRUE(record.ParseFromString(people.record(identity, 1).body()));
  for (int i = 0; i < 20; ++i) record.add_addresses("192.0.2.1:1");
  EXPECT_FALSE(roster.accept(sign_message(identity.server_key, kind::server, record)));
  record.clear_addresses();
  record.add_addresses("not an address");
  EXPECT_FALSE(roster.accept(sign_message(identity.server_key, kind::server, record)));
  record.clear_addresses();
  record.add_addresses(std::string(9000, 'x') + ":1");
  EXPECT_FALSE(roster.accept(sign_message(identity.server_key, kind::server, record)));
}

TEST(Roster, OnePersonsServersAreBounded) {
  People people;
  Roster roster(people.facts);
  for (std::size_t i = 0; i < Roster::servers_per_person_max; ++i)
    ASSERT_TRUE(roster.accept(people.record(people.server_of(*people.founder), 1)).value());
  EXPECT_EQ(roster.accept(people.record(people.server_of(*people.founder), 1)).error().code,
            Errc::no_space);
}

TEST(Roster, DigestsAreEqualExactlyWhenTheContentsAre) {
  People people;
  const auto a = people.server_of(*people.founder);
  const auto b = people.server_of(*people.founder);
  const auto guest = people.server_of(people.person());
  Roster one(people.facts);
  Roster two(people.facts);
  EXPECT_EQ(one.digest(), two.digest());
  (void)one.accept(people.record(a, 1));
  EXPECT_NE(one.digest(), two.digest());
  (void)one.accept(people.record(b, 1));
  (void)two.accept(people.record(b, 1));
  (void)two.accept(people.record(a, 1));
  EXPECT_EQ(one.digest(), two.digest());
  (void)one.accept(people.record(a, 2));
  EXPECT_NE(one.digest(), two.digest());
  (void)two.accept(people.record(a, 2));
  (void)one.admit(make_admission(*people.founder, people.facts.network, guest.person, 1));
  EXPECT_NE(one.digest(), two.digest());
}

}  // namespace
}  // namespace spatter
