// Lines of pools: as real ones send them, and wrong ones, each refused by name.
#include "cycles/pool_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spatter::mining {
namespace {

using testing::HasSubstr;

template <class T>
T parsed(std::string_view line) {
  auto message = parse_pool_line(line);
  EXPECT_TRUE(message) << (message ? "" : message.error().message);
  EXPECT_TRUE(std::holds_alternative<T>(*message)) << line;
  return std::get<T>(*message);
}

std::string refused(std::string_view line) {
  const auto message = parse_pool_line(line);
  EXPECT_FALSE(message) << line;
  return message ? "" : message.error().message;
}

std::string notify(const std::string& params) {
  return "{\"id\":null,\"method\":\"mining.notify\",\"params\":[" + params + "]}";
}
const std::string zeros(64, '0');

TEST(PoolMessage, ReadsAJob) {
  const auto job = parsed<PoolJob>(
      notify("\"bf\",\"4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000\",\"0100\","
             "\"ff\",[\"" + zeros + "\"],\"20000002\",\"1c2ac4af\",\"504e86b9\",true"));
  EXPECT_EQ(job.id, "bf");
  EXPECT_EQ(to_hex(job.previous.bytes),
            "f8b6164d19e2f65a2aae448f787fe66d61e57a48c0c6771b1e920b4400000000");
  EXPECT_EQ(job.coinbase1, (Bytes{1, 0}));
  EXPECT_EQ(job.coinbase2, (Bytes{0xff}));
  EXPECT_EQ(job.branches.size(), 1U);
  EXPECT_EQ(job.version, 0x20000002U);
  EXPECT_EQ(job.bits, 0x1c2ac4afU);
  EXPECT_EQ(job.time, 0x504e86b9U);
  EXPECT_TRUE(job.clean);
}

TEST(PoolMessage, WrongJobsAreRefusedByParameter) {
  const std::string hash = "\"" + zeros + "\"";
  EXPECT_THAT(refused(notify("5")), HasSubstr("parameter 1 (job) is no string"));
  EXPECT_THAT(refused(notify("\"" + std::string(129, 'j') + "\"")),
              HasSubstr("parameter 1 (job) is longer than 128 bytes"));
  EXPECT_THAT(refused(notify("\"j\",\"00\"")), HasSubstr("parameter 2 (previous block) has no 64 digits"));
  EXPECT_THAT(refused(notify("\"j\"," + hash + ",\"0\"")), HasSubstr("parameter 3"));
  EXPECT_THAT(refused(notify("\"j\"," + hash + ",\"\",\"zz\"")),
              HasSubstr("parameter 4 (coinbase, second part) is not hexadecimal: \"zz\""));
  EXPECT_THAT(refused(notify("\"j\"," + hash + ",\"\",\"\",\"\"")), HasSubstr("is no list"));
  EXPECT_THAT(refused(notify("\"j\"," + hash + ",\"\",\"\",[5]")),
              HasSubstr("merkle branches: parameter 1 (hash) is no string"));
  std::string branches = hash;
  for (int i = 0; i < 32; ++i) branches += "," + hash;
  EXPECT_THAT(refused(notify("\"j\"," + hash + ",\"\",\"\",[" + branches + "]")),
              HasSubstr("more than 32 entries"));
  const std::string start = "\"j\"," + hash + ",\"\",\"\",[],";
  EXPECT_THAT(refused(notify(start + "\"2000000\"")), HasSubstr("parameter 6 (version)"));
  EXPECT_THAT(refused(notify(start + "\"-2000000\"")), HasSubstr("parameter 6 (version)"));
  EXPECT_THAT(refused(notify(start + "\"20000000\",\"0x1d00ff\"")), HasSubstr("parameter 7 (bits)"));
  EXPECT_THAT(refused(notify(start + "\"20000000\",\"1d00ffff\",1")), HasSubstr("parameter 8 (time)"));
  EXPECT_THAT(refused(notify(start + "\"20000000\",\"1d00ffff\",\"504e86b9\"")),
              HasSubstr("parameter 9 (clean jobs) is missing"));
  EXPECT_THAT(refused(notify(start + "\"20000000\",\"1d00ffff\",\"504e86b9\",1")),
              HasSubstr("neither true nor false"));
}

TEST(PoolMessage, ReadsTheSmallOnes) {
  EXPECT_EQ(parsed<PoolDifficulty>(R"({"method":"mining.set_difficulty","params":[8192]})").difficulty, 8192);
  EXPECT_EQ(parsed<PoolDifficulty>(R"({"id":5,"method":"mining.set_difficulty","params":[0.001]})").difficulty, 0.001);
  EXPECT_EQ(parsed<VersionMask>(R"({"method":"mining.set_version_mask","params":["1fffe000"]})").mask, 0x1fffe000U);
  const auto extranonce = parsed<Extranonce>(R"({"method":"mining.set_extranonce","params":["0a0b",8]})");
  EXPECT_EQ(extranonce.extranonce1, (Bytes{10, 11}));
  EXPECT_EQ(extranonce.extranonce2_bytes, 8U);
  EXPECT_THAT(refused(R"({"method":"mining.set_extranonce","params":["0a0b",17]})"),
              HasSubstr("no number from 0 to 16: 17"));
  EXPECT_THAT(refused(R"({"method":"mining.set_extranonce","params":["0a0b",-1]})"), HasSubstr("-1"));
}

TEST(PoolMessage, ReadsRedirects) {
  auto redirect = parsed<PoolRedirect>(R"({"method":"client.reconnect","params":["a.example","3333",5]})");
  EXPECT_EQ(redirect.host, "a.example");
  EXPECT_EQ(redirect.port, 3333);
  EXPECT_EQ(redirect.wait, std::chrono::seconds(5));
  redirect = parsed<PoolRedirect>(R"({"method":"client.reconnect","params":[]})");
  EXPECT_EQ(redirect.host, "");
  EXPECT_FALSE(redirect.port);
  redirect = parsed<PoolRedirect>(R"({"method":"client.reconnect","params":["h",1,18446744073709551615]})");
  EXPECT_EQ(redirect.wait, std::chrono::minutes(5));
  for (const char* port : {"0", "65536", "-1", "\"x\"", "\"\"", "null", "1.5", "\"80x\""})
    EXPECT_THAT(refused(fmt::format(R"({{"method":"client.reconnect","params":["h",{}]}})", port)),
                HasSubstr("parameter 2 (port) is no number from 1 to 65535"));
}

TEST(PoolMessage, ReadsAnswers) {
  const auto subscribed = parsed<PoolAnswer>(
      R"({"id":2,"result":[[["mining.set_difficulty","1"],["mining.notify","2"]],"08000002",4],"error":null})");
  EXPECT_EQ(subscribed.id, 2U);
  const auto extranonce = extranonce_of(subscribed).value();
  EXPECT_EQ(extranonce.extranonce1, (Bytes{8, 0, 0, 2}));
  EXPECT_EQ(extranonce.extranonce2_bytes, 4U);
  for (const char* wrong : {"true", "null", "[]", "[[],5,4]", "[[],\"00\"]", "[[],\"00\",\"4\"]",
                            "[[],\"00\",1e30]"})
    EXPECT_FALSE(extranonce_of(parsed<PoolAnswer>(fmt::format("{{\"id\":2,\"result\":{}}}", wrong))));

  auto refusal = parsed<PoolAnswer>(R"({"id":4,"result":null,"error":[21,"Job not found",null]})").refusal;
  EXPECT_EQ(refusal->code, 21);
  EXPECT_EQ(refusal->reason, "Job not found");
  refusal = parsed<PoolAnswer>(R"({"id":4,"error":{"code":-32601,"message":"no\u0007"}})").refusal;
  EXPECT_EQ(refusal->code, -32601);
  EXPECT_EQ(refusal->reason, "no?");
  EXPECT_EQ(parsed<PoolAnswer>(R"({"id":4,"error":"above target"})").refusal->reason, "above target");
  EXPECT_EQ(parsed<PoolAnswer>(R"({"id":4,"error":[]})").refusal->reason, "[]");
  EXPECT_LT(parsed<PoolAnswer>("{\"id\":4,\"error\":\"" + std::string(1000, 'x') + "\"}").refusal->reason.size(), 200U);
}

TEST(PoolMessage, ReadsVersionMasks) {
  auto mask = [](std::string_view result) {
    return version_mask_of(parsed<PoolAnswer>(fmt::format("{{\"id\":1,\"result\":{}}}", result)));
  };
  EXPECT_EQ(mask(R"({"version-rolling":true,"version-rolling.mask":"18000000"})")->mask, 0x18000000U);
  EXPECT_EQ(mask(R"({"version-rolling":false})")->mask, 0U);
  EXPECT_EQ(mask("{}")->mask, 0U);
  EXPECT_EQ(mask(R"({"version-rolling":"it is not"})")->mask, 0U);
  EXPECT_FALSE(mask(R"({"version-rolling":true})"));
  EXPECT_FALSE(mask(R"({"version-rolling":true,"version-rolling.mask":7})"));
  EXPECT_FALSE(mask("[]"));
}

TEST(PoolMessage, WhatIsNoMessageIsRefused) {
  for (const char* line : {"", " ", "x", "[]", "5", "null", "\"\"", "{", "{}{}", "{\"id\":null}",
                           "{\"id\":\"5\",\"result\":true}", "{\"id\":-5,\"result\":true}",
                           "{\"method\":null}", "{\"method\":{}}", "{\"id\":1e999}"})
    EXPECT_FALSE(parse_pool_line(line)) << line;
  EXPECT_THAT(refused("{\"id\":1,\"result\":" + std::string(100000, '[')), HasSubstr("no JSON"));
  EXPECT_THAT(refused(std::string(pool_line_bytes_max + 1, ' ')), HasSubstr("a line of more than"));
  EXPECT_THAT(refused("\x1b[2Jevil"), HasSubstr("\"?[2Jevil\""));
}

TEST(PoolMessage, TellsRequestsFromNotices) {
  EXPECT_EQ(parsed<PoolRequest>(R"({"id":"x\"y","method":"mining.ping"})").id, R"("x\"y")");
  EXPECT_EQ(parsed<PoolRequest>(R"({"id":5,"method":"a"})").id, "5");
  EXPECT_EQ(parsed<PoolUnknown>(R"({"id":null,"method":"a"})").method, "a");
  EXPECT_EQ(parsed<PoolUnknown>(R"({"id":{"a":1},"method":"a"})").method, "a");
  EXPECT_EQ(parsed<PoolUnknown>("{\"id\":\"" + std::string(100, 'x') + "\",\"method\":\"a\"}").method, "a");
}

TEST(PoolMessage, WritesRequestsExactly) {
  EXPECT_EQ(configure_line(1, 0x1fffe000),
            R"({"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2}]})" "\n");
  EXPECT_EQ(subscribe_line(2, "spatter/0.1"),
            R"({"id":2,"method":"mining.subscribe","params":["spatter/0.1"]})" "\n");
  EXPECT_EQ(authorize_line(3, "a\"b", "x"),
            R"({"id":3,"method":"mining.authorize","params":["a\"b","x"]})" "\n");
  const Bytes extranonce2 = {0, 0, 0, 1};
  EXPECT_EQ(submit_line(4, {"alice", "bf", extranonce2, 0x504e86b9, 0xb2957c02, {}}),
            R"({"id":4,"method":"mining.submit","params":["alice","bf","00000001","504e86b9","b2957c02"]})" "\n");
  EXPECT_EQ(submit_line(4, {"alice", "bf", extranonce2, 0x504e86b9, 0xb2957c02, 0x2000U}),
            R"({"id":4,"method":"mining.submit","params":["alice","bf","00000001","504e86b9","b2957c02","00002000"]})" "\n");
}

}  // namespace
}  // namespace spatter::mining
