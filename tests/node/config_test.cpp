#include "node/config.h"

#include <gtest/gtest.h>

namespace spatter {
namespace {

TEST(Config, AnEmptyFileMeansTheDefaults) {
  const auto parsed = parse_config("").value();
  EXPECT_EQ(parsed.config.size_bytes, 0u);
  EXPECT_EQ(parsed.config.listen, (Address{"::", default_port}));
  EXPECT_TRUE(parsed.warnings.empty());
}

TEST(Config, EveryKeyIsRead) {
  const auto config = parse_config("size = \"2T\"\n"
                                   "listen = \"[::]:5000\"\n"
                                   "advertise = [\"example.org:4840\", \"192.0.2.1:1\"]\n"
                                   "name = \"attic\"\n"
                                   "repair_rate = \"4M\"\n"
                                   "repair_hours = [\"08:00-23:30 500K\", \"23:30-08:00 none\"]\n"
                                   "popups = false\n"
                                   "notify_command = 'mail -s \"$SPATTER_TITLE\" me'\n"
                                   "log = \"warning\"\n").value().config;
  EXPECT_EQ(config.size_bytes, 2ull << 40);
  EXPECT_EQ(config.listen.port, 5000);
  ASSERT_EQ(config.advertise.size(), 2u);
  EXPECT_EQ(config.advertise[0].host, "example.org");
  EXPECT_EQ(config.name, "attic");
  EXPECT_EQ(config.repair_bytes_per_s, 4u << 20);
  EXPECT_EQ(config.repair_hours, (std::vector<RepairHours>{{480, 1410, 500 << 10}, {1410, 480, 0}}));
  EXPECT_FALSE(config.popups);
  EXPECT_EQ(config.notify_command, "mail -s \"$SPATTER_TITLE\" me");
  EXPECT_EQ(config.log_level, LogLevel::warning);
}

TEST(Config, HoursOfMendingFollowTheClock) {
  const std::vector<RepairHours> hours{parse_repair_hours("22:00-06:30 none").value(),
                                       parse_repair_hours("18:00-23:00 1M").value()};
  for (const auto& [minute, rate] : {std::pair(0u, 0u), std::pair(389u, 0u), std::pair(390u, 9u), std::pair(1079u, 9u),
                                     std::pair(1080u, 1u << 20), std::pair(1319u, 1u << 20), std::pair(1320u, 0u),
                                     std::pair(1439u, 0u)})
    EXPECT_EQ(repair_rate_at(hours, 9, minute), rate) << minute;
  EXPECT_EQ(parse_repair_hours("18:00-24:00 1M")->until, 0u);
  for (const auto* text : {"", "2M", "08:00-09:00", "8:00-09:00 2M", "08:00-25:00 2M", "08:60-09:00 2M", "08:00-08:00 2M",
                           "08:00 09:00 2M", "08:00-09:00 fast", "08:00-09:00 1K", "0x:00-09:00 2M"}) {
    const auto parsed = parse_repair_hours(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_TRUE(parsed.error().message.contains(text)) << parsed.error().message;
  }
  Config config;
  config.repair_hours = hours;
  EXPECT_EQ(parse_config(config_text(config)).value().config.repair_hours, hours);
  EXPECT_FALSE(parse_config("repair_hours = \"08:00-09:00 2M\"\n"));
  EXPECT_FALSE(parse_config("repair_hours = [8]\n"));
}

TEST(Config, UnknownKeysAreNamedAndIgnored) {
  const auto parsed = parse_config("name = \"a\"\nsice = 4\n[table]\nx = 1\n").value();
  ASSERT_EQ(parsed.warnings.size(), 2u);
  EXPECT_TRUE(parsed.warnings[0].contains("line 2") && parsed.warnings[0].contains("sice"))
      << parsed.warnings[0];
  EXPECT_EQ(parsed.config.name, "a");
}

TEST(Config, WrongValuesNameKeyAndLine) {
  const std::pair<const char*, const char*> wrong[] = {
      {"\nsize = \"big\"", "line 2: size"},     {"size = -4", "line 1: size"},
      {"size = 1000", "line 1: size"},          {"size = true", "line 1: size"},
      {"listen = 4840", "line 1: listen"},      {"listen = \"nowhere\"", "line 1: listen"},
      {"advertise = \"a:1\"", "advertise"},     {"advertise = [1]", "advertise"},
      {"advertise = [\"a:0\"]", "advertise"},   {"log = \"loud\"", "line 1: log"},
      {"name = 3", "line 1: name"},             {"name = ", "line 1"},
      {"popups = \"no\"", "line 1: popups"},    {"notify_command = [\"true\"]", "line 1: notify_command"},
      {"notify_command = \"a\\u0000b\"", "zero bytes"},
      {"name = \"a\"\nname = \"b\"", "line 2"},
  };
  for (const auto& [text, names] : wrong) {
    const auto parsed = parse_config(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_TRUE(parsed.error().message.contains(names)) << parsed.error().message;
  }
  EXPECT_FALSE(parse_config("notify_command = '" + std::string(4097, 'x') + "'"));
  EXPECT_FALSE(parse_config(std::string(config_bytes_max + 1, '#')));
}

// The parser asserts on the first, and runs into undefined behaviour on the second, if we let it.
TEST(Config, BytesThatTheParserStumblesOverAreRefused) {
  EXPECT_FALSE(parse_config(std::string_view("[\0a}'is\0", 8)));
  EXPECT_FALSE(parse_config("s\xc9\xbfi"));
  EXPECT_FALSE(parse_config("\xff\xfe"));
  EXPECT_FALSE(parse_config(std::string(10'000, '[')));
}

TEST(Config, WhatIsWrittenSaysTheSame) {
  Config config;
  config.size_bytes = 123'456'789;
  config.listen = {"::1", 0};
  config.advertise = {{"a.example", 1}, {"2001:db8::1", 2}};
  config.name = "the \"attic\" \\ \x01 ü";
  config.popups = false;
  config.notify_command = "echo \"$SPATTER_TEXT\" | tee 'a\\b'\nsecond line";
  config.log_level = LogLevel::debug;
  const auto back = parse_config(config_text(config)).value();
  EXPECT_TRUE(back.warnings.empty());
  EXPECT_EQ(back.config.size_bytes, config.size_bytes);
  EXPECT_EQ(back.config.listen, config.listen);
  EXPECT_EQ(back.config.advertise, config.advertise);
  EXPECT_EQ(back.config.name, config.name);
  EXPECT_EQ(back.config.popups, config.popups);
  EXPECT_EQ(back.config.notify_command, config.notify_command);
  EXPECT_EQ(back.config.log_level, config.log_level);
  EXPECT_TRUE(parse_config(config_text(Config{})));
}

TEST(Size, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(parse_size("500G").value(), 500ull << 30);
  EXPECT_EQ(parse_size("1.5T").value(), 3ull << 39);
  EXPECT_EQ(parse_size(" 64 MiB ").value(), 64ull << 20);
  EXPECT_EQ(parse_size("20GB").value(), 20'000'000'000ull);
  EXPECT_EQ(parse_size("1000").value(), 1000u);
  EXPECT_EQ(parse_size("8k").value(), 8192u);
  EXPECT_EQ(parse_size("17B").value(), 17u);
  for (const auto* text : {"", "G", "-1", "1.2.3", "1X", "12 GG", "nan", "inf", "1e9", "0x10",
                           "99999999P", "5 iB"})
    EXPECT_FALSE(parse_size(text)) << text;
}

}  // namespace
}  // namespace spatter
