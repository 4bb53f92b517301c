#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/transport.h"

namespace spatter {
namespace {

TEST(Address, ReadsNamesAndBothKindsOfNumbers) {
  EXPECT_EQ(Address::parse("192.0.2.7:4040").value(), (Address{"192.0.2.7", 4040}));
  EXPECT_EQ(Address::parse("[2001:db8::1]:1").value(), (Address{"2001:db8::1", 1}));
  EXPECT_EQ(Address::parse("name.example:0").value(), (Address{"name.example", 0}));
}

TEST(Address, WritesWhatItReads) {
  for (const char* text : {"192.0.2.7:4040", "[2001:db8::1]:65535", "name.example:1"})
    EXPECT_EQ(Address::parse(text).value().text(), text);
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text : {"", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:+1",
                           "host: 1", "host:1x", "2001:db8::1:80", "[::1]80", "[::1", "[]:80",
                           "a b:1", "a/b:1", "a\nb:1"}) {
    const auto parsed = Address::parse(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, Errc::invalid);
    EXPECT_NE(parsed.error().message.find("address"), std::string::npos);
  }
}

RC_GTEST_PROP(Address, NeverTripsOverForeignText, (std::string text)) {
  if (auto parsed = Address::parse(text)) RC_ASSERT(Address::parse(parsed->text()).value() == *parsed);
}

}  // namespace
}  // namespace spatter
