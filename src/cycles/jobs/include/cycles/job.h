// What a job is made of: pieces of work, each of which somebody computes, and what comes out of one.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"

namespace spatter {

using JobId = Id<struct JobTag>;  ///< random, made with the job

/// How a piece's computation ended. The numbers go into the result that is compared: append, never renumber.
enum class WorkEnd : std::uint8_t {
  exited = 0,           ///< with an exit code
  trapped = 1,          ///< did what WebAssembly forbids: a division by zero, a load outside its memory
  out_of_fuel = 2,
  output_too_large = 3,
  out_of_memory = 4,    ///< gave up after it was refused memory
};
std::string_view to_string(WorkEnd end);

/// What a piece came to. The same on every machine: so results can be compared.
struct WorkResult {
  WorkEnd end = WorkEnd::exited;
  std::int32_t exit_code = 0;
  std::uint64_t fuel = 0;
  std::uint64_t output_bytes = 0;
  Digest output;  ///< SHA-256
  bool operator==(const WorkResult&) const = default;
  bool well() const { return end == WorkEnd::exited && exit_code == 0; }
};

/// SHA-256("spatter/1 result\0" end le32(exit code) le64(fuel) le64(output bytes) output).
Digest result_digest(const WorkResult& result);

/// What a worker says before it shows its result, so that nobody can show another's:
/// SHA-256("spatter/1 commitment\0" worker job le32(piece) result digest nonce).
Digest commitment_to(const ServerId& worker, const JobId& job, std::uint32_t piece, const Digest& result,
                     const Digest& nonce);

}  // namespace spatter
