// Aim: what other servers ask is read exactly, and everything malformed is refused with its name.
#include "requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "trust/contract.h"

namespace spatter::serverhalf {
namespace {

using testing::HasSubstr;

SeededRandom random_source(11);

TEST(RequestsTest, ReadRequestsOutsideAnyShardAreRefused) {
  wire::ShardReadRequest request;
  request.set_stripe(std::string(32, 's'));
  request.set_index(254);
  request.set_offset(shard_bytes_max - 1);
  request.set_length(1);
  EXPECT_TRUE(decode_read(request.SerializeAsString()));
  request.set_offset(shard_bytes_max);
  EXPECT_FALSE(decode_read(request.SerializeAsString()));
  request.set_offset(0);
  request.set_length(UINT64_MAX);
  EXPECT_FALSE(decode_read(request.SerializeAsString()));
  request.set_length(1);
  request.set_index(255);
  EXPECT_FALSE(decode_read(request.SerializeAsString()));
  request.set_index(0);
  request.set_stripe("short");
  EXPECT_THAT(decode_read(request.SerializeAsString()).error().message, HasSubstr("stripe has 5"));
}

TEST(RequestsTest, RenewalsNameTheirOwnersOnceEach) {
  wire::ShardRenewRequest request;
  wire::ContractBody body;
  for (const char owner : {'a', 'b', 'a'}) {
    body.set_owner_key(std::string(32, owner));
    request.add_contracts()->set_body(body.SerializeAsString());
  }
  const auto renewals = decode_renew(request.SerializeAsString());
  ASSERT_TRUE(renewals);
  EXPECT_EQ(renewals->contracts.size(), 3u);
  EXPECT_EQ(renewals->owners.size(), 2u);
  body.set_owner_key("short");
  request.add_contracts()->set_body(body.SerializeAsString());
  EXPECT_FALSE(decode_renew(request.SerializeAsString()));
  request.Clear();
  body.set_owner_key(std::string(32, 'a'));
  for (std::size_t i = 0; i <= renew_contracts_max; ++i)
    request.add_contracts()->set_body(body.SerializeAsString());
  EXPECT_THAT(decode_renew(request.SerializeAsString()).error().message, HasSubstr("257"));
}

TEST(RequestsTest, TooManyShardsInOneRequestAreRefused) {
  wire::ShardReleaseRequest release;
  wire::ShardCheckRequest check;
  const auto add = [&](int count) {
    for (int i = 0; i < count; ++i) {
      auto* shard = release.add_shards();
      shard->set_stripe(std::string(32, 's'));
      shard->set_index(static_cast<unsigned>(i) % 255);
      *check.add_shards() = *shard;
    }
  };
  add(32);
  check.set_deep(true);
  EXPECT_TRUE(decode_check(check.SerializeAsString()));
  add(1);
  EXPECT_FALSE(decode_check(check.SerializeAsString()));
  check.set_deep(false);
  EXPECT_TRUE(decode_check(check.SerializeAsString()));
  add(1024 - 33);
  EXPECT_EQ(decode_release(release.SerializeAsString()).value().keys.size(), 1024u);
  add(1);
  EXPECT_FALSE(decode_release(release.SerializeAsString()));
  EXPECT_FALSE(decode_check(check.SerializeAsString()));
}

TEST(RequestsTest, APutNeedsADescriptorAndAReadableContract) {
  wire::ShardPutRequest request;
  EXPECT_THAT(decode_put(request.SerializeAsString()).error().message, HasSubstr("contract"));
  request.mutable_contract();
  EXPECT_THAT(decode_put(request.SerializeAsString()).error().message, HasSubstr("descriptor"));
  request.mutable_stripe_descriptor();
  EXPECT_FALSE(decode_put(request.SerializeAsString()));
  request.mutable_contract()->set_body("\xff\xff\xff");
  EXPECT_FALSE(decode_put(request.SerializeAsString()));
  wire::ContractBody body;
  body.set_owner_key(std::string(32, 'k'));
  request.mutable_contract()->set_body(body.SerializeAsString());
  EXPECT_EQ(decode_put(request.SerializeAsString()).value().owner,
            server_id(as_bytes(body.owner_key())));
}

TEST(RequestsTest, ARequestOfRandomBytesIsAnErrorOrARequest) {
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes(random_source.below(80));
    random_source.fill(bytes);
    const std::string_view body = as_text(bytes);
    (void)decode_put(body), (void)decode_begin(body), (void)decode_read(body);
    (void)decode_list(body), (void)decode_release(body), (void)decode_check(body);
    const auto write = decode_write(body);
    if (write) EXPECT_LE(write->offset, shard_bytes_max);
  }
}

TEST(RequestsTest, AListingThatIsTooLongIsCutAndSaysSo) {
  ShardPage page;
  for (int i = 0; i < 100; ++i) {
    ShardListing listing{.key = {random_source.id<StripeId>(), 1}, .size = 5};
    listing.descriptor.emplace().set_body(std::string(10000, 'd'));
    page.shards.push_back(std::move(listing));
  }
  wire::ShardListReply reply;
  const std::string encoded = encode_list(page);
  ASSERT_TRUE(reply.ParseFromString(encoded));
  EXPECT_LE(encoded.size(), list_reply_bytes_max + 100);
  EXPECT_TRUE(reply.more());
  EXPECT_GT(reply.entries_size(), 30);
  page.shards.resize(3);
  ASSERT_TRUE(reply.ParseFromString(encode_list(page)));
  EXPECT_FALSE(reply.more());
  EXPECT_EQ(reply.entries_size(), 3);
}

}  // namespace
}  // namespace spatter::serverhalf
