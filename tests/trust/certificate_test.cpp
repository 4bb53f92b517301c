#include "trust/certificate.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"

namespace spatter {
namespace {

class Certificates : public testing::Test {
 protected:
  SeededRandom random{7};
  SigningKey person = SigningKey::generate(random);
  SigningKey stranger = SigningKey::generate(random);
  SigningKey server = SigningKey::generate(random);
  NetworkId network = random.id<NetworkId>();
};

TEST_F(Certificates, TheNetworkIsTheHashOfItsGenesis) {
  const auto record = make_genesis(person, random, 1234, 60);
  const auto facts = check_genesis(record).value();
  EXPECT_EQ(facts.network.bytes, sha256(as_bytes(record.body())).bytes);
  EXPECT_EQ(facts.founder, person_id(person.public_key()));
  EXPECT_EQ(facts.created_ms, 1234u);
  EXPECT_EQ(facts.epoch_seconds, 60u);
  EXPECT_NE(check_genesis(make_genesis(person, random, 1234, 60)).value().network, facts.network);
}

TEST_F(Certificates, AGenesisInAnotherFoundersNameIsRefused) {
  wire::Genesis genesis;
  ASSERT_TRUE(genesis.ParseFromString(make_genesis(person, random, 1, 60).body()));
  EXPECT_EQ(check_genesis(sign_message(stranger, kind::genesis, genesis)).error().code,
            Errc::denied);
  genesis.set_epoch_seconds(0);
  EXPECT_EQ(check_genesis(sign_message(person, kind::genesis, genesis)).error().code,
            Errc::invalid);
}

TEST_F(Certificates, ACertificateTiesServerToPersonInOneNetwork) {
  const auto record = make_certificate(person, network, server.public_key(), 5);
  const auto facts = check_certificate(record, network).value();
  EXPECT_EQ(facts.person, person_id(person.public_key()));
  EXPECT_EQ(facts.server, server_id(server.public_key()));
  const auto elsewhere = check_certificate(record, random.id<NetworkId>());
  EXPECT_EQ(elsewhere.error().code, Errc::denied);
  EXPECT_NE(elsewhere.error().message.find("another network"), std::string::npos);
}

TEST_F(Certificates, WhoseKeyCertifiedIsSaid) {
  wire::Certificate certificate;
  ASSERT_TRUE(certificate.ParseFromString(
      make_certificate(person, network, server.public_key(), 5).body()));
  const auto forged = sign_message(stranger, kind::certificate, certificate);
  const auto facts = check_certificate(forged, network).value();
  EXPECT_EQ(facts.person, person_id(person.public_key()));
  EXPECT_EQ(facts.signed_by, person_id(stranger.public_key()));
  // A person's later key certifies in his name.
  const auto later = make_certificate(stranger, network, server.public_key(), 5, facts.person);
  EXPECT_EQ(check_certificate(later, network).value().person, facts.person);
  *certificate.mutable_server_key() += 'x';
  EXPECT_FALSE(check_certificate(sign_message(person, kind::certificate, certificate), network));
}

TEST_F(Certificates, AnAdmissionSaysWhoLetWhomIn) {
  const auto guest = person_id(stranger.public_key());
  const auto record = make_admission(person, network, guest, 5);
  const auto facts = check_admission(record, network).value();
  EXPECT_EQ(facts.person, guest);
  EXPECT_EQ(facts.inviter, person_id(person.public_key()));
  wire::Admission admission;
  ASSERT_TRUE(admission.ParseFromString(record.body()));
  EXPECT_FALSE(facts.recovery);
  const auto by_another = check_admission(sign_message(stranger, kind::admission, admission), network).value();
  EXPECT_EQ(by_another.inviter, facts.inviter);
  EXPECT_EQ(by_another.signed_by, guest);
}

TEST_F(Certificates, OnlyThePersonCommitsToHisRecoveryKey) {
  const auto guest = person_id(stranger.public_key());
  const auto recovery = random.id<Digest>();
  const auto claim = make_recovery_claim(stranger, network, recovery);
  EXPECT_EQ(check_admission(make_admission(person, network, guest, 5, {}, claim), network)->recovery, recovery);
  auto made_up = make_recovery_claim(person, network, recovery);  // by the inviter
  EXPECT_EQ(check_admission(make_admission(person, network, guest, 5, {}, made_up), network).error().code,
            Errc::corrupt);
  auto exchanged = claim;
  exchanged.recovery = random.id<Digest>();
  EXPECT_FALSE(check_admission(make_admission(person, network, guest, 5, {}, exchanged), network));
  const auto elsewhere = make_recovery_claim(stranger, random.id<NetworkId>(), recovery);
  EXPECT_FALSE(check_admission(make_admission(person, network, guest, 5, {}, elsewhere), network));
}

TEST_F(Certificates, AnIdentityIsConsistent) {
  const auto identity = make_identity(network, person, server, 9);
  EXPECT_EQ(identity.person, person_id(person.public_key()));
  EXPECT_EQ(identity.server, server_id(server.public_key()));
  EXPECT_EQ(check_certificate(identity.certificate, network).value().server, identity.server);
}

}  // namespace
}  // namespace spatter
