// The kernels themselves, over a vector type V that the including file defines in an unnamed
// namespace (so that each instantiation stays in the file that is compiled for its CPUs):
//
//   V::T, V::Factor, V::bytes, V::block_rows; zero, load, store, stream, fence, add, add3;
//   V::Operand, prepare(T); V::Table, table(const Factor*); multiply(Operand, Table);
//   V::pairs: registers suffice for two columns at a time

namespace spatter::code {
namespace {

template <bool past_cache>
inline void put(uint8_t* to, V::T value) {
  if constexpr (past_cache)
    V::stream(to, value);
  else
    V::store(to, value);
}

/// `rows` outputs of `vectors` vectors at offset b; each factor fetched serves all vectors.
template <unsigned rows, unsigned vectors, bool past_cache, class In, class Ahead>
inline void dense_step(unsigned columns, const V::Factor* factor, const In& in, const Ahead& ahead,
                       uint8_t* const* out, size_t out_offset, size_t b) {
  typename V::T sums[rows][vectors];
#pragma unroll
  for (unsigned r = 0; r < rows; ++r)
#pragma unroll
    for (unsigned v = 0; v < vectors; ++v) sums[r][v] = V::zero();
  unsigned c = 0;
  if constexpr (V::pairs) {
    for (; c + 2 <= columns; c += 2, factor += 2 * rows) {
      ahead(c, b);
      ahead(c + 1, b);
      typename V::Operand x[2][vectors];
#pragma unroll
      for (unsigned v = 0; v < vectors; ++v) {
        x[0][v] = V::prepare(V::load(in(c) + b + v * V::bytes));
        x[1][v] = V::prepare(V::load(in(c + 1) + b + v * V::bytes));
      }
#pragma unroll
      for (unsigned r = 0; r < rows; ++r) {
        const typename V::Table t0 = V::table(factor + r);
        const typename V::Table t1 = V::table(factor + rows + r);
#pragma unroll
        for (unsigned v = 0; v < vectors; ++v)
          sums[r][v] = V::add3(sums[r][v], V::multiply(x[0][v], t0), V::multiply(x[1][v], t1));
      }
    }
  }
  for (; c < columns; ++c, factor += rows) {
    ahead(c, b);
    typename V::Operand x[vectors];
#pragma unroll
    for (unsigned v = 0; v < vectors; ++v) x[v] = V::prepare(V::load(in(c) + b + v * V::bytes));
#pragma unroll
    for (unsigned r = 0; r < rows; ++r) {
      const typename V::Table table = V::table(factor + r);
#pragma unroll
      for (unsigned v = 0; v < vectors; ++v)
        sums[r][v] = V::add(sums[r][v], V::multiply(x[v], table));
    }
  }
#pragma unroll
  for (unsigned r = 0; r < rows; ++r)
#pragma unroll
    for (unsigned v = 0; v < vectors; ++v)
      put<past_cache>(out[r] + out_offset + b + v * V::bytes, sums[r][v]);
}

/// `rows` outputs over `bytes` from column c at `in(c)`; `ahead(c, b)` may fetch what comes next.
template <unsigned rows, bool past_cache, class In, class Ahead>
inline void dense_block(unsigned columns, const V::Factor* factors, const In& in,
                        const Ahead& ahead, uint8_t* const* out, size_t out_offset, size_t bytes) {
  size_t b = 0;
  for (; b + 2 * V::bytes <= bytes; b += 2 * V::bytes)
    dense_step<rows, 2, past_cache>(columns, factors, in, ahead, out, out_offset, b);
  for (; b < bytes; b += V::bytes)
    dense_step<rows, 1, past_cache>(columns, factors, in, ahead, out, out_offset, b);
}

template <unsigned rows, bool past_cache, class In, class Ahead>
inline void dense_block_of(unsigned count, unsigned columns, const V::Factor* factors, const In& in,
                           const Ahead& ahead, uint8_t* const* out, size_t out_offset,
                           size_t bytes) {
  if (count == rows)
    dense_block<rows, past_cache>(columns, factors, in, ahead, out, out_offset, bytes);
  else if constexpr (rows > 1)
    dense_block_of<rows - 1, past_cache>(count, columns, factors, in, ahead, out, out_offset,
                                         bytes);
}

/// One pass over the inputs makes block_rows outputs. So that further passes find the inputs in the
/// L1 cache, whatever their addresses are (columns a power of two apart share its sets), a segment
/// of each is first copied side by side.
template <bool past_cache>
void dense(const DenseJob& job) {
  const auto* factors = static_cast<const V::Factor*>(job.factors);
  if (job.rows <= V::block_rows) {
    dense_block_of<V::block_rows, past_cache>(
        job.rows, job.columns, factors, [&](unsigned c) { return job.in[c]; },
        [](unsigned, size_t) {}, job.out, 0, job.bytes);
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
      // The first two passes fetch the next segment meanwhile, even lines and odd ones.
      const size_t next = start + segment + (row / V::block_rows) * 64;
      const auto ahead = [&](unsigned c, size_t b) {
        if (row < 2 * V::block_rows && b % 128 == 0) V::fetch(job.in[c] + next + b);
      };
      dense_block_of<V::block_rows, past_cache>(count, job.columns,
                                                factors + size_t{row} * job.columns, staged, ahead,
                                                job.out + row, start, bytes);
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

constexpr size_t transform_segment = 512;

/// Adds (or, with `first`, stores) the coefficients of one coset's polynomial to `coefficients`.
template <unsigned log_size, bool scaled>
inline void gather_coset(const TransformSide& side, const uint8_t* const* in, size_t start,
                         size_t bytes, bool first, uint8_t* coefficients) {
  constexpr unsigned size = 1u << log_size;
  alignas(64) static constexpr uint8_t zeros[transform_segment] = {};
  const auto* twiddles = static_cast<const V::Factor*>(side.twiddles);
  const auto* scales = static_cast<const V::Factor*>(side.scales);
  const uint8_t* from[size];
  for (unsigned i = 0; i < size; ++i) from[i] = in[i] ? in[i] + start : zeros;
  for (size_t b = 0; b < bytes; b += V::bytes) {
    typename V::T x[size];
#pragma unroll
    for (unsigned i = 0; i < size; ++i) {
      x[i] = V::load(from[i] + b);
      if (b % 64 == 0) V::fetch(from[i] + b + transform_segment);
      if constexpr (scaled) x[i] = V::multiply(V::prepare(x[i]), V::table(scales + i));
    }
    inverse<log_size>(x, twiddles);
#pragma unroll
    for (unsigned i = 0; i < size; ++i) {
      uint8_t* to = coefficients + i * transform_segment + b;
      V::store(to, first ? x[i] : V::add(x[i], V::load(to)));
    }
  }
}

/// The values at one coset's points. They are staged and then written column by column, since
/// lines of many columns written in turn would push each other out of the cache half written.
template <unsigned log_size, bool scaled, bool past_cache>
inline void spread_coset(const TransformSide& side, const uint8_t* coefficients,
                         uint8_t* const* out, size_t start, size_t bytes) {
  constexpr unsigned size = 1u << log_size;
  const auto* twiddles = static_cast<const V::Factor*>(side.twiddles);
  const auto* scales = static_cast<const V::Factor*>(side.scales);
  alignas(64) uint8_t stage[size * transform_segment];
  for (size_t b = 0; b < bytes; b += V::bytes) {
    typename V::T x[size];
#pragma unroll
    for (unsigned i = 0; i < size; ++i) x[i] = V::load(coefficients + i * transform_segment + b);
    forward<log_size>(x, twiddles);
#pragma unroll
    for (unsigned i = 0; i < size; ++i) {
      if constexpr (scaled) x[i] = V::multiply(V::prepare(x[i]), V::table(scales + i));
      V::store(stage + i * transform_segment + b, x[i]);
    }
  }
  for (unsigned i = 0; i < size; ++i)
    if (out[i])
      for (size_t b = 0; b < bytes; b += V::bytes)
        put<past_cache>(out[i] + start + b, V::load(stage + i * transform_segment + b));
}

template <unsigned log_size, bool past_cache>
void transform(const TransformJob& job) {
  constexpr unsigned size = 1u << log_size;
  alignas(64) uint8_t coefficients[size * transform_segment];
  for (size_t start = 0; start < job.bytes; start += transform_segment) {
    const size_t bytes =
        job.bytes - start < transform_segment ? job.bytes - start : transform_segment;
    for (unsigned coset = 0; coset < job.in_cosets; ++coset) {
      const TransformSide& side = job.in_sides[coset];
      const auto gather =
          side.scales ? gather_coset<log_size, true> : gather_coset<log_size, false>;
      gather(side, job.in + coset * size, start, bytes, coset == 0, coefficients);
    }
    for (unsigned coset = 0; coset < job.out_cosets; ++coset) {
      const TransformSide& side = job.out_sides[coset];
      const auto spread = side.scales ? spread_coset<log_size, true, past_cache>
                                      : spread_coset<log_size, false, past_cache>;
      spread(side, coefficients, job.out + coset * size, start, bytes);
    }
  }
}

template <bool past_cache>
void transform_of(const TransformJob& job) {
  switch (job.log_size) {
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
