// Whatever a listener types: an error, or a distance that no list of that length can exceed.
#include "crypto/spoken.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  const auto expected = spoken_key(PersonId{});
  const auto wrong = wrong_words(expected, as_text({data, size}));
  if (wrong) SPATTER_ASSERT(*wrong <= 2 * spoken_key_words);
  return 0;
}
