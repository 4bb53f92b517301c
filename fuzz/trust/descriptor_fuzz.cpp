// A stripe descriptor that its server really signed, whatever is in it: refused, or within bounds.
#include "trust/contract.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace spatter;
  static const SigningKey key = [] {
    SeededRandom random(1);
    return SigningKey::generate(random);
  }();
  wire::StripeDescriptor message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  message.set_server_key(key.public_key().data(), key.public_key().size());
  const auto descriptor = check_descriptor(sign_descriptor(key, message));
  if (!descriptor) return 0;
  SPATTER_ASSERT(descriptor->n == 3 * descriptor->k && descriptor->n <= 255);
  SPATTER_ASSERT(descriptor->shard_roots.size() == descriptor->n);
  SPATTER_ASSERT(descriptor->shard_size <= shard_bytes_max);
  SPATTER_ASSERT(descriptor->length <= descriptor->k * descriptor->shard_size);
  return 0;
}
