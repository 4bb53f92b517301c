// GFNI with AVX-512: one instruction multiplies 64 bytes by a constant.
#include <immintrin.h>

#include "kernels.h"

namespace spatter::code {
namespace {

struct V {
  using T = __m512i;
  using Factor = uint64_t;
  using Operand = __m512i;
  using Table = __m512i;
  static constexpr size_t bytes = 64;
  static constexpr unsigned block_rows = gfni512_block_rows;
  static constexpr bool pairs = true;

  static T zero() { return _mm512_setzero_si512(); }
  static T load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static void store(uint8_t* to, T value) { _mm512_storeu_si512(to, value); }
  static void stream(uint8_t* to, T value) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), value);
  }
  static void fence() { _mm_sfence(); }
  static T add(T a, T b) { return _mm512_xor_si512(a, b); }
  static T add3(T a, T b, T c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static void fetch(const uint8_t* what) {
    _mm_prefetch(reinterpret_cast<const char*>(what), _MM_HINT_T0);
  }
  static Operand prepare(T value) { return value; }
  static Table table(const Factor* factor) {
    Table table = _mm512_set1_epi64(static_cast<long long>(*factor));
    // Keeps it in a register of its own: clang 19 encodes a wrong displacement when it folds the
    // broadcast into VGF2P8AFFINEQB (unscaled, where the CPU scales by 8).
    asm("" : "+v"(table));
    return table;
  }
  static T multiply(Operand x, Table table) { return _mm512_gf2p8affine_epi64_epi8(x, table, 0); }
};

}  // namespace
}  // namespace spatter::code

#include "kernel_body.h"

namespace spatter::code {

void dense_gfni512(const DenseJob& job) {
  run_dense(job);
}
void transform_gfni512(const TransformJob& job) {
  run_transform(job);
}

}  // namespace spatter::code
