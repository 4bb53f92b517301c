// Draws and seed chains as people get to see them: in and out of JSON and files, and explained.
#include "doors/chance_report.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "base/random.h"
#include "crypto/sign.h"

namespace spatter::doors {
namespace {

using testing::Contains;
using testing::HasSubstr;

struct Records {
  DrawRecord draw;
  VrfOutput output;
  SeedChain chain;
  SeedConflict conflict;
};

Records some_records(std::uint64_t seed) {
  SeededRandom random(seed);
  const SigningKey key = SigningKey::generate(random);
  Records made;
  made.draw.draw = {random.id<NetworkId>(), random.next_u64(), Purpose::review, random.id<Digest>()};
  const MadeDraw drawn = make_draw(key, made.draw.draw);
  made.draw.proof = drawn.proof;
  made.output = drawn.output;
  made.chain.root = make_seed_root(key, made.draw.draw.network, random.id<Digest>(), 5);
  SeedHead head = check_seed_root(made.chain.root, made.draw.draw.network).value();
  for (std::uint64_t i = 0; i < 3; ++i) {
    const SeedHead last = head;
    made.chain.links.push_back(
        make_seed_link(key, last, 6 + 2 * i,
                       {{Contribution::Kind::audit, random.id<Digest>()}, {Contribution::Kind::vouch, random.id<Digest>()}})
            .value());
    made.conflict = {made.chain.root, made.chain.links.back(), make_seed_link(key, last, 7 + 2 * i, {}).value()};
    head = check_seed_link(last, made.chain.links.back()).value();
  }
  return made;
}

ParsedChance parsed(const Json& json) {
  const std::string text = json.dump();
  return parse_chance(as_bytes(text)).value();
}

std::string complaint(const Json& json) {
  const std::string text = json.dump();
  const auto result = parse_chance(as_bytes(text));
  EXPECT_FALSE(result) << text;
  return result ? "" : result.error().message;
}

TEST(ChanceReport, JsonAndFilesSayTheSame) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    const Records made = some_records(seed);
    for (const ChanceRecord& record : {ChanceRecord(made.draw), ChanceRecord(made.chain), ChanceRecord(made.conflict)}) {
      const Bytes file = write_chance_file(record);
      RC_ASSERT(write_chance_file(parsed(chance_json(record)).record) == file);
      RC_ASSERT(write_chance_file(parse_chance(file).value().record) == file);
      RC_ASSERT(!explain_chance(parse_chance(file).value(), {}).wrong);
    }
  }));
}

TEST(ChanceReport, ADrawIsExplainedToTheOutput) {
  const Records made = some_records(1);
  Json json = chance_json(made.draw);
  json["output"] = to_hex(made.output);
  ChanceUse use;
  use.choose = 3;
  use.of = 10;
  use.lot = {1, 5, 5};
  const ChanceReport report = explain_chance(parsed(json), use);
  ASSERT_FALSE(report.wrong) << report.wrong->message;
  EXPECT_EQ(report.facts["holds"], true);
  EXPECT_EQ(report.facts["output"], to_hex(made.output));
  EXPECT_EQ(report.facts["chosen"].get<std::vector<std::uint64_t>>(), choose(made.output, 3, 10));
  EXPECT_EQ(report.facts["drawn"], true);
  EXPECT_THAT(report.steps, Contains(HasSubstr("for review")));
  EXPECT_THAT(report.steps, Contains(HasSubstr("U = s B - c Y")));
}

TEST(ChanceReport, ADrawThatIsNotTrueIsShownToTheStepWhereItFails) {
  const Records made = some_records(2);
  DrawRecord forged = made.draw;
  forged.draw.epoch ^= 1;
  ChanceReport report = explain_chance({forged, {}}, {});
  ASSERT_TRUE(report.wrong);
  EXPECT_EQ(report.wrong->code, Errc::corrupt);
  EXPECT_EQ(report.facts["holds"], false);
  EXPECT_FALSE(report.facts.contains("output"));
  EXPECT_THAT(report.steps, Contains(HasSubstr("must give c")));

  Json json = chance_json(made.draw);
  json["output"] = std::string(128, '0');  // a true proof, and a lie about what it means
  report = explain_chance(parsed(json), {});
  ASSERT_TRUE(report.wrong);
  EXPECT_THAT(report.wrong->message, HasSubstr("another output"));

  ChanceUse use;
  use.network.emplace();
  EXPECT_EQ(explain_chance({made.draw, {}}, use).wrong->code, Errc::denied);
}

TEST(ChanceReport, AChainIsExplainedLinkByLink) {
  const Records made = some_records(3);
  ChanceUse use;
  use.aging = {5, 2};
  ChanceReport report = explain_chance({made.chain, {}}, use);
  ASSERT_FALSE(report.wrong) << report.wrong->message;
  EXPECT_EQ(report.facts["links"], 3);
  EXPECT_TRUE(report.facts.contains("procedure"));
  EXPECT_THAT(report.steps, Contains(HasSubstr("Link 2, epoch 8")));
  EXPECT_THAT(report.steps, Contains(HasSubstr("1 audit result and 1 vouch")));

  SeedChain cut = made.chain;
  cut.links.erase(cut.links.begin() + 1);
  report = explain_chance({cut, {}}, {});
  ASSERT_TRUE(report.wrong);
  EXPECT_THAT(report.steps, Contains(HasSubstr("1 before it do")));
}

TEST(ChanceReport, CheatingIsProvedInWords) {
  const Records made = some_records(4);
  ChanceReport report = explain_chance({made.conflict, {}}, {});
  ASSERT_FALSE(report.wrong);
  EXPECT_THAT(report.steps, Contains(HasSubstr("differ in: epoch, draw, contributions")));
  EXPECT_TRUE(explain_chance({SeedConflict{made.chain.root, made.chain.links[0], made.chain.links[1]}, {}}, {}).wrong);
}

TEST(ChanceReport, BadJsonIsRefusedByName) {
  const Records made = some_records(5);
  Json draw = chance_json(made.draw);
  draw.erase("proof");
  EXPECT_THAT(complaint(draw), HasSubstr("the draw has no 'proof'"));
  draw = chance_json(made.draw);
  draw["key"] = "abc";
  EXPECT_THAT(complaint(draw), HasSubstr("'key' of the draw is not 64 hexadecimal digits"));
  draw = chance_json(made.draw);
  draw["purpose"] = "lottery";
  EXPECT_THAT(complaint(draw), HasSubstr("lottery"));
  draw = chance_json(made.draw);
  draw["epoch"] = -1;
  EXPECT_THAT(complaint(draw), HasSubstr("'epoch' of the draw is no count"));
  Json chain = chance_json(made.chain);
  chain["links"][1]["contributions"][0]["kind"] = "bribe";
  EXPECT_THAT(complaint(chain), HasSubstr("link 2"));
  chain["links"] = 7;
  EXPECT_THAT(complaint(chain), HasSubstr("no list"));
  EXPECT_THAT(complaint({{"kind", "dice"}}), HasSubstr("dice"));
  EXPECT_THAT(complaint(Json::array()), HasSubstr("no JSON object"));
  EXPECT_FALSE(parse_chance(as_bytes("{\"kind\": ")));
  EXPECT_FALSE(parse_chance({}));
}

TEST(ChanceReport, BadFilesAreRefusedByName) {
  const Records made = some_records(6);
  const Bytes file = write_chance_file(made.chain);
  const auto message = [](ByteView bytes) {
    const auto result = read_chance_file(bytes);
    return result ? std::string() : result.error().message;
  };
  EXPECT_THAT(message(ByteView(file).first(file.size() - 1)), HasSubstr("cut off"));
  EXPECT_THAT(message(ByteView(file).first(17)), HasSubstr("neither"));
  EXPECT_EQ(read_chance_file(as_bytes("spatter chance 2\n")).error().code, Errc::newer_format);
  EXPECT_THAT(message(as_bytes("something")), HasSubstr("no file"));
  wire::ChanceFile wrong;
  *wrong.mutable_chain() = to_wire(made.chain);
  wrong.mutable_chain()->mutable_links(1)->set_proof("short");
  EXPECT_THAT(message(as_bytes("spatter chance 1\n" + wrong.SerializeAsString())), HasSubstr("proof of link 2 has 5 bytes"));
  wrong.mutable_chain()->clear_root();
  EXPECT_THAT(message(as_bytes("spatter chance 1\n" + wrong.SerializeAsString())), HasSubstr("network"));
}

}  // namespace
}  // namespace spatter::doors
