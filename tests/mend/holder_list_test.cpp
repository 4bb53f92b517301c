// Aim: a chain of holder lists convinces exactly when each step is signed by those who may.
// Method: chains made by hand, and each thing about them spoilt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "mend/danger.h"
#include "trust/holder_list.h"

namespace spatter {
namespace {

struct HolderLists : testing::Test {
  HolderLists() {
    for (int i = 0; i < 5; ++i) keys.push_back(SigningKey::generate(random));
    descriptor.stripe = random.id<StripeId>();
    descriptor.person = random.id<PersonId>();
    descriptor.k = 2;
    descriptor.n = 6;
    list.stripe = descriptor.stripe;
    list.version = 100;
    for (std::uint8_t i = 0; i < 5; ++i) list.holders.push_back({id(i), {i}});
    list.holders[0].indices.push_back(5);
    chain = make_owner_chain(owner, list);
    list = read_holder_list(chain.lists(0).body()).value();
  }
  ServerId id(unsigned i) const { return server_id(keys[i].public_key()); }
  Result<HolderChainFacts> check() const {
    return check_holder_chain(chain, descriptor, [this](const ServerId& server, const PersonId& person) {
      return server == server_id(owner.public_key()) && person == descriptor.person;
    });
  }
  /// Another list on top, signed by these.
  void add(HolderList next, const std::vector<unsigned>& signers) {
    next.previous = holder_list_id(chain.lists(chain.lists_size() - 1).body());
    auto* step = chain.add_lists();
    step->set_body(holder_list_body(std::move(next)));
    std::vector<wire::HolderList::Signature> signatures;
    for (const auto i : signers) signatures.push_back(sign_holder_list(keys[i], step->body()));
    std::ranges::sort(signatures, {}, [](const auto& one) { return one.key(); });
    for (const auto& one : signatures) *step->add_signatures() = one;
  }
  HolderList without(unsigned gone) const {
    HolderList next = list;
    next.version = list.version + 1;
    std::erase_if(next.holders, [&](const HolderEntry& entry) { return entry.server == id(gone); });
    return next;
  }

  SeededRandom random{1};
  SigningKey owner = SigningKey::generate(random);
  std::vector<SigningKey> keys;
  Descriptor descriptor;
  HolderList list;
  wire::HolderChain chain;
};

TEST_F(HolderLists, AnOwnersListIsItsOwnProof) {
  const auto facts = check();
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_TRUE(facts->by_owner);
  EXPECT_EQ(facts->newest.holders, list.holders);
  EXPECT_TRUE(facts->newest.names(id(0), 5));
  EXPECT_FALSE(facts->newest.names(id(1), 5));
}

TEST_F(HolderLists, SomebodyElsesListIsNone) {
  chain = make_owner_chain(keys[0], list);
  EXPECT_EQ(check().error().code, Errc::denied);
}

TEST_F(HolderLists, AMajorityOfTheHoldersMayChangeIt) {
  add(without(4), {0, 1, 2});
  const auto facts = check();
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_FALSE(facts->by_owner);
  EXPECT_FALSE(facts->by_few);
  EXPECT_EQ(facts->newest.holders.size(), 4u);
}

TEST_F(HolderLists, HalfOfThemMayNot) {
  add(without(4), {0, 1});
  EXPECT_EQ(check().error().code, Errc::denied);
}

TEST_F(HolderLists, OneWhoSignsTwiceIsOne) {
  add(without(4), {0, 1, 1});
  EXPECT_FALSE(check());
}

TEST_F(HolderLists, WhoeverIsNoHolderDoesNotCount) {
  add(without(4), {0, 1, 2});
  HolderList next = without(3);
  next.version += 1;
  add(next, {0, 4, 3});  // 4 is out by now: two of four
  EXPECT_EQ(check().error().code, Errc::denied);
}

TEST_F(HolderLists, WhoIsAbsentDoesNotCountIfTheOthersHaveEnough) {
  HolderList next = without(4);
  next.absent = {id(2), id(3), id(4)};
  add(next, {0, 1});  // shards 0, 5 and 1: two distinct ones are needed
  const auto facts = check();
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_TRUE(facts->by_few);
}

TEST_F(HolderLists, TooFewShardsAreNoStripe) {
  HolderList next = without(4);
  next.absent = {id(0), id(2), id(3), id(4)};
  add(next, {1});
  EXPECT_EQ(check().error().code, Errc::denied);
}

TEST_F(HolderLists, StepsFollowOneAnother) {
  add(without(4), {0, 1, 2});
  chain.mutable_lists()->DeleteSubrange(0, 1);
  EXPECT_EQ(check().error().code, Errc::invalid);  // does not begin with the owner's
}

TEST_F(HolderLists, VersionsRise) {
  HolderList next = without(4);
  next.version = list.version;
  add(next, {0, 1, 2});
  EXPECT_EQ(check().error().code, Errc::invalid);
}

TEST_F(HolderLists, NothingOfItMayBeAltered) {
  add(without(4), {0, 1, 2});
  const auto good = chain.SerializeAsString();
  // Every byte matters, but those of tags and lengths that Protobuf itself refuses.
  for (std::size_t i = 0; i < good.size(); i += 3) {
    auto bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    wire::HolderChain other;
    if (!other.ParseFromString(bad)) continue;
    if (other.SerializeAsString() == good) continue;
    chain = other;
    const auto facts = check();
    EXPECT_TRUE(!facts || facts->newest.version == 100) << "byte " << i;
  }
}

TEST_F(HolderLists, ShardsBeyondTheStripeAreRefused) {
  list.holders[1].indices = {6};
  chain = make_owner_chain(owner, list);
  EXPECT_EQ(check().error().code, Errc::invalid);
}

TEST(Danger, ClassesAsDesigned) {
  EXPECT_EQ(danger_of(16, 48), Danger::none);
  EXPECT_EQ(danger_of(16, 47), Danger::tidy);
  EXPECT_EQ(danger_of(16, 33), Danger::tidy);
  EXPECT_EQ(danger_of(16, 32), Danger::due);
  EXPECT_EQ(danger_of(16, 24), Danger::due);
  EXPECT_EQ(danger_of(16, 23), Danger::urgent);
  EXPECT_EQ(danger_of(16, 16), Danger::urgent);
  EXPECT_EQ(danger_of(16, 15), Danger::lost);
  EXPECT_EQ(danger_of(1, 3), Danger::none);
  EXPECT_EQ(danger_of(1, 2), Danger::due);
  EXPECT_EQ(danger_of(1, 1), Danger::urgent);
  EXPECT_EQ(danger_of(1, 0), Danger::lost);
}

TEST(Danger, CoordinatorsAreDrawnAnewForEachList) {
  SeededRandom random(3);
  std::vector<ServerId> servers;
  for (int i = 0; i < 6; ++i) servers.push_back(random.id<ServerId>());
  const auto stripe = random.id<StripeId>();
  std::map<ServerId, unsigned> first;
  for (std::uint64_t version = 1; version <= 600; ++version) {
    const auto order = coordinators(stripe, version, servers);
    EXPECT_TRUE(std::ranges::is_permutation(order, servers));
    ++first[order.front()];
  }
  for (const auto& server : servers) {
    EXPECT_GT(first[server], 60u);
    EXPECT_LT(first[server], 150u);
  }
  auto shuffled = servers;
  std::ranges::reverse(shuffled);
  EXPECT_EQ(coordinators(stripe, 5, servers), coordinators(stripe, 5, shuffled));
}

}  // namespace
}  // namespace spatter
