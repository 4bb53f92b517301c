// SHA-256 against FIPS 180-4's examples; the lane kernels against OpenSSL for every shape that the
// dealing of messages to lanes treats differently; BLAKE2b against the reference implementation.
#include "crypto/hash.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "hex.h"

namespace spatter {
namespace {

constexpr std::string_view abc_digest =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
constexpr std::string_view two_blocks_digest =
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
constexpr std::string_view million_a_digest =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, KnownAnswersOfFips180) {
  EXPECT_EQ(sha256(as_bytes("abc")).hex(), abc_digest);
  EXPECT_EQ(sha256(as_bytes(two_blocks)).hex(), two_blocks_digest);
  EXPECT_EQ(sha256({}).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, StreamInPiecesEqualsOneMessageAndStartsAnew) {
  Sha256 hash;
  const std::string thousand(1000, 'a');
  for (int i = 0; i < 1000; ++i) hash.update(as_bytes(thousand));
  EXPECT_EQ(hash.finish().hex(), million_a_digest);
  EXPECT_EQ(hash.update(as_bytes("a")).update(as_bytes("bc")).finish().hex(), abc_digest);
}

TEST(Sha256, ACopyGoesOnFromTheCommonBeginning) {
  Sha256 hash;
  hash.update(as_bytes("a"));
  Sha256 copy = hash;
  hash.update(as_bytes("x"));
  EXPECT_EQ(copy.update(as_bytes("bc")).finish().hex(), abc_digest);
}

class Sha256Lanes : public testing::TestWithParam<ShaLanes> {};

void expect_equal_to_openssl(ShaLanes lanes, const std::vector<Bytes>& messages,
                             std::optional<std::uint8_t> prefix) {
  std::vector<ByteView> views(messages.begin(), messages.end());
  std::vector<Digest> digests(messages.size());
  sha256_many_with(lanes, views, digests, prefix);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    Sha256 one;
    if (prefix) one.update({&*prefix, 1});
    ASSERT_EQ(digests[i], one.update(messages[i]).finish())
        << "message " << i << " of " << messages.size() << ", " << messages[i].size() << " bytes";
  }
}

TEST_P(Sha256Lanes, KnownAnswersInEveryLane) {
  const std::string million(1'000'000, 'a');
  std::vector<ByteView> messages;
  for (int i = 0; i < 20; ++i) {
    messages.push_back(as_bytes("abc"));
    messages.push_back(as_bytes(two_blocks));
  }
  messages.push_back(as_bytes(million));
  std::vector<Digest> digests(messages.size());
  sha256_many_with(GetParam(), messages, digests);
  for (std::size_t i = 0; i < 40; ++i)
    EXPECT_EQ(digests[i].hex(), i % 2 == 0 ? abc_digest : two_blocks_digest);
  EXPECT_EQ(digests.back().hex(), million_a_digest);
}

TEST_P(Sha256Lanes, AnyNumberOfLeavesWithAndWithoutPrefix) {
  for (std::size_t count = 0; count <= 50; ++count) {
    std::vector<Bytes> messages;
    for (std::size_t i = 0; i < count; ++i) {
      messages.push_back(pattern(16384));
      messages.back()[i] ^= 1;
    }
    expect_equal_to_openssl(GetParam(), messages, std::uint8_t{0});
    expect_equal_to_openssl(GetParam(), messages, std::nullopt);
  }
}

TEST_P(Sha256Lanes, EveryLengthAroundTheBlockBorders) {
  std::vector<Bytes> messages;
  for (std::size_t size = 0; size < 400; ++size) messages.push_back(pattern(size));
  expect_equal_to_openssl(GetParam(), messages, std::nullopt);
  expect_equal_to_openssl(GetParam(), messages, std::uint8_t{1});
}

TEST_P(Sha256Lanes, MixedLengthsEqualOpenssl) {
  EXPECT_TRUE(rc::check([lanes = GetParam()] {
    const auto count = *rc::gen::inRange<std::size_t>(0, 80);
    std::vector<Bytes> messages;
    for (std::size_t i = 0; i < count; ++i) {
      const auto span = *rc::gen::element<std::size_t>(2, 130, 3000, 40000);
      messages.push_back(pattern(*rc::gen::inRange<std::size_t>(0, span)));
      if (!messages.back().empty()) messages.back()[0] = static_cast<std::uint8_t>(i);
    }
    const auto prefix =
        *rc::gen::element(std::optional<std::uint8_t>{}, std::optional<std::uint8_t>{1});
    expect_equal_to_openssl(lanes, messages, prefix);
    RC_ASSERT(!testing::Test::HasFatalFailure());
  }));
}

INSTANTIATE_TEST_SUITE_P(All, Sha256Lanes,
                         testing::ValuesIn(sha256_lanes_available().begin(),
                                           sha256_lanes_available().end()),
                         [](const auto& info) {
                           switch (info.param) {
                             case ShaLanes::one:
                               return "One";
                             case ShaLanes::two_sha:
                               return "TwoSha";
                             case ShaLanes::eight_avx2:
                               return "Avx2";
                             case ShaLanes::sixteen_avx512:
                               return "Avx512";
                           }
                           return "Unknown";
                         });

// Python's hashlib (the authors' reference code) gave these: digest_size=32, key as named.
TEST(Blake2b, KnownAnswers) {
  const Bytes key = counting(32);
  EXPECT_EQ(blake2b(key, ByteView{}).hex(),
            "4e51e7a913fc80137da52880fecca175bf81e117d5c68126dc2774033517ea0d");
  EXPECT_EQ(blake2b(key, as_bytes("abc")).hex(),
            "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f");
  EXPECT_EQ(blake2b(key, counting(256)).hex(),
            "b42be36ea26392f67d1d3706ffa72b6c61c2ff38e1fabd9a49e154d54b967d83");
  EXPECT_EQ(blake2b({}, as_bytes("abc")).hex(),
            "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
  EXPECT_EQ(blake2b(counting(64), counting(255)).hex(),
            "fe7b76a61787c089141f9e10fca1e5092488d89c62ea793fb2c5b1f849b4f2cb");
}

TEST(Blake2b, PiecesAreTheSameAsOneMessage) {
  const Bytes key = counting(32), data = pattern(1000);
  const ByteView view(data);
  EXPECT_EQ(blake2b(key, {view.first(1), view.subspan(1, 500), {}, view.subspan(501)}),
            blake2b(key, data));
}

}  // namespace
}  // namespace spatter
