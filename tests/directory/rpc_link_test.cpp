// A directory of real servers: TLS over loopback, real signatures, real time.
#include "directory/rpc_link.h"

#include "../net/fixture.h"
#include "contacts.h"
#include "directory_people.h"
#include "net/methods.h"
#include "directory/wire_form.h"
#include "net/tls_transport.h"
#include "wire/proto/directory.pb.h"

namespace spatter {
namespace {

class RpcLinkTest : public NetTest {
 public:
  using NetTest::new_key;
  using NetTest::runtime_;
  using NetTest::until;

  struct Node {
    Node(RpcLinkTest& test, const SigningKey& person)
        : test(test), identity(test.people.server_of(person)), place(test.people.place_of(identity)),
          judge(test.people.rules()),
          transport(make_tls_transport(*test.runtime_, identity.server_key)),
          rpc(*test.runtime_, *transport, test.people.facts.network) {
      address = rpc.listen({"127.0.0.1", 0}).value();
      own = judge.judge(as_bytes(test.people.placed(identity, place, 1, {address}))).value();
      link.emplace(rpc, judge, test.validators);
      DirectoryPace pace;
      pace.check_burst = 2ms;
      pace.check_busy = pace.check_idle = 20ms;
      directory = std::make_shared<Directory>(*test.runtime_, *link, own, test.validators,
                                              DirectoryOptions{}, pace);
      service.emplace(*test.runtime_, rpc, [this] { return directory; }, judge, test.validators,
                      [&test](const ServerId& id) { return test.person_of(id); });
    }
    Task<void> stop() {
      co_await directory->stop();
      co_await rpc.stop();
      co_await transport->stop();
    }

    RpcLinkTest& test;
    Identity identity;
    PlaceDraw place;
    ContactJudge judge;
    std::unique_ptr<Transport> transport;
    Rpc rpc;
    Address address;
    ContactPtr own;
    std::optional<RpcDirectoryLink> link;
    std::shared_ptr<Directory> directory;
    std::optional<DirectoryService> service;
  };

  std::optional<PersonId> person_of(const ServerId& id) const {
    for (const auto& node : nodes)
      if (node->identity.server == id) return node->identity.person;
    return std::nullopt;
  }
  /// Each comes in by the one before it, and is told of all others as a server tells of the members it knows:
  /// of those that come at the same moment, not all would be named to one another.
  Task<void> network(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      nodes.push_back(std::make_unique<Node>(*this, people.person()));
      nodes.back()->directory->start(i == 0 ? std::vector<ContactPtr>{}
                                            : std::vector{nodes[i - 1]->own});
    }
    for (auto& node : nodes)
      for (auto& other : nodes)
        if (node != other) node->directory->tell(other->own);
    co_await until([&] {
      return std::ranges::all_of(nodes, [&](const auto& node) {
        return node->directory->core().table().proven() == count - 1;
      });
    });
  }
  Task<void> stop_all() {
    for (auto& node : nodes) co_await node->stop();
  }

  DirectoryPeople people;
  RecordValidators validators = plain_validators();
  std::vector<std::unique_ptr<Node>> nodes;
  RecordKey key{RecordType::stripe, people.random.id<Digest>()};
};

std::string ping_from(const ContactPtr& own) {
  wire::DirectoryPing message;
  message.set_from(own->record);
  return message.SerializeAsString();
}

TEST_F(RpcLinkTest, EverybodyFindsEverybodyAndTheRecord) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(8);
    const auto stored = co_await test.nodes[0]->directory->put(test.key, plain_value(1));
    EXPECT_TRUE(stored && *stored == 8) << (stored ? "" : stored.error().message);
    for (auto& node : test.nodes) {
      const auto found = co_await node->directory->get(test.key);
      EXPECT_TRUE(found && (*found)->value == plain_value(1));
    }
    EXPECT_TRUE(co_await test.nodes[3]->directory->put(test.key, plain_value(2)));
    const auto found = co_await test.nodes[5]->directory->get(test.key);
    EXPECT_TRUE(found && (*found)->facts.version == 2u);
    EXPECT_LE(test.nodes[5]->directory->stats().lookup_hops, 2u);
    co_await test.stop_all();
  }(*this));
}

TEST_F(RpcLinkTest, ARecordThatCountsNoMoreDoesNotKeepOthersOut) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(2);
    const RecordKey stale{RecordType::stripe, test.people.random.id<Digest>()};
    const auto good = test.validators.check(test.key, plain_value(1)).value();
    const auto old = test.validators.check(stale, plain_value(1)).value();
    // From now on it is refused, as when its signer has changed his key.
    test.validators.set(RecordType::stripe, [=](const RecordKey& key, ByteView) -> Result<RecordFacts> {
      if (key == stale) return fail(Errc::denied, "it counts no more");
      return RecordFacts{1, std::numeric_limits<WallMs>::max() / 2, {}};
    });
    DirectoryRequest request;
    request.kind = DirectoryRequest::Kind::put;
    request.records = {old, good};
    const auto both = co_await test.nodes[0]->link->ask(test.nodes[1]->own, request);
    EXPECT_TRUE(both && both->stored == 1) << (both ? "" : both.error().message);
    EXPECT_TRUE(co_await test.nodes[1]->directory->get(test.key));
    request.records = {old};
    const auto alone = co_await test.nodes[0]->link->ask(test.nodes[1]->own, request);
    EXPECT_FALSE(alone);
    if (!alone) EXPECT_EQ(alone.error().code, Errc::denied);
    co_await test.stop_all();
  }(*this));
}

TEST_F(RpcLinkTest, WhoAsksOfAStoppedDirectoryIsToldSo) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(3);
    co_await test.nodes[0]->stop();
    EXPECT_EQ((co_await test.nodes[0]->directory->put(test.key, plain_value(1))).error().code, Errc::cancelled);
    EXPECT_EQ((co_await test.nodes[0]->directory->get(test.key)).error().code, Errc::cancelled);
    co_await test.stop_all();
  }(*this));
}

TEST_F(RpcLinkTest, ARecordOutlivesMostOfItsHolders) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(6);
    EXPECT_TRUE(co_await test.nodes[0]->directory->put(test.key, plain_value(1)));
    for (std::size_t i = 0; i < 4; ++i) {
      co_await test.nodes[i]->stop();
    }
    const auto found = co_await test.nodes[5]->directory->get(test.key);
    EXPECT_TRUE(found) << found.error().message;
    for (std::size_t i = 4; i < 6; ++i) co_await test.nodes[i]->stop();
  }(*this));
}

TEST_F(RpcLinkTest, WhatNobodyHasIsNotFoundAndWhatIsNoGoodIsNotSent) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(3);
    EXPECT_EQ((co_await test.nodes[0]->directory->get(test.key)).error().code, Errc::not_found);
    EXPECT_EQ((co_await test.nodes[0]->directory->put(test.key, "short")).error().code,
              Errc::invalid);
    co_await test.stop_all();
  }(*this));
}

TEST_F(RpcLinkTest, StrangersAndImpostorsAreTurnedAway) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(2);
    const auto key = test.new_key();
    auto transport = make_tls_transport(*test.runtime_, key);
    Rpc rpc(*test.runtime_, *transport, test.people.facts.network);
    const auto& node = *test.nodes[0];
    const auto ask = [&](DirectoryRequest request) {
      auto [number, body] = to_wire(request);
      return rpc.call_address(node.address, node.identity.server, {number, body, {}});
    };
    EXPECT_EQ((co_await ask({})).error().code, Errc::denied);
    DirectoryRequest as_another;
    as_another.from = test.nodes[1]->own;
    EXPECT_EQ((co_await ask(as_another)).error().code, Errc::denied);
    co_await rpc.stop();
    co_await transport->stop();
    co_await test.stop_all();
  }(*this));
}

TEST_F(RpcLinkTest, ANewcomerIsHelpedToItsNeighbours) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(6);
    // It knows one helper and has told nobody of itself.
    test.nodes.push_back(std::make_unique<Node>(test, test.people.person()));
    auto& newcomer = *test.nodes.back();
    const auto& helper = *test.nodes[2];
    EXPECT_TRUE(co_await newcomer.rpc.call_address(
        helper.address, helper.identity.server, {method::directory_ping, ping_from(newcomer.own), {}}));
    const auto found = co_await newcomer.link->have_looked_up(helper.identity.server, newcomer.own);
    EXPECT_TRUE(found) << found.error().message;
    if (!found) co_return;
    std::vector<ServerId> ids, expected;
    for (const auto& contact : *found) ids.push_back(contact->id);
    std::vector<ContactPtr> sorted;
    for (std::size_t i = 0; i < 6; ++i) sorted.push_back(test.nodes[i]->own);
    std::ranges::sort(sorted, [&](const auto& a, const auto& b) { return nearer(a, b, newcomer.own->position); });
    for (const auto& contact : sorted) expected.push_back(contact->id);
    EXPECT_EQ(ids, expected);  // nearest first, the helper among them, itself not
    newcomer.directory->start(*found);
    co_await test.until([&] { return newcomer.directory->core().table().proven() == 6; });
    co_await test.stop_all();
  }(*this));
}

TEST_F(RpcLinkTest, LookUpsForOnePersonsServersAreLimited) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(3);
    auto& asker = *test.nodes[1];
    const auto& helper = *test.nodes[0];
    const auto burst = static_cast<int>(DirectoryOptions{}.look_burst);
    for (int i = 0; i < burst; ++i)
      EXPECT_TRUE(co_await asker.link->have_looked_up(helper.identity.server, asker.own)) << i;
    const auto refused = co_await asker.link->have_looked_up(helper.identity.server, asker.own);
    EXPECT_TRUE(!refused && refused.error().code == Errc::busy);
    // Others are none the worse for it; and nobody is helped in another's name.
    EXPECT_TRUE(co_await test.nodes[2]->link->have_looked_up(helper.identity.server, test.nodes[2]->own));
    const auto posing = co_await asker.link->have_looked_up(helper.identity.server, test.nodes[2]->own);
    EXPECT_TRUE(!posing && posing.error().code == Errc::denied);
    co_await test.stop_all();
  }(*this));
}

TEST_F(RpcLinkTest, WhoFloodsIsSlowedDownAndForgeriesAreNotKept) {
  run([](RpcLinkTest& test) -> Task<void> {
    co_await test.network(2);
    auto& sender = *test.nodes[1];
    wire::DirectoryPut put;
    auto* item = put.add_records();
    item->mutable_name()->set_type(static_cast<std::uint32_t>(RecordType::stripe));
    item->mutable_name()->set_subject(test.key.subject.raw());
    item->set_value("forged");
    const auto send = [&](std::string body) {
      return sender.rpc.call(test.nodes[0]->identity.server, {method::directory_put, body, {}});
    };
    EXPECT_EQ((co_await send(put.SerializeAsString())).error().code, Errc::invalid);
    EXPECT_EQ(test.nodes[0]->directory->core().store().size(), 0u);
    item->set_value(plain_value(1));
    for (std::size_t i = 1; i < records_per_put_max; ++i) *put.add_records() = put.records(0);
    bool busy = false;
    for (int i = 0; i < 100 && !busy; ++i) {
      auto reply = co_await send(put.SerializeAsString());
      busy = !reply && reply.error().code == Errc::busy;
    }
    EXPECT_TRUE(busy);
    co_await test.stop_all();
  }(*this));
}

}  // namespace
}  // namespace spatter
