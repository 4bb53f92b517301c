// What a new machine takes over, what it copies, and what it must leave alone.
#include "recovery_choice.h"

#include <gtest/gtest.h>

namespace spatter {
namespace {

/// A volume whose id and writer are all `number`.
KnownVolume volume(std::uint8_t number) {
  KnownVolume result;
  result.volume.bytes.fill(number);
  result.writer.bytes.fill(number);
  result.root.set_number(number);
  return result;
}
KnownVolume up(KnownVolume volume) {
  volume.writer_up = true;
  return volume;
}
KnownVolume seen(KnownVolume volume) {
  volume.writer_seen = true;
  return volume;
}
KnownVolume empty(KnownVolume volume) {
  volume.empty = true;
  return volume;
}

TEST(RecoveryChoice, TheOnlyVolumeIsTakenOver) {
  const auto choice = choose_recovery({volume(1)}, {});
  ASSERT_TRUE(choice.has_value());
  EXPECT_EQ(choice->take_over->volume, volume(1).volume);
  EXPECT_TRUE(choice->copy.empty());
}

TEST(RecoveryChoice, TheOnlyLostOneIsTakenOverWhateverIsNewer) {
  for (const auto& living : {up(volume(1)), seen(volume(1))}) {
    const auto choice = choose_recovery({living, volume(2)}, {});
    ASSERT_TRUE(choice.has_value());
    EXPECT_EQ(choice->take_over->volume, volume(2).volume);
    EXPECT_TRUE(choice->copy.empty());
  }
}

TEST(RecoveryChoice, OfSeveralLostOnesNoneIsTakenOverAndAllAreCopied) {
  const auto choice = choose_recovery({volume(1), up(volume(2)), volume(3)}, {});
  ASSERT_TRUE(choice.has_value());
  EXPECT_FALSE(choice->take_over);
  ASSERT_EQ(choice->copy.size(), 2u);
  EXPECT_EQ(choice->copy[0].volume, volume(1).volume);
  EXPECT_EQ(choice->copy[1].volume, volume(3).volume);
}

TEST(RecoveryChoice, EmptyVolumesDoNotMakeItSeveral) {
  const auto choice = choose_recovery({empty(volume(1)), volume(2), empty(volume(3))}, {});
  ASSERT_TRUE(choice.has_value());
  ASSERT_TRUE(choice->take_over);
  EXPECT_EQ(choice->take_over->volume, volume(2).volume);
  const auto nothing = choose_recovery({empty(volume(1)), empty(volume(2))}, {});
  ASSERT_TRUE(nothing.has_value());
  EXPECT_EQ(nothing->take_over->volume, volume(1).volume);
}

TEST(RecoveryChoice, NothingLostIsAnErrorThatNamesTheServers) {
  const auto choice = choose_recovery({up(volume(1)), seen(volume(2))}, {});
  ASSERT_FALSE(choice.has_value());
  EXPECT_EQ(choice.error().code, Errc::exists);
  EXPECT_NE(choice.error().message.find(volume(2).writer.brief()), std::string::npos);
  EXPECT_EQ(choose_recovery({}, {}).error().code, Errc::not_found);
}

TEST(RecoveryChoice, AChosenVolumeIsTakenOverAloneUnlessItsServerIsReached) {
  const std::vector<KnownVolume> volumes{volume(0x11), seen(volume(0x22)), up(volume(0x33))};
  const auto choice = choose_recovery(volumes, "111111");
  ASSERT_TRUE(choice.has_value());
  EXPECT_EQ(choice->take_over->volume, volume(0x11).volume);
  EXPECT_TRUE(choice->copy.empty());
  // What others say may be out of date, or a lie: the choice counts.
  EXPECT_TRUE(choose_recovery(volumes, "222222").has_value());
  EXPECT_EQ(choose_recovery(volumes, "333333").error().code, Errc::busy);
  const auto none = choose_recovery(volumes, "444444");
  EXPECT_EQ(none.error().code, Errc::not_found);
  EXPECT_NE(none.error().message.find(volume(0x11).volume.brief()), std::string::npos);
  EXPECT_EQ(choose_recovery({volume(0x11), volume(0x11)}, "11").error().code, Errc::invalid);
}

}  // namespace
}  // namespace spatter
