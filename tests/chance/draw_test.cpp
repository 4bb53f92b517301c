// Draws: the input byte by byte, known answers (made by a second implementation), and that a draw
// serves for nothing but its own occasion.
#include "chance/draw.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/random.h"

namespace spatter {
namespace {

Draw some_draw() {
  Draw draw{{}, 7, Purpose::audit, {}};
  draw.network.bytes.fill(0x4e);
  draw.subject.bytes.fill(0x5b);
  return draw;
}

SigningKey some_key() {
  return SigningKey::from_seed(
      Key::from(from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").value()).value());
}

TEST(Draw, KnownAnswers) {
  EXPECT_EQ(to_hex(draw_input(some_draw())),
            "737061747465722f31207672662064726177004e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e"
            "4e4e4e0700000000000000015b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b");
  const MadeDraw made = make_draw(some_key(), some_draw());
  EXPECT_EQ(to_hex(made.proof.proof),
            "c85e9f526812317d71755487f38dfb96a5ee2eb94fa690e237af97c07e4ce53b966db46e28f5b04e255f20259a52b553"
            "0568d2dacc1bfca33fc8faae7d6e2932e4ee135c1826db62d60f0b580619290b");
  EXPECT_EQ(to_hex(made.output),
            "904b538745b459a1374d09b61f1e041cd56fcf5109460cdcccc0853607fbddc5b2270668aad8e357a819fbd6b7895496"
            "5c0bcff32eb20f65bfb45a236064230a");
  Digest seed, subject;
  seed.bytes.fill(1);
  subject.bytes.fill(2);
  EXPECT_EQ(seeded_subject(seed, subject).hex(), "36d982d26e028f746144d9e18da5aa2ae975d67d23b61f973746406291107ad3");
}

TEST(Draw, IsOfItsOccasionAndKeyAlone) {
  EXPECT_TRUE(rc::check([] {
    SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
    const SigningKey key = SigningKey::generate(random);
    const Draw draw{random.id<NetworkId>(), random.next_u64(),
                    static_cast<Purpose>(*rc::gen::inRange(1, 10)), random.id<Digest>()};
    const MadeDraw made = make_draw(key, draw);
    RC_ASSERT(made.proof.key == key.public_key());
    RC_ASSERT(check_draw(draw, made.proof).value() == made.output);

    Draw other = draw;
    DrawProof proof = made.proof;
    switch (*rc::gen::inRange(0, 5)) {
      case 0: other.network = random.id<NetworkId>(); break;
      case 1: other.epoch += *rc::gen::inRange<std::uint64_t>(1, 1000); break;
      case 2: other.purpose = draw.purpose == Purpose::audit ? Purpose::report : Purpose::audit; break;
      case 3: other.subject = random.id<Digest>(); break;
      default: proof.key = SigningKey::generate(random).public_key();
    }
    const auto refused = check_draw(other, proof);
    RC_ASSERT(!refused);
    RC_ASSERT(refused.error().code == Errc::corrupt);
    RC_ASSERT(refused.error().message.find(std::string(to_string(other.purpose))) != std::string::npos);
  }));
}

TEST(Draw, PurposesAreKnownByNameAndNumber) {
  for (std::uint64_t number = 1; number <= 9; ++number) {
    const auto purpose = purpose_from(number);
    ASSERT_TRUE(purpose) << number;
    EXPECT_EQ(purpose_from(to_string(*purpose)).value(), *purpose);
  }
  EXPECT_FALSE(purpose_from(std::uint64_t{0}));
  EXPECT_FALSE(purpose_from(std::uint64_t{10}));
  EXPECT_FALSE(purpose_from(std::uint64_t{257}));
  const auto unknown = purpose_from("lottery");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("lottery"), std::string::npos);
  EXPECT_NE(unknown.error().message.find("audit, report"), std::string::npos);
}

TEST(Draw, EpochsCountFromTheNetworksBeginning) {
  EXPECT_EQ(epoch_at(1000, 2, 1000), 0u);
  EXPECT_EQ(epoch_at(1000, 2, 2999), 0u);
  EXPECT_EQ(epoch_at(1000, 2, 3000), 1u);
  EXPECT_EQ(epoch_at(1000, 2, 999), 0u);  // a clock that is behind
  EXPECT_EQ(epoch_at(1000, 2, -5), 0u);
  EXPECT_EQ(epoch_at(0, 2592000, std::numeric_limits<std::int64_t>::max()), 3558399705u);
}

}  // namespace
}  // namespace spatter
