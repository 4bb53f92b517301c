// Columns of pseudo-random bytes for the tests, at any alignment and with guards behind them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "base/bytes.h"

namespace spatter {

class Columns {
 public:
  /// `count` columns of `bytes`, zeroed, column i starting i * `skew` bytes off an aligned address.
  Columns(std::size_t count, std::size_t bytes, std::size_t skew = 0) : bytes_(bytes) {
    for (std::size_t i = 0; i < count; ++i) {
      memory_.emplace_back(bytes + 64 + guard_bytes + (i * skew) % 64, 0);
      std::uint8_t* start = memory_.back().data();
      start += (64 - reinterpret_cast<std::uintptr_t>(start) % 64) % 64 + (i * skew) % 64;
      std::fill_n(start + bytes, guard(i, start), guard_value);
      starts_.push_back(start);
    }
  }

  void fill(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::uint8_t* start : starts_)
      for (std::size_t b = 0; b < bytes_; ++b) start[b] = static_cast<std::uint8_t>(random() >> 32);
  }

  std::size_t size() const { return starts_.size(); }
  ByteView view(std::size_t column) const { return {starts_[column], bytes_}; }
  std::uint8_t* operator[](std::size_t column) const { return starts_[column]; }
  std::vector<std::uint8_t*> out(std::size_t first = 0) const {
    return {starts_.begin() + static_cast<std::ptrdiff_t>(first), starts_.end()};
  }
  std::vector<const std::uint8_t*> in(std::size_t first, std::size_t count) const {
    return {starts_.begin() + static_cast<std::ptrdiff_t>(first),
            starts_.begin() + static_cast<std::ptrdiff_t>(first + count)};
  }
  template <class Indices>
  std::vector<const std::uint8_t*> at(const Indices& indices) const {
    std::vector<const std::uint8_t*> result;
    for (unsigned index : indices) result.push_back(starts_[index]);
    return result;
  }
  bool equal(std::size_t column, ByteView other) const {
    return std::ranges::equal(view(column), other);
  }
  bool guards_intact() const {
    for (std::size_t i = 0; i < size(); ++i)
      for (std::size_t b = 0; b < guard(i, starts_[i]); ++b)
        if (starts_[i][bytes_ + b] != guard_value) return false;
    return true;
  }

 private:
  static constexpr std::size_t guard_bytes = 64;
  static constexpr std::uint8_t guard_value = 0xa5;

  std::size_t guard(std::size_t i, const std::uint8_t* start) const {
    return static_cast<std::size_t>(memory_[i].data() + memory_[i].size() - (start + bytes_));
  }

  std::size_t bytes_;
  std::vector<std::vector<std::uint8_t>> memory_;
  std::vector<std::uint8_t*> starts_;
};

}  // namespace spatter
