// Seed chains: known answers (by a second implementation), every altered byte found, and cheating
// proved. And the procedures that a chain draws.
#include "chance/seed_chain.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/random.h"
#include "chance/procedure.h"

namespace spatter {
namespace {

using Kind = Contribution::Kind;

Digest digest(int number) {
  Digest result;
  result.bytes.fill(static_cast<std::uint8_t>(number));
  return result;
}

SigningKey known_key() {
  return SigningKey::from_seed(
      Key::from(from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").value()).value());
}

NetworkId network() {
  NetworkId id;
  id.bytes.fill(0x4e);
  return id;
}

/// Appends a link and gives the head after it.
SeedHead extend(SeedChain& chain, const SigningKey& key, const SeedHead& last, std::uint64_t epoch,
                std::vector<Contribution> contributions = {}) {
  chain.links.push_back(make_seed_link(key, last, epoch, std::move(contributions)).value());
  return check_seed_link(last, chain.links.back()).value();
}

SeedChain known_chain() {
  SeedChain chain{make_seed_root(known_key(), network(), digest(0x56), 10), {}};
  SeedHead head = check_seed_root(chain.root, network()).value();
  head = extend(chain, known_key(), head, 11);
  head = extend(chain, known_key(), head, 13, {{Kind::vouch, digest(2)}, {Kind::audit, digest(9)}, {Kind::vouch, digest(2)}});
  extend(chain, known_key(), head, 20, {{Kind::audit, digest(1)}});
  return chain;
}

TEST(SeedChain, KnownAnswers) {
  const SeedChain chain = known_chain();
  EXPECT_EQ(to_hex(chain.root.signature), "1424f297bf0091f3e7261363411e377ceff813756967760dff01af022d7cf670"
                                          "44b8e5faa9dd0e0b5b6dc09d4a93ecc9e57099b1def09da6c0090db1be977105");
  EXPECT_EQ(to_hex(chain.links[1].signature), "29c1e903880610c6cea94ae959fa7463bfd21125b57ce5c98c890d7d0816ab03"
                                              "7eab50a02df1634bab804e7bdc37054d0bddbde595fb3f0ae0d29e6c5cc8130c");
  const auto heads = check_seed_chain(chain, network()).value();
  ASSERT_EQ(heads.size(), 4u);
  EXPECT_EQ(heads[0].head.hex(), "e5cad373da208cbe08623714671b0c6e954a5a69d14c0e8708a9dd59be47db74");
  EXPECT_EQ(heads[1].head.hex(), "64f5ec066dc61ceb0ee30e27309d8c0cd7eb82199af0665d8beb3e1a1bb2829e");
  EXPECT_EQ(heads[2].head.hex(), "f4ff6499dde023ddc88bc17c9a271c01abe3896474fef58b41587e63bb7fff03");
  EXPECT_EQ(heads[3].head.hex(), "5fb1a5c359159983548ecb25e94e708d3ec5367a9757c5df071699476bf5a449");
  EXPECT_EQ(heads[3].number, 3u);
  EXPECT_EQ(heads[3].epoch, 20u);
}

TEST(SeedChain, ProceduresKnownAnswers) {
  const auto heads = check_seed_chain(known_chain(), network()).value();
  struct Case {
    std::uint64_t done, period, due;
    std::optional<Procedure> what;
    std::uint64_t drawn_by;
  };
  for (const Case& c : {Case{10, 4, 12, Procedure::new_clip, 2}, Case{10, 9, 15, Procedure::recovery_words, 3},
                        Case{11, 9, 19, Procedure::recovery_words, 3}, Case{13, 100, 73, std::nullopt, 0},
                        Case{12, 1, 13, Procedure::new_clip, 2}}) {
    const NextProcedure next = next_procedure(heads, c.done, c.period);
    EXPECT_EQ(next.due_epoch, c.due);
    EXPECT_EQ(next.what, c.what);
    EXPECT_EQ(next.drawn_by, c.drawn_by);
  }
}

TEST(SeedChain, AProcedureIsDueBetweenHalfAPeriodAndAWholeOne) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRandom random(seed);
    const std::uint64_t done = random.below(1000), period = 1 + random.below(500);
    std::vector<SeedHead> heads(1 + random.below(20));
    for (std::size_t i = 0; i < heads.size(); ++i) {
      heads[i].number = i;
      heads[i].epoch = i == 0 ? random.below(1000) : heads[i - 1].epoch + 1 + random.below(200);
      heads[i].head = random.id<Digest>();
    }
    const NextProcedure next = next_procedure(heads, done, period);
    RC_ASSERT(2 * (next.due_epoch - done) >= period && next.due_epoch - done <= period);
    if (next.what) {
      RC_ASSERT(heads[next.drawn_by].epoch >= next.due_epoch);
      RC_ASSERT(next.drawn_by == 1 || heads[next.drawn_by - 1].epoch < next.due_epoch);
    } else {
      RC_ASSERT(heads.size() == 1 || heads.back().epoch < next.due_epoch);
    }
  }));
}

struct RandomChain {
  SigningKey key;
  SeedChain chain;
  std::vector<SeedHead> heads;
};

RandomChain random_chain(SeededRandom& random, std::size_t links) {
  RandomChain made{SigningKey::generate(random), {}, {}};
  made.chain.root = make_seed_root(made.key, network(), random.id<Digest>(), random.below(1000));
  made.heads.push_back(check_seed_root(made.chain.root, network()).value());
  for (std::size_t i = 0; i < links; ++i) {
    std::vector<Contribution> contributions(random.below(5));
    for (Contribution& one : contributions) one = {random.below(2) ? Kind::audit : Kind::vouch, random.id<Digest>()};
    made.heads.push_back(extend(made.chain, made.key, made.heads.back(), made.heads.back().epoch + 1 + random.below(9),
                                contributions));
  }
  return made;
}

TEST(SeedChain, WhateverIsAlteredIsFound) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    SeededRandom random(seed);
    RandomChain made = random_chain(random, 3);
    RC_ASSERT(check_seed_chain(made.chain, network()).value().back().head == made.heads.back().head);
    SeedLink& link = made.chain.links[random.below(3)];
    const auto flip = [&](MutableBytes bytes) {
      bytes[random.below(bytes.size())] ^= static_cast<std::uint8_t>(1 << random.below(8));
    };
    switch (random.below(12)) {
      case 0: flip(made.chain.root.network.bytes); break;
      case 1: flip(made.chain.root.person.bytes); break;
      case 2: flip(made.chain.root.video.bytes); break;
      case 3: made.chain.root.epoch ^= 1; break;
      case 4: flip(made.chain.root.signature); break;
      case 5: ++link.number; break;
      case 6: ++link.epoch; break;
      case 7: flip(link.previous.bytes); break;
      case 8: flip(link.proof); break;
      case 9: flip(link.signature); break;
      case 10: link.contributions.push_back({Kind::vouch, random.id<Digest>()}); break;
      default: made.chain.links.erase(made.chain.links.begin() + static_cast<std::ptrdiff_t>(random.below(2)));
    }
    RC_ASSERT(!check_seed_chain(made.chain, network()));
  }));
}

TEST(SeedChain, OnlyTheLastHeadsPersonGoesOnAndOnceInAnEpoch) {
  SeededRandom random(1);
  RandomChain made = random_chain(random, 2);
  const SeedHead last = made.heads.back();
  EXPECT_EQ(make_seed_link(SigningKey::generate(random), last, last.epoch + 1, {}).error().code, Errc::denied);
  EXPECT_EQ(make_seed_link(made.key, last, last.epoch, {}).error().code, Errc::exists);
  EXPECT_EQ(make_seed_link(made.key, last, 0, {}).error().code, Errc::exists);
  std::vector<Contribution> many(seed_contributions_max + 1);
  for (Contribution& one : many) one.statement = random.id<Digest>();
  EXPECT_EQ(make_seed_link(made.key, last, last.epoch + 1, many).error().code, Errc::invalid);
  many.pop_back();
  EXPECT_TRUE(make_seed_link(made.key, last, last.epoch + 1, many));
}

TEST(SeedChain, ALinkWhoseDrawIsNotOfThisChainIsRefusedThoughItIsSigned) {
  // The person signs whatever he likes; the draw is what he cannot choose.
  SeededRandom random(2);
  RandomChain made = random_chain(random, 1), other = random_chain(random, 1);
  SeedHead elsewhere = made.heads[0];
  elsewhere.head = random.id<Digest>();
  SeedLink link = make_seed_link(made.key, elsewhere, elsewhere.epoch + 1, {}).value();
  EXPECT_EQ(check_seed_link(made.heads[0], link).error().code, Errc::corrupt);
  EXPECT_FALSE(check_seed_link(other.heads[0], made.chain.links[0]));
}

TEST(SeedChain, ContributionsOutOfOrderOrTwiceAreRefused) {
  SeedChain chain = known_chain();
  std::swap(chain.links[1].contributions[0], chain.links[1].contributions[1]);
  auto refused = check_seed_chain(chain, network());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("link 2"), std::string::npos) << refused.error().message;
  chain.links[1].contributions[1] = chain.links[1].contributions[0];
  EXPECT_EQ(check_seed_chain(chain, network()).error().code, Errc::invalid);
}

TEST(SeedChain, OfAnotherNetworkIsDenied) {
  NetworkId other = network();
  other.bytes[0] ^= 1;
  EXPECT_EQ(check_seed_chain(known_chain(), other).error().code, Errc::denied);
}

TEST(SeedChain, TwoLinksOfOneNumberProveThatTheirPersonCheats) {
  SeededRandom random(3);
  const RandomChain made = random_chain(random, 3);
  SeedChain forked = made.chain;
  forked.links.resize(1);
  extend(forked, made.key, made.heads[1], made.heads[1].epoch + 1, {{Kind::audit, digest(7)}});

  const auto conflict = find_seed_conflict(made.chain, forked);
  ASSERT_TRUE(conflict);
  EXPECT_EQ(conflict->one.number, 2u);
  EXPECT_TRUE(check_seed_conflict(*conflict, network()));

  SeedConflict forged = *conflict;  // nobody can make one up
  forged.other.epoch += 1;
  EXPECT_EQ(check_seed_conflict(forged, network()).error().code, Errc::corrupt);
  forged = *conflict;
  forged.other = forged.one;
  EXPECT_EQ(check_seed_conflict(forged, network()).error().code, Errc::invalid);
  forged.other = made.chain.links[2];
  EXPECT_EQ(check_seed_conflict(forged, network()).error().code, Errc::invalid);
  forged = *conflict;
  forged.root = random_chain(random, 0).chain.root;
  EXPECT_FALSE(check_seed_conflict(forged, network()));
}

TEST(SeedChain, AChainAndItsContinuationDoNotContradictEachOther) {
  SeededRandom random(4);
  const RandomChain made = random_chain(random, 4), other = random_chain(random, 4);
  SeedChain shorter = made.chain;
  shorter.links.resize(2);
  EXPECT_FALSE(find_seed_conflict(made.chain, shorter));
  EXPECT_FALSE(find_seed_conflict(shorter, made.chain));
  EXPECT_FALSE(find_seed_conflict(made.chain, other.chain));  // two persons
}

}  // namespace
}  // namespace spatter
