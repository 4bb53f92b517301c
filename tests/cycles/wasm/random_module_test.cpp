// Properties over modules made by chance: they are admitted, what comes out is valid by others' judgement
// too, and does what the module did.
#include "random_module.h"
#include "validate.h"
#include "wat.h"

namespace spatter {
namespace {

TEST(RandomModules, AreAdmittedAndStayValidAndTranslatable) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    const auto module = RandomModule(seed, true).make();
    const auto admitted = admit(module);
    ASSERT_TRUE(admitted) << "seed " << seed << ": " << admitted.error().message;
    const auto again = wasm::validate(admitted->bytes, {});
    ASSERT_TRUE(again) << "seed " << seed << ": " << again.error().message;
    ASSERT_EQ(admit(module)->bytes, admitted->bytes) << "seed " << seed;
    if (seed >= 40) continue;
    const auto path = (scratch() / "random.wasm").string();
    write_file(path, module);
    const auto was_valid = run_command("wasm-validate " + path);
    ASSERT_EQ(was_valid.status, 0) << "seed " << seed << ": the generator's fault: " << was_valid.output;
    write_file(path, admitted->bytes);
    const auto valid = run_command("wasm-validate " + path);
    ASSERT_EQ(valid.status, 0) << "seed " << seed << ": " << valid.output;
    const auto translated = run_command("wasm2c " + path + " -o " + (scratch() / "random.c").string());
    ASSERT_EQ(translated.status, 0) << "seed " << seed << ": " << translated.output;
  }
}

TEST(RandomModules, DoWhatTheyDid) {
  constexpr unsigned count = 600;
  for (unsigned i = 0; i < count; ++i) {
    const auto module = RandomModule(10'000 + i, false).make();
    const auto admitted = admit(module);
    ASSERT_TRUE(admitted) << admitted.error().message;
    write_file(scratch() / (std::to_string(i) + ".raw.wasm"), module);
    write_file(scratch() / (std::to_string(i) + ".admitted.wasm"), admitted->bytes);
  }
  const auto ended = run_command("node " SPATTER_SAME_MJS " " + scratch().string() + " " + std::to_string(count));
  ASSERT_EQ(ended.status, 0) << ended.output;
  const auto report = nlohmann::json::parse(ended.output);
  EXPECT_GT(report["compared"].get<int>(), 100) << ended.output;
  EXPECT_GT(report["trapped"].get<int>(), 10) << ended.output;
}

TEST(RandomModules, BrokenOnesAreRefusedOrValidNeverWorse) {
  std::mt19937_64 random(5);
  unsigned refused = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const auto module = RandomModule(seed, true).make();
    for (int k = 0; k < 30; ++k) {
      auto broken = module;
      for (auto changes = 1 + random() % 3; changes > 0; --changes) {
        broken[8 + random() % (broken.size() - 8)] = static_cast<std::uint8_t>(random());
      }
      if (const auto admitted = admit(broken)) {
        const auto again = wasm::validate(admitted->bytes, {});
        ASSERT_TRUE(again) << "seed " << seed << ": " << again.error().message;
      } else {
        ++refused;
      }
    }
    ASSERT_FALSE(admit(ByteView(module).first(random() % module.size())));
  }
  EXPECT_GT(refused, 5000u);
}

}  // namespace
}  // namespace spatter
