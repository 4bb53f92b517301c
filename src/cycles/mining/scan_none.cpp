// Where there are no such processors: never called, for kernels are offered only where they run.
#include "scan_plan.h"

#if !defined(__x86_64__)
namespace spatter::mining_internal {
std::uint64_t search_sha(const ScanPlan&, std::uint32_t, std::uint64_t, std::uint32_t*) { __builtin_trap(); }
std::uint64_t search_avx2(const ScanPlan&, std::uint32_t, std::uint64_t, std::uint32_t*) { __builtin_trap(); }
std::uint64_t search_avx512(const ScanPlan&, std::uint32_t, std::uint64_t, std::uint32_t*) { __builtin_trap(); }
}  // namespace spatter::mining_internal
#endif
