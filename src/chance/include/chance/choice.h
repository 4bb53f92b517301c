// What is made of a draw's output: numbers without end, m of N things, m of N things by weight, and
// whether a key is drawn at all (sortition). Everyone who has the output must come to the same
// result, so all of it is integers, exactly as written here and in docs/PROTOCOL.md.
//
// All functions are pure; any thread. One Stream is for one caller.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "crypto/vrf.h"

namespace spatter {

/// Numbers from a seed: block i is SHA-256("spatter/1 stream\0" label "\0" seed le64(i)) and gives four
/// 64-bit numbers, little-endian. Different labels give unrelated numbers from one seed. Labels hold
/// no zero byte.
class Stream {
 public:
  Stream(ByteView seed, std::string_view label);
  std::uint64_t next();
  /// Each number below `bound` equally often: x mod bound of the first x that is not below
  /// 2^64 mod bound. `bound` must not be 0.
  std::uint64_t below(std::uint64_t bound);

 private:
  Bytes front_;
  std::uint64_t block_ = 0;
  std::uint64_t numbers_[4] = {};
  unsigned used_ = 4;
};

/// min(m, n) different indices below n, in the order of drawing; every ordered selection is equally
/// likely. Takes time and memory for m, not n.
///
/// With Stream(output, "choose") and a row of 0, 1, ..., n-1: for i = 0, 1, ..., m-1, places i and
/// i + below(n - i) are exchanged; place i is then drawn.
std::vector<std::uint64_t> choose(const VrfOutput& output, std::uint64_t m, std::uint64_t n);

struct WeightedId {
  Digest id;                 ///< of a server, a person, a stripe...
  std::uint32_t weight = 1;  ///< 0: never drawn
};

/// Indices of min(m, all that weigh something) candidates, each in turn with a probability of its share of
/// what weight is left, in the order of drawing. Independent of the candidates' order, and when one
/// comes or goes the others keep their order: rendezvous hashing over the output.
///
/// By weighted_distance(u, weight), least first, equal ones by id, with u the first eight bytes,
/// big-endian, of SHA-256("spatter/1 weighted\0" output id).
std::vector<std::size_t> choose_weighted(const VrfOutput& output, std::span<const WeightedId> candidates,
                                         std::size_t m);

/// Sortition: whether the key that made this output is among those drawn, when `expected` of a total
/// weight are wanted and the key has `weight` of `total`. Nobody needs to know who else is drawn.
///
/// True when u * total < expected * weight * 2^64, with u = Stream(output, "lot").next(), computed
/// exactly in 128 bits. The probability is p = min(1, expected * weight / total), rounded up to a
/// multiple of 2^-64. `total` must not be 0.
///
/// Against the binomial lottery, where each unit of weight is drawn by itself with probability
/// expected / total and a key may win several seats: the mean of each key's seats and of their sum is
/// the same (while no p exceeds 1; weight beyond total / expected is lost). A key has at most one
/// seat. It is drawn with p instead of 1 - (1 - expected / total)^weight, which is less by at most
/// p^2 / 2. The number drawn has the variance expected - sum of p^2, never more than the
/// binomial's; when all weights are equal it is exactly binomial in the number of keys. Splitting a
/// weight over several keys changes no expectation; to have one seat for a person, draw by person.
bool drawn_by_lot(const VrfOutput& output, std::uint32_t expected, std::uint32_t weight, std::uint64_t total);

}  // namespace spatter
