// The ways of multiplying columns over GF(2^8). All give the same bytes; they differ in speed and
// in what they ask of the CPU. Only tests and benchmarks choose one themselves.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace spatter {

enum class Kernel : std::uint8_t {
  table,    ///< plain C++, one byte at a time: the reference, runs everywhere
  isal,     ///< ISA-L's ec_encode_data, which picks the best it has itself
  avx2,     ///< ours: nibble look-ups with PSHUFB, 32 bytes at a time
  gfni256,  ///< ours: GFNI affine products, 32 bytes at a time
  gfni512,  ///< ours: GFNI affine products, 64 bytes at a time
};

std::string_view to_string(Kernel kernel);

/// Whether this CPU (and operating system) can run it.
bool supported(Kernel kernel);

/// Every kernel that can run here, slowest first.
std::vector<Kernel> supported_kernels();

/// What StripeCode uses unless told otherwise: the last of `supported_kernels()`.
Kernel fastest_kernel();

}  // namespace spatter
