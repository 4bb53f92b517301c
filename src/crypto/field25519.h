// The field of 2^255 - 19 elements in five limbs of 51 bits, for edwards25519.cpp alone.
//
// Every function takes the same time whatever its arguments. Limbs may exceed 51 bits: `mul` and
// `square` take limbs below 2^54 and give limbs below 2^51 + 2^14 (*tight*); `sub` and `negate` take
// limbs below 2^53 - 76 and give tight ones; `add` of two tight ones stays below 2^53.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace spatter::curve {

using Limb2 = unsigned __int128;

struct Field {
  std::uint64_t limb[5];
};

inline constexpr std::uint64_t limb_mask = (std::uint64_t{1} << 51) - 1;
inline constexpr Field field_zero{{0, 0, 0, 0, 0}};
inline constexpr Field field_one{{1, 0, 0, 0, 0}};

/// Carries each limb's excess to the next one, the top one's (times 19) to the first.
inline Field carried(const Field& a) {
  const auto& v = a.limb;
  return {{(v[0] & limb_mask) + 19 * (v[4] >> 51), (v[1] & limb_mask) + (v[0] >> 51),
           (v[2] & limb_mask) + (v[1] >> 51), (v[3] & limb_mask) + (v[2] >> 51),
           (v[4] & limb_mask) + (v[3] >> 51)}};
}

inline Field add(const Field& a, const Field& b) {
  return {{a.limb[0] + b.limb[0], a.limb[1] + b.limb[1], a.limb[2] + b.limb[2],
           a.limb[3] + b.limb[3], a.limb[4] + b.limb[4]}};
}

inline Field sub(const Field& a, const Field& b) {
  constexpr std::uint64_t low = 4 * (limb_mask - 18), high = 4 * limb_mask;  // 4 p, limb by limb
  return carried({{a.limb[0] + low - b.limb[0], a.limb[1] + high - b.limb[1],
                   a.limb[2] + high - b.limb[2], a.limb[3] + high - b.limb[3],
                   a.limb[4] + high - b.limb[4]}});
}

inline Field negate(const Field& a) { return sub(field_zero, a); }

inline Field reduced(Limb2 r0, Limb2 r1, Limb2 r2, Limb2 r3, Limb2 r4) {
  Field out;
  r1 += static_cast<std::uint64_t>(r0 >> 51);
  r2 += static_cast<std::uint64_t>(r1 >> 51);
  r3 += static_cast<std::uint64_t>(r2 >> 51);
  r4 += static_cast<std::uint64_t>(r3 >> 51);
  out.limb[0] = (static_cast<std::uint64_t>(r0) & limb_mask) + 19 * static_cast<std::uint64_t>(r4 >> 51);
  out.limb[1] = (static_cast<std::uint64_t>(r1) & limb_mask) + (out.limb[0] >> 51);
  out.limb[0] &= limb_mask;
  out.limb[2] = static_cast<std::uint64_t>(r2) & limb_mask;
  out.limb[3] = static_cast<std::uint64_t>(r3) & limb_mask;
  out.limb[4] = static_cast<std::uint64_t>(r4) & limb_mask;
  return out;
}

inline Field mul(const Field& a, const Field& b) {
  const auto [a0, a1, a2, a3, a4] = a.limb;
  const auto [b0, b1, b2, b3, b4] = b.limb;
  const std::uint64_t c1 = 19 * b1, c2 = 19 * b2, c3 = 19 * b3, c4 = 19 * b4;
  const auto x = [](std::uint64_t left, std::uint64_t right) { return Limb2{left} * right; };
  return reduced(x(a0, b0) + x(a1, c4) + x(a2, c3) + x(a3, c2) + x(a4, c1),
                 x(a0, b1) + x(a1, b0) + x(a2, c4) + x(a3, c3) + x(a4, c2),
                 x(a0, b2) + x(a1, b1) + x(a2, b0) + x(a3, c4) + x(a4, c3),
                 x(a0, b3) + x(a1, b2) + x(a2, b1) + x(a3, b0) + x(a4, c4),
                 x(a0, b4) + x(a1, b3) + x(a2, b2) + x(a3, b1) + x(a4, b0));
}

inline Field square(const Field& a) {
  const auto [a0, a1, a2, a3, a4] = a.limb;
  const std::uint64_t d0 = 2 * a0, d1 = 2 * a1, c3 = 19 * a3, c4 = 19 * a4;
  const auto x = [](std::uint64_t left, std::uint64_t right) { return Limb2{left} * right; };
  return reduced(x(a0, a0) + 2 * (x(a1, c4) + x(a2, c3)), x(d0, a1) + 2 * x(a2, c4) + x(a3, c3),
                 x(d0, a2) + x(a1, a1) + 2 * x(a3, c4), x(d0, a3) + x(d1, a2) + x(a4, c4),
                 x(d0, a4) + x(d1, a3) + x(a2, a2));
}

/// Squared so many times.
inline Field square(Field a, int times) {
  for (int i = 0; i < times; ++i) a = square(a);
  return a;
}

/// a^(2^250 - 1), and a^11 on the way: both inverses and roots begin with it.
struct Ladder {
  Field all_ones_250;
  Field eleven;
};
inline Ladder ladder(const Field& a) {
  const Field a2 = square(a);
  const Field a9 = mul(square(a2, 2), a);
  const Field a11 = mul(a9, a2);
  const Field ones5 = mul(square(a11), a9);
  const Field ones10 = mul(square(ones5, 5), ones5);
  const Field ones20 = mul(square(ones10, 10), ones10);
  const Field ones40 = mul(square(ones20, 20), ones20);
  const Field ones50 = mul(square(ones40, 10), ones10);
  const Field ones100 = mul(square(ones50, 50), ones50);
  const Field ones200 = mul(square(ones100, 100), ones100);
  return {mul(square(ones200, 50), ones50), a11};
}

/// 1 / a = a^(p - 2); 0 for 0.
inline Field invert(const Field& a) {
  const Ladder steps = ladder(a);
  return mul(square(steps.all_ones_250, 5), steps.eleven);
}

/// a^((p - 5) / 8)
inline Field power_for_root(const Field& a) { return mul(square(ladder(a).all_ones_250, 2), a); }

/// The one encoding below p, little-endian, upper bit clear.
inline std::array<std::uint8_t, 32> to_bytes(const Field& a) {
  Field v = carried(carried(a));
  // Adding 19 carries out of bit 255 just when v >= p; then v + 19 - 2^255 = v - p.
  std::uint64_t carry = (v.limb[0] + 19) >> 51;
  for (int i = 1; i < 5; ++i) carry = (v.limb[i] + carry) >> 51;
  v.limb[0] += 19 * carry;
  for (int i = 0; i < 4; ++i) {
    v.limb[i + 1] += v.limb[i] >> 51;
    v.limb[i] &= limb_mask;
  }
  v.limb[4] &= limb_mask;
  std::array<std::uint8_t, 32> out;
  const std::uint64_t words[4] = {v.limb[0] | v.limb[1] << 51, v.limb[1] >> 13 | v.limb[2] << 38,
                                  v.limb[2] >> 26 | v.limb[3] << 25,
                                  v.limb[3] >> 39 | v.limb[4] << 12};
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = static_cast<std::uint8_t>(words[i / 8] >> (8 * (i % 8)));
  return out;
}

/// The upper bit is ignored; values from p to 2^255 - 1 are taken modulo p.
inline Field from_bytes(const std::array<std::uint8_t, 32>& in) {
  std::uint64_t words[4] = {};
  for (std::size_t i = 0; i < 32; ++i) words[i / 8] |= std::uint64_t{in[i]} << (8 * (i % 8));
  return {{words[0] & limb_mask, (words[0] >> 51 | words[1] << 13) & limb_mask,
           (words[1] >> 38 | words[2] << 26) & limb_mask,
           (words[2] >> 25 | words[3] << 39) & limb_mask, words[3] >> 12 & limb_mask}};
}

inline bool is_zero(const Field& a) {
  std::uint8_t any = 0;
  for (std::uint8_t byte : to_bytes(a)) any |= byte;
  return any == 0;
}
inline bool is_odd(const Field& a) { return to_bytes(a)[0] & 1; }

/// a = b where `mask` is all ones, a where it is zero.
inline void assign_if(std::uint64_t mask, Field& a, const Field& b) {
  for (int i = 0; i < 5; ++i) a.limb[i] ^= mask & (a.limb[i] ^ b.limb[i]);
}

}  // namespace spatter::curve
