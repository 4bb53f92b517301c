#include "userhalf/chunker.h"

#include "crypto/hash.h"

namespace spatter {

namespace {

// The hash shifts left, so its high bits have seen the most bytes. Normalisation level 2: four
// times as hard as the average before it, four times as easy after.
constexpr unsigned average_bits = 20;
constexpr std::uint64_t strict_mask = ~0ull << (64 - (average_bits + 2));
constexpr std::uint64_t loose_mask = ~0ull << (64 - (average_bits - 2));
constexpr std::size_t window = 64;  // bytes that a 64-bit gear hash remembers
static_assert(std::size_t{1} << average_bits == chunk_bytes_average);

struct Roll {
  std::uint64_t hash;
  std::size_t at;  // bytes looked at
  bool found;
};

// One byte costs a load, a table load, a shift-and-add and a test: about a cycle, as the chain
// through `hash` is a single LEA.
Roll roll(const std::uint64_t* gear, const std::uint8_t* data, std::size_t from, std::size_t to,
          std::uint64_t hash, std::uint64_t mask) {
  std::size_t i = from;
  for (; i + 8 <= to; i += 8) {
    const std::uint8_t* p = data + i;
#define SPATTER_ROLL(n)                              \
  hash = hash * 2 + gear[p[n]];                      \
  if ((hash & mask) == 0) [[unlikely]]               \
    return {hash, i + (n) + 1, true};
    SPATTER_ROLL(0) SPATTER_ROLL(1) SPATTER_ROLL(2) SPATTER_ROLL(3)
    SPATTER_ROLL(4) SPATTER_ROLL(5) SPATTER_ROLL(6) SPATTER_ROLL(7)
#undef SPATTER_ROLL
  }
  for (; i < to; ++i) {
    hash = hash * 2 + gear[data[i]];
    if ((hash & mask) == 0) return {hash, i + 1, true};
  }
  return {hash, to, false};
}

}  // namespace

GearTable::GearTable(const Key& key) {
  for (std::size_t i = 0; i < values_.size(); i += 4) {
    const std::uint8_t index[] = {static_cast<std::uint8_t>(i)};
    Digest digest = blake2b(key.view(), ByteView(index));
    std::memcpy(&values_[i], digest.bytes.data(), 32);
  }
}

std::size_t Chunker::next(ByteView data, bool last) {
  const std::size_t end = std::min(data.size(), chunk_bytes_max);
  if (looked_ < chunk_bytes_min - window) looked_ = chunk_bytes_min - window;
  // The last bytes before the least size fill the window, so that a cut depends on content alone.
  for (; looked_ < std::min(end, chunk_bytes_min); ++looked_)
    hash_ = hash_ * 2 + gear_->data()[data[looked_]];

  std::size_t cut = 0;
  for (auto [limit, mask] : {std::pair{chunk_bytes_average, strict_mask},
                             std::pair{chunk_bytes_max, loose_mask}}) {
    const std::size_t to = std::min(end, limit);
    if (looked_ >= to) continue;
    Roll rolled = roll(gear_->data(), data.data(), looked_, to, hash_, mask);
    hash_ = rolled.hash;
    looked_ = rolled.at;
    if (rolled.found) {
      cut = looked_;
      break;
    }
  }
  if (cut == 0 && data.size() >= chunk_bytes_max) cut = chunk_bytes_max;
  if (cut == 0 && last) cut = data.size();
  if (cut != 0 || last) {
    looked_ = 0;
    hash_ = 0;
  }
  return cut;
}

}  // namespace spatter
