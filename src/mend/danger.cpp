#include "mend/danger.h"

#include <algorithm>

#include "crypto/hash.h"

namespace spatter {

std::string_view to_string(Danger danger) {
  switch (danger) {
    case Danger::none: return "none";
    case Danger::tidy: return "tidy";
    case Danger::due: return "due";
    case Danger::urgent: return "urgent";
    case Danger::lost: return "lost";
  }
  return "unknown";
}

std::vector<ServerId> coordinators(const StripeId& stripe, std::uint64_t version,
                                   std::span<const ServerId> holders) {
  constexpr std::string_view label{"spatter/1 coordinator\0", 22};
  std::array<std::uint8_t, 8> number;
  for (std::size_t i = 0; i < number.size(); ++i) number[i] = static_cast<std::uint8_t>(version >> (8 * i));
  std::vector<std::pair<std::uint64_t, ServerId>> turns;
  for (const ServerId& holder : holders) {
    const Digest hash = Sha256().update(as_bytes(label)).update(stripe.view()).update(number)
                            .update(holder.view()).finish();
    std::uint64_t turn = 0;
    for (std::size_t i = 0; i < 8; ++i) turn = turn << 8 | hash.bytes[i];
    turns.emplace_back(turn, holder);
  }
  std::ranges::sort(turns);
  std::vector<ServerId> result;
  for (const auto& [turn, holder] : turns) result.push_back(holder);
  return result;
}

}  // namespace spatter
