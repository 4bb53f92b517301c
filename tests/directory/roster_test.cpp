#include "directory/roster.h"

#include <gtest/gtest.h>

#include "directory/revocation.h"
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

TEST(Roster, ARetiredServerIsGoneAndStaysSo) {
  People people;
  Roster roster(people.facts);
  const auto lost = people.server_of(*people.founder);
  const auto kept = people.server_of(*people.founder);
  for (const auto* server : {&lost, &kept}) (void)roster.accept(people.record(*server, 1));
  const auto revocation =
      make_revocation(*people.founder, people.facts.network, people.record(lost, 1), 7);
  EXPECT_EQ(check_revocation(revocation, people.facts.network)->server, lost.server);
  EXPECT_EQ(check_revocation(revocation, people.facts.network)->issued_ms, 7u);
  const auto before = roster.digest();
  EXPECT_TRUE(roster.revoke(revocation).value());
  EXPECT_FALSE(roster.revoke(revocation).value()) << "known already";
  EXPECT_NE(roster.digest(), before);
  EXPECT_FALSE(roster.find(lost.server));
  EXPECT_TRUE(roster.find(kept.server));
  EXPECT_EQ(roster.accept(people.record(lost, 9)).error().code, Errc::denied);
  // Whoever hears of it before he hears of the server ends up the same.
  Roster late(people.facts);
  EXPECT_TRUE(late.revoke(revocation).value());
  EXPECT_EQ(late.accept(people.record(lost, 1)).error().code, Errc::denied);
  (void)late.accept(people.record(kept, 1));
  EXPECT_EQ(late.digest(), roster.digest());
}

TEST(Roster, NobodyRetiresWhatIsNotHis) {
  People people;
  People elsewhere(2);
  Roster roster(people.facts);
  const auto ann = people.person();
  const auto of_ann = people.server_of(ann);
  const auto mine = people.server_of(*people.founder);
  (void)roster.accept(people.record(mine, 1));
  const auto network = people.facts.network;
  const auto refused = [&](const wire::Signed& record) {
    const auto done = roster.revoke(record);
    return done ? Errc::ok : done.error().code;
  };
  EXPECT_EQ(refused(make_revocation(ann, network, people.record(mine, 1), 1)), Errc::denied);
  EXPECT_EQ(refused(make_revocation(ann, network, people.record(of_ann, 1), 1)), Errc::denied)
      << "ann is a stranger herself";
  EXPECT_EQ(refused(make_revocation(*people.founder, elsewhere.facts.network,
                                    people.record(mine, 1), 1)), Errc::denied);
  // A certificate that ann makes for somebody else's key is no record of that server.
  const auto thief = make_identity(network, ann, SigningKey::generate(people.random), 1);
  wire::ServerRecord forged;
  const auto key = mine.server_key.public_key();
  forged.set_server_key(key.data(), key.size());
  *forged.mutable_certificate() = make_certificate(ann, network, key, 1);
  forged.set_version(5);
  EXPECT_EQ(refused(make_revocation(ann, network, sign_message(thief.server_key, kind::server, forged), 1)),
            Errc::denied);
  auto altered = make_revocation(*people.founder, network, people.record(mine, 1), 1);
  altered.mutable_body()->back() ^= 1;
  EXPECT_EQ(refused(altered), Errc::corrupt);
  EXPECT_EQ(refused(people.record(mine, 1)), Errc::corrupt) << "another kind of record";
  EXPECT_TRUE(roster.find(mine.server));
}

TEST(Roster, OnlyTheKeyThatAPersonHasNowCertifies) {
  People people;
  const auto network = people.facts.network;
  const auto& old_key = *people.founder;
  const auto new_key = people.person();
  const auto stranger = people.person();
  const auto mine = people.server_of(old_key);
  const auto stolen = people.server_of(old_key);
  Roster roster(people.facts);
  for (const auto* server : {&mine, &stolen}) EXPECT_TRUE(roster.accept(people.record(*server, 1)).value());
  const auto before = roster.digest();

  roster.set_keys(changed(old_key, new_key));
  EXPECT_EQ(roster.judge_keys().size(), 2u);
  EXPECT_TRUE(roster.servers().empty());
  EXPECT_NE(roster.digest(), before);
  EXPECT_EQ(roster.outdated().at(mine.server).member.person, mine.person);
  EXPECT_EQ(roster.accept(people.record(stolen, 9)).error().code, Errc::denied);
  EXPECT_EQ(roster.outdated().at(stolen.server).version, 9u);
  // The same server with a certificate by the new key is one again.
  const auto again = make_identity(network, new_key, mine.server_key, 1000, mine.person);
  EXPECT_EQ(again.server, mine.server);
  EXPECT_TRUE(roster.accept(people.record(again, 2)).value());
  EXPECT_EQ(roster.find(mine.server)->certified_by, person_id(new_key.public_key()));
  EXPECT_FALSE(roster.outdated().contains(mine.server));
  EXPECT_TRUE(roster.judge_keys().empty());
  // Nobody who never had a key of his is even remembered.
  const auto forged = make_identity(network, stranger, SigningKey::generate(people.random), 1, mine.person);
  EXPECT_EQ(roster.accept(people.record(forged, 1)).error().code, Errc::denied);
  EXPECT_FALSE(roster.outdated().contains(forged.server));
  EXPECT_EQ(Roster(people.facts).accept(people.record(forged, 1)).error().code, Errc::denied);
}

TEST(Roster, AServerForWhichThereIsNoRoomWithTheNewKeyStaysRemembered) {
  People people;
  const auto network = people.facts.network;
  const auto new_key = people.person();
  const auto mine = people.server_of(*people.founder);
  Roster roster(people.facts);
  roster.set_keys(changed(*people.founder, new_key));
  EXPECT_EQ(roster.accept(people.record(mine, 1)).error().code, Errc::denied);
  const auto certified = [&](const SigningKey& server) {
    return people.record(make_identity(network, new_key, server, 1000, mine.person), 2);
  };
  for (std::size_t i = 0; i < Roster::servers_per_person_max; ++i)
    ASSERT_TRUE(roster.accept(certified(people.person())).value());
  EXPECT_EQ(roster.accept(certified(mine.server_key)).error().code, Errc::no_space);
  EXPECT_TRUE(roster.outdated().contains(mine.server));
  // It can be retired as what it was.
  EXPECT_TRUE(roster.revoke(make_revocation(new_key, network, people.record(mine, 1), 2)).value());
  EXPECT_FALSE(roster.outdated().contains(mine.server));
}

TEST(Roster, AnAdmissionCountsWhenItsKeyWasTheInvitersThen) {
  People people;
  const auto network = people.facts.network;
  const auto new_key = people.person();
  Roster roster(people.facts);
  roster.set_keys(changed(*people.founder, new_key));
  const auto guest = [&] { return person_id(people.person().public_key()); };
  const auto founder = people.facts.founder;
  EXPECT_TRUE(roster.admit(make_admission(*people.founder, network, guest(), 5)).value());
  EXPECT_EQ(roster.admit(make_admission(*people.founder, network, guest(), 15)).error().code, Errc::denied);
  EXPECT_EQ(roster.admit(make_admission(new_key, network, guest(), 5, founder)).error().code, Errc::denied);
  const auto later = guest();
  EXPECT_TRUE(roster.admit(make_admission(new_key, network, later, 15, founder)).value());
  EXPECT_EQ(roster.chain_of(later).size(), 1u);
  EXPECT_EQ(roster.admit(make_admission(people.person(), network, guest(), 15, founder)).error().code, Errc::denied);
}

TEST(Roster, WhatAPersonCommitsToIsKnownFromHisAdmission) {
  People people;
  const auto guest = people.person();
  const auto recovery = people.random.id<Digest>();
  const auto claim = make_recovery_claim(guest, people.facts.network, recovery);
  Roster roster(people.facts);
  EXPECT_EQ(roster.commitment_of(person_id(guest.public_key())), std::nullopt);
  (void)roster.admit(make_admission(*people.founder, people.facts.network, person_id(guest.public_key()), 1, {}, claim));
  EXPECT_EQ(roster.commitment_of(person_id(guest.public_key())), recovery);
  EXPECT_EQ(roster.commitment_of(people.facts.founder), std::nullopt);
}

TEST(Roster, OnlyTheKeyThatAPersonHasNowRetires) {
  People people;
  const auto network = people.facts.network;
  const auto& old_key = *people.founder;
  const auto new_key = people.person();
  const auto lost = people.server_of(old_key);
  const auto other = people.server_of(old_key);
  const auto early = make_revocation(old_key, network, people.record(lost, 1), 1);
  Roster roster(people.facts);
  EXPECT_TRUE(roster.revoke(early).value());
  const auto before = roster.digest();
  roster.set_keys(changed(old_key, new_key));
  EXPECT_EQ(roster.revoke(make_revocation(old_key, network, people.record(other, 1), 1)).error().code, Errc::denied);
  // What was retired stays so, and is signed anew for those who know the new key alone.
  EXPECT_TRUE(roster.revoked().contains(lost.server));
  const auto anew = make_revocation(new_key, network, people.record(lost, 1), 2);
  EXPECT_TRUE(roster.revoke(anew).value());
  EXPECT_FALSE(roster.revoke(anew).value());
  EXPECT_EQ(roster.digest(), before);
  Roster late(people.facts);
  late.set_keys(changed(old_key, new_key));
  EXPECT_EQ(late.revoke(early).error().code, Errc::denied);
  EXPECT_TRUE(late.revoke(roster.revoked().at(lost.server).record).value());
}

TEST(Roster, APersonRetiresOnlySoManyServers) {
  People people;
  Roster roster(people.facts);
  for (std::size_t i = 0; i <= Roster::revocations_per_person_max; ++i) {
    const auto done = roster.revoke(make_revocation(
        *people.founder, people.facts.network, people.record(people.server_of(*people.founder), 1), 1));
    EXPECT_EQ(done.has_value(), i < Roster::revocations_per_person_max);
  }
  // A retired server makes room for another.
  for (std::size_t i = 0; i < Roster::servers_per_person_max; ++i)
    (void)roster.accept(people.record(people.server_of(*people.founder), 1));
  EXPECT_EQ(roster.servers().size(), Roster::servers_per_person_max);
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
