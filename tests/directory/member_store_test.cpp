#include "directory/member_store.h"

#include <gtest/gtest.h>

#include "../base/temporary_folder.h"
#include "base/real_runtime.h"
#include "directory/revocation.h"
#include "people.h"

namespace spatter {
namespace {

class MemberStoreTest : public testing::Test {
 protected:
  MemberStoreTest() { reopen(); }
  ~MemberStoreTest() override { runtime->wait_for(store->close()); }
  void reopen() {
    if (store) runtime->wait_for(store->close());
    store.reset();
    store = runtime->wait_for(MemberStore::open(*runtime, "members.db")).value();
  }
  template <class T>
  T wait(Task<T> task) {
    return runtime->wait_for(std::move(task));
  }

  People people;
  TemporaryFolder folder;
  std::unique_ptr<RealRuntime> runtime =
      std::move(RealRuntime::open({.root = folder.path()}).value());
  std::unique_ptr<MemberStore> store;
  Digest hash = people.random.id<Digest>();
};

TEST_F(MemberStoreTest, ANewDriveBelongsToNoNetwork) {
  EXPECT_FALSE(wait(store->load()).value().genesis);
}

TEST_F(MemberStoreTest, ARevocationTakesTheRecordsPlace) {
  const auto lost = people.server_of(*people.founder);
  ASSERT_TRUE(wait(store->replace({people.genesis, {}, {people.record(lost, 3)}})));
  const auto revocation =
      make_revocation(*people.founder, people.facts.network, people.record(lost, 3), 1);
  ASSERT_TRUE(wait(store->save({}, {}, {{lost.server, revocation}})));
  reopen();
  const auto contents = wait(store->load()).value();
  EXPECT_TRUE(contents.records.empty());
  ASSERT_EQ(contents.revocations.size(), 1u);
  EXPECT_EQ(contents.revocations[0].SerializeAsString(), revocation.SerializeAsString());
}

TEST_F(MemberStoreTest, WhatWasSavedIsThereAfterReopening) {
  const auto guest = people.server_of(people.person());
  const auto admission =
      make_admission(*people.founder, people.facts.network, guest.person, 1);
  ASSERT_TRUE(wait(store->replace({people.genesis, {admission}, {people.record(guest, 3)}})));
  ASSERT_TRUE(wait(store->save({}, {{guest.server, 2, people.record(guest, 2)}})));
  reopen();
  auto contents = wait(store->load()).value();
  ASSERT_TRUE(contents.genesis);
  EXPECT_EQ(contents.genesis->body(), people.genesis.body());
  ASSERT_EQ(contents.admissions.size(), 1u);
  ASSERT_EQ(contents.records.size(), 1u);
  EXPECT_EQ(check_server_record(contents.records[0], people.facts.network).value().version, 3u)
      << "an older version does not replace a newer one";
}

TEST_F(MemberStoreTest, AnInviteWorksOnceAndAgainForTheSameServerOnly) {
  const auto guest = people.server_of(*people.founder);
  const auto other = people.server_of(*people.founder);
  ASSERT_TRUE(wait(store->add_invite(hash, 1000, 2000)));
  EXPECT_TRUE(wait(store->check_invite(hash, 1500, guest.server)));
  EXPECT_TRUE(wait(store->use_invite(hash, 1500, std::nullopt,
                                     {guest.server, 1, people.record(guest, 1)})));
  reopen();
  const auto reused = wait(store->use_invite(hash, 1500, std::nullopt,
                                             {other.server, 1, people.record(other, 1)}));
  EXPECT_EQ(reused.error().code, Errc::denied);
  EXPECT_NE(reused.error().message.find("used already"), std::string::npos);
  EXPECT_TRUE(wait(store->use_invite(hash, 9000, std::nullopt,
                                     {guest.server, 1, people.record(guest, 1)})))
      << "its first answer may have been lost";
  EXPECT_EQ(wait(store->load()).value().records.size(), 1u);
}

TEST_F(MemberStoreTest, ExpiredAndUnknownInvitesSaySo) {
  const auto guest = people.server_of(*people.founder);
  ASSERT_TRUE(wait(store->add_invite(hash, 1000, 2000)));
  const auto expired = wait(store->check_invite(hash, 2001, guest.server));
  EXPECT_NE(expired.error().message.find("expired"), std::string::npos);
  const auto unknown =
      wait(store->check_invite(people.random.id<Digest>(), 1500, guest.server));
  EXPECT_NE(unknown.error().message.find("does not know"), std::string::npos);
}

TEST_F(MemberStoreTest, AnotherNetworkTakesThePlaceOfTheFirst) {
  People elsewhere(9);
  const auto guest = people.server_of(*people.founder);
  ASSERT_TRUE(wait(store->replace({people.genesis, {}, {people.record(guest, 1)}})));
  ASSERT_TRUE(wait(store->add_invite(hash, 1000, 2000)));
  ASSERT_TRUE(wait(store->replace({elsewhere.genesis, {}, {}})));
  const auto contents = wait(store->load()).value();
  EXPECT_EQ(contents.genesis->body(), elsewhere.genesis.body());
  EXPECT_TRUE(contents.records.empty());
  EXPECT_FALSE(wait(store->check_invite(hash, 1500, guest.server)));
}

}  // namespace
}  // namespace spatter
