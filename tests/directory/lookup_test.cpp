// Look-ups through a network that exists on paper only: everybody's answer is a function.
#include "directory/lookup.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "contacts.h"

namespace spatter {
namespace {

using namespace std::chrono_literals;

/// A network of servers that know, of each 16th part of each bucket, one that is in it, and the 64
/// nearest to themselves; some of them lie.
class Paper {
 public:
  enum class Lie { none, drop, only_liars, dead_ends };

  Paper(std::uint64_t seed, std::size_t servers, double liars, Lie lie)
      : maker(seed), lie_(lie) {
    for (std::size_t i = 0; i < servers; ++i) {
      all.push_back(maker.any());
      if (i > 0 && maker.random.unit() < liars) liars_.insert(all.back());
    }
    target = maker.random.id<Position>();
    auto record = std::make_shared<Record>();
    record->facts.version = 2;
    newest = record;
    auto old = std::make_shared<Record>();
    old->facts.version = 1;
    oldest = old;
    nearest_ = all;
    sort_for(nearest_, target);
    for (const auto& place : choose_places(nearest_, replicas, false))
      if (!liars_.contains(place)) holders.insert(place);
  }

  static void sort_for(std::vector<ContactPtr>& contacts, const Position& target) {
    std::ranges::sort(contacts, [&](const auto& a, const auto& b) { return nearer(a, b, target); });
  }

  /// What an honest server's table holds near a target.
  std::vector<ContactPtr> known_by(const ContactPtr& server, const Position& near,
                                   std::size_t count) const {
    std::map<std::pair<int, int>, ContactPtr> slots;
    std::vector<ContactPtr> result = all;
    sort_for(result, server->position);
    std::vector<ContactPtr> known(result.begin() + 1,
                                  result.begin() + std::min<std::ptrdiff_t>(65, result.size()));
    for (const auto& contact : all) {
      if (contact == server) continue;
      const int bucket = distance(contact->position, server->position).shared_bits();
      const int part = bucket + 4 < 64 ? static_cast<int>(position_word(contact->position, 0) >>
                                                          (64 - bucket - 5) & 15)
                                       : 0;
      slots.try_emplace({bucket, part}, contact);
    }
    for (const auto& [slot, contact] : slots) known.push_back(contact);
    sort_for(known, near);
    known.erase(std::unique(known.begin(), known.end()), known.end());
    if (known.size() > count) known.resize(count);
    return known;
  }

  std::optional<DirectoryReply> ask(const Lookup::Query& query) const {
    DirectoryReply reply;
    const bool liar = liars_.contains(query.to);
    if (dead.contains(query.to) || (liar && lie_ == Lie::drop)) return std::nullopt;
    std::vector<ContactPtr> told;
    if (!liar) told = known_by(query.to, target, 80);
    else if (lie_ == Lie::only_liars) told.assign(liars_.begin(), liars_.end());
    else told.assign(dead.begin(), dead.end());
    sort_for(told, target);
    for (const auto& contact : told) {
      if (reply.contacts.size() == query.contacts) break;
      if (std::ranges::binary_search(query.known, contact_tag(contact->id))) continue;
      if (distance(contact->position, target).words[0] > query.within) continue;
      reply.contacts.push_back(contact);
    }
    if (holders.contains(query.to)) reply.record = newest;
    else if (liar && lie_ == Lie::only_liars) reply.record = oldest;
    return reply;
  }

  Lookup run(Lookup::Want want, std::size_t* most_of_a_person = nullptr) {
    Lookup lookup(want, target, all[0]->id, known_by(all[0], target, 32),
                  static_cast<double>(all.size()), all.size() <= 64);
    TimePoint now{1h};
    std::map<PersonId, std::size_t> asked;
    for (int turn = 0; turn < 10'000 && !lookup.done(); ++turn, now += 1ms) {
      const auto queries = lookup.next(now);
      for (const auto& query : queries) {
        ++asked[query.to->person];
        if (const auto reply = ask(query)) lookup.answered(query.number, *reply, now);
        else lookup.failed(query.number);
      }
    }
    EXPECT_TRUE(lookup.done());
    if (most_of_a_person)
      for (const auto& [person, count] : asked)
        *most_of_a_person = std::max(*most_of_a_person, count);
    return lookup;
  }

  ContactMaker maker;
  std::vector<ContactPtr> all, nearest_;
  Position target;
  RecordPtr newest, oldest;
  std::set<ContactPtr> holders, dead;

 private:
  std::set<ContactPtr> liars_;
  Lie lie_;
};

TEST(Lookup, FindsTheRecordInFewHops) {
  Paper paper(1, 2000, 0, Paper::Lie::none);
  const Lookup lookup = paper.run(Lookup::Want::record);
  ASSERT_TRUE(lookup.record());
  EXPECT_EQ(lookup.record(), paper.newest);
  EXPECT_LE(lookup.hops(), 4u);
  EXPECT_LE(lookup.queries(), 60u);
  EXPECT_EQ(lookup.rounds(), 1u);
  EXPECT_TRUE(lookup.liars().empty());
}

TEST(Lookup, FindsThePlacesOfARecord) {
  Paper paper(2, 2000, 0, Paper::Lie::none);
  const Lookup lookup = paper.run(Lookup::Want::servers);
  EXPECT_EQ(lookup.places(), choose_places(paper.nearest_, replicas, false));
  EXPECT_TRUE(lookup.dense());
}

TEST(Lookup, ASmallNetworkIsOneHop) {
  Paper paper(3, 40, 0, Paper::Lie::none);
  const Lookup lookup = paper.run(Lookup::Want::record);
  ASSERT_TRUE(lookup.record());
  EXPECT_EQ(lookup.hops(), 1u);
  EXPECT_EQ(lookup.queries(), 6u);
}

TEST(Lookup, WhatNobodyHasIsNotFound) {
  Paper paper(4, 1000, 0, Paper::Lie::none);
  paper.holders.clear();
  const Lookup lookup = paper.run(Lookup::Want::record);
  EXPECT_FALSE(lookup.record());
  EXPECT_LE(lookup.queries(), 240u);
}

TEST(Lookup, EndsWhenNobodyAnswers) {
  Paper paper(5, 1000, 0, Paper::Lie::none);
  paper.dead.insert(paper.all.begin(), paper.all.end());
  const Lookup lookup = paper.run(Lookup::Want::record);
  EXPECT_FALSE(lookup.record());
  EXPECT_TRUE(lookup.answering().empty());
}

TEST(Lookup, WithNobodyToAskItIsOverAtOnce) {
  Lookup lookup(Lookup::Want::record, {}, {}, {}, 1, true);
  EXPECT_TRUE(lookup.next(TimePoint{1h}).empty());
  EXPECT_TRUE(lookup.done());
}

TEST(Lookup, PlacesThatLackTheNewestAreNamed) {
  Paper paper(6, 500, 0, Paper::Lie::none);
  const auto without = choose_places(paper.nearest_, replicas, false).front();
  paper.holders.erase(without);
  const Lookup lookup = paper.run(Lookup::Want::record);
  ASSERT_TRUE(lookup.record());
  const auto lacking = lookup.lacking();
  EXPECT_TRUE(std::ranges::find(lacking, without) != lacking.end());
}

/// A region where the `region` nearest to the target know one another and nobody else, and all have one
/// version; the newest is at whoever is beyond them.
struct Enclave {
  explicit Enclave(std::size_t region, double network_size) : size(network_size) {
    target = maker.random.id<Position>();
    auto record = std::make_shared<Record>();
    record->facts.version = 1;
    told = record;
    for (std::size_t i = 0; i < region; ++i) inside.push_back(maker.at(maker.sharing(target, 10)));
    Paper::sort_for(inside, target);
  }
  Lookup run() const {
    Lookup lookup(Lookup::Want::record, target, {}, {inside.begin(), inside.begin() + 2}, size, false);
    TimePoint now{1h};
    for (int turn = 0; turn < 10'000 && !lookup.done(); ++turn, now += 1ms)
      for (const auto& query : lookup.next(now)) {
        DirectoryReply reply;
        reply.record = told;
        for (const auto& contact : inside)
          if (reply.contacts.size() < query.contacts &&
              !std::ranges::binary_search(query.known, contact_tag(contact->id)))
            reply.contacts.push_back(contact);
        lookup.answered(query.number, reply, now);
      }
    EXPECT_TRUE(lookup.done());
    return lookup;
  }

  ContactMaker maker{21};
  Position target;
  RecordPtr told;
  std::vector<ContactPtr> inside;
  double size;
};

TEST(Lookup, SixWhoAgreeAreBelievedWhereTheRegionIsHalfAsFullAsItShouldBe) {
  // All that share ten bits with the target are in the region that should hold 24.
  const Lookup lookup = Enclave(14, 24 * 512).run();
  EXPECT_EQ(lookup.rounds(), 1u);
  EXPECT_FALSE(lookup.dense());
  EXPECT_LT(lookup.queries(), 14u);
  EXPECT_EQ(lookup.record()->facts.version, 1u);
}

TEST(Lookup, SixWhoAgreeAreNotBelievedInARegionThatIsTooEmpty) {
  // Colluders agree as well, but they cannot be as many as honest servers would be.
  const Enclave enclave(9, 24 * 512);
  const Lookup lookup = enclave.run();
  EXPECT_EQ(lookup.rounds(), LookupOptions{}.rounds);
  EXPECT_FALSE(lookup.dense());
  EXPECT_EQ(lookup.queries(), enclave.inside.size());  // nobody is left to be asked
  // In a network as small as that they are all there should be.
  const Lookup small = Enclave(9, 20).run();
  EXPECT_EQ(small.rounds(), 1u);
  EXPECT_TRUE(small.dense());
}

class LookupAmongLiars : public testing::TestWithParam<std::tuple<double, Paper::Lie>> {};

TEST_P(LookupAmongLiars, FindsTheNewestNearlyAlways) {
  const auto [share, lie] = GetParam();
  int found = 0;
  constexpr int runs = 60;
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    Paper paper(seed, 600, share, lie);
    if (lie == Paper::Lie::dead_ends)
      for (int i = 0; i < 100; ++i) paper.dead.insert(paper.maker.any());
    found += paper.run(Lookup::Want::record).record() == paper.newest;
  }
  EXPECT_GE(found, share > 0.4 ? runs * 95 / 100 : runs - 1);
}

INSTANTIATE_TEST_SUITE_P(
    All, LookupAmongLiars,
    testing::Combine(testing::Values(0.2, 0.3, 0.5),
                     testing::Values(Paper::Lie::drop, Paper::Lie::only_liars,
                                     Paper::Lie::dead_ends)));

TEST(Lookup, SomebodyWithManyServersIsNotAskedMoreThanOthers) {
  ContactMaker maker(9);
  const Position target = maker.random.id<Position>();
  const auto person = maker.random.id<PersonId>();
  std::vector<ContactPtr> start;
  for (int i = 0; i < 28; ++i) start.push_back(maker.at(maker.sharing(target, 8), person));
  for (int i = 0; i < 4; ++i) start.push_back(maker.at(maker.sharing(target, 4)));
  Lookup lookup(Lookup::Want::record, target, maker.random.id<ServerId>(), start, 5000, false);
  std::size_t his = 0, theirs = 0;
  for (const auto& query : lookup.next(TimePoint{1h}))
    ++(query.to->person == person ? his : theirs);
  EXPECT_EQ(his, 1u);
  EXPECT_EQ(theirs, 4u);
}

RC_GTEST_PROP(Lookup, EndsWithinItsBoundsWhateverIsAnswered, (std::uint64_t seed)) {
  ContactMaker maker(seed);
  const Position target = maker.random.id<Position>();
  std::vector<ContactPtr> start;
  for (std::uint64_t i = maker.random.below(33); i > 0; --i) start.push_back(maker.any());
  const LookupOptions options;
  Lookup lookup(maker.random.below(2) ? Lookup::Want::record : Lookup::Want::servers, target,
                maker.random.id<ServerId>(), start, 1 + static_cast<double>(maker.random.below(100'000)),
                false);
  std::vector<Lookup::Query> open;
  std::set<ServerId> asked;
  TimePoint now{1h};
  for (int turn = 0; turn < 5000 && !lookup.done(); ++turn) {
    now += 100ms;
    for (auto& query : lookup.next(now)) {
      RC_ASSERT(asked.insert(query.to->id).second);
      open.push_back(std::move(query));
    }
    if (open.empty()) continue;
    std::swap(open.back(), open[maker.random.below(open.size())]);
    DirectoryReply reply;
    for (std::uint64_t i = maker.random.below(20); i > 0; --i)
      reply.contacts.push_back(maker.at(maker.sharing(target, maker.random.below(30))));
    if (maker.random.below(4) == 0) {
      auto record = std::make_shared<Record>();
      record->facts.version = maker.random.below(3);
      reply.record = record;
    }
    if (maker.random.below(4) == 0) lookup.failed(open.back().number);
    else lookup.answered(open.back().number, reply, now);
    open.pop_back();
  }
  RC_ASSERT(lookup.done());
  RC_ASSERT(lookup.queries() <= options.queries_max);
}

}  // namespace
}  // namespace spatter
