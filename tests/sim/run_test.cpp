// Aim: whole servers keep what they acknowledged under every fault, a seed replays, and the checkers
// notice when something is wrong. Longer runs are for the executable spatter-sim.
#include "run.h"

#include <gtest/gtest.h>

namespace spatter::sim {
namespace {

using namespace std::chrono_literals;

RunOptions options_of(Workload workload, std::uint64_t seed) {
  RunOptions options;
  options.workload = workload;
  options.servers = 5;
  options.seed = seed;
  options.faults = parse_faults("all").value();
  options.operations = 10;
  return options;
}

class RunTest : public testing::TestWithParam<std::tuple<Workload, std::uint64_t>> {};

TEST_P(RunTest, NothingAcknowledgedIsLost) {
  const auto report = run(options_of(std::get<0>(GetParam()), std::get<1>(GetParam())));
  for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
  EXPECT_GT(report.acknowledged, 0u);
  EXPECT_GT(report.files, 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RunTest,
                         testing::Combine(testing::Values(Workload::mix, Workload::loss,
                                                          Workload::grow),
                                          testing::Values(1, 2, 3)));

class TrustRunTest : public testing::TestWithParam<std::uint64_t> {};

TEST_P(TrustRunTest, EverybodyBecomesTrustedAndNobodyAFraud) {
  const auto report = run(options_of(Workload::trust, GetParam()));
  for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
  EXPECT_GE(report.trust_records, 4u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TrustRunTest, testing::Values(1, 2, 3, 4));

class WorkRunTest : public testing::TestWithParam<std::uint64_t> {};

TEST_P(WorkRunTest, EveryJobEndsAndWhatIsDoneIsRight) {
  const auto report = run(options_of(Workload::work, GetParam()));
  for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
  EXPECT_EQ(report.jobs, 8u);  // two of each server but the one that computes wrongly
}

INSTANTIATE_TEST_SUITE_P(Seeds, WorkRunTest, testing::Values(1, 2, 3, 4));

TEST(Run, TheSameSeedGivesTheSameRecord) {
  const auto first = run(options_of(Workload::grow, 4));
  const auto second = run(options_of(Workload::grow, 4));
  EXPECT_EQ(first.record_hash, second.record_hash);
  EXPECT_EQ(first.events, second.events);
  EXPECT_NE(first.record_hash, run(options_of(Workload::grow, 5)).record_hash);
}

TEST(Run, FaultsAreReadFromAList) {
  EXPECT_EQ(parse_faults("cuts,rot").value(), (std::set<Fault>{Fault::cuts, Fault::rot}));
  EXPECT_TRUE(parse_faults("none").value().empty());
  EXPECT_EQ(parse_faults(to_text(parse_faults("all").value())).value(),
            parse_faults("all").value());
  EXPECT_NE(parse_faults("cuts,rats").error().message.find("rats"), std::string::npos);
}

/// One server and one client that has written; then something is done behind the client's back.
std::vector<std::string> problems_after(std::function<Task<void>(Server&, std::string path)> trick) {
  World world(3);
  Network network(world);
  Problems problems;
  Fleet fleet(world, network, {.servers = 1});
  EXPECT_TRUE(world.wait_for(fleet.found(), 1h).value().has_value());
  Client client(world, fleet, problems, 0, 0, {.paths = 3, .puts_only = true});
  EXPECT_TRUE(world.wait_for(client.work(12), 1h));
  EXPECT_TRUE(world.wait_for(client.verify(ReadFrom::anywhere), 1h));
  EXPECT_TRUE(problems.list.empty());
  const std::string path = client.model().paths().front();
  const auto play = [&](Server& server) { return trick(server, path); };
  EXPECT_TRUE(world.wait_for<bool>(fleet.run_on(0, play), 1h).value());
  EXPECT_TRUE(world.wait_for(client.verify(ReadFrom::anywhere), 1h));
  EXPECT_TRUE(world.wait_for(fleet.stop(), 1h));
  return problems.list;
}

TEST(Checkers, NoticeAnAlteredFile) {
  const auto problems = problems_after([](Server& server, std::string path) -> Task<void> {
    (void)co_await server.volume().put_small(path, {}, Buffer::copy_of(as_bytes("something else")));
  });
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("nobody wrote"), std::string::npos);
}

TEST(Checkers, NoticeALostFile) {
  const auto problems = problems_after([](Server& server, std::string path) -> Task<void> {
    (void)co_await server.volume().remove(path);
  });
  ASSERT_EQ(problems.size(), 1u);
}

TEST(Checkers, NoticeAFileThatNobodyMade) {
  const auto problems = problems_after([](Server& server, std::string path) -> Task<void> {
    (void)co_await server.volume().link(path, path + "-again");
  });
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("-again"), std::string::npos);
}

}  // namespace
}  // namespace spatter::sim
