// Whole servers in the directory, in the simulated world: how they come in, what they publish, who may not,
// and what others find.
#include "directory/place_rule.h"
#include "directory/roster.h"
#include "net/methods.h"
#include "servers.h"
#include "spatter/placement.h"
#include "wire/proto/directory.pb.h"

namespace spatter {
namespace {

class DirectoryDeskTest : public ServerTest {
 public:
  static DirectoryDesk& desk(SimServer& node) { return node.server->directory(); }
  static PersonId person(SimServer& node) { return node.server->identity().person; }
  static ServerId id(SimServer& node) { return node.server->identity().server; }

  Task<Result<void>> wait_for(std::string what, std::function<bool()> reached) {
    for (int i = 0; i < 1200; ++i) {
      if (reached()) co_return Result<void>{};
      co_await world.sleep(500ms);
    }
    co_return fail(Errc::timeout, "it never came about that {}", what);
  }
  static bool drawn_by(SimServer& node, const PersonId& drawer) {
    const auto place = desk(node).place();
    return desk(node).directory() && place && place->drawers == std::vector{drawer};
  }
  /// Whether each server that is up is in the directory and has had an answer from all others of them.
  bool all_know_all() const {
    const auto up = std::ranges::count_if(nodes, [](const auto& node) { return node->server != nullptr; });
    return std::ranges::all_of(nodes, [&](const auto& node) {
      if (!node->server) return true;
      const auto directory = desk(*node).directory();
      return directory && directory->core().table().proven() == static_cast<std::size_t>(up) - 1;
    });
  }
  Task<Result<void>> make_directory(std::size_t count) {
    CO_TRY_VOID(co_await make_network(count));
    CO_TRY_VOID(co_await wait_for("all know all", [this] { return all_know_all(); }));
    for (auto& node : nodes) co_await desk(*node).publish_now();
    co_return Result<void>{};
  }
  static Task<Result<std::string>> value_of(SimServer& at, RecordKey key) {
    CO_TRY(const auto answer, co_await desk(at).get(key));
    co_return answer.found.record->value;
  }
  static Task<Result<StripeHoldersFacts>> holders_of(SimServer& at, const StripeId& stripe, const ServerId& owner) {
    CO_TRY(const auto value, co_await value_of(at, stripe_key_of(stripe, owner)));
    co_return read_stripe_holders(as_bytes(value), at.server->identity().network);
  }
  static std::vector<ServerId> known_by(SimServer& at) {
    std::vector<ServerId> result;
    for (const auto& one : desk(at).directory()->core().table().known()) result.push_back(one.contact->id);
    return result;
  }
};

TEST_F(DirectoryDeskTest, TheFounderDrawsForHimselfUntilAnotherPersonCanDoIt) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.node().init());
    auto& founder = *test.nodes[0];
    CO_TRY_VOID(co_await founder.up());
    CO_TRY_VOID(co_await test.wait_for("the founder is in", [&] { return drawn_by(founder, person(founder)); }));
    const auto alone = desk(founder).directory()->core().own()->position;
    CO_TRY_VOID(co_await test.grow());
    auto& second = *test.nodes[1];
    CO_TRY_VOID(co_await test.wait_for("each has drawn for the other", [&] {
      return drawn_by(founder, person(second)) && drawn_by(second, person(founder));
    }));
    EXPECT_NE(desk(founder).directory()->core().own()->position, alone);
    co_return co_await test.wait_for("they know each other", [&] { return test.all_know_all(); });
  }(*this));
}

TEST_F(DirectoryDeskTest, AllComeInAndEachFindsEveryServerAndPerson) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_directory(5));
    std::vector<PersonId> persons;
    for (auto& node : test.nodes) persons.push_back(person(*node));
    for (auto& node : test.nodes) {
      EXPECT_EQ(desk(*node).why_absent(), "");
      const auto place = desk(*node).place();
      EXPECT_TRUE(place && keeps_place(*place, 0, persons));
      EXPECT_TRUE(place && std::ranges::find(place->drawers, person(*node)) == place->drawers.end());
    }
    for (auto& at : test.nodes) {
      for (auto& of : test.nodes) {
        CO_TRY(const auto server, co_await value_of(*at, server_key_of(id(*of))));
        wire::Signed record;
        EXPECT_TRUE(record.ParseFromString(server));
        CO_TRY(const auto entry, check_server_record(record, at->server->identity().network));
        EXPECT_EQ(entry.member.id, id(*of));
        EXPECT_EQ(entry.member.addresses, (std::vector<Address>{{of->machine.host(), 4840}}));
        CO_TRY(const auto his, co_await value_of(*at, person_key_of(person(*of))));
        CO_TRY(const auto facts, read_person_servers(as_bytes(his), at->server->identity().network));
        EXPECT_EQ(facts.servers, std::vector{id(*of)});
        if (at != of) CO_TRY_VOID(co_await desk(*at).ping(id(*of)));
      }
      EXPECT_EQ((co_await desk(*at).ping(id(*at))).error().code, Errc::invalid);
      EXPECT_EQ((co_await desk(*at).get(server_key_of({}))).error().code, Errc::not_found);
    }
    co_return Result<void>{};
  }(*this));
}

TEST_F(DirectoryDeskTest, TwoServersOfOnePersonHaveTwoOfHisPlaces) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(4));
    auto& first = *test.nodes[0];
    CO_TRY_VOID(co_await test.wait_for("the first has a place", [&] { return desk(first).directory() != nullptr; }));
    CO_TRY(auto link, co_await test.invite(*test.nodes[1]));
    auto& second = test.node();
    CO_TRY_VOID(co_await second.join(link, first.words));
    CO_TRY_VOID(co_await second.up());
    CO_TRY_VOID(co_await test.wait_for("all know all", [&] { return test.all_know_all(); }));
    EXPECT_EQ(person(first), person(second));
    const auto a = desk(first).place(), b = desk(second).place();
    EXPECT_TRUE(a && b && a->number != b->number);
    // Whatever place it asks for: one that is his other server's it does not get, nor its own a second time.
    std::vector<PersonId> persons;
    for (std::size_t i = 0; i < 4; ++i) persons.push_back(person(*test.nodes[i]));
    const auto asked = [&](unsigned number, const std::vector<PersonId>& drawers, std::size_t at) -> Task<Errc> {
      wire::DirectoryPlaceRequest request;
      request.set_number(number);
      request.set_epoch(second.server->trust().epoch());
      auto sorted = drawers;
      std::ranges::sort(sorted);
      for (const PersonId& one : sorted) request.add_drawers(one.raw());
      const auto reply = co_await second.server->rpc().call(
          id(*test.nodes[at]), {method::directory_place, request.SerializeAsString(), {}});
      co_return reply ? Errc::ok : reply.error().code;
    };
    const std::vector others{persons[1], persons[2], persons[3]};
    for (const std::size_t at : {1, 2, 3}) {
      if (std::ranges::find(a->drawers, persons[at]) != a->drawers.end())
        EXPECT_EQ(co_await asked(a->number, others, at), Errc::exists);
      if (std::ranges::find(b->drawers, persons[at]) != b->drawers.end())
        EXPECT_EQ(co_await asked(b->number, {persons[at]}, at), Errc::exists);  // among other drawers
    }
    EXPECT_EQ(co_await asked(7, others, 1), Errc::ok);
    EXPECT_EQ(co_await asked(7, others, 1), Errc::ok);  // the same draw again
    EXPECT_EQ(co_await asked(7, {persons[1], persons[2]}, 1), Errc::exists);
    EXPECT_EQ(co_await asked(32, others, 1), Errc::denied);
    EXPECT_EQ(co_await asked(6, {persons[0], persons[1]}, 1), Errc::denied);  // himself
    EXPECT_EQ(co_await asked(6, {persons[2], persons[3]}, 1), Errc::invalid);  // not the one who is asked
    EXPECT_EQ(co_await asked(6, {}, 1), Errc::invalid);
    co_return Result<void>{};
  }(*this));
}

TEST_F(DirectoryDeskTest, WhoseDrawersAreOffComesInWithFewerInTheEnd) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(3));
    CO_TRY_VOID(co_await test.wait_for("all know all", [&] { return test.all_know_all(); }));
    co_await test.nodes[2]->down();
    CO_TRY_VOID(co_await test.grow());
    auto& newcomer = *test.nodes[3];
    CO_TRY_VOID(co_await test.wait_for("the newcomer is in", [&] { return desk(newcomer).directory() != nullptr; }));
    const auto place = desk(newcomer).place();
    EXPECT_TRUE(place && place->drawers.size() == 2);
    CO_TRY_VOID(co_await test.wait_for("it is known to all", [&] {
      return std::ranges::count(known_by(*test.nodes[0]), id(newcomer)) == 1 &&
             std::ranges::count(known_by(*test.nodes[1]), id(newcomer)) == 1;
    }));
    co_return Result<void>{};
  }(*this));
}

TEST_F(DirectoryDeskTest, AStripesRecordNamesItsHoldersOnceItHasSettled) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_directory(5));
    auto& owner = *test.nodes[1];
    CO_TRY_VOID(co_await test.put(owner, "a", bytes_of(1, 6 << 20), Level::full));
    co_await desk(owner).publish_now();
    for (const auto& stripe : owner.server->stripes().all())
      EXPECT_EQ((co_await holders_of(*test.nodes[2], stripe->id, id(owner))).error().code, Errc::not_found);
    // How its data is may be told at once.
    const auto epoch = owner.server->trust().epoch();
    CO_TRY(const auto told, co_await value_of(*test.nodes[3], health_key_of(epoch, id(owner))));
    CO_TRY(const auto health, read_health(as_bytes(told), owner.server->identity().network));
    EXPECT_GT(health.stripes, 0u);
    EXPECT_EQ(health.full, health.stripes);

    co_await test.world.sleep(DirectoryDeskOptions{}.stripe_settles + 2min);
    co_await desk(owner).publish_now();
    const auto stripes = owner.server->stripes().all();
    EXPECT_FALSE(stripes.empty());
    std::vector<Candidate> candidates;
    for (const Member& member : test.nodes[2]->server->members().all())
      if (member.id != id(owner)) candidates.push_back(candidate_of(member, true));
    for (const auto& stripe : stripes) {
      CO_TRY(const auto facts, co_await holders_of(*test.nodes[2], stripe->id, id(owner)));
      EXPECT_EQ(facts.owner, id(owner));
      EXPECT_EQ(facts.k, stripe->k);
      EXPECT_EQ(facts.n, stripe->n);
      std::map<ServerId, std::vector<std::uint8_t>> in_table, in_record;
      for (const auto& shard : stripe->shards)
        if (!shard.lost) in_table[shard.holder].push_back(static_cast<std::uint8_t>(shard.index));
      for (auto& [holder, indices] : in_table) std::ranges::sort(indices);
      std::vector<ServerId> holders;
      for (const auto& held : facts.holders) {
        in_record[held.holder] = held.indices;
        if (held.holder != id(owner)) holders.push_back(held.holder);
      }
      EXPECT_EQ(in_record, in_table);
      EXPECT_TRUE(check_placement(stripe->id, candidates, holders).as_drawn());
    }
    co_return Result<void>{};
  }(*this), 1h);
}

TEST_F(DirectoryDeskTest, ARetiredServersRecordsAreRefusedAndItLeavesTheTables) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(4));
    auto& owner = *test.nodes[0];
    CO_TRY(auto link, co_await test.invite(*test.nodes[1]));
    auto& lost = test.node();
    CO_TRY_VOID(co_await lost.join(link, *owner.words));
    CO_TRY_VOID(co_await lost.up());
    CO_TRY_VOID(co_await test.wait_for("all know all", [&] { return test.all_know_all(); }));
    for (auto& node : test.nodes) co_await desk(*node).publish_now();
    const auto retired = id(lost);
    const auto key = server_key_of(retired);
    CO_TRY(const auto record, co_await value_of(*test.nodes[2], key));
    EXPECT_TRUE(desk(*test.nodes[2]).validators().check(key, record));
    co_await lost.down();
    CO_TRY_VOID(co_await owner.server->forget(retired.hex(), true));
    CO_TRY_VOID(co_await test.wait_for("nobody knows it any more", [&] {
      return std::ranges::all_of(test.nodes, [&](const auto& node) {
        if (!node->server) return true;
        const auto& core = desk(*node).directory()->core();
        return std::ranges::none_of(known_by(*node), [&](const ServerId& one) { return one == retired; }) &&
               std::ranges::none_of(core.store().records(), [&](const auto& one) { return one->key == key; });
      });
    }));
    for (const std::size_t at : {0, 1, 2, 3}) {
      EXPECT_EQ(desk(*test.nodes[at]).validators().check(key, record).error().code, Errc::denied);
      EXPECT_EQ((co_await desk(*test.nodes[at]).get(key)).error().code, Errc::not_found);
    }
    // The person is what he was; only his servers are fewer.
    co_await desk(owner).publish_now();
    CO_TRY(const auto his, co_await value_of(*test.nodes[3], person_key_of(person(owner))));
    CO_TRY(const auto facts, read_person_servers(as_bytes(his), owner.server->identity().network));
    EXPECT_EQ(facts.servers, std::vector{id(owner)});
    co_return Result<void>{};
  }(*this));
}

TEST_F(DirectoryDeskTest, AServerThatMovedWhileAnotherWasOffIsFoundAgain) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_directory(5));
    auto& away = *test.nodes[3];
    auto& moved = *test.nodes[2];
    co_await away.down();
    co_await moved.down();
    CO_TRY_VOID(co_await moved.up(4999));
    CO_TRY_VOID(co_await test.wait_for("the others know it where it is", [&] { return test.all_know_all(); }));
    co_await desk(moved).publish_now();
    CO_TRY_VOID(co_await away.up());
    CO_TRY_VOID(co_await test.wait_for("all know all again", [&] { return test.all_know_all(); }));
    EXPECT_TRUE(away.server->members().is_up(id(moved)));
    CO_TRY(const auto value, co_await value_of(away, server_key_of(id(moved))));
    wire::Signed record;
    EXPECT_TRUE(record.ParseFromString(value));
    CO_TRY(const auto entry, check_server_record(record, away.server->identity().network));
    EXPECT_EQ(entry.member.addresses, (std::vector<Address>{{moved.machine.host(), 4999}}));
    CO_TRY_VOID(co_await desk(away).ping(id(moved)));
    co_return Result<void>{};
  }(*this), 1h);
}

TEST_F(DirectoryDeskTest, AGuestIsNotInTheDirectoryAndIsToldWhy) {
  run([](DirectoryDeskTest& test) -> Task<Result<void>> {
    NewNetwork reviewed;
    reviewed.rules = TrustRules::friends();
    CO_TRY_VOID(co_await test.node().init({}, reviewed));
    auto& founder = *test.nodes[0];
    CO_TRY_VOID(co_await founder.up());
    CO_TRY_VOID(co_await test.grow());
    auto& guest = *test.nodes[1];
    CO_TRY_VOID(co_await test.all_up(2));
    CO_TRY_VOID(co_await test.wait_for("the guest knows that he is not trusted", [&] {
      return desk(guest).why_absent() == "its person is not trusted yet";
    }));
    co_await test.world.sleep(2min);
    EXPECT_FALSE(desk(guest).directory());
    EXPECT_FALSE(desk(guest).place());
    const auto answer = co_await desk(guest).get(server_key_of(id(founder)));
    EXPECT_TRUE(!answer && answer.error().code == Errc::unavailable);
    EXPECT_TRUE(!answer && answer.error().message.contains("not trusted yet"));
    EXPECT_EQ((co_await desk(guest).ping(id(founder))).error().code, Errc::unavailable);
    // Nor does he count for anybody else: the founder still draws for himself.
    EXPECT_TRUE(drawn_by(founder, person(founder)));
    EXPECT_TRUE(known_by(founder).empty());
    co_return Result<void>{};
  }(*this));
}

}  // namespace
}  // namespace spatter
