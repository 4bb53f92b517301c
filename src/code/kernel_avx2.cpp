// AVX2: a product is the sum of two look-ups, one for each half of the byte.
#include <immintrin.h>

#include "kernels.h"

namespace spatter::code {
namespace {

struct V {
  using T = __m256i;
  struct Factor {
    uint8_t low[16];
    uint8_t high[16];
  };
  struct Operand {
    T low;
    T high;
  };
  struct Table {
    T low;
    T high;
  };
  static constexpr size_t bytes = 32;
  static constexpr unsigned block_rows = avx2_block_rows;
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
  static Operand prepare(T value) {
    const T mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(value, mask), _mm256_and_si256(_mm256_srli_epi64(value, 4), mask)};
  }
  static Table table(const Factor* factor) {
    return {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(factor->low))),
        _mm256_broadcastsi128_si256(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(factor->high)))};
  }
  static T multiply(Operand x, Table table) {
    return _mm256_xor_si256(_mm256_shuffle_epi8(table.low, x.low),
                            _mm256_shuffle_epi8(table.high, x.high));
  }
};

}  // namespace
}  // namespace spatter::code

#include "kernel_body.h"

namespace spatter::code {

void dense_avx2(const DenseJob& job) {
  run_dense(job);
}
void transform_avx2(const TransformJob& job) {
  run_transform(job);
}

}  // namespace spatter::code
