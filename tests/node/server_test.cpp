// Whole servers in the simulated world, in virtual time: from the first machine to the loss of many,
// through nothing but what doors and people use.
#include "servers.h"

namespace spatter {
namespace {

TEST_F(ServerTest, AloneItKeepsACopyInItsOwnServerHalf) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(1));
    auto& node = *test.nodes[0];
    CO_TRY_VOID(co_await test.put(node, "a", bytes_of(1, 3 << 20), Level::full));
    CO_TRY(auto status, co_await node.server->status());
    EXPECT_EQ(status.servers_total, 1u);
    EXPECT_EQ(status.servers_up, 1u);
    EXPECT_EQ(status.files, 1u);
    EXPECT_GT(status.user_half.used, 3u << 20);
    EXPECT_GT(status.server_half.used, 3u << 20);
    EXPECT_EQ(status.user_half.limit, 4ull << 30);
    EXPECT_EQ(status.server_half.limit, 4ull << 30);
    EXPECT_EQ(status.safety.lost, 0u);
    EXPECT_EQ(status.safety.widest_k, 1u);
    EXPECT_EQ(status.mode, "serving");
    co_return co_await test.expect(node, "a", bytes_of(1, 3 << 20), ReadFrom::network);
  }(*this));
}

TEST_F(ServerTest, FilesAreThereAfterARestart) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(1));
    auto& node = *test.nodes[0];
    CO_TRY_VOID(co_await test.put(node, "a", bytes_of(1, 100'000), Level::local));
    co_await node.down();
    CO_TRY_VOID(co_await node.up());
    CO_TRY_VOID(co_await test.expect(node, "a", bytes_of(1, 100'000), ReadFrom::anywhere));
    CO_TRY(auto checkup, co_await node.server->fsck(true, false));
    for (const auto& finding : checkup.findings) ADD_FAILURE() << finding.what;
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, FiveServersServeAFileWhenTwoOfTheOthersAreGone) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(5));
    auto& first = *test.nodes[0];
    const auto big = bytes_of(1, 20 << 20);
    CO_TRY_VOID(co_await test.put(first, "big", big, Level::full));
    CO_TRY_VOID(co_await test.put(first, "small", bytes_of(2, 1000), Level::safe));
    co_await first.server->keeper().wait_idle();  // safe becomes full by itself
    CO_TRY(auto status, co_await first.server->status());
    EXPECT_EQ(status.safety.widest_k, 4u);
    EXPECT_GE(status.safety.can_lose, 2u);
    CO_TRY(auto contracts, co_await first.server->contracts(1000));
    EXPECT_GE(std::ranges::count_if(contracts, &ServerContract::mine), 12);
    CO_TRY(auto theirs, co_await test.nodes[1]->server->contracts(1000));
    EXPECT_GE(std::ranges::count_if(theirs, [](auto& c) { return !c.mine; }), 3);

    test.nodes[1]->machine.crash();
    test.nodes[3]->machine.crash();
    CO_TRY_VOID(co_await test.expect(first, "big", big, ReadFrom::network));
    co_return co_await test.expect(first, "small", bytes_of(2, 1000), ReadFrom::network);
  }(*this));
}

TEST_F(ServerTest, AFilePutAloneSpreadsWhenOthersJoin) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(1));
    auto& first = *test.nodes[0];
    const auto file = bytes_of(1, 6 << 20);
    CO_TRY_VOID(co_await test.put(first, "a", file, Level::full));
    for (int i = 0; i < 3; ++i) CO_TRY_VOID(co_await test.grow());
    CO_TRY_VOID(co_await test.all_up(4));
    for (int i = 0; i < 600; ++i) {
      const auto report = first.server->keeper().report();
      if (report.can_lose >= 2 && report.held.size() >= 3) break;
      co_await test.world.sleep(1s);
    }
    const auto report = first.server->keeper().report();
    EXPECT_GE(report.can_lose, 2u);
    EXPECT_EQ(report.copies_min, 3);
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, AVolumeIsNotTakenOverWhileItsNewestListOfFilesCannotBeHad) {
  run([](ServerTest& test) -> Task<Result<void>> {
    const auto file = bytes_of(1, 8 << 20);
    CO_TRY(auto left, co_await test.one_holder_left(file));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(left.link, left.secret, Recovery{}));
    const auto too_early = co_await fresh.up();
    EXPECT_EQ(too_early.error().code, Errc::unavailable) << too_early.error().message;
    co_await fresh.down();
    // With the others it has everything, and what is written then stays.
    for (const std::size_t off : {2, 3, 4}) CO_TRY_VOID(co_await test.nodes[off]->up());
    CO_TRY_VOID(co_await fresh.up());
    CO_TRY_VOID(co_await test.expect(fresh, "a", file, ReadFrom::network));
    CO_TRY_VOID(co_await test.put(fresh, "b", bytes_of(2, 100'000), Level::full));
    co_await fresh.down();
    CO_TRY_VOID(co_await fresh.up());
    CO_TRY_VOID(co_await test.expect(fresh, "a", file, ReadFrom::anywhere));
    CO_TRY_VOID(co_await test.expect(fresh, "b", bytes_of(2, 100'000), ReadFrom::anywhere));
    co_await left.dead->stop();
    co_return Result<void>{};
  }(*this), 1h);
}

TEST_F(ServerTest, WhatCanBeReadIsCopiedWhenTheRestIsGone) {
  run([](ServerTest& test) -> Task<Result<void>> {
    const auto file = bytes_of(1, 8 << 20);
    CO_TRY(auto left, co_await test.one_holder_left(file));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(left.link, left.secret, Recovery{.volume = {}, .copy = true}));
    CO_TRY_VOID(co_await fresh.up());
    CO_TRY_VOID(co_await test.put(fresh, "b", bytes_of(2, 100'000), Level::full));
    for (const std::size_t off : {2, 3, 4}) CO_TRY_VOID(co_await test.nodes[off]->up());
    // The holders are back after all: it is copied in the end.
    std::string path;
    for (int i = 0; i < 3600 && path.empty(); ++i) {
      co_await test.world.sleep(1s);
      const auto volumes = co_await fresh.server->volume().list("recovered", "", 10);
      if (!volumes || volumes->empty()) continue;
      const auto found = "recovered/" + volumes->front().name + "/a";
      if (co_await test.expect(fresh, found, file, ReadFrom::anywhere)) path = found;
    }
    EXPECT_FALSE(path.empty());
    CO_TRY_VOID(co_await test.expect(fresh, "b", bytes_of(2, 100'000), ReadFrom::anywhere));
    co_await left.dead->stop();
    co_return Result<void>{};
  }(*this), 3h);
}

TEST_F(ServerTest, TwoServersBehindNatsShareThroughTheThird) {
  run([](ServerTest& test) -> Task<Result<void>> {
    for (const sim::MachineId closed : {2, 3}) test.network.set_closed(closed);
    CO_TRY_VOID(co_await test.make_network(3));
    auto& first = *test.nodes[1];
    auto& second = *test.nodes[2];
    for (auto* node : {&first, &second}) {
      CO_TRY(auto status, co_await node->server->status());
      EXPECT_EQ(status.reach, "relayed");
      EXPECT_EQ(status.relays, std::vector{test.nodes[0]->server->identity().server});
    }
    EXPECT_TRUE(first.server->rpc().measure(second.server->identity().server).relayed);
    const auto file = bytes_of(5, 4 << 20);
    CO_TRY_VOID(co_await test.put(first, "a", file, Level::full));
    CO_TRY_VOID(co_await test.expect(first, "a", file, ReadFrom::network));

    // Once the NATs are gone they do without the relay.
    for (const sim::MachineId open : {2, 3}) test.network.set_closed(open, false);
    for (int i = 0; i < 1200; ++i) {
      if (!first.server->rpc().measure(second.server->identity().server).relayed) break;
      co_await test.world.sleep(1s);
    }
    EXPECT_FALSE(first.server->rpc().measure(second.server->identity().server).relayed);
    EXPECT_TRUE(first.server->rpc().measure(second.server->identity().server).up);
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, EveryFileComesBackFromTheWordsAlone) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(5));
    auto& lost = *test.nodes[0];
    const auto secret = *lost.words;
    for (int i = 0; i < 5; ++i)
      CO_TRY_VOID(co_await test.put(lost, fmt::format("file {}", i),
                                    bytes_of(static_cast<std::uint64_t>(i), 100'000 << i),
                                    Level::full));
    lost.machine.crash();
    auto dead = std::move(lost.server);
    CO_TRY(auto link, co_await test.invite(*test.nodes[2]));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(link, secret, Recovery{}));
    CO_TRY_VOID(co_await fresh.up());
    for (int i = 0; i < 5; ++i)
      CO_TRY_VOID(co_await test.expect(fresh, fmt::format("file {}", i),
                                       bytes_of(static_cast<std::uint64_t>(i), 100'000 << i),
                                       ReadFrom::anywhere));
    CO_TRY_VOID(co_await test.put(fresh, "after", bytes_of(9, 1000), Level::safe));
    co_await dead->stop();
    // Shards are missing that only the dead server kept: they are made anew elsewhere.
    for (int i = 0; i < 600; ++i) {
      if (fresh.server->keeper().report().full == fresh.server->keeper().report().total) break;
      co_await test.world.sleep(1s);
    }
    EXPECT_EQ(fresh.server->keeper().report().full, fresh.server->keeper().report().total);

    // The old machine comes back to life: it notices that it is no longer the writer.
    CO_TRY_VOID(co_await lost.up());
    for (int i = 0; i < 300 && lost.server->may_write(); ++i) co_await test.world.sleep(100ms);
    EXPECT_EQ(lost.server->may_write().error().code, Errc::fenced);
    co_return co_await test.expect(lost, "file 0", bytes_of(0, 100'000), ReadFrom::anywhere);
  }(*this));
}

std::uint64_t shards_at_others(ServerTest& test) {
  std::uint64_t sum = 0;
  for (std::size_t i = 1; i < test.nodes.size(); ++i)
    if (test.nodes[i]->server) sum += test.nodes[i]->server->shards().usage().shards;
  return sum;
}

// A drive without the index of its files must not pass for one without files: the others' shards of
// them are all there is.
TEST_F(ServerTest, ADriveThatLostItsIndexIsRefusedAndRebuilt) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(5));
    auto& node = *test.nodes[0];
    CO_TRY_VOID(co_await test.put(node, "shared", bytes_of(1, 9 << 20), Level::full));
    CO_TRY_VOID(co_await test.put(node, "mine", bytes_of(2, 300'000), Level::local));
    const auto volume = node.server->volume().id();
    co_await node.down();
    const auto kept = shards_at_others(test);
    auto& disk = node.machine.disk();
    for (const auto& lost : {drive_path::volume, drive_path::stripes}) {
      for (const auto& file : disk.files())
        if (file.starts_with(lost)) CO_TRY_VOID(disk.remove(file));
      auto refused = co_await node.up();
      EXPECT_EQ(refused.error().code, Errc::corrupt);
      EXPECT_NE(refused.error().message.find(lost), std::string::npos) << refused.error().message;
      co_await node.down();

      auto drive = co_await open_drive(node.runtime(), {});
      CO_TRY(auto findings, co_await check_databases(node.runtime(), *drive, false));
      EXPECT_EQ(findings.size(), 1u);
      EXPECT_FALSE(findings[0].mended);
      CO_TRY(findings, co_await check_databases(node.runtime(), *drive, true));
      EXPECT_EQ(findings.size(), 1u);
      EXPECT_TRUE(findings[0].mended);
      CO_TRY_VOID(co_await node.up());
      EXPECT_EQ(node.server->volume().id(), volume);
      CO_TRY_VOID(co_await test.expect(node, "shared", bytes_of(1, 9 << 20), ReadFrom::network));
      CO_TRY_VOID(co_await test.expect(node, "mine", bytes_of(2, 300'000), ReadFrom::anywhere));
      CO_TRY_VOID(co_await test.put(node, "more", bytes_of(3, 100'000), Level::full));
      co_await test.world.sleep(2min);
      CO_TRY_VOID(co_await test.expect(node, "mine", bytes_of(2, 300'000), ReadFrom::network));
      EXPECT_GE(shards_at_others(test), kept);
      co_await node.down();
    }
    co_return Result<void>{};
  }(*this));
}

/// The drive's files below a folder, as they are now.
std::map<std::string, Bytes> copy_of(SimServer& node, std::string_view below) {
  std::map<std::string, Bytes> files;
  auto& disk = node.machine.disk();
  for (const auto& file : disk.files())
    if (file.starts_with(below)) files[file] = read_file(disk, file, 1 << 30).value();
  return files;
}
void set_back(SimServer& node, std::string_view below, const std::map<std::string, Bytes>& files) {
  auto& disk = node.machine.disk();
  for (const auto& file : disk.files())
    if (file.starts_with(below)) static_cast<void>(disk.remove(file));
  for (const auto& [path, bytes] : files) ASSERT_TRUE(write_file_durably(disk, path, bytes));
}

TEST_F(ServerTest, AnIndexThatWasSetBackReleasesAndWritesNothing) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(5));
    auto& node = *test.nodes[0];
    CO_TRY_VOID(co_await test.put(node, "old", bytes_of(1, 100'000), Level::full));
    co_await node.down();
    const auto whole = copy_of(node, "user/");
    const auto index = copy_of(node, "user/volume.db");
    CO_TRY_VOID(co_await node.up());
    CO_TRY_VOID(co_await test.put(node, "new", bytes_of(2, 20 << 20), Level::full));
    CO_TRY(auto state, co_await node.server->volume().snapshot());
    static_cast<void>(state);
    co_await node.down();
    CO_TRY_VOID(co_await node.up());  // what it says of itself to the others is newer now
    co_await test.world.sleep(30s);
    co_await node.down();
    const auto kept = shards_at_others(test);

    // The index alone: what this server told the others lies beside it.
    set_back(node, "user/volume.db", index);
    auto refused = co_await node.up();
    EXPECT_EQ(refused.error().code, Errc::corrupt);
    co_await node.down();

    // All of it: the others know better.
    set_back(node, "user/", whole);
    CO_TRY_VOID(co_await node.up());
    for (int i = 0; i < 600 && node.server->may_write(); ++i) co_await test.world.sleep(100ms);
    EXPECT_EQ(node.server->may_write().error().code, Errc::corrupt);
    CO_TRY(const auto status, co_await node.server->status());
    EXPECT_NE(status.note.find("older"), std::string::npos) << status.note;
    EXPECT_FALSE((co_await test.put(node, "third", bytes_of(3, 1000), Level::full)).has_value());
    co_await test.world.sleep(10min);
    EXPECT_GE(shards_at_others(test), kept);
    CO_TRY(const auto checkup, co_await node.server->fsck(false, true));
    EXPECT_TRUE(std::ranges::any_of(checkup.findings, &ServerFinding::fatal));
    co_await node.down();
    CO_TRY_VOID(co_await node.up());
    CO_TRY_VOID(co_await test.expect(node, "new", bytes_of(2, 20 << 20), ReadFrom::anywhere));
    co_return co_await test.put(node, "third", bytes_of(3, 1000), Level::full);
  }(*this));
}

// Any two thirds of the others may die once a file is full, at once: the one that is left must know
// whose volume it is.
TEST_F(ServerTest, WhatIsFullIsFoundByANewMachineAtEveryMemberThatMayBeTheLast) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(4));
    auto& owner = *test.nodes[0];
    CO_TRY_VOID(co_await test.put(owner, "a", bytes_of(1, 1000), Level::full));
    const auto person = owner.server->identity().person;
    for (std::size_t i = 1; i < 4; ++i) {
      CO_TRY(const auto roots, co_await test.nodes[i]->server->shards().roots(person));
      EXPECT_EQ(roots.size(), 1u) << i;
    }
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, WhoseWordsAreNoMembersLeavesNoTrace) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(3));
    CO_TRY(auto link, co_await test.invite(*test.nodes[1]));
    SeededRandom random(77);
    auto& stranger = test.node();
    auto joined = co_await stranger.join(link, PersonSecret::generate(random), Recovery{});
    EXPECT_EQ(joined.error().code, Errc::not_found);
    test.nodes.pop_back();
    for (auto& node : test.nodes) EXPECT_EQ(node->server->members().all().size(), 3u);
    // The invite is not spent, and the folder is free for other words.
    auto& fresh = test.node();
    SeededRandom other(78);
    CO_TRY_VOID(co_await fresh.join(link, PersonSecret::generate(other)));
    co_return co_await fresh.up();
  }(*this));
}

TEST_F(ServerTest, AHolderTellsTheOwnerWhatItLost) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(5));
    auto& owner = *test.nodes[0];
    CO_TRY_VOID(co_await test.put(owner, "a", bytes_of(1, 9 << 20), Level::full));
    co_await owner.server->keeper().wait_idle();
    auto& holder = *test.nodes[2];
    auto& disk = holder.machine.disk();
    for (const auto& file : disk.files())
      if (file.starts_with("server/shards/"))
        for (int bit = 0; bit < 50; ++bit) disk.flip_bit(file, test.world.random());
    CO_TRY(const auto checkup, co_await holder.server->fsck(true, true));
    EXPECT_FALSE(checkup.findings.empty());
    for (const auto& finding : checkup.findings)
      EXPECT_NE(finding.done.find("owner has been told"), std::string::npos) << finding.done;
    EXPECT_GT(holder.server->shards().usage().lost, 0u);
    co_await test.world.sleep(30s);
    co_await owner.server->keeper().wait_idle();
    EXPECT_EQ(holder.server->shards().usage().lost, 0u);
    const auto report = owner.server->keeper().report();
    EXPECT_EQ(report.full, report.total);
    CO_TRY(const auto after, co_await holder.server->fsck(true, false));
    EXPECT_TRUE(after.findings.empty());
    co_return Result<void>{};
  }(*this));
}

/// A person with two servers of his own beside four of others; each has files of its own.
Task<Result<PersonSecret>> two_servers_of_one_person(ServerTest& test) {
  CO_TRY_VOID(co_await test.make_network(5));
  const auto secret = *test.nodes[0]->words;
  CO_TRY(auto link, co_await test.invite(*test.nodes[1]));
  auto& second = test.node();
  CO_TRY_VOID(co_await second.join(link, secret));
  CO_TRY_VOID(co_await second.up());
  CO_TRY_VOID(co_await test.all_up(6));
  CO_TRY_VOID(co_await test.put(*test.nodes[0], "of the first", bytes_of(1, 3 << 20), Level::full));
  CO_TRY_VOID(co_await test.put(second, "of the second", bytes_of(2, 2 << 20), Level::full));
  CO_TRY(auto made, co_await second.server->volume().make_directory("deep/er", {}, true));
  CO_TRY(made, co_await second.server->volume().make_symlink("../of the second", "deep/er/link", {}));
  CO_TRY(made, co_await second.server->volume().put_small("deep/one", {}, bytes_of(3, 5000)));
  CO_TRY(made, co_await second.server->volume().link("deep/one", "deep/two"));
  CO_TRY_VOID(co_await second.server->wait_for(made, Level::full));
  co_return secret;
}

TEST_F(ServerTest, AVolumeWhoseServerIsUpIsLeftToIt) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY(const auto secret, co_await two_servers_of_one_person(test));
    auto& living = *test.nodes[5];
    const auto volume = test.nodes[0]->server->volume().id();
    test.nodes[0]->machine.crash();
    auto dead = std::move(test.nodes[0]->server);
    CO_TRY(auto link, co_await test.invite(*test.nodes[2]));
    auto& fresh = test.node();
    // At once: the others have not noticed yet that the first is gone.
    CO_TRY_VOID(co_await fresh.join(link, secret, Recovery{}));
    CO_TRY_VOID(co_await fresh.up());
    co_await dead->stop();
    EXPECT_EQ(fresh.server->volume().id(), volume);
    CO_TRY_VOID(co_await test.expect(fresh, "of the first", bytes_of(1, 3 << 20),
                                     ReadFrom::anywhere));
    EXPECT_FALSE((co_await fresh.server->volume().stat("of the second")).has_value());
    EXPECT_TRUE(living.server->may_write().has_value());
    co_return co_await test.put(living, "still mine", bytes_of(4, 1000), Level::safe);
  }(*this));
}

TEST_F(ServerTest, WithNothingLostThereIsNothingToRecover) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY(const auto secret, co_await two_servers_of_one_person(test));
    CO_TRY(auto link, co_await test.invite(*test.nodes[2]));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(link, secret, Recovery{}));
    const auto started = co_await fresh.up();
    fresh.server.reset();
    co_await fresh.transport->stop();
    EXPECT_EQ(started.error().code, Errc::exists) << started.error().message;
    EXPECT_TRUE(test.nodes[0]->server->may_write().has_value());
    EXPECT_TRUE(test.nodes[5]->server->may_write().has_value());
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, SeveralLostVolumesComeBackAsFoldersAndNoneIsTakenOver) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY(const auto secret, co_await two_servers_of_one_person(test));
    auto& first = *test.nodes[0];
    auto& second = *test.nodes[5];
    const auto folder_of = [](SimServer& node) {
      return fmt::format("/recovered/{}", node.server->volume().id().brief());
    };
    const auto first_folder = folder_of(first);
    const auto second_folder = folder_of(second);
    co_await first.down();
    co_await second.down();
    CO_TRY(auto link, co_await test.invite(*test.nodes[2]));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(link, secret, Recovery{}));
    CO_TRY_VOID(co_await fresh.up());
    // It goes on where it was after a restart.
    co_await fresh.down();
    CO_TRY_VOID(co_await fresh.up());
    for (int i = 0; i < 600; ++i) {
      CO_TRY(const auto status, co_await fresh.server->status());
      if (status.idle) break;
      EXPECT_NE(status.note, "");
      co_await test.world.sleep(1s);
    }
    auto& volume = fresh.server->volume();
    CO_TRY_VOID(co_await test.expect(fresh, first_folder + "/of the first", bytes_of(1, 3 << 20),
                                     ReadFrom::network));
    CO_TRY_VOID(co_await test.expect(fresh, second_folder + "/of the second", bytes_of(2, 2 << 20),
                                     ReadFrom::network));
    CO_TRY(const auto link_node, co_await volume.stat(second_folder + "/deep/er/link"));
    EXPECT_EQ(link_node.target, "../of the second");
    CO_TRY(const auto one, co_await volume.stat(second_folder + "/deep/one"));
    CO_TRY(const auto two, co_await volume.stat(second_folder + "/deep/two"));
    EXPECT_EQ(one.inode, two.inode);
    CO_TRY_VOID(co_await test.expect(fresh, second_folder + "/deep/two", bytes_of(3, 5000),
                                     ReadFrom::anywhere));
    CO_TRY(const auto status, co_await fresh.server->status());
    EXPECT_TRUE(status.idle);
    EXPECT_EQ(status.note, "");
    // One was merely off: it writes on as if nothing had been.
    CO_TRY_VOID(co_await second.up());
    CO_TRY_VOID(co_await test.put(second, "later", bytes_of(5, 1000), Level::safe));
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, AChosenVolumeAloneIsTakenOver) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY(const auto secret, co_await two_servers_of_one_person(test));
    const auto volume = test.nodes[5]->server->volume().id();
    co_await test.nodes[0]->down();
    co_await test.nodes[5]->down();
    CO_TRY(auto link, co_await test.invite(*test.nodes[2]));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(link, secret, Recovery{volume.hex().substr(0, 10)}));
    CO_TRY_VOID(co_await fresh.up());
    EXPECT_EQ(fresh.server->volume().id(), volume);
    CO_TRY_VOID(co_await test.expect(fresh, "of the second", bytes_of(2, 2 << 20),
                                     ReadFrom::anywhere));
    // The other is not fenced.
    CO_TRY_VOID(co_await test.nodes[0]->up());
    CO_TRY_VOID(co_await test.put(*test.nodes[0], "later", bytes_of(5, 1000), Level::safe));
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, ARecoveryUnderWayEndsAtOnceWhenAskedAndTheNextStartDoesIt) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(5));
    auto& lost = *test.nodes[0];
    const auto secret = *lost.words;
    CO_TRY_VOID(co_await test.put(lost, "a", bytes_of(1, 20 << 20), Level::full));
    co_await lost.down();
    CO_TRY(auto link, co_await test.invite(*test.nodes[2]));
    auto& fresh = test.node();
    CO_TRY_VOID(co_await fresh.join(link, secret, Recovery{}));
    // At many moments: while it looks for members, lists stripes, reads packs, fills its tables.
    int interruptions = 0;
    for (int moment = 0; moment < 80; ++moment) {
      const auto interrupt = [](ServerTest& test, SimServer& node, Duration after) -> Task<void> {
        co_await test.world.sleep(after);
        if (node.server) node.server->interrupt_start();
      };
      TaskGroup interrupting(fresh.runtime().executor());
      interrupting.spawn(interrupt(test, fresh, 3800ms + moment * 10ms));
      const auto begun = test.world.now();
      const auto started = co_await fresh.up();
      co_await interrupting.drain();
      if (started) {
        co_await fresh.down();
        break;
      }
      ++interruptions;
      EXPECT_EQ(started.error().code, Errc::cancelled) << started.error().message;
      EXPECT_LT(test.world.now() - begun, 6s);
      fresh.server.reset();
      co_await fresh.transport->stop();
    }
    EXPECT_GT(interruptions, 20);
    CO_TRY_VOID(co_await fresh.up());
    co_return co_await test.expect(fresh, "a", bytes_of(1, 20 << 20), ReadFrom::anywhere);
  }(*this));
}

TEST_F(ServerTest, AForgottenServersShardsAreMadeAnewAtOnce) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await two_servers_of_one_person(test));
    auto& owner = *test.nodes[0];
    auto& lost = *test.nodes[5];
    const auto id = lost.server->identity().server;
    CO_TRY_VOID(co_await test.put(*test.nodes[2], "theirs", bytes_of(7, 4 << 20), Level::full));
    const auto refused = [&](SimServer& at, std::string which, bool force) -> Task<Errc> {
      auto done = co_await at.server->forget(std::move(which), force);
      co_return done ? Errc::ok : done.error().code;
    };
    EXPECT_EQ(co_await refused(owner, id.hex(), false), Errc::busy);
    EXPECT_EQ(co_await refused(*test.nodes[1], id.hex(), true), Errc::denied);
    EXPECT_EQ(co_await refused(owner, owner.server->identity().server.hex(), true), Errc::invalid);
    EXPECT_EQ(co_await refused(owner, "ffffffffffffffff", true), Errc::not_found);
    EXPECT_EQ(co_await refused(owner, "", true), Errc::not_found);
    co_await lost.down();
    for (int i = 0; i < 300 && owner.server->members().is_up(id); ++i) co_await test.world.sleep(100ms);
    CO_TRY(const auto forgotten, co_await owner.server->forget(id.hex().substr(0, 16), false));
    EXPECT_EQ(forgotten, id);
    // Without it everything is soon in full shape again; within the day of grace it would not be.
    for (std::size_t at : {0, 2}) {
      auto& node = *test.nodes[at];
      for (int i = 0; i < 600; ++i) {
        const auto report = node.server->keeper().report();
        if (report.full == report.total && node.server->keeper().idle()) break;
        co_await test.world.sleep(1s);
      }
      const auto report = node.server->keeper().report();
      EXPECT_EQ(report.full, report.total);
      EXPECT_FALSE(std::ranges::any_of(report.held, [&](const Held& held) { return held.server == id; }));
      CO_TRY(const auto status, co_await node.server->status());
      EXPECT_EQ(status.servers_total, 5u);
      EXPECT_TRUE(status.idle);
      EXPECT_TRUE(node.server->stripes().releases_waiting().empty());
    }
    // The machine comes back: it finds itself retired, reads what it has and writes nothing.
    CO_TRY_VOID(co_await lost.up());
    for (int i = 0; i < 600 && lost.server->may_write(); ++i) co_await test.world.sleep(100ms);
    CO_TRY(const auto status, co_await lost.server->status());
    EXPECT_EQ(status.mode, "retired");
    EXPECT_EQ(status.servers_up, 1u);
    CO_TRY_VOID(co_await test.expect(lost, "of the second", bytes_of(2, 2 << 20), ReadFrom::local));
    for (std::size_t i = 0; i < 5; ++i)
      EXPECT_EQ(test.nodes[i]->server->members().all().size(), 5u);
    co_return Result<void>{};
  }(*this));
}

TEST_F(ServerTest, WhatNobodyRenewsIsLetGoButOnlyLongAfterItsContractsEnded) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(3));
    auto& owner = *test.nodes[0];
    CO_TRY_VOID(co_await test.put(owner, "a", bytes_of(1, 3 << 20), Level::full));
    CO_TRY_VOID(co_await test.put(*test.nodes[1], "b", bytes_of(2, 1 << 20), Level::full));
    const auto person = owner.server->identity().person;
    const auto kept = [&](std::size_t node) {
      return test.nodes[node]->server->shards().kept_for(person);
    };
    const auto jump = [&](int days) {
      for (auto& node : test.nodes)
        node->machine.set_wall_offset_ms(node->machine.wall_offset_ms() +
                                         days * std::int64_t{24} * 3600 * 1000);
    };
    co_await owner.down();
    const auto before = kept(1);
    EXPECT_GT(before, 0u);
    // The contracts have ended; the grace has not.
    jump(100);
    co_await test.world.sleep(37h);
    EXPECT_EQ(kept(1), before);
    // A clock that jumps counts for nothing until it has run evenly for a day.
    jump(100);
    co_await test.world.sleep(13h);
    EXPECT_EQ(kept(1), before);
    // An owner who is back within that day has lost nothing.
    CO_TRY_VOID(co_await owner.up());
    CO_TRY_VOID(co_await test.all_up(3));
    co_await test.world.sleep(37h);
    EXPECT_EQ(kept(1), before);
    CO_TRY_VOID(co_await test.expect(owner, "a", bytes_of(1, 3 << 20), ReadFrom::network));
    CO_TRY(const auto renewed, co_await owner.server->contracts(1000));
    const auto now = owner.runtime().wall_ms();
    EXPECT_TRUE(std::ranges::all_of(renewed, [&](auto& c) { return c.until_ms > now; }));
    // One who never comes back leaves nothing behind in the end; the others' files stay.
    co_await owner.down();
    jump(200);
    co_await test.world.sleep(37h);
    EXPECT_EQ(kept(1), 0u);
    EXPECT_EQ(kept(2), 0u);
    co_return co_await test.expect(*test.nodes[1], "b", bytes_of(2, 1 << 20), ReadFrom::network);
  }(*this), 200h);
}

TEST_F(ServerTest, ADriveAloneMayMoveIntoAnotherNetworkWithItsFiles) {
  run([](ServerTest& test) -> Task<Result<void>> {
    CO_TRY_VOID(co_await test.make_network(2));
    auto& loner = test.node();
    CO_TRY_VOID(co_await loner.init());
    CO_TRY_VOID(co_await loner.up());
    CO_TRY_VOID(co_await test.put(loner, "mine", bytes_of(4, 50'000), Level::full));
    co_await loner.down();
    CO_TRY(auto link, co_await test.invite(*test.nodes[1]));
    CO_TRY(auto invite, parse_link(link));
    auto drive = co_await open_drive(loner.runtime(), {});
    if (!drive) co_return fail(drive.error());
    const auto key = drive->keyring.server_key.public_key();
    auto& transport = loner.machine.make_transport(Bytes(key.begin(), key.end()));
    CO_TRY_VOID(co_await join_with_drive(loner.runtime(), transport, *drive, invite));
    CO_TRY(auto another, co_await test.invite(*test.nodes[0]));
    CO_TRY(auto second, parse_link(another));
    auto again = co_await join_with_drive(loner.runtime(), transport, *drive, second);
    EXPECT_EQ(again.error().code, Errc::exists);
    co_await transport.stop();
    CO_TRY_VOID(co_await loner.up());
    CO_TRY_VOID(co_await test.all_up(3));
    co_return co_await test.expect(loner, "mine", bytes_of(4, 50'000), ReadFrom::anywhere);
  }(*this));
}

}  // namespace
}  // namespace spatter
