// Whatever is in spatter.toml: refused with a sentence that names it, or settings that come back
// the same from the file we would write for them.
#include "node/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  const auto parsed = parse_config(as_text({data, size}));
  if (!parsed) {
    SPATTER_ASSERT(!parsed.error().message.empty());
    return 0;
  }
  const auto& config = parsed->config;
  const auto again = parse_config(config_text(config));
  SPATTER_ASSERT(again && again->warnings.empty());
  SPATTER_ASSERT(again->config.size_bytes == config.size_bytes);
  SPATTER_ASSERT(again->config.listen == config.listen);
  SPATTER_ASSERT(again->config.advertise == config.advertise);
  SPATTER_ASSERT(again->config.name == config.name);
  return 0;
}
