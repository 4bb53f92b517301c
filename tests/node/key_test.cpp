// A person changes his key with the recovery words: who has stolen the old one is nobody any more, what was
// off learns of it, and what the owner has stays his. Whole servers in the simulated world.
#include "directory/roster.h"
#include "net/methods.h"
#include "servers.h"
#include "wire/proto/holder.pb.h"

namespace spatter {
namespace {

class KeyTest : public ServerTest {
 public:
  Task<Result<void>> until(std::string what, std::function<bool()> condition) {
    for (int i = 0; i < 1200; ++i) {
      if (condition()) co_return Result<void>{};
      co_await world.sleep(100ms);
    }
    co_return fail(Errc::timeout, "never: {}", what);
  }
  static PersonId person(SimServer& of) { return of.server->identity().person; }
  static ServerId id(SimServer& of) { return of.server->identity().server; }
  /// `at` knows `of` as a member that is up, with a certificate by that number of its person's keys.
  static bool knows(SimServer& at, SimServer& of, std::uint32_t number) {
    const auto member = at.server->members().find(id(of));
    return member && member->up && at.server->trust().standings().of(person(of)).key_number + 1 == number;
  }
  /// One more server of the person of `owner`.
  Task<Result<SimServer*>> second_of(SimServer& owner, SimServer& by) {
    const auto words = *owner.words;
    CO_TRY(auto link, co_await invite(by));
    auto& second = node();
    CO_TRY_VOID(co_await second.join(link, words));
    CO_TRY_VOID(co_await second.up());
    co_return &second;
  }
  static Errc code_of(const Result<PersonKeyState>& done) { return done ? Errc::ok : done.error().code; }
  /// What a holder says to a server that wants to list what it keeps for that server's person.
  static Task<Errc> list_at(SimServer& asker, SimServer& holder) {
    wire::ShardListRequest request;
    request.set_person(person(asker).raw());
    const auto answer = co_await asker.server->rpc().call(
        id(holder), {method::shard_list, request.SerializeAsString(), {}}, {.timeout = 10s});
    co_return answer ? Errc::ok : answer.error().code;
  }
  /// And to a root record of a volume of that person, with a writer number above all.
  static Task<Errc> give_root_to(SimServer& asker, SimServer& holder) {
    co_return co_await give_root_to(asker, holder, asker.server->volume().id());
  }
  static Task<Errc> give_root_to(SimServer& asker, SimServer& holder, VolumeId of) {
    wire::RootRecord root;
    root.set_person(person(asker).raw());
    root.set_volume(of.raw());
    root.set_number(1000);
    root.set_version(1);
    root.set_writer(id(asker).raw());
    wire::RootPutRequest request;
    *request.mutable_root() = sign_message(asker.server->identity().person_key, kind::root, root);
    const auto answer = co_await asker.server->rpc().call(
        id(holder), {method::root_put, request.SerializeAsString(), {}}, {.timeout = 10s});
    co_return answer ? Errc::ok : answer.error().code;
  }
};

TEST_F(KeyTest, WhoHasTheOldKeyIsNobodyAnyMore) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(3));
    auto& owner = *test.nodes[0];
    auto& friend_of_his = *test.nodes[1];
    auto& off = *test.nodes[2];
    CO_TRY(auto* second, co_await test.second_of(owner, friend_of_his));
    CO_TRY_VOID(co_await test.all_up(4));
    CO_TRY_VOID(co_await test.put(owner, "before", bytes_of(1, 2 << 20), Level::full));
    CO_TRY_VOID(co_await test.put(*second, "of the second", bytes_of(2, 1 << 20), Level::full));
    EXPECT_EQ(co_await list_at(*second, friend_of_his), Errc::ok);
    co_await second->down();
    co_await off.down();

    EXPECT_EQ(owner.server->key_state().number, 1u);
    EXPECT_TRUE(owner.server->key_state().committed);
    CO_TRY(const auto changed, co_await owner.server->change_key(*owner.words, {}));
    EXPECT_EQ(changed.number, 2u);
    EXPECT_TRUE(changed.held);
    EXPECT_FALSE(changed.unfinished);
    EXPECT_EQ(changed.servers_outdated, 1u);
    EXPECT_EQ(changed.person, owner.words->numbered(1).person()) << "he is who he was";
    EXPECT_EQ(changed.key, owner.words->numbered(2).person());
    CO_TRY_VOID(co_await test.until("the friend knows", [&] { return knows(friend_of_his, owner, 2); }));
    CO_TRY_VOID(co_await test.put(owner, "after", bytes_of(3, 2 << 20), Level::full));
    CO_TRY_VOID(co_await test.expect(owner, "before", bytes_of(1, 2 << 20), ReadFrom::network));
    CO_TRY_VOID(co_await test.expect(owner, "after", bytes_of(3, 2 << 20), ReadFrom::network));

    // One that was off learns it from whoever it meets.
    CO_TRY_VOID(co_await off.up());
    CO_TRY_VOID(co_await test.until("the other knows", [&] { return knows(off, owner, 2); }));

    // The second has the old key, as a thief would have it.
    CO_TRY_VOID(co_await second->up());
    CO_TRY_VOID(co_await test.until("it is told", [&] { return !second->server->key_state().held; }));
    CO_TRY(auto status, co_await second->server->status());
    EXPECT_EQ(status.mode, "outdated");
    EXPECT_NE(status.note.find("spatter key take"), std::string::npos);
    EXPECT_EQ(second->server->may_write().error().code, Errc::denied);
    EXPECT_FALSE(co_await second->server->invite(1h));
    for (auto* at : {&owner, &friend_of_his, &off}) {
      EXPECT_FALSE(at->server->members().person_of(id(*second)));
      EXPECT_EQ(at->server->members().once_person_of(id(*second)), person(owner));
      EXPECT_EQ(co_await list_at(*second, *at), Errc::denied);
      EXPECT_EQ(co_await give_root_to(*second, *at), Errc::denied);
    }

    const auto others_words = *friend_of_his.words;
    EXPECT_EQ(code_of(co_await second->server->take_key(others_words, {})), Errc::denied);
    EXPECT_EQ(code_of(co_await second->server->take_key(owner.words->numbered(2), {})), Errc::denied);
    CO_TRY(const auto taken, co_await second->server->take_key(*owner.words, {}));
    EXPECT_EQ(taken.number, 2u);
    EXPECT_TRUE(taken.held);
    CO_TRY_VOID(co_await test.until("it is a member again", [&] {
      return knows(friend_of_his, *second, 2) && knows(off, *second, 2) && knows(owner, *second, 2);
    }));
    CO_TRY_VOID(co_await test.put(*second, "taken", bytes_of(4, 1 << 20), Level::full));
    CO_TRY_VOID(co_await test.expect(*second, "of the second", bytes_of(2, 1 << 20), ReadFrom::network));
    CO_TRY(status, co_await second->server->status());
    EXPECT_EQ(status.mode, "serving");
    CO_TRY(const auto again, co_await second->server->take_key(*owner.words, {}));
    EXPECT_EQ(again.number, 2u) << "there is nothing more to take";
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, OfTwoServersTheOneThatWasOffLearnsItFromTheOther) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(2));
    auto& owner = *test.nodes[0];
    auto& other = *test.nodes[1];
    CO_TRY_VOID(co_await test.put(owner, "a", bytes_of(1, 1 << 20), Level::full));
    co_await other.down();
    CO_TRY_VOID(co_await owner.server->change_key(*owner.words, {}));
    CO_TRY_VOID(co_await other.up());
    CO_TRY_VOID(co_await test.until("they know each other", [&] { return knows(other, owner, 2) && knows(owner, other, 1); }));
    CO_TRY_VOID(co_await test.put(owner, "b", bytes_of(2, 1 << 20), Level::full));
    CO_TRY_VOID(co_await test.expect(owner, "a", bytes_of(1, 1 << 20), ReadFrom::network));

    // All of it is there after a restart, and whom the new key lets in is let in.
    for (auto* server : {&owner, &other}) co_await server->down();
    for (auto* server : {&owner, &other}) CO_TRY_VOID(co_await server->up());
    CO_TRY_VOID(co_await test.until("they know each other", [&] { return knows(other, owner, 2) && knows(owner, other, 1); }));
    EXPECT_EQ(owner.server->key_state().number, 2u);
    CO_TRY_VOID(co_await test.expect(owner, "b", bytes_of(2, 1 << 20), ReadFrom::anywhere));
    CO_TRY_VOID(co_await test.grow());
    auto& third = *test.nodes[2];
    CO_TRY(auto link, co_await test.invite(third));
    auto& fourth = test.node();
    CO_TRY_VOID(co_await fourth.join(link));
    CO_TRY_VOID(co_await fourth.up());
    CO_TRY_VOID(co_await test.all_up(4));
    for (auto* server : {&third, &fourth}) {
      EXPECT_TRUE(knows(*server, owner, 2));
      co_await server->down();
      CO_TRY_VOID(co_await server->up());
    }
    CO_TRY_VOID(co_await test.all_up(4));
    EXPECT_TRUE(fourth.server->trust().standings().of(person(fourth)).recovery) << "he commits when he is let in";
    CO_TRY_VOID(co_await fourth.server->change_key(*fourth.words, {}));
    CO_TRY_VOID(co_await test.until("the owner knows", [&] { return knows(owner, fourth, 2); }));
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, TheWordsAloneBringEverythingBackAfterAChange) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(4));
    auto& lost = *test.nodes[0];
    const auto words = *lost.words;
    CO_TRY_VOID(co_await test.put(lost, "before", bytes_of(1, 2 << 20), Level::full));
    CO_TRY_VOID(co_await lost.server->change_key(words, {}));
    CO_TRY_VOID(co_await lost.server->change_key(words, {}));
    CO_TRY_VOID(co_await test.until("all know", [&] { return knows(*test.nodes[1], lost, 3); }));
    CO_TRY_VOID(co_await test.put(lost, "after", bytes_of(2, 2 << 20), Level::full));
    lost.machine.crash();
    auto dead = std::move(lost.server);
    CO_TRY(auto link, co_await test.invite(*test.nodes[1]));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(link, words, Recovery{}));
    CO_TRY_VOID(co_await fresh.up());
    co_await dead->stop();
    EXPECT_EQ(fresh.server->key_state().number, 3u);
    EXPECT_TRUE(fresh.server->key_state().held);
    CO_TRY_VOID(co_await test.expect(fresh, "before", bytes_of(1, 2 << 20), ReadFrom::anywhere));
    CO_TRY_VOID(co_await test.expect(fresh, "after", bytes_of(2, 2 << 20), ReadFrom::anywhere));

    // The volume keeps the secret under which it was made, whatever comes after.
    CO_TRY_VOID(co_await fresh.server->change_key(words, {}));
    CO_TRY_VOID(co_await test.put(fresh, "later", bytes_of(3, 1 << 20), Level::safe));
    co_await fresh.down();
    CO_TRY_VOID(co_await fresh.up());
    CO_TRY_VOID(co_await test.expect(fresh, "before", bytes_of(1, 2 << 20), ReadFrom::anywhere));
    CO_TRY_VOID(co_await test.expect(fresh, "later", bytes_of(3, 1 << 20), ReadFrom::anywhere));
    EXPECT_EQ(fresh.server->key_state().number, 4u);
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, ATakeoverByAThiefEndsWithTheChangeOfTheKey) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(4));
    auto& owner = *test.nodes[0];
    const auto words = *owner.words;
    CO_TRY(auto* thief, co_await test.second_of(owner, *test.nodes[1]));  // it has what a thief would have
    CO_TRY_VOID(co_await test.all_up(5));
    CO_TRY_VOID(co_await test.put(owner, "before", bytes_of(1, 1 << 20), Level::full));
    CO_TRY_VOID(co_await test.put(*thief, "of the second", bytes_of(2, 1 << 20), Level::full));
    const auto volumes = std::pair(owner.server->volume().id(), thief->server->volume().id());
    for (std::size_t at : {1, 2, 3})
      for (const auto& volume : {volumes.first, volumes.second})
        EXPECT_EQ(co_await give_root_to(*thief, *test.nodes[at], volume), Errc::ok);
    co_await thief->down();
    co_await owner.down();
    CO_TRY_VOID(co_await owner.up());
    CO_TRY_VOID(co_await test.until("the owner takes it for a successor", [&] {
      const auto may = owner.server->may_write();
      return !may && may.error().code == Errc::fenced;
    }));

    const auto doubtful = co_await owner.server->change_key(words, {});
    EXPECT_EQ(code_of(doubtful), Errc::fenced) << "it may have been he himself";
    EXPECT_NE(doubtful.error().message.find("--disown-older"), std::string::npos);
    EXPECT_EQ(owner.server->key_state().number, 1u);
    CO_TRY_VOID(co_await owner.server->change_key(words, {}, true));
    CO_TRY_VOID(co_await test.put(owner, "after", bytes_of(3, 1 << 20), Level::full));
    EXPECT_TRUE(owner.server->may_write().has_value());

    // His other machine: was that he himself? Only he can say.
    CO_TRY_VOID(co_await thief->up());
    CO_TRY_VOID(co_await test.until("it is told", [&] { return !thief->server->key_state().held; }));
    CO_TRY_VOID(co_await thief->server->take_key(words, {}));
    CO_TRY_VOID(co_await test.until("it does not trust its own index", [&] {
      const auto may = thief->server->may_write();
      return !may && may.error().code == Errc::corrupt;
    }));
    CO_TRY_VOID(co_await thief->server->take_key(words, {}, true));
    CO_TRY_VOID(co_await test.put(*thief, "taken", bytes_of(4, 1 << 20), Level::full));
    // That stays so.
    for (auto* server : {&owner, thief}) {
      co_await server->down();
      CO_TRY_VOID(co_await server->up());
    }
    CO_TRY_VOID(co_await test.all_up(5));
    CO_TRY_VOID(co_await test.put(owner, "later", bytes_of(5, 1 << 20), Level::full));
    CO_TRY_VOID(co_await test.put(*thief, "later", bytes_of(5, 1 << 20), Level::full));

    // And the words alone find the owner's volume, not the one that the thief would have him believe in.
    CO_TRY_VOID(co_await test.until("all that was begun is done", [&] { return owner.server->keeper().idle(); }));
    owner.machine.crash();
    auto dead = std::move(owner.server);
    CO_TRY(auto link, co_await test.invite(*test.nodes[1]));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(link, words, Recovery{}));
    const auto back = co_await fresh.up();
    co_await dead->stop();
    CO_TRY_VOID(back);
    EXPECT_EQ(fresh.server->volume().id(), volumes.first);
    for (const auto& [name, seed] : {std::pair("before", 1), std::pair("after", 3), std::pair("later", 5)})
      CO_TRY_VOID(co_await test.expect(fresh, name, bytes_of(static_cast<std::uint64_t>(seed), 1 << 20), ReadFrom::anywhere));
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, AMachineThatHasHeardFromNobodyChangesNothing) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(3));
    auto& owner = *test.nodes[0];
    const auto words = *owner.words;
    CO_TRY(auto* second, co_await test.second_of(owner, *test.nodes[1]));
    CO_TRY_VOID(co_await test.all_up(4));
    co_await second->down();
    CO_TRY_VOID(co_await owner.server->change_key(words, {}));
    for (auto& node : test.nodes) co_await node->down();
    CO_TRY_VOID(co_await second->up());
    const auto alone = co_await second->server->change_key(words, {});
    EXPECT_EQ(code_of(alone), Errc::unavailable);
    EXPECT_EQ(second->server->drive().keyring.person.count(), 1u) << "it would have been the key that is there already";
    CO_TRY_VOID(co_await test.nodes[1]->up());
    CO_TRY_VOID(co_await test.nodes[2]->up());
    CO_TRY_VOID(co_await test.until("it is told", [&] { return !second->server->key_state().held; }));
    EXPECT_EQ(code_of(co_await second->server->change_key(words, {})), Errc::denied) << "it has to take that one first";
    CO_TRY_VOID(co_await second->server->take_key(words, {}));
    CO_TRY(const auto changed, co_await second->server->change_key(words, {}));
    EXPECT_EQ(changed.number, 3u);
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, AServerThatIsNotRunningTakesTheKeyItHasHeardOf) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(3));
    auto& owner = *test.nodes[0];
    const auto words = *owner.words;
    CO_TRY(auto* second, co_await test.second_of(owner, *test.nodes[1]));
    CO_TRY_VOID(co_await test.all_up(4));
    CO_TRY_VOID(co_await owner.server->change_key(words, {}));
    CO_TRY_VOID(co_await test.until("it is told", [&] { return !second->server->key_state().held; }));
    co_await second->down();
    second->options.offline = second->options.records_only = true;
    CO_TRY_VOID(co_await second->up());
    EXPECT_FALSE(second->server->key_state().held);
    EXPECT_EQ(code_of(co_await second->server->take_key(*test.nodes[1]->words, {})), Errc::denied);
    CO_TRY(const auto taken, co_await second->server->take_key(words, {}));
    EXPECT_TRUE(taken.held);
    co_await second->down();
    second->options.offline = second->options.records_only = false;
    CO_TRY_VOID(co_await second->up());
    CO_TRY_VOID(co_await test.until("it is a member", [&] { return knows(*test.nodes[1], *second, 2); }));
    CO_TRY_VOID(co_await test.put(*second, "a", bytes_of(1, 1 << 20), Level::full));
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, PlacesOutliveTheKeysTheyWereDrawnWith) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(4));
    const auto absent = [](const auto& node) { return !node->server->directory().directory(); };
    CO_TRY_VOID(co_await test.until("all have places", [&] { return std::ranges::none_of(test.nodes, absent); }));
    auto& drawer = *test.nodes[1];
    const auto key = drawer.server->identity().person_key.public_key();
    std::map<SimServer*, PlaceDraw> places;
    std::size_t drawn_by_him = 0;
    for (auto& node : test.nodes) {
      const auto* entry = dynamic_cast<GossipMembers&>(node->server->members()).roster().find(id(*node));
      const auto place = place_in(entry->record.body());
      if (!place) co_return fail(Errc::not_found, "no place");
      drawn_by_him += std::ranges::count(place->drawers(), key) > 0;
      places.emplace(node.get(), *place);
    }
    EXPECT_GT(drawn_by_him, 0u);
    CO_TRY_VOID(co_await drawer.server->change_key(*drawer.words, {}));
    CO_TRY_VOID(co_await test.until("all know", [&] {
      return std::ranges::all_of(test.nodes, [&](auto& node) { return knows(*node, drawer, 2) || node.get() == &drawer; });
    }));
    co_await test.world.sleep(2min);  // long enough for anybody to look for another place
    for (auto& node : test.nodes) {
      EXPECT_FALSE(absent(node));
      const auto* entry = dynamic_cast<GossipMembers&>(node->server->members()).roster().find(id(*node));
      EXPECT_EQ(place_in(entry->record.body()), places.at(node.get())) << "it has the place that was drawn then";
      for (auto& of : test.nodes)
        EXPECT_TRUE((co_await node->server->directory().get(server_key_of(id(*of)))).has_value());
    }
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, AnInterruptedChangeIsEndedAndNotDoneTwice) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(2));
    auto& owner = *test.nodes[0];
    const auto words = *owner.words;
    const auto noted = [&](std::uint32_t secrets) -> Task<Result<void>> {
      auto keyring = owner.server->drive().keyring;
      co_await owner.down();
      keyring.person.extend(words, secrets);
      keyring.changing = true;
      CO_TRY_VOID(co_await replace_keyring(owner.runtime(), keyring, {}));
      co_return co_await owner.up();
    };
    // Before the record was made: nothing has changed yet.
    CO_TRY_VOID(co_await noted(2));
    EXPECT_EQ(owner.server->key_state().number, 1u);
    EXPECT_TRUE(owner.server->key_state().unfinished);
    EXPECT_TRUE(owner.server->may_write().has_value());
    CO_TRY(auto state, co_await owner.server->change_key(words, {}));
    EXPECT_EQ(state.number, 2u);
    EXPECT_FALSE(state.unfinished);
    // After it.
    CO_TRY_VOID(co_await noted(2));
    EXPECT_EQ(owner.server->key_state().number, 2u);
    CO_TRY(state, co_await owner.server->change_key(words, {}));
    EXPECT_EQ(state.number, 2u) << "that one is done";
    EXPECT_FALSE(state.unfinished);
    CO_TRY(state, co_await owner.server->change_key(words, {}));
    EXPECT_EQ(state.number, 3u) << "and this is another";
    CO_TRY_VOID(co_await test.until("the other knows", [&] { return knows(*test.nodes[1], owner, 3); }));
    co_return Result<void>{};
  }(*this));
}

TEST_F(KeyTest, WrongWordsAndMissingCommitmentsAreNamed) {
  run([](KeyTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(2));
    auto& owner = *test.nodes[0];
    const auto wrong = co_await owner.server->change_key(*test.nodes[1]->words, {});
    EXPECT_EQ(code_of(wrong), Errc::denied);
    EXPECT_NE(wrong.error().message.find("not the recovery words of person"), std::string::npos);
    EXPECT_EQ(owner.server->drive().keyring.person.count(), 1u) << "nothing was touched";

    // A network in which nobody was told of a recovery key.
    auto& alone = test.node();
    CO_TRY(auto drive, co_await prepare_drive(alone.runtime(), {}));
    const auto key = drive.keyring.person.numbered(1).signing_key();
    const auto now = alone.runtime().wall_ms();
    MemberStore::Contents contents;
    contents.genesis = make_genesis(key, alone.runtime().entropy(), now);
    CO_TRY(const auto genesis, check_genesis(*contents.genesis));
    const auto identity = make_identity(genesis.network, key, drive.keyring.server_key, now);
    contents.records.push_back(make_server_record(identity, {}, 0, 0, 1));
    CO_TRY_VOID(co_await adopt_network(alone.runtime(), drive, std::move(contents), {}));
    CO_TRY_VOID(co_await alone.up());
    EXPECT_FALSE(alone.server->key_state().committed);
    const auto none = co_await alone.server->change_key(drive.fresh->words, {});
    EXPECT_EQ(code_of(none), Errc::denied);
    EXPECT_NE(none.error().message.find("knows of no recovery key"), std::string::npos);
    co_return Result<void>{};
  }(*this));
}

}  // namespace
}  // namespace spatter
