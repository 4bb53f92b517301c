#include "directory/invite.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/random.h"

namespace spatter {
namespace {

Invite example() {
  SeededRandom random(4);
  Invite invite;
  invite.addresses = {{"192.0.2.7", 4840}, {"2001:db8::1", 4840}, {"attic.example", 1}};
  invite.network = random.id<NetworkId>();
  invite.inviter = random.id<ServerId>();
  invite.secret.resize(invite_secret_bytes);
  random.fill(invite.secret);
  invite.expires_ms = 1'700'000'000'000;
  return invite;
}

TEST(InviteLink, SaysWhatTheInviteSays) {
  const auto invite = example();
  const auto link = to_link(invite);
  EXPECT_TRUE(link.starts_with("spatter:"));
  const auto back = parse_link(" \t" + link + "\r\n").value();
  EXPECT_EQ(back.addresses, invite.addresses);
  EXPECT_EQ(back.network, invite.network);
  EXPECT_EQ(back.inviter, invite.inviter);
  EXPECT_EQ(back.secret, invite.secret);
  EXPECT_EQ(back.expires_ms, invite.expires_ms);
}

TEST(InviteLink, AnyCutOrAlteredCharacterIsNoticed) {
  const auto link = to_link(example());
  for (std::size_t i = 0; i < link.size(); ++i) {
    auto altered = link;
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(parse_link(altered)) << i;
    EXPECT_FALSE(parse_link(link.substr(0, i))) << i;
  }
  EXPECT_FALSE(parse_link(link + "A"));
}

TEST(InviteLink, SaysWhetherItIsNoLinkOrADamagedOne) {
  EXPECT_NE(parse_link("https://example.org").error().message.find("no invite link"),
            std::string::npos);
  EXPECT_NE(parse_link("").error().message.find("no invite link"), std::string::npos);
  const auto link = to_link(example());
  EXPECT_NE(parse_link(link.substr(0, 60)).error().message.find("copy it again"),
            std::string::npos);
  EXPECT_FALSE(parse_link("spatter:" + std::string(100'000, 'A')));
}

TEST(InviteLink, AnyBytesAreReadOrRefused) {
  EXPECT_TRUE(rc::check([](const std::string& text) {
    (void)parse_link(text);
    (void)parse_link("spatter:" + text);
  }));
}

}  // namespace
}  // namespace spatter
