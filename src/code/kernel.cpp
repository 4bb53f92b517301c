#include "code/kernel.h"

namespace spatter {

std::string_view to_string(Kernel kernel) {
  switch (kernel) {
    case Kernel::table:
      return "table";
    case Kernel::isal:
      return "isal";
    case Kernel::avx2:
      return "avx2";
    case Kernel::gfni256:
      return "gfni256";
    case Kernel::gfni512:
      return "gfni512";
  }
  return "unknown";
}

bool supported(Kernel kernel) {
#if defined(__x86_64__)
  // These ask the CPU and whether the operating system saves the registers.
  switch (kernel) {
    case Kernel::table:
    case Kernel::isal:
      return true;
    case Kernel::avx2:
      return __builtin_cpu_supports("avx2");
    case Kernel::gfni256:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("gfni");
    case Kernel::gfni512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("gfni");
  }
  return false;
#else
  return kernel == Kernel::table || kernel == Kernel::isal;
#endif
}

std::vector<Kernel> supported_kernels() {
  std::vector<Kernel> kernels;
  for (Kernel kernel :
       {Kernel::table, Kernel::isal, Kernel::avx2, Kernel::gfni256, Kernel::gfni512})
    if (supported(kernel)) kernels.push_back(kernel);
  return kernels;
}

Kernel fastest_kernel() {
  static const Kernel fastest = supported_kernels().back();
  return fastest;
}

}  // namespace spatter
