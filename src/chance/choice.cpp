#include "chance/choice.h"

#include <algorithm>
#include <unordered_map>

#include "append.h"
#include "chance/rendezvous.h"
#include "crypto/hash.h"

namespace spatter {

Stream::Stream(ByteView seed, std::string_view label) {
  SPATTER_ASSERT(label.find('\0') == label.npos);
  append_tag(front_, "spatter/1 stream");
  append_tag(front_, label);
  append(front_, seed);
}

std::uint64_t Stream::next() {
  if (used_ == 4) {
    Bytes bytes = front_;
    append_number<8>(bytes, block_++);
    const Digest hash = sha256(bytes);
    for (std::size_t i = 0; i < 4; ++i) {
      numbers_[i] = 0;
      for (std::size_t j = 8; j-- > 0;) numbers_[i] = numbers_[i] << 8 | hash.bytes[8 * i + j];
    }
    used_ = 0;
  }
  return numbers_[used_++];
}

std::uint64_t Stream::below(std::uint64_t bound) {
  SPATTER_ASSERT(bound > 0);
  const std::uint64_t least = (0 - bound) % bound;  // 2^64 mod bound
  for (;;) {
    const std::uint64_t x = next();
    if (x >= least) return x % bound;
  }
}

std::vector<std::uint64_t> choose(const VrfOutput& output, std::uint64_t m, std::uint64_t n) {
  Stream stream(output, "choose");
  std::unordered_map<std::uint64_t, std::uint64_t> moved;  // places that no longer hold their own number
  const auto at = [&](std::uint64_t place) {
    const auto found = moved.find(place);
    return found == moved.end() ? place : found->second;
  };
  std::vector<std::uint64_t> chosen;
  chosen.reserve(std::min(m, n));
  for (std::uint64_t i = 0; i < std::min(m, n); ++i) {
    const std::uint64_t place = i + stream.below(n - i);
    chosen.push_back(at(place));
    moved[place] = at(i);
  }
  return chosen;
}

std::vector<std::size_t> choose_weighted(const VrfOutput& output, std::span<const WeightedId> candidates,
                                         std::size_t m) {
  Bytes bytes;
  append_tag(bytes, "spatter/1 weighted");
  append(bytes, output);
  const Sha256 front = Sha256().update(bytes);
  struct Placed {
    std::uint64_t distance;
    std::size_t index;
  };
  std::vector<Placed> order;
  order.reserve(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].weight == 0) continue;
    const Digest hash = Sha256(front).update(candidates[i].id.view()).finish();
    std::uint64_t u = 0;
    for (std::size_t j = 0; j < 8; ++j) u = u << 8 | hash.bytes[j];
    order.push_back({weighted_distance(u, candidates[i].weight), i});
  }
  m = std::min(m, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(m), order.end(),
                    [&](const Placed& a, const Placed& b) {
                      if (a.distance != b.distance) return a.distance < b.distance;
                      return candidates[a.index].id < candidates[b.index].id;
                    });
  std::vector<std::size_t> chosen;
  chosen.reserve(m);
  for (std::size_t i = 0; i < m; ++i) chosen.push_back(order[i].index);
  return chosen;
}

bool drawn_by_lot(const VrfOutput& output, std::uint32_t expected, std::uint32_t weight, std::uint64_t total) {
  SPATTER_ASSERT(total > 0);
  using Wide = unsigned __int128;
  const std::uint64_t u = Stream(output, "lot").next();
  return Wide{u} * total < Wide{std::uint64_t{expected} * weight} << 64;
}

}  // namespace spatter
