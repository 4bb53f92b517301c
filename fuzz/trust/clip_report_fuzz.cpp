// What a prober says of a stranger's clip: refused with a sentence, or facts within the limits.
#include "trust/clip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  const ClipLimits limits;
  const auto facts = judge_probe_report(as_text({data, size}), limits);
  if (!facts) {
    SPATTER_ASSERT(!facts.error().message.empty() && facts.error().message.size() < 300);
    return 0;
  }
  SPATTER_ASSERT(facts->ms >= limits.ms_min && facts->ms <= limits.ms_max);
  SPATTER_ASSERT(facts->width >= limits.side_min && facts->width <= limits.side_max);
  SPATTER_ASSERT(facts->height >= limits.side_min && facts->height <= limits.side_max);
  return 0;
}
