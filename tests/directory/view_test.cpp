// Which servers a full view keeps: by use, fairly by person, within its bound, whatever comes.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "directory/revocation.h"
#include "directory/roster.h"
#include "people.h"

namespace spatter {
namespace {

/// A network whose persons all are admitted, and one server's roster of it.
struct View {
  explicit View(std::size_t servers_max, std::size_t persons, std::uint64_t lots = 1)
      : own(people.server_of(*people.founder)),
        roster(people.facts, {servers_max, servers_max, own.server, own.person, key(lots)}) {
    roster.use_of = [this](const Member& member) {
      const auto at = uses.find(member.id);
      return at == uses.end() ? Use::none : at->second;
    };
    (void)roster.accept(people.record(own, 1)).value();
    for (std::size_t i = 0; i < persons; ++i) {
      others.push_back(people.person());
      (void)roster.admit(make_admission(*people.founder, people.facts.network, person_id(others[i].public_key()), 1))
          .value();
    }
  }
  static Key key(std::uint64_t seed) {
    Key key;
    SeededRandom(seed).fill(key.bytes);
    return key;
  }
  /// A new server of a person, offered with this use. Its record.
  wire::Signed offer(const SigningKey& person, Use use) {
    const auto identity = people.server_of(person);
    uses[identity.server] = use;
    last = identity.server;
    auto record = people.record(identity, 1);
    (void)roster.accept(record).value();
    return record;
  }
  std::size_t of(const SigningKey& person) const {
    return static_cast<std::size_t>(std::ranges::count_if(roster.servers(), [&](const auto& one) {
      return one.second.member.person == person_id(person.public_key());
    }));
  }

  People people;
  Identity own;
  Roster roster;
  std::vector<SigningKey> others;
  std::map<ServerId, Use> uses;
  ServerId last;
};

TEST(View, AServerTooManyIsNoErrorAndTheViewStaysWithinItsBound) {
  View view(8, 20);
  for (const auto& person : view.others) view.offer(person, Use::none);
  EXPECT_EQ(view.roster.servers().size(), 8u);
  EXPECT_TRUE(view.roster.is_full());
  EXPECT_TRUE(view.roster.holds(view.own.server));
  const auto let_go = view.roster.take_let_go();
  EXPECT_EQ(let_go.size(), 13u);
  for (const auto& one : let_go) EXPECT_FALSE(view.roster.find(one.entry.member.id));
  EXPECT_TRUE(view.roster.take_let_go().empty());
}

TEST(View, TheMoreUsefulDisplacesTheLessUseful) {
  View view(6, 30);
  for (std::size_t i = 0; i < 10; ++i) view.offer(view.others[i], Use::none);
  std::set<ServerId> watched, reachable;
  for (std::size_t i = 10; i < 13; ++i) {
    view.offer(view.others[i], Use::reachable);
    reachable.insert(view.last);
    EXPECT_TRUE(view.roster.holds(view.last));
  }
  for (std::size_t i = 13; i < 17; ++i) {
    view.offer(view.others[i], Use::watched);
    watched.insert(view.last);
    EXPECT_TRUE(view.roster.holds(view.last));
  }
  view.offer(*view.people.founder, Use::none);  // another server of the own person
  const auto mine = view.last;
  EXPECT_TRUE(view.roster.holds(mine));
  for (const auto& id : watched) EXPECT_TRUE(view.roster.holds(id));
  for (const auto& id : reachable) EXPECT_FALSE(view.roster.holds(id)) << "own 2 and watched 4 fill it";
}

TEST(View, AFloodOfServersPushesOutNobodyWhoIsWatched) {
  View view(40, 20);
  std::set<ServerId> watched;
  for (std::size_t i = 0; i < 15; ++i) {
    view.offer(view.others[i], Use::watched);
    watched.insert(view.last);
  }
  for (std::size_t i = 0; i < 600; ++i) view.offer(view.others[15 + i % 5], Use::reachable);
  for (const auto& id : watched) EXPECT_TRUE(view.roster.holds(id));
  EXPECT_EQ(view.roster.servers().size(), 40u);
}

TEST(View, ManyServersOfOnePersonTakeNoMorePlacesThanOthersHave) {
  View view(31, 10);
  for (int round = 0; round < 3; ++round)
    for (std::size_t i = 0; i < 9; ++i) view.offer(view.others[i], Use::reachable);
  for (std::size_t i = 0; i < 200; ++i) view.offer(view.others[9], Use::reachable);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(view.of(view.others[i]), 3u);
  EXPECT_EQ(view.of(view.others[9]), 3u);
}

TEST(View, ServersThatHaveOtherLotsKeepOthers) {
  View one(10, 60, 1), two(10, 60, 2), same(10, 60, 1);
  for (std::size_t i = 0; i < 60; ++i) {
    const auto record = one.offer(one.others[i], Use::none);
    (void)two.roster.accept(record).value();  // the same people: equal seeds
    (void)same.roster.accept(record).value();
  }
  EXPECT_NE(one.roster.digest(), two.roster.digest());
  EXPECT_EQ(one.roster.digest(), same.roster.digest());
  EXPECT_EQ(one.roster.common_digest(), two.roster.common_digest());
}

TEST(View, WhoeverWasKeptAndIsOfferedAgainStays) {
  View view(5, 40);
  std::vector<wire::Signed> records;
  for (const auto& person : view.others) records.push_back(view.offer(person, Use::none));
  const auto settled = view.roster.digest();
  for (const auto& record : records) EXPECT_FALSE(view.roster.accept(record).value());
  EXPECT_EQ(view.roster.digest(), settled) << "equal uses and lots: nobody takes turns";
}

TEST(View, VisitorsAreKnownBesideTheViewAndMoveIntoItWhenTheyAreWatched) {
  View view(4, 12);
  for (std::size_t i = 0; i < 12; ++i) view.offer(view.others[i], Use::reachable);
  for (auto& one : view.roster.take_let_go()) view.roster.add_visitor(std::move(one.entry));
  EXPECT_EQ(view.roster.visitors().size(), 4u) << "as many as the view has servers";
  const auto visitor = view.roster.visitors().begin()->first;
  ASSERT_TRUE(view.roster.find(visitor));
  EXPECT_FALSE(view.roster.holds(visitor));
  const auto before = view.roster.digest();
  view.uses[visitor] = Use::watched;
  EXPECT_EQ(view.roster.promote_visitors(), std::vector{visitor});
  EXPECT_TRUE(view.roster.holds(visitor));
  EXPECT_FALSE(view.roster.visitors().contains(visitor));
  EXPECT_EQ(view.roster.servers().size(), 4u);
  EXPECT_NE(view.roster.digest(), before);
  const auto gone = view.roster.take_let_go();
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_TRUE(gone[0].was_held);
}

TEST(View, AFloodOfVisitorsOfOnePersonPushesOutOnlyHisOwn) {
  View view(6, 8);
  std::vector<Roster::Entry> entries;
  const auto entry = [&](const SigningKey& person) {
    return check_server_record(view.people.record(view.people.server_of(person), 1), view.people.facts.network).value();
  };
  std::vector<ServerId> honest;
  for (std::size_t i = 0; i < 5; ++i) {
    auto one = entry(view.others[i]);
    honest.push_back(one.member.id);
    view.roster.add_visitor(std::move(one));
  }
  for (int i = 0; i < 100; ++i) view.roster.add_visitor(entry(view.others[7]));
  EXPECT_EQ(view.roster.visitors().size(), 6u);
  for (const auto& id : honest) EXPECT_TRUE(view.roster.visitors().contains(id));
}

TEST(View, ARetiredVisitorIsGoneAndAVisitorsNewerRecordIsTaken) {
  View view(2, 8);
  const auto identity = view.people.server_of(view.others[0]);
  for (std::size_t i = 1; i < 8; ++i) view.offer(view.others[i], Use::reachable);
  view.uses[identity.server] = Use::none;
  (void)view.roster.accept(view.people.record(identity, 1)).value();
  for (auto& one : view.roster.take_let_go())
    if (one.entry.member.id == identity.server) view.roster.add_visitor(std::move(one.entry));
  ASSERT_TRUE(view.roster.visitors().contains(identity.server));
  EXPECT_FALSE(view.roster.accept(view.people.record(identity, 1)).value());
  EXPECT_TRUE(view.roster.visitors().contains(identity.server)) << "an old record changes nothing";
  EXPECT_FALSE(view.roster.accept(view.people.record(identity, 2)).value()) << "no place in the view";
  for (auto& one : view.roster.take_let_go()) view.roster.add_visitor(std::move(one.entry));
  ASSERT_TRUE(view.roster.find(identity.server));
  EXPECT_EQ(view.roster.find(identity.server)->version, 2u);
  EXPECT_TRUE(view.roster.revoke(make_revocation(view.others[0], view.people.facts.network,
                                                 view.people.record(identity, 2), 1)).value());
  EXPECT_FALSE(view.roster.find(identity.server));
  view.roster.add_visitor(check_server_record(view.people.record(identity, 3), view.people.facts.network).value());
  EXPECT_FALSE(view.roster.find(identity.server));
}

/// Forty servers of eight persons come in any order, again and again, while what they are used for changes.
RC_GTEST_PROP(View, AfterAnyArrivals, ()) {
  static People people;
  static const Identity own = people.server_of(*people.founder);
  static const std::vector<Identity> servers = [] {
    std::vector<Identity> result{own, people.server_of(*people.founder)};
    for (int person = 0; person < 8; ++person) {
      const auto key = people.person();
      for (int i = 0; i < 5; ++i) result.push_back(people.server_of(key));
    }
    return result;
  }();
  static const std::vector<wire::Signed> records = [] {
    std::vector<wire::Signed> result;
    for (const auto& server : servers) result.push_back(people.record(server, 1));
    return result;
  }();
  const auto bound = *rc::gen::inRange<std::size_t>(1, 20);
  Roster roster(people.facts, {bound, bound, own.server, own.person, View::key(*rc::gen::inRange(0, 9))});
  std::map<ServerId, Use> uses;
  roster.use_of = [&](const Member& member) { return uses[member.id]; };
  for (const auto& server : servers)
    if (!roster.is_admitted(server.person))
      (void)roster.admit(make_admission(*people.founder, people.facts.network, server.person, 1)).value();
  RC_ASSERT(roster.accept(records[0]).value());
  const auto use_of = [&](const Member& member) {
    return member.person == own.person ? Use::own : uses[member.id];
  };
  for (const auto step : *rc::gen::container<std::vector<int>>(60, rc::gen::inRange(0, 3))) {
    const auto which = *rc::gen::inRange<std::size_t>(0, servers.size());
    const auto& id = servers[which].server;
    if (step == 0) {
      uses[id] = *rc::gen::element(Use::none, Use::reachable, Use::watched);
      for (const auto& promoted : roster.promote_visitors()) RC_ASSERT(roster.holds(promoted));
    } else {
      const bool known = roster.find(id) != nullptr;
      const bool kept = roster.accept(records[which]).value();
      RC_ASSERT((known ? !kept : kept == roster.holds(id)));
    }
    for (auto& [entry, was_held] : roster.take_let_go()) {
      RC_ASSERT(!roster.holds(entry.member.id));
      // Whoever goes is of no more use than anybody who stays.
      for (const auto& [kept, other] : roster.servers())
        RC_ASSERT(kept == own.server || use_of(entry.member) <= use_of(other.member));
      if (*rc::gen::arbitrary<bool>()) roster.add_visitor(std::move(entry));
    }
    RC_ASSERT(roster.holds(own.server));
    RC_ASSERT(roster.servers().size() <= bound);
    RC_ASSERT(roster.visitors().size() <= bound);
    for (const auto& [visitor, entry] : roster.visitors()) RC_ASSERT(!roster.holds(visitor));
  }
}

}  // namespace
}  // namespace spatter
