// The kernels themselves, over a vector type V that the including file defines in an unnamed
// namespace (so that each instantiation stays in the file that is compiled for its CPUs):
//
//   V::T, V::Factor, V::bytes, V::block_rows; zero, load, store, stream, add;
//   V::Operand, prepare(T); V::Table, table(const Factor*); multiply(Operand, Table)

namespace spatter::code {
namespace {

template <bool past_cache>
inline void put(uint8_t* to, V::T value) {
  if constexpr (past_cache)
    V::stream(to, value);
  else
    V::store(to, value);
}

/// `rows` outputs over `bytes` from column c at `in(c)`; each factor fetched serves `vectors` steps.
template <unsigned rows, bool past_cache, class In>
inline void dense_block(unsigned columns, const V::Factor* factors, const In& in,
                        uint8_t* const* out, size_t out_offset, size_t bytes) {
  constexpr unsigned vectors = 2;
  constexpr size_t step = vectors * V::bytes;
  size_t b = 0;
  for (; b + step <= bytes; b += step) {
    typename V::T sums[rows][vectors];
#pragma unroll
    for (unsigned r = 0; r < rows; ++r)
#pragma unroll
      for (unsigned v = 0; v < vectors; ++v) sums[r][v] = V::zero();
    const V::Factor* factor = factors;
    for (unsigned c = 0; c < columns; ++c) {
      const uint8_t* from = in(c) + b;
      const typename V::Operand x0 = V::prepare(V::load(from));
      const typename V::Operand x1 = V::prepare(V::load(from + V::bytes));
#pragma unroll
      for (unsigned r = 0; r < rows; ++r) {
        const typename V::Table table = V::table(factor++);
        sums[r][0] = V::add(sums[r][0], V::multiply(x0, table));
        sums[r][1] = V::add(sums[r][1], V::multiply(x1, table));
      }
    }
#pragma unroll
    for (unsigned r = 0; r < rows; ++r)
#pragma unroll
      for (unsigned v = 0; v < vectors; ++v)
        put<past_cache>(out[r] + out_offset + b + v * V::bytes, sums[r][v]);
  }
  for (; b < bytes; b += V::bytes) {
    typename V::T sums[rows];
#pragma unroll
    for (unsigned r = 0; r < rows; ++r) sums[r] = V::zero();
    const V::Factor* factor = factors;
    for (unsigned c = 0; c < columns; ++c) {
      const typename V::Operand x = V::prepare(V::load(in(c) + b));
#pragma unroll
      for (unsigned r = 0; r < rows; ++r)
        sums[r] = V::add(sums[r], V::multiply(x, V::table(factor++)));
    }
#pragma unroll
    for (unsigned r = 0; r < rows; ++r) put<past_cache>(out[r] + out_offset + b, sums[r]);
  }
}

template <unsigned rows, bool past_cache, class In>
inline void dense_block_of(unsigned count, unsigned columns, const V::Factor* factors,
                           const In& in, uint8_t* const* out, size_t out_offset, size_t bytes) {
  if (count == rows)
    dense_block<rows, past_cache>(columns, factors, in, out, out_offset, bytes);
  else if constexpr (rows > 1)
    dense_block_of<rows - 1, past_cache>(count, columns, factors, in, out, out_offset, bytes);
}

/// One pass over the inputs makes block_rows outputs. So that further passes find the inputs in the
/// L1 cache, whatever their addresses are (columns a power of two apart share its sets), a segment
/// of each is first copied side by side.
template <bool past_cache>
void dense(const DenseJob& job) {
  const auto* factors = static_cast<const V::Factor*>(job.factors);
  if (job.rows <= V::block_rows) {
    dense_block_of<V::block_rows, past_cache>(
        job.rows, job.columns, factors, [&](unsigned c) { return job.in[c]; }, job.out, 0,
        job.bytes);
    return;
  }
  constexpr size_t stage_bytes = 16 * 1024;
  constexpr size_t segment_min = 64;
  alignas(64) uint8_t stage[stage_bytes > 256 * segment_min ? stage_bytes : 256 * segment_min];
  size_t segment = stage_bytes / job.columns / 128 * 128;
  if (segment > 2048) segment = 2048;
  if (segment < segment_min) segment = segment_min;
  for (size_t start = 0; start < job.bytes; start += segment) {
    const size_t bytes = job.bytes - start < segment ? job.bytes - start : segment;
    for (unsigned c = 0; c < job.columns; ++c)
      for (size_t b = 0; b < bytes; b += V::bytes)
        V::store(stage + c * segment + b, V::load(job.in[c] + start + b));
    const auto staged = [&](unsigned c) { return stage + c * segment; };
    for (unsigned row = 0; row < job.rows; row += V::block_rows) {
      const unsigned count = job.rows - row < V::block_rows ? job.rows - row : V::block_rows;
      dense_block_of<V::block_rows, past_cache>(count, job.columns, factors + size_t{row} * job.columns,
                                                staged, job.out + row, start, bytes);
    }
  }
}

/// Values at a coset's points to coefficients in the basis of transform.h, in place.
template <unsigned log_size>
inline void inverse(V::T (&x)[1u << log_size], const V::Factor* twiddles) {
#pragma unroll
  for (unsigned level = 0; level < log_size; ++level) {
    const unsigned half = 1u << level;
#pragma unroll
    for (unsigned block = 0; block < (1u << log_size); block += 2 * half) {
      const typename V::Table twiddle = V::table(twiddles++);
#pragma unroll
      for (unsigned i = block; i < block + half; ++i) {
        x[i + half] = V::add(x[i], x[i + half]);
        x[i] = V::add(x[i], V::multiply(V::prepare(x[i + half]), twiddle));
      }
    }
  }
}

/// And back, at any coset's points. The twiddles come in the same order, so from the end here.
template <unsigned log_size>
inline void forward(V::T (&x)[1u << log_size], const V::Factor* twiddles) {
  constexpr unsigned size = 1u << log_size;
#pragma unroll
  for (unsigned level = log_size; level-- > 0;) {
    const unsigned half = 1u << level;
    const unsigned first = size - (size >> level);
#pragma unroll
    for (unsigned block = 0; block < size; block += 2 * half) {
      const typename V::Table twiddle = V::table(twiddles + first + block / (2 * half));
#pragma unroll
      for (unsigned i = block; i < block + half; ++i) {
        x[i] = V::add(x[i], V::multiply(V::prepare(x[i + half]), twiddle));
        x[i + half] = V::add(x[i], x[i + half]);
      }
    }
  }
}

template <unsigned log_size, bool past_cache>
void transform(const TransformJob& job) {
  constexpr unsigned size = 1u << log_size;
  const auto* inverse_twiddles = static_cast<const V::Factor*>(job.factors);
  for (size_t b = 0; b < job.bytes; b += V::bytes) {
    typename V::T x[size];
    alignas(64) uint8_t coefficients[size * V::bytes];
#pragma unroll
    for (unsigned i = 0; i < size; ++i) x[i] = V::load(job.in[i] + b);
    inverse<log_size>(x, inverse_twiddles);
#pragma unroll
    for (unsigned i = 0; i < size; ++i) V::store(coefficients + i * V::bytes, x[i]);
    for (unsigned coset = 0; coset < job.cosets; ++coset) {
#pragma unroll
      for (unsigned i = 0; i < size; ++i) x[i] = V::load(coefficients + i * V::bytes);
      forward<log_size>(x, inverse_twiddles + (coset + 1) * (size - 1));
#pragma unroll
      for (unsigned i = 0; i < size; ++i) put<past_cache>(job.out[coset * size + i] + b, x[i]);
    }
  }
}

template <bool past_cache>
void transform_of(const TransformJob& job) {
  switch (job.log_size) {
    case 2:
      return transform<2, past_cache>(job);
    case 3:
      return transform<3, past_cache>(job);
    case 4:
      return transform<4, past_cache>(job);
  }
}

void run_dense(const DenseJob& job) {
  if (job.past_cache) {
    dense<true>(job);
    V::fence();
  } else {
    dense<false>(job);
  }
}

void run_transform(const TransformJob& job) {
  if (job.past_cache) {
    transform_of<true>(job);
    V::fence();
  } else {
    transform_of<false>(job);
  }
}

}  // namespace
}  // namespace spatter::code
