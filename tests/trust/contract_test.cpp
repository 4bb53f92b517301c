#include "trust/contract.h"

#include <gtest/gtest.h>

namespace spatter {
namespace {

class Contracts : public testing::Test {
 protected:
  Contracts() {
    message.set_stripe(random.id<StripeId>().raw());
    message.set_person(random.id<PersonId>().raw());
    const auto key = owner.public_key();
    message.set_server_key(key.data(), key.size());
    message.set_volume(random.id<VolumeId>().raw());
    message.set_writer_number(3);
    message.set_k(2);
    message.set_n(6);
    message.set_length(100'000);
    message.set_shard_size(65'536);
    std::string roots;
    for (int i = 0; i < 6; ++i) roots += random.id<Digest>().raw();
    message.set_shard_roots(roots);
  }
  Result<Descriptor> checked(const wire::StripeDescriptor& descriptor) {
    return check_descriptor(sign_descriptor(owner, descriptor));
  }
  template <class Change>
  Errc refused(Change change) {
    auto altered = message;
    change(altered);
    auto result = checked(altered);
    return result ? Errc::ok : result.error().code;
  }

  SeededRandom random{3};
  SigningKey owner = SigningKey::generate(random);
  SigningKey holder = SigningKey::generate(random);
  wire::StripeDescriptor message;
};

TEST_F(Contracts, ADescriptorComesBackAsItWasSigned) {
  const auto descriptor = checked(message).value();
  EXPECT_EQ(descriptor.stripe.raw(), message.stripe());
  EXPECT_EQ(descriptor.server, server_id(owner.public_key()));
  EXPECT_EQ(descriptor.k, 2u);
  EXPECT_EQ(descriptor.n, 6u);
  ASSERT_EQ(descriptor.shard_roots.size(), 6u);
  EXPECT_EQ(descriptor.shard_roots[5].raw(), message.shard_roots().substr(5 * 32));
}

TEST_F(Contracts, EveryFieldOfADescriptorHasItsBounds) {
  EXPECT_EQ(refused([](auto& m) { m.set_stripe("short"); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_k(0); m.set_n(0); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_n(5); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_k(86); m.set_n(258); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_k(0x55555556u); m.set_n(2); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_shard_size(shard_bytes_max + 1); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_shard_size(0); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_length(0); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_length(2 * 65'536 + 1); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.mutable_shard_roots()->pop_back(); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { m.set_label(std::string(5000, 'x')); }), Errc::invalid);
  EXPECT_EQ(refused([](auto& m) { (*m.mutable_server_key())[0] ^= 1; }), Errc::denied);
}

TEST_F(Contracts, OfferAndReceiptCoverTheSameTerms) {
  const auto descriptor = checked(message).value();
  const auto holder_id = server_id(holder.public_key());
  auto contract = offer_contract(owner, descriptor, 4, holder_id, 1000, 2000);
  const auto terms = check_offer(contract).value();
  EXPECT_EQ(terms.index, 4u);
  EXPECT_EQ(terms.holder, holder_id);
  EXPECT_EQ(terms.size, descriptor.shard_size);
  EXPECT_TRUE(check_matches(terms, descriptor));
  EXPECT_FALSE(check_contract(contract)) << "no receipt yet";
  countersign(contract, holder);
  EXPECT_EQ(check_contract(contract).value().until_ms, 2000);
}

TEST_F(Contracts, AReceiptByAnotherThanTheHolderIsRefused) {
  const auto descriptor = checked(message).value();
  auto contract =
      offer_contract(owner, descriptor, 0, server_id(holder.public_key()), 1000, 2000);
  countersign(contract, owner);
  EXPECT_EQ(check_contract(contract).error().code, Errc::denied);
}

TEST_F(Contracts, AlteredTermsAreRefused) {
  const auto descriptor = checked(message).value();
  auto contract =
      offer_contract(owner, descriptor, 0, server_id(holder.public_key()), 1000, 2000);
  countersign(contract, holder);
  wire::ContractBody body;
  ASSERT_TRUE(body.ParseFromString(contract.body()));
  body.set_until_ms(9000);
  auto longer = contract;
  longer.set_body(body.SerializeAsString());
  EXPECT_EQ(check_offer(longer).error().code, Errc::corrupt);
}

TEST_F(Contracts, ARenewalIsDueFromTwoThirdsOfTheTermOn) {
  EXPECT_FALSE(renewal_due(1000, 4000, 2999));
  EXPECT_TRUE(renewal_due(1000, 4000, 3000));
  EXPECT_TRUE(renewal_due(1000, 4000, 9000));
  const auto last = std::numeric_limits<WallMs>::max();
  EXPECT_FALSE(renewal_due(0, last, 1));
  EXPECT_FALSE(contract_lapsed(4000, 4000 + contract_grace_ms));
  EXPECT_TRUE(contract_lapsed(4000, 4001 + contract_grace_ms));
  EXPECT_FALSE(contract_lapsed(last, 0));
}

TEST_F(Contracts, AReceiptIsForOneShardAtOneHolder) {
  const auto descriptor = checked(message).value();
  const auto id = server_id(holder.public_key());
  auto contract = offer_contract(owner, descriptor, 3, id, 1000, 2000);
  EXPECT_FALSE(is_receipt(contract, descriptor, 3, id));
  countersign(contract, holder);
  EXPECT_TRUE(is_receipt(contract, descriptor, 3, id));
  EXPECT_FALSE(is_receipt(contract, descriptor, 2, id));
  EXPECT_FALSE(is_receipt(contract, descriptor, 3, server_id(owner.public_key())));
  message.set_stripe(random.id<StripeId>().raw());
  EXPECT_FALSE(is_receipt(contract, checked(message).value(), 3, id));
}

TEST_F(Contracts, TermsOfAnotherShardDoNotMatch) {
  const auto descriptor = checked(message).value();
  const auto contract =
      offer_contract(owner, descriptor, 0, server_id(holder.public_key()), 1000, 2000);
  auto terms = check_offer(contract).value();
  terms.index = 1;
  EXPECT_FALSE(check_matches(terms, descriptor));
  terms.index = 6;
  EXPECT_FALSE(check_matches(terms, descriptor));
}

}  // namespace
}  // namespace spatter
