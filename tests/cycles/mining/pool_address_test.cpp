#include "cycles/pool_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spatter::mining {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(PoolAddress, IsAHostAndAPort) {
  EXPECT_EQ(parse_pool_address("stratum+tcp://pool.example:3333").value(), (Address{"pool.example", 3333}));
  EXPECT_EQ(parse_pool_address("STRATUM+TCP://127.0.0.1:1/").value(), (Address{"127.0.0.1", 1}));
  EXPECT_EQ(parse_pool_address("stratum+tcp://[2001:db8::1]:65535").value(), (Address{"2001:db8::1", 65535}));
}

TEST(PoolAddress, EverythingElseIsRefusedByName) {
  auto refused = [](std::string_view text) {
    const auto address = parse_pool_address(text);
    EXPECT_FALSE(address) << text;
    return address ? "" : address.error().message;
  };
  EXPECT_THAT(refused(""), HasSubstr("missing"));
  EXPECT_THAT(refused("stratum+ssl://pool.example:443"), HasSubstr("\"stratum+ssl://pool.example:443\""));
  EXPECT_THAT(refused("stratum+ssl://pool.example:443"), HasSubstr("TLS are not supported"));
  EXPECT_THAT(refused("stratum+tls://pool.example:443"), HasSubstr("TLS are not supported"));
  EXPECT_THAT(refused("stratum2+tcp://pool.example:443"), HasSubstr("Stratum V2 is not supported"));
  EXPECT_THAT(refused("http://pool.example:8332"), HasSubstr("does not begin with stratum+tcp://"));
  EXPECT_THAT(refused("pool.example:3333"), HasSubstr("does not begin with stratum+tcp://"));
  EXPECT_THAT(refused("stratum+tcp://pool.example"), HasSubstr("the port is missing"));
  EXPECT_THAT(refused("stratum+tcp://pool.example:0"), HasSubstr("port 0"));
  EXPECT_THAT(refused("stratum+tcp://pool.example:99999"), HasSubstr("no number from 0 to 65535"));
  EXPECT_THAT(refused("stratum+tcp://:3333"), HasSubstr("the host is missing"));
  EXPECT_THAT(refused("stratum+tcp://2001:db8::1:3333"), HasSubstr("IPv6"));
  EXPECT_THAT(refused("stratum+tcp://a b:3333"), HasSubstr("foreign character"));
  EXPECT_THAT(refused("stratum+tcp://alice:x@pool.example:3333"), HasSubstr("--user"));
  EXPECT_THAT(refused("stratum+tcp://pool.example:3333/path"), HasSubstr("no path"));
  EXPECT_THAT(refused("stratum+tcp://" + std::string(10000, 'a') + ":1"), testing::SizeIs(testing::Lt(500)));
  EXPECT_THAT(refused("\x1b[31m"), HasSubstr("\"?[31m\""));
}

TEST(PoolUser, NamesAndAddressesAreAccepted) {
  for (const char* user : {"alice", "alice.worker1", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
                           "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq.rig",
                           "bc1p5d7rjq7g6rdk2yhzks9smlaqtedr4dekq08ge8ztwac72sfr9rusxg3297",
                           "mail@example.org"})
    EXPECT_TRUE(check_pool_user(user)) << user;
}

TEST(PoolUser, SecretsAreRefusedAndNotRepeated) {
  const std::pair<const char*, const char*> secrets[] = {
      {"5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", "WIF"},
      {"KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617", "WIF"},
      {"L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ.worker", "WIF"},
      {"cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA", "WIF"},
      {"xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi", "extended private key"},
      {"e9873d79c6d87dc0fb6a5778633389f4453213303da61f20bd67fc233aa33262", "64 hexadecimal digits"},
      {"0xe9873d79c6d87dc0fb6a5778633389f4453213303da61f20bd67fc233aa33262", "64 hexadecimal digits"},
      {"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about", "words"},
      {"legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful "
       "legal winner thank year wave sausage worth title", "words"},
      {"abandon,abandon,abandon,abandon,abandon,abandon,abandon,abandon,abandon,abandon,abandon,about", "words"},
  };
  for (const auto& [user, what] : secrets) {
    const auto checked = check_pool_user(user);
    ASSERT_FALSE(checked) << user;
    EXPECT_THAT(checked.error().message, HasSubstr(what));
    EXPECT_THAT(checked.error().message, HasSubstr("a pool never needs it"));
    for (std::size_t at = 0; at + 8 < std::string_view(user).size(); ++at)
      EXPECT_THAT(checked.error().message, Not(HasSubstr(std::string(user).substr(at, 9))));
  }
}

TEST(PoolUser, WhatCannotBeSentIsRefused) {
  EXPECT_THAT(check_pool_user("").error().message, HasSubstr("missing"));
  EXPECT_THAT(check_pool_user("a b").error().message, HasSubstr("foreign character: \"a b\""));
  EXPECT_THAT(check_pool_user("a\nb").error().message, HasSubstr("\"a?b\""));
  EXPECT_THAT(check_pool_user("\xc3\xa4").error().message, HasSubstr("foreign character"));
  EXPECT_THAT(check_pool_user(std::string(129, 'a')).error().message, HasSubstr("longer than 128 bytes"));
}

}  // namespace
}  // namespace spatter::mining
