// The curve's arithmetic against libsodium's, and the field at the edges of its limbs.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sodium.h>

#include "base/random.h"
#include "edwards25519.h"
#include "hex.h"

namespace spatter::curve {
namespace {

Encoded encoded(const Point& point) {
  Encoded bytes;
  encode({&point, 1}, {&bytes, 1});
  return bytes;
}

Encoded random_point(SeededRandom& random) {
  Encoded uniform, point;
  random.fill(uniform);
  crypto_core_ed25519_from_uniform(point.data(), uniform.data());
  return point;
}

Scalar random_scalar(SeededRandom& random) {
  std::array<std::uint8_t, 64> wide;
  random.fill(wide);
  Scalar scalar;
  crypto_core_ed25519_scalar_reduce(scalar.data(), wide.data());
  return scalar;
}

Encoded product(const Scalar& scalar, const Encoded& point) {
  Encoded out;
  EXPECT_EQ(crypto_scalarmult_ed25519_noclamp(out.data(), scalar.data(), point.data()), 0);
  return out;
}

Encoded difference(const Encoded& a, const Encoded& b) {
  Encoded out;
  EXPECT_EQ(crypto_core_ed25519_sub(out.data(), a.data(), b.data()), 0);
  return out;
}

Scalar scalar_of(std::initializer_list<int> low_bytes) {
  Scalar scalar{};
  std::copy(low_bytes.begin(), low_bytes.end(), scalar.begin());
  return scalar;
}

class Curve : public testing::Test {
 protected:
  Curve() { SPATTER_ASSERT(sodium_init() >= 0); }
};

TEST_F(Curve, DecodesWhatLibsodiumDecodesAndClearsTheCofactorAlike) {
  SeededRandom random(1);
  int points = 0;
  for (int i = 0; i < 2000; ++i) {
    Encoded bytes;
    random.fill(bytes);
    Encoded eight = bytes;
    bool valid = true;
    for (int doubling = 0; doubling < 3; ++doubling)
      valid = valid && crypto_core_ed25519_add(eight.data(), eight.data(), eight.data()) == 0;
    const auto point = decode(bytes);
    ASSERT_EQ(point.has_value(), valid) << to_hex(bytes);
    if (!point) continue;
    ++points;
    EXPECT_EQ(encoded(*point), bytes);
    EXPECT_EQ(encoded(times_cofactor(*point)), eight);
  }
  EXPECT_NEAR(points, 1000, 120);
}

TEST_F(Curve, SecretMultiplesAreLibsodiums) {
  SeededRandom random(2);
  for (int i = 0; i < 300; ++i) {
    const Encoded bytes = random_point(random);
    const SecretMultiples multiples(*decode(bytes));
    const Scalar scalar = random_scalar(random);
    EXPECT_EQ(encoded(multiples.times(scalar)), product(scalar, bytes));
  }
}

TEST_F(Curve, SecretMultiplesByUnusualScalars) {
  SeededRandom random(3);
  const Encoded bytes = random_point(random);
  const SecretMultiples multiples(*decode(bytes));
  EXPECT_TRUE(is_neutral(multiples.times({})));
  EXPECT_EQ(encoded(multiples.times(scalar_of({1}))), bytes);
  Scalar ones;
  ones.fill(0xff);
  ones[31] = 0x7f;
  Scalar eights;
  eights.fill(0x88);
  eights[31] = 0x78;
  Scalar order{};
  const Bytes order_bytes = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  std::copy(order_bytes.begin(), order_bytes.end(), order.begin());
  for (const Scalar& scalar : {scalar_of({8}), scalar_of({9}), scalar_of({16}), scalar_of({0x78, 0x88}), ones, eights})
    EXPECT_EQ(encoded(multiples.times(scalar)), product(scalar, bytes)) << to_hex(scalar);
  EXPECT_TRUE(is_neutral(multiples.times(order)));
}

TEST_F(Curve, SumsOfTwoProductsAreLibsodiums) {
  SeededRandom random(4);
  for (int i = 0; i < 300; ++i) {
    const Encoded p = random_point(random), q = random_point(random);
    const Scalar s = random_scalar(random);
    Scalar c{};
    random.fill(MutableBytes(c).first(16));
    Encoded sb;
    crypto_scalarmult_ed25519_base_noclamp(sb.data(), s.data());
    EXPECT_EQ(encoded(base_minus(s, c, *decode(p))), difference(sb, product(c, p)));
    EXPECT_EQ(encoded(combine(s, *decode(p), c, *decode(q))), difference(product(s, p), product(c, q)));
  }
}

TEST_F(Curve, SumsOfUnusualProducts) {
  SeededRandom random(5);
  const Encoded bytes = random_point(random);
  const Point p = *decode(bytes);
  EXPECT_TRUE(is_neutral(combine({}, p, {}, p)));
  EXPECT_TRUE(is_neutral(base_minus({}, {}, p)));
  for (int small = 1; small < 70; ++small) {
    const Scalar scalar = scalar_of({small});
    EXPECT_TRUE(is_neutral(combine(scalar, p, scalar, p))) << small;
    EXPECT_EQ(encoded(combine(scalar, p, {}, p)), product(scalar, bytes)) << small;
    Encoded base;
    crypto_scalarmult_ed25519_base_noclamp(base.data(), scalar.data());
    EXPECT_EQ(encoded(base_minus(scalar, {}, p)), base) << small;
  }
  Scalar full{};  // runs of ones: the borrow goes far
  std::fill_n(full.begin(), 16, std::uint8_t{0xff});
  Encoded base;
  crypto_scalarmult_ed25519_base_noclamp(base.data(), full.data());
  EXPECT_EQ(encoded(base_minus(full, full, p)), difference(base, product(full, bytes)));
}

TEST_F(Curve, ManyPointsAreEncodedAsOne) {
  SeededRandom random(6);
  std::vector<Point> points;
  for (int i = 0; i < 9; ++i) points.push_back(times_cofactor(*decode(random_point(random))));
  std::vector<Encoded> together(points.size());
  encode(points, together);
  for (std::size_t i = 0; i < points.size(); ++i) EXPECT_EQ(together[i], encoded(points[i]));
}

/// Any element, with limbs as full as what `mul` must take.
Field loose_field() {
  Field field;
  for (std::uint64_t& limb : field.limb)
    limb = *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 53),
                           rc::gen::just((std::uint64_t{1} << 53) - 77),
                           rc::gen::inRange<std::uint64_t>(0, 40)) &
           ((std::uint64_t{1} << 53) - 1);
  for (std::uint64_t& limb : field.limb) limb = std::min(limb, (std::uint64_t{1} << 53) - 77);
  return field;
}

TEST_F(Curve, TheFieldIsOne) {
  EXPECT_TRUE(rc::check([] {
    const Field a = loose_field(), b = loose_field(), c = loose_field();
    const auto same = [](const Field& x, const Field& y) { return to_bytes(x) == to_bytes(y); };
    RC_ASSERT(same(mul(a, b), mul(b, a)));
    RC_ASSERT(same(mul(mul(a, b), c), mul(a, mul(b, c))));
    RC_ASSERT(same(mul(a, add(b, c)), add(mul(a, b), mul(a, c))));
    RC_ASSERT(same(square(a), mul(a, a)));
    RC_ASSERT(same(sub(a, b), add(a, negate(b))));
    RC_ASSERT(same(sub(a, a), field_zero));
    RC_ASSERT(same(from_bytes(to_bytes(a)), a));
    RC_ASSERT(same(mul(a, field_one), a));
    if (!is_zero(a)) RC_ASSERT(same(mul(a, invert(a)), field_one));
  }));
}

TEST_F(Curve, TheFieldHasOneEncodingForEachElement) {
  Encoded bytes;
  bytes.fill(0xff);
  bytes[31] = 0x7f;
  for (int low = 0xed; low <= 0xff; ++low) {
    bytes[0] = static_cast<std::uint8_t>(low);
    Encoded expected{};
    expected[0] = static_cast<std::uint8_t>(low - 0xed);
    EXPECT_EQ(to_bytes(from_bytes(bytes)), expected);
  }
  bytes[0] = 0xec;
  EXPECT_EQ(to_bytes(from_bytes(bytes)), bytes);
  EXPECT_EQ(to_bytes(negate(field_one)), bytes);
  EXPECT_TRUE(is_zero(invert(field_zero)));
}

}  // namespace
}  // namespace spatter::curve
