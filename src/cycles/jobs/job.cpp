#include "cycles/job.h"

#include "crypto/hash.h"

namespace spatter {
namespace {

template <class Number>
std::array<std::uint8_t, sizeof(Number)> little_endian(Number value) {
  std::array<std::uint8_t, sizeof(Number)> bytes;
  for (auto& byte : bytes) {
    byte = static_cast<std::uint8_t>(value);
    if constexpr (sizeof(Number) > 1) value >>= 8;
  }
  return bytes;
}

}  // namespace

std::string_view to_string(WorkEnd end) {
  switch (end) {
    case WorkEnd::exited: return "exited";
    case WorkEnd::trapped: return "trapped";
    case WorkEnd::out_of_fuel: return "out of fuel";
    case WorkEnd::output_too_large: return "output too large";
    case WorkEnd::out_of_memory: return "out of memory";
  }
  return "unknown";
}

Digest result_digest(const WorkResult& result) {
  static constexpr std::string_view label("spatter/1 result\0", 17);
  return Sha256().update(as_bytes(label))
      .update(little_endian(static_cast<std::uint8_t>(result.end)))
      .update(little_endian(static_cast<std::uint32_t>(result.exit_code)))
      .update(little_endian(result.fuel))
      .update(little_endian(result.output_bytes))
      .update(result.output.view())
      .finish();
}

Digest commitment_to(const ServerId& worker, const JobId& job, std::uint32_t piece, const Digest& result,
                     const Digest& nonce) {
  static constexpr std::string_view label("spatter/1 commitment\0", 21);
  return Sha256().update(as_bytes(label)).update(worker.view()).update(job.view()).update(little_endian(piece))
      .update(result.view()).update(nonce.view()).finish();
}

}  // namespace spatter
