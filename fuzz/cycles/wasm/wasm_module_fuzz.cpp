// Modules of anybody's: whatever the bytes, there is an answer; and what is admitted is valid again.
#include "cycles/module.h"
#include "validate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const spatter::ByteView input(data, size);
  const auto admitted = spatter::admit(input);
  if (!admitted) {
    SPATTER_ASSERT(admitted.error().code == spatter::Errc::invalid);
    SPATTER_ASSERT(!admitted.error().message.empty() && admitted.error().message.size() < 1000);
    return 0;
  }
  SPATTER_ASSERT(admitted->bytes.size() <= (1u << 20) + 32 * size);
  // Counting makes bodies longer, deeper by a block and wider by some locals and operands.
  spatter::ModuleLimits wider;
  wider.bytes_max *= 32;
  wider.body_bytes_max *= 32;
  wider.nesting_max += 8;
  wider.locals_max += 8;
  wider.operands_max += 8;
  wider.globals_max += 2;
  wider.types_max *= 2;
  const auto again = spatter::wasm::validate(admitted->bytes, wider);
  SPATTER_ASSERT(again);
  return 0;
}
