// How many bytes a second something may move, shared by all who move them.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/time.h"

namespace spatter {

/// Any thread. Nobody is refused: who has used more than his time waits longer, in the order of
/// the calls.
class ByteRate {
 public:
  /// Unused time of up to a quarter of a second may be made up for.
  explicit ByteRate(std::uint64_t bytes_per_s) : bytes_per_s_(bytes_per_s > 0 ? bytes_per_s : 1) {}

  /// Counts `bytes` as moved, and says how long to wait before moving on.
  Duration take(std::uint64_t bytes, TimePoint now);

 private:
  const std::uint64_t bytes_per_s_;
  std::mutex mutex_;
  TimePoint free_at_{};
};

using ByteRates = std::vector<std::shared_ptr<ByteRate>>;

/// The longest wait of all.
Duration take_all(const ByteRates& rates, std::uint64_t bytes, TimePoint now);

}  // namespace spatter
