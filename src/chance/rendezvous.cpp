#include "chance/rendezvous.h"

#include <bit>

#include "crypto/hash.h"

namespace spatter {

std::uint64_t negative_log2(std::uint64_t u) {
  if (u == 0) u = 1;
  const unsigned exponent = 63 - static_cast<unsigned>(std::countl_zero(u));
  std::uint64_t x = u << (63 - exponent);  // x / 2^63 is in [1, 2)
  std::uint64_t fraction = 0;
  for (int bit = 0; bit < 32; ++bit) {
    const auto square = static_cast<unsigned __int128>(x) * x >> 63;
    const bool over = (square >> 64) != 0;
    x = static_cast<std::uint64_t>(over ? square >> 1 : square);
    fraction = fraction << 1 | (over ? 1 : 0);
  }
  return (std::uint64_t{64} << 32) - (std::uint64_t{exponent} << 32) - fraction;
}

std::uint64_t weighted_distance(std::uint64_t u, std::uint32_t weight) {
  SPATTER_ASSERT(weight > 0);
  return (negative_log2(u) << 25) / weight;
}

std::uint64_t rendezvous_distance(const StripeId& stripe, const ServerId& server,
                                  std::uint32_t weight) {
  static constexpr std::string_view tag("spatter/1 draw\0", 15);
  const Digest hash =
      Sha256().update(as_bytes(tag)).update(stripe.view()).update(server.view()).finish();
  std::uint64_t u = 0;
  for (int i = 0; i < 8; ++i) u = u << 8 | hash.bytes[i];
  return weighted_distance(u, weight);
}

}  // namespace spatter
