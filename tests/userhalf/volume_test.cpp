// The file tree as its users see it.
#include "fixture.h"

namespace spatter {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(VolumeTest, FilesOfEverySizeComeBackAlsoAfterReopening) {
  std::map<std::string, Buffer> files;
  std::uint64_t seed = 1;
  for (std::size_t size : {0u, 1u, 16384u, 262144u, 262145u, 1000000u, 9000000u}) {
    files["noise" + std::to_string(size)] = random_bytes(size, ++seed);
    files["text" + std::to_string(size)] = text_bytes(size, ++seed);
  }
  for (auto& [name, bytes] : files) put(name, bytes);
  for (int round = 0; round < 2; ++round) {
    for (auto& [name, bytes] : files) {
      EXPECT_EQ(get(name), to_bytes(bytes)) << name;
      EXPECT_EQ(must(volume().stat(name)).size, bytes.size());
    }
    EXPECT_THAT(problems(), IsEmpty());
    reopen();
  }
  EXPECT_EQ(must(volume().stats()).files, files.size());
}

TEST_F(VolumeTest, ReadsAnyRange) {
  Buffer bytes = random_bytes(12 << 20, 5);
  put("file", bytes);
  auto reader = must(volume().read_file("file"));
  SeededRandom random(1);
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t at = random.below(bytes.size() + 100);
    const std::uint64_t length = random.below(i % 10 == 0 ? 6 << 20 : 100000) + 1;
    Buffer got = must(reader->read(at, length));
    Buffer want = at >= bytes.size()
                      ? Buffer()
                      : bytes.slice(at, std::min<std::uint64_t>(length, bytes.size() - at));
    ASSERT_TRUE(std::ranges::equal(got.view(), want.view())) << at << " + " << length;
  }
}

TEST_F(VolumeTest, PiecesAreAllThatAFileNeedsOfThePacks) {
  const auto one = random_bytes(5 << 20, 1);
  put("one", one);
  put("two", random_bytes(3 << 20, 2));
  put("the same", one);
  put("empty", Buffer());
  const auto pieces = must(volume().pieces_of("one"));
  std::uint64_t length = 0;
  for (const auto& piece : pieces) length += piece.length;
  EXPECT_GE(length, one.size());
  EXPECT_LT(length, one.size() + one.size() / 50);
  EXPECT_EQ(must(volume().pieces_of("the same")).size(), pieces.size());
  EXPECT_TRUE(must(volume().pieces_of("empty")).empty());
  EXPECT_TRUE(must(volume().pieces_of("")).empty());
  EXPECT_EQ(error_of(volume().pieces_of("nowhere")), Errc::not_found);

  // Everything else of the packs is wiped out.
  copy_packs();
  for (auto& [pack, bytes] : remote.packs) {
    Bytes left(bytes.size());
    for (const auto& piece : pieces)
      if (piece.pack == pack) {
        ASSERT_LE(piece.offset + piece.length, bytes.size());
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(piece.offset), piece.length,
                    left.begin() + static_cast<std::ptrdiff_t>(piece.offset));
      }
    bytes = left;
  }
  EXPECT_EQ(get("one", ReadFrom::network), to_bytes(one));
  EXPECT_EQ(get("the same", ReadFrom::network), to_bytes(one));
  auto reader = must(volume().read_file("two", ReadFrom::network));
  EXPECT_FALSE(run(reader->read(0, 1 << 20)));
}

TEST_F(VolumeTest, SparseFilesKeepTheirHoles) {
  auto writer = must(volume().write_file("sparse", {}));
  must(writer->write_hole(1ull << 40));
  must(writer->write(text_bytes(1000, 1)));
  must(writer->write_hole(5000));
  must(writer->write(random_bytes(700000, 2)));
  must(writer->write_hole(77));
  must(writer->commit());
  auto reader = must(volume().read_file("sparse"));
  const std::uint64_t size = (1ull << 40) + 1000 + 5000 + 700000 + 77;
  EXPECT_EQ(reader->node().size, size);
  EXPECT_EQ(must(reader->next_data(0)), std::pair(std::uint64_t{1} << 40, std::uint64_t{1000}));
  EXPECT_EQ(must(reader->next_data((1ull << 40) + 1000)).first, (1ull << 40) + 6000);
  EXPECT_EQ(must(reader->next_data(size - 1)).second, 0u);
  Buffer around = must(reader->read((1ull << 40) - 10, 1020));
  EXPECT_EQ(to_bytes(around.slice(0, 10)), Bytes(10));
  EXPECT_EQ(to_bytes(around.slice(10, 1000)), to_bytes(text_bytes(1000, 1)));
  EXPECT_EQ(to_bytes(around.slice(1010, 10)), Bytes(10));
  EXPECT_LT(must(volume().stats()).live_bytes, 800000u);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, EqualContentIsStoredOnce) {
  Buffer bytes = random_bytes(5 << 20, 6);
  put("one", bytes);
  const auto used = must(volume().stats()).used_bytes;
  put("two", bytes);
  put("small", random_bytes(1000, 7));
  put("small too", random_bytes(1000, 7));
  EXPECT_LT(must(volume().stats()).used_bytes - used, 8000u);
  EXPECT_EQ(get("two"), to_bytes(bytes));
  Buffer zeros = Buffer::take(Bytes(40 << 20));
  put("zeros", zeros);
  EXPECT_LT(must(volume().stats()).used_bytes - used, 100000u);
  EXPECT_EQ(get("zeros").size(), zeros.size());
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, AFileIsSeenOnlyWhenCommitted) {
  put("file", text_bytes(100, 1));
  {
    auto writer = must(volume().write_file("file", {}));
    must(writer->write(random_bytes(6 << 20, 2)));
    EXPECT_EQ(must(volume().stat("file")).size, 100u);
    auto dropped = must(volume().write_file("other", {}));
    must(dropped->write(random_bytes(6 << 20, 3)));
  }
  EXPECT_EQ(get("file"), to_bytes(text_bytes(100, 1)));
  EXPECT_THAT(names(""), ElementsAre("file"));
  reopen();
  EXPECT_THAT(names(""), ElementsAre("file"));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, OverwritingKeepsTheInodeAndWhoReadsTheOldContent) {
  put("file", random_bytes(3 << 20, 1));
  must(volume().link("file", "name"));
  const auto before = must(volume().stat("file"));
  auto reader = must(volume().read_file("file"));
  put("file", text_bytes(10, 2));
  must(volume().reap());
  EXPECT_EQ(must(volume().stat("file")).inode, before.inode);
  EXPECT_NE(must(volume().stat("file")).content, before.content);
  EXPECT_EQ(get("name"), to_bytes(text_bytes(10, 2)));
  Buffer old = must(reader->read(2 << 20, 1 << 20));
  EXPECT_EQ(to_bytes(old), to_bytes(random_bytes(3 << 20, 1).slice(2 << 20, 1 << 20)));
  reader.reset();
  must(volume().reap());
  EXPECT_LT(must(volume().stats()).live_bytes, 1000u);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, LinksModesTimesAndAttributes) {
  Attributes attributes{.mode = 04751, .uid = 1000, .gid = 100, .mtime_ns = -5, .xattrs = {{"user.a", "b"}}};
  must(volume().put_small("file", attributes, text_bytes(10, 1)));
  must(volume().link("file", "again"));
  must(volume().make_symlink("../else where", "link", {.mode = 0777}));
  must(volume().make_special("pipe", {.mode = 0010644}));
  EXPECT_EQ(error_of(volume().make_special("odd", {.mode = 0100644})), Errc::invalid);
  auto node = must(volume().stat("again"));
  EXPECT_EQ(node.links, 2u);
  EXPECT_EQ(node.attributes.mode, 0104751u);
  EXPECT_EQ(node.attributes.mtime_ns, -5);
  EXPECT_EQ(node.attributes.xattrs.at("user.a"), "b");
  EXPECT_EQ(must(volume().stat("link")).target, "../else where");
  must(volume().set_attributes("file", {.permissions = 0600, .mtime_ns = 77, .xattrs = {{"user.a", std::nullopt}, {"x", "y"}}}));
  reopen();
  node = must(volume().stat("again"));
  EXPECT_EQ(node.attributes.mode, 0100600u);
  EXPECT_EQ(node.attributes.mtime_ns, 77);
  EXPECT_EQ(node.attributes.xattrs, (std::map<std::string, std::string>{{"x", "y"}}));
  must(volume().remove("file"));
  EXPECT_EQ(must(volume().stat("again")).links, 1u);
  EXPECT_EQ(error_of(volume().read_file("link")), Errc::invalid);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, NamesMayHaveAnyBytes) {
  const std::string odd("\xff\x01 \n\"\\\xc3", 7);
  must(volume().make_directory(odd, {.mode = 0755}));
  must(volume().put_small(odd + "/" + std::string(255, '\x80'), {}, text_bytes(5, 1)));
  EXPECT_THAT(names("/" + odd + "//"), ElementsAre(std::string(255, '\x80')));
  EXPECT_EQ(error_of(volume().put_small(std::string(256, 'x'), {}, {})), Errc::invalid);
  EXPECT_EQ(error_of(volume().put_small(std::string("a\0b", 3), {}, {})), Errc::invalid);
  EXPECT_EQ(error_of(volume().put_small("a/../b", {}, {})), Errc::invalid);
  EXPECT_EQ(error_of(volume().stat(odd + "/x")), Errc::not_found);
  EXPECT_THAT(last_message, HasSubstr("\\xff\\x01"));
}

TEST_F(VolumeTest, RefusesAsPosixDoes) {
  must(volume().make_directory("d/e", {.mode = 0755}, true));
  must(volume().put_small("d/f", {}, text_bytes(5, 1)));
  must(volume().make_directory("empty", {.mode = 0755}));
  EXPECT_EQ(error_of(volume().make_directory("d", {})), Errc::exists);
  EXPECT_EQ(error_of(volume().make_directory("x/y", {})), Errc::not_found);
  EXPECT_EQ(error_of(volume().make_directory("d/f/g", {})), Errc::not_directory);
  EXPECT_EQ(error_of(volume().make_directory("d/f/g", {}, true)), Errc::not_directory);
  EXPECT_EQ(error_of(volume().remove("d")), Errc::not_empty);
  EXPECT_EQ(error_of(volume().remove("/")), Errc::invalid);
  EXPECT_EQ(error_of(volume().remove("nothing")), Errc::not_found);
  EXPECT_EQ(error_of(volume().write_file("d", {})), Errc::is_directory);
  EXPECT_EQ(error_of(volume().read_file("d")), Errc::is_directory);
  EXPECT_EQ(error_of(volume().list("d/f")), Errc::not_directory);
  EXPECT_EQ(error_of(volume().link("d", "l")), Errc::is_directory);
  EXPECT_EQ(error_of(volume().rename("d", "d/e/x")), Errc::invalid);
  EXPECT_EQ(error_of(volume().rename("d", "d")), Errc::ok);
  EXPECT_EQ(error_of(volume().rename("empty", "d")), Errc::not_empty);
  EXPECT_EQ(error_of(volume().rename("d/f", "empty")), Errc::is_directory);
  EXPECT_EQ(error_of(volume().rename("empty", "d/f")), Errc::not_directory);
  EXPECT_EQ(error_of(volume().rename("d/f", "d/e", false)), Errc::exists);
  EXPECT_EQ(error_of(volume().rename("d", "empty")), Errc::ok);
  EXPECT_THAT(names("empty"), ElementsAre("e", "f"));
  EXPECT_THAT(names(""), ElementsAre("empty"));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, FollowsLinksInsideTheVolume) {
  must(volume().make_directory("d/e", {}, true));
  must(volume().put_small("d/f", {}, text_bytes(5, 1)));
  must(volume().make_symlink("d", "ld", {}));
  must(volume().make_symlink("/ld/e/", "d/to-e", {}));
  must(volume().make_symlink("../../../d/f", "d/e/to-f", {}));
  must(volume().make_symlink("nothing", "dangling", {}));
  must(volume().make_symlink("b", "a", {}));
  must(volume().make_symlink("./a", "b", {}));
  const auto follow = [&](std::string path, LastLink last = LastLink::follow) {
    return must(volume().follow(std::move(path), last));
  };
  EXPECT_EQ(follow("/").path, "/");
  EXPECT_EQ(follow("/../..").path, "/");
  EXPECT_EQ(follow("d/./e/..//f").path, "/d/f");
  EXPECT_EQ(follow("ld").path, "/d");
  EXPECT_TRUE(follow("ld").node->is_directory());
  EXPECT_TRUE(follow("ld", LastLink::keep).node->is_symlink());
  EXPECT_EQ(follow("ld/", LastLink::keep).path, "/d");
  EXPECT_EQ(follow("ld/to-e/to-f").path, "/d/f");
  EXPECT_EQ(follow("ld/to-e/..").path, "/d");
  EXPECT_EQ(follow("ld/new").path, "/d/new");
  EXPECT_EQ(follow("ld/new").missing, 1u);
  EXPECT_EQ(follow("ld/new/er/").path, "/d/new/er");
  EXPECT_EQ(follow("ld/new/er/").missing, 2u);
  EXPECT_FALSE(follow("ld/new").dangling);
  EXPECT_TRUE(follow("dangling").dangling);
  EXPECT_EQ(follow("dangling").path, "/nothing");
  EXPECT_FALSE(follow("dangling", LastLink::keep).dangling);
  EXPECT_EQ(error_of(volume().follow("a")), Errc::invalid);
  EXPECT_EQ(follow("a", LastLink::keep).path, "/a");
  EXPECT_EQ(error_of(volume().follow("d/f/")), Errc::not_directory);
  EXPECT_EQ(error_of(volume().follow("d/f/..")), Errc::not_directory);
  EXPECT_EQ(error_of(volume().follow("none/../d")), Errc::not_found);
  EXPECT_THAT(last_message, HasSubstr("none"));
}

TEST_F(VolumeTest, ReplacesWhereItMay) {
  must(volume().put_small("a", {}, text_bytes(5, 1)));
  must(volume().link("a", "b"));
  must(volume().put_small("a", {}, text_bytes(6, 2), {.unshare = true}));
  EXPECT_EQ(get("a"), to_bytes(text_bytes(6, 2)));
  EXPECT_EQ(get("b"), to_bytes(text_bytes(5, 1)));
  EXPECT_EQ(must(volume().stat("a")).links, 1u);
  EXPECT_EQ(must(volume().stat("b")).links, 1u);
  const auto kept = must(volume().stat("a")).inode;
  must(volume().put_small("a", {}, text_bytes(7, 3), {.unshare = true}));  // nobody else has it
  EXPECT_EQ(must(volume().stat("a")).inode, kept);
  must(volume().link("a", "b", true));
  must(volume().link("a", "b", true));  // again: nothing to do
  EXPECT_EQ(must(volume().stat("b")).inode, kept);
  EXPECT_EQ(must(volume().stat("b")).links, 2u);
  must(volume().make_symlink("b", "a", {}, true));
  EXPECT_EQ(must(volume().stat("b")).links, 1u);
  must(volume().make_special("a", {.mode = 0020600, .device = 7}, true));
  EXPECT_EQ(must(volume().stat("a")).attributes.device, 7u);
  must(volume().make_directory("d", {}));
  EXPECT_EQ(error_of(volume().make_symlink("b", "d", {}, true)), Errc::is_directory);
  EXPECT_EQ(error_of(volume().link("b", "d", true)), Errc::is_directory);
  reopen();
  EXPECT_EQ(get("b"), to_bytes(text_bytes(7, 3)));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, TheRootIsRefusedBeforeAnythingIsRemoved) {
  must(volume().put_small("a", {}, text_bytes(5, 1)));
  EXPECT_EQ(error_of(volume().remove_tree("/")), Errc::invalid);
  EXPECT_THAT(names("/"), ElementsAre("a"));
}

TEST_F(VolumeTest, ListsInPages) {
  for (int i = 0; i < 25; ++i) must(volume().put_small(fmt::format("f{:02}", i), {}, {}));
  auto first = must(volume().list("", "", 10));
  ASSERT_EQ(first.size(), 10u);
  auto second = must(volume().list("", first.back().name, 100));
  EXPECT_EQ(second.size(), 15u);
  EXPECT_EQ(second.front().name, "f10");
}

TEST_F(VolumeTest, RemovesWholeTrees) {
  for (int i = 0; i < 30; ++i)
    for (int j = 0; j < 50; ++j)
      must(volume().make_directory(fmt::format("t/{}/{}", i, j), {.mode = 0755}, true));
  must(volume().put_small("t/3/4/file", {}, text_bytes(10, 1)));
  must(volume().remove_tree("t"));
  EXPECT_THAT(names(""), IsEmpty());
  EXPECT_EQ(must(volume().stats()).directories, 1u);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, ManyAtATimeShareCommits) {
  // All are spawned before any runs, so they meet in the queue.
  int done = 0;
  for (int i = 0; i < 200; ++i)
    asio::co_spawn(
        runtime.executor(), volume().put_small(fmt::format("f{}", i % 150), {}, text_bytes(100, 1)),
        [&](std::exception_ptr, Result<PackPosition> result) { done += result.has_value(); });
  runtime.run_until([&] { return done == 200; });
  EXPECT_EQ(names("").size(), 150u);
  reopen();
  EXPECT_EQ(names("").size(), 150u);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, AFullUserHalfSaysSoAndLosesNothing) {
  close();
  options.packs.limit_bytes = 8 << 20;
  open();
  put("kept", random_bytes(3 << 20, 1));
  auto writer = must(volume().write_file("too much", {}));
  Result<void> written;
  for (int i = 0; i < 20 && written; ++i) written = run(writer->write(random_bytes(1 << 20, 10u + i)));
  auto committed = run(writer->commit());
  ASSERT_FALSE(committed.has_value());
  EXPECT_EQ(committed.error().code, Errc::no_space);
  EXPECT_THAT(committed.error().message, HasSubstr("the user half of this drive is full: "));
  writer.reset();
  int fits = 0;
  while (fits < 1000 && error_of(volume().put_small(fmt::format("s{}", fits), {}, random_bytes(200000, 100u + fits))) == Errc::ok) ++fits;
  EXPECT_EQ(error_of(volume().put_small("more", {}, random_bytes(200000, 1))), Errc::no_space);
  // Removing is always possible.
  must(volume().make_directory("d", {.mode = 0755}));
  must(volume().remove("kept"));
  reopen();
  EXPECT_EQ(error_of(volume().stat("kept")), Errc::not_found);
  EXPECT_EQ(error_of(volume().stat("more")), Errc::not_found);
  EXPECT_LE(volume().packs().used_bytes(), 8u << 20);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, AFullDiskSaysSoAndLosesNothing) {
  put("kept", random_bytes(1 << 20, 1));
  runtime.memory().set_capacity(runtime.memory().used_bytes() + (2 << 20));
  auto writer = must(volume().write_file("too much", {}));
  Result<void> written;
  for (int i = 0; i < 20 && written; ++i) written = run(writer->write(random_bytes(1 << 20, 10u + i)));
  EXPECT_EQ(error_of(writer->commit()), Errc::no_space);
  writer.reset();
  runtime.memory().set_capacity(1 << 30);
  put("now", random_bytes(2 << 20, 2));
  EXPECT_EQ(get("kept"), to_bytes(random_bytes(1 << 20, 1)));
  reopen();
  EXPECT_EQ(get("kept"), to_bytes(random_bytes(1 << 20, 1)));
  EXPECT_EQ(get("now"), to_bytes(random_bytes(2 << 20, 2)));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, OnAFullDiskFilesCanStillBeRemoved) {
  must(volume().make_directory("d", {}));
  for (int i = 0; i < 300; ++i) must(volume().put_small(fmt::format("d/{}", i), {}, text_bytes(5, i)));
  put("kept", random_bytes(1 << 20, 1));
  runtime.memory().set_capacity(runtime.memory().used_bytes());
  // The index may have room left in its log.
  while (run(volume().make_directory(fmt::format("full-{}", volume().log_state().last_log), {}))) {
  }
  EXPECT_EQ(error_of(volume().make_directory("more", {})), Errc::no_space);
  must(volume().remove_tree("d"));
  must(volume().reap());
  EXPECT_EQ(error_of(volume().stat("d")), Errc::not_found);
  EXPECT_EQ(get("kept"), to_bytes(random_bytes(1 << 20, 1)));
  runtime.memory().set_capacity(1 << 30);
  reopen();
  EXPECT_EQ(error_of(volume().stat("d")), Errc::not_found);
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(VolumeTest, PacksKeepTheirTargetAndSlicesEndOnPages) {
  std::vector<PackId> sealed;
  volume().packs().on_sealed = [&](PackId pack) { sealed.push_back(pack); };
  put("big", random_bytes(30 << 20, 1));
  auto position = must(volume().put_small("small", {}, random_bytes(16384, 2), {.cut = true}));
  EXPECT_EQ(position.offset % pack_align_bytes, 0u);
  EXPECT_EQ(must(volume().packs().cut()), position);
  auto packs = volume().packs().list();
  EXPECT_GE(packs.size(), 8u);
  EXPECT_EQ(sealed.size() + 1, packs.size());
  for (const PackInfo& pack : packs) EXPECT_LE(pack.length, 4u << 20);
  EXPECT_EQ(position.pack, packs.back().id);
  EXPECT_EQ(position.offset, packs.back().length);
  volume().packs().set_target_bytes(64 << 20);
  put("bigger", random_bytes(20 << 20, 3));
  EXPECT_LE(volume().packs().list().size(), packs.size() + 1);
  EXPECT_GT(must(volume().packs().seal()), position);
  EXPECT_TRUE(volume().packs().list().back().sealed);
}

TEST_F(VolumeTest, NothingReadableIsInThePacks) {
  must(volume().put_small("SECRETNAME", {.xattrs = {{"user.x", "SECRETATTR"}}}, Buffer::copy_of(as_bytes("SECRETBODY"))));
  must(volume().snapshot());
  copy_packs();
  for (auto& [id, bytes] : remote.packs) EXPECT_EQ(as_text(bytes).find("SECRET"), std::string::npos);
}

}  // namespace
}  // namespace spatter
