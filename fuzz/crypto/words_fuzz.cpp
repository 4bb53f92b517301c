// Whatever a person types: refused with a sentence, or a secret whose own words give it back.
#include "crypto/secret.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  auto secret = PersonSecret::from_words(as_text({data, size}));
  if (!secret) {
    SPATTER_ASSERT(!secret.error().message.empty() && secret.error().message.size() < 300);
    return 0;
  }
  SPATTER_ASSERT(PersonSecret::from_words(secret->words()).value() == *secret);
  return 0;
}
