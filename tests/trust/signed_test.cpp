#include "trust/signed.h"

#include <gtest/gtest.h>

namespace spatter {
namespace {

SigningKey test_key(std::uint64_t seed) {
  SeededRandom random(seed);
  return SigningKey::generate(random);
}

TEST(Signed, HoldsForItsKindAndBytesOnly) {
  const auto record = sign(test_key(1), kind::server, "what was signed");
  EXPECT_TRUE(check(record, kind::server));

  EXPECT_EQ(check(record, kind::root).error().code, Errc::corrupt);
  auto other_body = record;
  other_body.set_body("what was signef");
  EXPECT_EQ(check(other_body, kind::server).error().code, Errc::corrupt);
  auto other_key = record;
  const auto key = test_key(2).public_key();
  other_key.set_key(key.data(), key.size());
  EXPECT_EQ(check(other_key, kind::server).error().code, Errc::corrupt);
}

TEST(Signed, KindAndBodyDoNotRunIntoEachOther) {
  EXPECT_NE(signed_bytes("ab", "c"), signed_bytes("a", "bc"));
  EXPECT_EQ(to_string(signed_bytes("root", "x")), std::string("spatter/1 root\0x", 16));
}

TEST(Signed, WrongLengthsAreRefusedBeforeAnythingElse) {
  auto record = sign(test_key(1), kind::server, "x");
  record.set_signature("short");
  EXPECT_EQ(check(record, kind::server).error().code, Errc::invalid);
  record = sign(test_key(1), kind::server, "x");
  record.set_key(record.key() + "x");
  EXPECT_EQ(check(record, kind::server).error().code, Errc::invalid);
  record = sign(test_key(1), kind::server, std::string(record_bytes_max + 1, 'x'));
  EXPECT_EQ(check(record, kind::server).error().code, Errc::invalid);
  EXPECT_FALSE(check(wire::Signed(), kind::server));
}

TEST(Signed, ABodyThatIsNoMessageIsAnError) {
  const auto record = sign(test_key(1), kind::genesis, "\xff\xff\xff");
  EXPECT_EQ(open_signed<wire::Genesis>(record, kind::genesis).error().code, Errc::invalid);
}

}  // namespace
}  // namespace spatter
