// Clips at one server and between two: kept whole, given in pieces, and bounded.
#include "directory/clip_store.h"

#include "../net/fixture.h"
#include "../net/pipe_transport.h"
#include "crypto/hash.h"
#include "people.h"

namespace spatter {
namespace {

/// Everybody in the test is a member.
struct Everybody final : Members {
  explicit Everybody(PersonId person) : person(person) {}
  Member own() const override { return {}; }
  std::vector<Member> others() const override { return {}; }
  std::vector<Member> all() const override { return {}; }
  std::optional<Member> find(const ServerId&) const override { return std::nullopt; }
  std::optional<PersonId> person_of(const ServerId&) const override {
    return closed ? std::nullopt : std::optional(person);
  }
  bool is_up(const ServerId&) const override { return true; }
  Subscription subscribe(std::function<void()>) override { return 1; }
  void unsubscribe(Subscription) override {}
  void publish_own(std::vector<Address>, std::uint64_t, std::uint64_t) override {}
  PersonId person;
  bool closed = false;
};

class ClipStoreTest : public NetTest {
 public:
  using NetTest::runtime_;

  struct Node {
    Node(ClipStoreTest& test, std::string name, std::uint64_t bytes_max)
        : identity(test.people.server_of(*test.people.founder)), transport(test.pipes, identity.server),
          rpc(*test.runtime_, transport, identity.network), folder(fmt::format("spatter-clips-{}-{}", ::getpid(), name)),
          clips(*test.runtime_, rpc, test.members, folder, bytes_max) {
      address = rpc.listen({"pipe", 0}).value();
      clips.start();
    }
    ~Node() { std::filesystem::remove_all(std::filesystem::temp_directory_path() / folder); }
    Task<void> stop() {
      co_await rpc.stop();
      co_await transport.stop();
    }
    Identity identity;
    PipeTransport transport;
    Rpc rpc;
    std::string folder;
    ClipStore clips;
    Address address;
  };
  Bytes clip_of(std::uint64_t seed, std::size_t size) {
    Bytes clip(size);
    SeededRandom(seed).fill(clip);
    return clip;
  }

  People people;
  Everybody members{person_id(people.founder->public_key())};
  PipeNetwork pipes{*runtime_};
};

TEST_F(ClipStoreTest, AClipComesInPiecesAndIsKept) {
  run([](ClipStoreTest& test) -> Task<void> {
    Node has(test, "has", 10 << 20), wants(test, "wants", 10 << 20);
    wants.rpc.set_addresses(has.identity.server, {has.address});
    const auto clip = test.clip_of(1, 700'001);
    const auto id = sha256(clip);
    EXPECT_TRUE(co_await has.clips.keep(id, clip));
    EXPECT_EQ((co_await wants.clips.read(id)).error().code, Errc::not_found);
    EXPECT_FALSE(co_await wants.clips.fetch(id, clip.size() - 1, {has.identity.server}));  // not as announced
    EXPECT_FALSE(co_await wants.clips.fetch(id, clip.size() + 1, {has.identity.server}));
    EXPECT_EQ((co_await wants.clips.fetch(id, clip.size(), {has.identity.server})).value(), clip);
    EXPECT_EQ((co_await wants.clips.fetch(id, clip.size(), {})).value(), clip);
    test.members.closed = true;
    const auto other = test.clip_of(2, 1000);
    EXPECT_TRUE(co_await has.clips.keep(sha256(other), other));
    EXPECT_EQ((co_await wants.clips.fetch(sha256(other), 1000, {has.identity.server})).error().code, Errc::denied);
    co_await wants.stop();
    co_await has.stop();
  }(*this));
}

TEST_F(ClipStoreTest, ARottenClipIsNotGivenOut) {
  run([](ClipStoreTest& test) -> Task<void> {
    Node node(test, "rot", 10 << 20);
    const auto clip = test.clip_of(1, 5000);
    const auto id = sha256(clip);
    EXPECT_TRUE(co_await node.clips.keep(id, test.clip_of(2, 5000)));  // as if it had changed since
    EXPECT_EQ((co_await node.clips.read(id)).error().code, Errc::corrupt);
    EXPECT_EQ((co_await node.clips.read(id)).error().code, Errc::not_found);
    co_await node.stop();
  }(*this));
}

TEST_F(ClipStoreTest, WhatNobodyNeedsMakesRoom) {
  run([](ClipStoreTest& test) -> Task<void> {
    Node node(test, "room", 25'000);
    std::vector<Digest> ids;
    node.clips.is_needed = [&](const Digest& clip) { return clip == ids[0]; };
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const auto clip = test.clip_of(seed, 10'000);
      ids.push_back(sha256(clip));
      EXPECT_TRUE(co_await node.clips.keep(ids.back(), clip));
    }
    EXPECT_TRUE(co_await node.clips.read(ids[0]));
    EXPECT_TRUE(co_await node.clips.read(ids[3]));
    EXPECT_FALSE((co_await node.clips.read(ids[1])) && (co_await node.clips.read(ids[2])));
    node.clips.is_needed = [](const Digest&) { return true; };
    EXPECT_EQ((co_await node.clips.keep(sha256(test.clip_of(5, 10'000)), test.clip_of(5, 10'000))).error().code,
              Errc::no_space);
    co_await node.stop();
  }(*this));
}

}  // namespace
}  // namespace spatter
