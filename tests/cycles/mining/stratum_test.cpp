// The client against a pool that checks every share, in virtual time: what the protocol can do, and
// what a pool can do wrong.
#include "stratum_scene.h"

namespace spatter::mining {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Stratum : public StratumScene {};

TEST_F(Stratum, TurnsInSharesThatThePoolAccepts) {
  begin();
  until_mining();
  EXPECT_EQ(status().state, PoolState::mining);
  EXPECT_EQ(status().difficulty, 1e-5);
  EXPECT_EQ(status().network_bits, 0x1d00ffffU);
  submit(find_shares(20));
  EXPECT_THAT(pool.verdicts, testing::Each(""));
  EXPECT_EQ(pool.accepted, 20U);
  EXPECT_EQ(status().accepted, 20U);
  EXPECT_NEAR(status().accepted_difficulty, 20e-5, 1e-12);
  EXPECT_GE(status().best_difficulty, 1e-5);
  EXPECT_TRUE(status().rolls_versions);
  EXPECT_GT(pool.versions_seen.size(), 1U);
}

TEST_F(Stratum, UnderstandsLinesInPiecesOfOneByte) {
  piece_bytes = 1;
  begin();
  until_mining();
  submit(find_shares(3));
  EXPECT_EQ(status().accepted, 3U);
}

TEST_F(Stratum, RollsNoVersionsWhereThePoolDoesNotKnowIt) {
  pool.knows_configure = false;
  begin();
  until_mining();
  submit(find_shares(5));
  EXPECT_EQ(status().accepted, 5U);
  EXPECT_FALSE(status().rolls_versions);
  EXPECT_THAT(pool.versions_seen, ElementsAre(0x20000000U));
}

TEST_F(Stratum, AsksForVersionRollingOnlyWhenTold) {
  options.roll_versions = false;
  begin();
  until_mining();
  for (const auto& line : received) EXPECT_THAT(line, testing::Not(HasSubstr("configure")));
  say(LoopbackPool::notification("mining.set_version_mask", {"1fffe000"}));
  say(pool.job_line(true));
  settle();
  submit(find_shares(5));
  EXPECT_EQ(status().accepted, 5U);
}

TEST_F(Stratum, AsksNoMoreWhereAPoolHangsUpAtTheQuestion) {
  hang_up_at = "mining.configure";
  begin();
  until_mining();
  EXPECT_EQ(pool.connections, 2U);
  submit(find_shares(2));
  EXPECT_EQ(status().accepted, 2U);
}

TEST_F(Stratum, UsesTheMaskThatThePoolSetsLater) {
  begin();
  until_mining();
  pool.version_mask = 0x00c00000;
  say(LoopbackPool::notification("mining.set_version_mask", {"00c00000"}));
  say(pool.job_line(true));
  settle();
  submit(find_shares(20));
  EXPECT_EQ(status().accepted, 20U);
  EXPECT_THAT(pool.versions_seen, testing::SizeIs(4));
}

TEST_F(Stratum, MinesWithoutAnyExtranonce2) {
  pool.extranonce2_bytes = 0;
  begin();
  until_mining();
  submit(find_shares(5));
  EXPECT_EQ(status().accepted, 5U);
}

TEST_F(Stratum, ARaisedDifficultyHoldsAtOnceAndALoweredOneFromTheNextJobOn) {
  begin();
  until_mining();
  const auto found = find_shares(40);
  pool.difficulty = 4e-5;
  say(pool.difficulty_line());
  settle();
  EXPECT_EQ(work->difficulty, 4e-5);
  EXPECT_EQ(status().difficulty, 4e-5);
  submit(found);  // about a quarter is good enough for the new one too
  EXPECT_GT(status().stale, 0U);
  EXPECT_EQ(status().stale + status().accepted, 40U);
  EXPECT_EQ(pool.accepted, status().accepted);
  for (const auto& share : find_shares(2)) {  // goes on where the search was
    EXPECT_TRUE(is_good_enough(to_bytes(share.hash.bytes), 4e-5));
    client->submit(share);
  }
  settle();
  EXPECT_EQ(pool.rejected, 0U);

  pool.difficulty = 1e-5;
  say(pool.difficulty_line());
  settle();
  EXPECT_EQ(work->difficulty, 4e-5);
  say(pool.job_line(false));
  settle();
  EXPECT_EQ(work->difficulty, 1e-5);
  submit(find_shares(5));
  EXPECT_EQ(pool.rejected, 0U);
}

TEST_F(Stratum, AbsurdDifficultiesAreRefusedByName) {
  begin();
  until_mining();
  for (const char* absurd : {"0", "-1", "1e300", "1e-300", "1e999", "null", "\"1\"", "[]", "{}", "1e-9"})
    say(fmt::format("{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{}]}}\n", absurd));
  say(pool.job_line(true));
  settle();
  EXPECT_EQ(work->difficulty, 1e-5);
  EXPECT_TRUE(runtime.logged("0 is no difficulty"));
  EXPECT_TRUE(runtime.logged("a difficulty of 1e+300 makes no sense; it stays at 1e-05"));
  EXPECT_TRUE(runtime.logged("mining.set_difficulty: parameter 1 (difficulty) is no number"));
  submit(find_shares(1));
  EXPECT_EQ(status().accepted, 1U);
  EXPECT_EQ(pool.connections, 1U);
}

TEST_F(Stratum, SharesOfCleanedJobsAreNotSubmitted) {
  begin();
  until_mining();
  const auto late = find_shares(3);
  say(pool.job_line(true));
  settle();
  submit(late);
  EXPECT_EQ(status().stale, 3U);
  EXPECT_THAT(pool.verdicts, IsEmpty());
  submit(find_shares(2));
  EXPECT_EQ(status().accepted, 2U);
}

TEST_F(Stratum, SharesOfEarlierJobsStillCountWhenTheNextIsNotClean) {
  begin();
  until_mining();
  const auto earlier = find_shares(3);
  say(pool.job_line(false));
  settle();
  submit(earlier);
  submit(find_shares(2));
  EXPECT_EQ(status().accepted, 5U);
}

TEST_F(Stratum, ANewExtranonceHoldsFromTheNextJobOn) {
  begin();
  until_mining();
  say(pool.extranonce_line());
  settle();
  submit(find_shares(2));
  say(pool.job_line(true));
  settle();
  submit(find_shares(2));
  EXPECT_EQ(status().accepted, 4U);
  EXPECT_EQ(pool.rejected, 0U);
}

TEST_F(Stratum, RejectedSharesAreCountedWithTheReason) {
  begin();
  until_mining();
  pool.reject_all = "Low difficulty\x1b[31m share";
  submit(find_shares(2));
  EXPECT_EQ(status().rejected, 2U);
  EXPECT_EQ(status().last_reason, "Low difficulty?[31m share");
  pool.reject_all = "Job not found";
  submit(find_shares(1));
  EXPECT_EQ(status().rejected, 2U);
  EXPECT_EQ(status().stale, 1U);
}

TEST_F(Stratum, SharesFasterThanThePoolAnswersAreDropped) {
  begin();
  until_mining();
  pool.answers_shares = false;
  submit(find_shares(70));
  EXPECT_EQ(pool.accepted, 64U);
  EXPECT_EQ(status().dropped, 6U);
  runtime.run_for(62s);
  EXPECT_EQ(status().unanswered, 64U);
  pool.answers_shares = true;
  submit(find_shares(5));
  EXPECT_EQ(status().accepted, 5U);
  EXPECT_EQ(pool.connections, 1U);
}

TEST_F(Stratum, ARedirectToAnotherHostIsRefusedAndSaid) {
  begin();
  until_mining();
  say(LoopbackPool::notification("client.reconnect", {"evil.example", 3333, 0}));
  say(LoopbackPool::notification("client.reconnect", {"pool.example.evil.example", "3333", 0}));
  runtime.run_for(10s);
  EXPECT_TRUE(runtime.logged("it wants us to go to evil.example: refused"));
  EXPECT_TRUE(runtime.logged("it wants us to go to pool.example.evil.example: refused"));
  EXPECT_EQ(dialled.size(), 1U);
  submit(find_shares(1));
  EXPECT_EQ(status().accepted, 1U);
}

TEST_F(Stratum, ARedirectToAnotherPortHoldsForOneConnection) {
  begin();
  until_mining();
  say(LoopbackPool::notification("client.reconnect", {"POOL.example", "4444", 7}));
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }));
  EXPECT_EQ(dialled[1], (Address{"pool.example", 4444}));
  EXPECT_GE(dialled_at[1] - dialled_at[0], 7s);
  until_mining();
  submit(find_shares(1));
  EXPECT_EQ(status().accepted, 1U);
  hang_up();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 3; }));
  EXPECT_EQ(dialled[2], options.pool);
}

TEST_F(Stratum, ReconnectsWithGrowingWaitsWhileThePoolIsUnreachable) {
  unreachable = true;
  begin();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 14; }, 2h));
  settle();
  EXPECT_EQ(status().state, PoolState::waiting);
  EXPECT_THAT(status().last_problem, HasSubstr("Connection refused"));
  for (std::size_t i = 1; i < dialled_at.size(); ++i) {
    const Duration whole = std::min<Duration>(300s, 1s * (1 << (i - 1)));
    EXPECT_GE(dialled_at[i] - dialled_at[i - 1], whole / 2) << i;
    EXPECT_LE(dialled_at[i] - dialled_at[i - 1], whole) << i;
  }
  unreachable = false;
  until_mining();
  submit(find_shares(1));
  EXPECT_EQ(status().accepted, 1U);
  hang_up();  // after some use the next attempt is soon again
  const TimePoint at = runtime.now();
  const std::size_t before = dialled.size();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() > before; }));
  EXPECT_LE(runtime.now() - at, 1s);
}

TEST_F(Stratum, WaitsDifferByChance) {
  unreachable = true;
  begin();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 22; }, 3h));
  std::set<Duration> waits;
  for (std::size_t i = 12; i < dialled_at.size(); ++i)
    waits.insert(dialled_at[i] - dialled_at[i - 1]);
  EXPECT_EQ(waits.size(), 10U);
}

TEST_F(Stratum, APoolThatNeverAnswersIsLeft) {
  answers = false;
  begin();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }));
  EXPECT_GE(dialled_at[1] - dialled_at[0], 30s);
  EXPECT_LE(dialled_at[1] - dialled_at[0], 33s);
  EXPECT_THAT(status().last_problem, HasSubstr("did not answer mining.subscribe"));
  answers = true;
  until_mining();
}

TEST_F(Stratum, APoolThatNeverConnectsIsLeft) {
  connects_never = true;
  begin();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }));
  EXPECT_GE(dialled_at[1] - dialled_at[0], 20s);
  EXPECT_LE(dialled_at[1] - dialled_at[0], 23s);
  EXPECT_THAT(status().last_problem, HasSubstr("no connection in time"));
}

TEST_F(Stratum, APoolThatFallsSilentIsLeft) {
  begin();
  until_mining();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }));
  EXPECT_GE(dialled_at[1] - dialled_at[0], 10min);
  EXPECT_LE(dialled_at[1] - dialled_at[0], 10min + 5s);
  EXPECT_THAT(status().last_problem, HasSubstr("said nothing for 10 minutes"));
}

TEST_F(Stratum, APoolThatDoesNotReadIsLeft) {
  begin();
  until_mining();
  wire->pool_reads = false;
  for (int i = 0; i < 3000; ++i)
    say(fmt::format("{{\"id\":{},\"method\":\"mining.ping\",\"params\":[]}}\n", i));
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }, 10s));
  EXPECT_THAT(status().last_problem, HasSubstr("does not read"));
}

TEST_F(Stratum, NoPoolIsBlamedForTheTimeInWhichTheProcessWasStopped) {
  pool.answers_shares = false;
  begin();
  until_mining();
  submit(find_shares(2));
  // Stopped for an hour, again and again, and each time continued for a moment.
  for (int i = 0; i < 20; ++i) {
    runtime.jump(1h);
    runtime.run_for(100ms);
  }
  EXPECT_EQ(dialled.size(), 1U);
  EXPECT_EQ(status().unanswered, 0U);
  EXPECT_EQ(status().state, PoolState::mining);
  pool.answers_shares = true;
  submit(find_shares(2));
  EXPECT_EQ(status().accepted, 2U);
}

TEST_F(Stratum, ConnectingAndSubscribingSurviveBeingStopped) {
  answers = false;
  begin();
  settle();
  for (int i = 0; i < 10; ++i) {
    runtime.jump(1h);
    runtime.run_for(100ms);
  }
  EXPECT_EQ(dialled.size(), 1U);
  answers = true;
  for (const std::string& line : std::vector(received)) say(pool.on_line(line));
  until_mining();
  EXPECT_EQ(dialled.size(), 1U);
}

TEST_F(Stratum, ARefusedUserIsSaidAndTriedAgainRarely) {
  options.user = "mallory";
  begin();
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }));
  EXPECT_GE(dialled_at[1] - dialled_at[0], 30s);
  EXPECT_THAT(status().last_problem,
              HasSubstr("does not accept the user \"mallory\": Unauthorized worker"));
  EXPECT_TRUE(runtime.run_until([&] { return status().state == PoolState::refused; }));
}

TEST_F(Stratum, AnswersPingsAndUnknownQuestionsPolitely) {
  begin();
  until_mining();
  say("{\"id\":77,\"method\":\"mining.ping\",\"params\":[]}\n");
  say("{\"id\":\"abc\",\"method\":\"client.get_version\",\"params\":[]}\n");
  say("{\"id\":79,\"method\":\"mining.sing\",\"params\":[1,2]}\n");
  say("{\"id\":null,\"method\":\"mining.dance\"}\n");
  say("{\"id\":null,\"method\":\"client.show_message\",\"params\":[\"maintenance at noon\"]}\n");
  settle();
  ASSERT_EQ(pool.answers.size(), 3U);
  EXPECT_EQ(pool.answers[0], Json({{"id", 77}, {"result", "pong"}, {"error", nullptr}}));
  EXPECT_EQ(pool.answers[1], Json({{"id", "abc"}, {"result", "spatter/0.1"}, {"error", nullptr}}));
  EXPECT_EQ(pool.answers[2].at("error").at(1), "unknown method");
  EXPECT_TRUE(runtime.logged("it says: maintenance at noon"));
  submit(find_shares(1));
  EXPECT_EQ(status().accepted, 1U);
}

TEST_F(Stratum, RubbishIsNamedAndPassedOver) {
  begin();
  until_mining();
  const char* rubbish[] = {
      "rubbish", "\xff\xfe\x01", "[]", "{}", "{\"id\":1e400}", "\"text\"", "123",
      "{\"method\":5}", "{\"id\":5,\"method\":[]}",
      "{\"method\":\"mining.notify\",\"params\":[]}",
      "{\"method\":\"mining.notify\",\"params\":{\"a\":1}}",
      "{\"method\":\"mining.notify\",\"params\":[1,2,3,4,5,6,7,8,9]}",
      "{\"method\":\"mining.set_extranonce\",\"params\":[\"00\",99999999999999999999]}",
      "{\"method\":\"mining.set_extranonce\",\"params\":[\"0\",4]}",
      "{\"method\":\"client.reconnect\",\"params\":[\"pool.example\",99999]}",
      "{\"id\":99,\"result\":true}", "\r", "{\"id\":-1,\"result\":true}",
      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};
  for (const char* line : rubbish) say(std::string(line) + "\n");
  settle();
  EXPECT_TRUE(runtime.logged("not understood: a line that is no JSON: \"rubbish\""));
  EXPECT_TRUE(runtime.logged("mining.notify: parameter 1 (job) is missing"));
  EXPECT_TRUE(runtime.logged("is no number from 1 to 65535: 99999"));
  EXPECT_EQ(pool.connections, 1U);
  submit(find_shares(2));
  EXPECT_EQ(status().accepted, 2U);
}

TEST_F(Stratum, NothingButRubbishEndsTheConnectionAndTheLogStaysShort) {
  begin();
  until_mining();
  const std::size_t lines_before = runtime.lines.size();
  for (int i = 0; i < 10000; ++i) say("rubbish\n");
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }));
  EXPECT_THAT(status().last_problem, HasSubstr("lines that are no Stratum"));
  EXPECT_LT(runtime.lines.size() - lines_before, 30U);
}

TEST_F(Stratum, AnEndlessLineEndsTheConnection) {
  begin();
  until_mining();
  for (int i = 0; i < 40; ++i) say(std::string(4096, 'x'));
  ASSERT_TRUE(runtime.run_until([&] { return dialled.size() == 2; }));
  EXPECT_THAT(status().last_problem, HasSubstr("a line of more than 131072 bytes"));
}

TEST_F(Stratum, JobsThatNoBlockCanComeOfArePassedOver) {
  begin();
  until_mining();
  const auto before = work;
  std::string line = pool.job_line(false);
  const std::size_t at = line.find("1d00ffff");
  ASSERT_NE(at, std::string::npos);
  line.replace(at, 8, "ff00ffff");
  say(line);
  settle();
  EXPECT_EQ(work, before);
  EXPECT_TRUE(runtime.logged("ff00ffff is no target of a block"));
}

// The connection breaks after every single byte that the pool sends until the first share is accepted.
TEST_F(Stratum, ADisconnectAnywhereLeadsToANewConnection) {
  std::size_t bytes_of_a_good_one = 0;
  for (std::size_t bytes = 0;; bytes += 1 + bytes / 40) {
    SCOPED_TRACE(bytes);
    close_after_bytes = bytes;
    std::shared_ptr<const MiningWork> tried;
    begin();
    ASSERT_TRUE(runtime.run_until([&] {
      if (work && work != tried) {
        tried = work;
        for (const Share& share : find_shares(1)) client->submit(share);
      }
      return status().accepted > 0;
    }));
    bytes_of_a_good_one = bytes;
    const bool broke = dialled.size() > 1;
    TearDown();
    group.reset();
    client.reset();
    work = nullptr;
    dialled.clear();
    if (!broke) break;
  }
  EXPECT_GT(bytes_of_a_good_one, 300U);
}

// A pool of every mood, for a while: what the client counts is what the pool counted.
TEST_F(Stratum, CountsWhatAPoolOfEveryMoodCounts) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    pool = LoopbackPool(seed);
    begin();
    std::vector<Share> kept;
    for (int step = 0; step < 150; ++step) {
      runtime.run_for(std::chrono::milliseconds(random.below(3000)));
      if (!work || !wire || wire->closed) continue;
      switch (random.below(9)) {
        case 0: say(pool.job_line(true)); break;
        case 1: say(pool.job_line(false)); break;
        case 2:
          pool.difficulty = 1e-5 * static_cast<double>(1 + random.below(4));
          say(pool.difficulty_line() + pool.job_line(random.below(2) == 0));
          break;
        case 3: say(pool.extranonce_line()); break;
        case 4: say("rubbish\n"); break;
        case 5: if (random.below(5) == 0) hang_up(); break;
        case 6: kept = find_shares(1); break;
        case 7: submit(std::exchange(kept, {})); break;
        default: submit(find_shares(2)); break;
      }
      settle();
    }
    settle();
    EXPECT_GT(status().accepted, 20U);
    EXPECT_EQ(status().accepted, pool.accepted);
    EXPECT_EQ(pool.rejected, 0U) << testing::PrintToString(pool.verdicts);
    EXPECT_EQ(status().rejected, 0U);
    TearDown();
    group.reset();
    work = nullptr;
  }
}

}  // namespace
}  // namespace spatter::mining
