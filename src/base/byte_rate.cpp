#include "base/byte_rate.h"

#include <algorithm>

namespace spatter {

Duration ByteRate::take(std::uint64_t bytes, TimePoint now) {
  constexpr Duration burst = std::chrono::milliseconds(250);
  const double seconds = static_cast<double>(bytes) / static_cast<double>(bytes_per_s_);
  std::lock_guard lock(mutex_);
  free_at_ = std::max(free_at_, now - burst) + Duration(static_cast<std::int64_t>(seconds * 1e9));
  return std::max(free_at_ - now, Duration::zero());
}

Duration take_all(const ByteRates& rates, std::uint64_t bytes, TimePoint now) {
  Duration longest{};
  for (const auto& rate : rates) longest = std::max(longest, rate->take(bytes, now));
  return longest;
}

}  // namespace spatter
