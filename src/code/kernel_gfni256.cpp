// GFNI with AVX2: one instruction multiplies 32 bytes by a constant. For CPUs without AVX-512.
#include <immintrin.h>

#include "kernels.h"

namespace spatter::code {
namespace {

struct V {
  using T = __m256i;
  using Factor = uint64_t;
  using Operand = __m256i;
  using Table = __m256i;
  static constexpr size_t bytes = 32;
  static constexpr unsigned block_rows = gfni256_block_rows;
  static constexpr bool pairs = false;

  static T zero() { return _mm256_setzero_si256(); }
  static T load(const uint8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static void store(uint8_t* to, T value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
  }
  static void stream(uint8_t* to, T value) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), value);
  }
  static void fence() { _mm_sfence(); }
  static T add(T a, T b) { return _mm256_xor_si256(a, b); }
  static T add3(T a, T b, T c) { return add(add(a, b), c); }
  static void fetch(const uint8_t* what) {
    _mm_prefetch(reinterpret_cast<const char*>(what), _MM_HINT_T0);
  }
  static Operand prepare(T value) { return value; }
  static Table table(const Factor* factor) {
    return _mm256_set1_epi64x(static_cast<long long>(*factor));
  }
  static T multiply(Operand x, Table table) { return _mm256_gf2p8affine_epi64_epi8(x, table, 0); }
};

}  // namespace
}  // namespace spatter::code

#include "kernel_body.h"

namespace spatter::code {

void dense_gfni256(const DenseJob& job) {
  run_dense(job);
}
void transform_gfni256(const TransformJob& job) {
  run_transform(job);
}

}  // namespace spatter::code
