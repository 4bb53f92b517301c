// For CPUs other than x86-64: our kernels are never run there (kernel.cpp), only linked.
#include "base/error.h"
#include "kernels.h"

#if !defined(__x86_64__)
namespace spatter::code {

void dense_avx2(const DenseJob&) {
  panic(__FILE__, __LINE__, "AVX2 on another CPU");
}
void dense_gfni256(const DenseJob&) {
  panic(__FILE__, __LINE__, "GFNI on another CPU");
}
void dense_gfni512(const DenseJob&) {
  panic(__FILE__, __LINE__, "GFNI on another CPU");
}
void transform_avx2(const TransformJob&) {
  panic(__FILE__, __LINE__, "AVX2 on another CPU");
}
void transform_gfni256(const TransformJob&) {
  panic(__FILE__, __LINE__, "GFNI on another CPU");
}
void transform_gfni512(const TransformJob&) {
  panic(__FILE__, __LINE__, "GFNI on another CPU");
}

}  // namespace spatter::code
#endif
