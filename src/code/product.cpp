#include "product.h"

#include <isa-l/erasure_code.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "field.h"

namespace spatter::code {

namespace {

void run_table(const std::vector<std::uint8_t>& matrix, std::span<const std::uint8_t* const> in,
               std::span<std::uint8_t* const> out, std::size_t bytes) {
  for (std::size_t r = 0; r < out.size(); ++r) {
    for (std::size_t b = 0; b < bytes; ++b) {
      std::uint8_t sum = 0;
      for (std::size_t c = 0; c < in.size(); ++c)
        sum ^= multiply(matrix[r * in.size() + c], in[c][b]);
      out[r][b] = sum;
    }
  }
}

void run_isal(const std::vector<std::uint8_t>& nibbles, std::span<const std::uint8_t* const> in,
              std::span<std::uint8_t* const> out, std::size_t bytes) {
  // ISA-L counts in int and takes pointers to mutable inputs, which it does not change.
  constexpr std::size_t step_max = std::size_t{1} << 30;
  std::vector<unsigned char*> from(in.size());
  std::vector<unsigned char*> to(out.size());
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t step = std::min(bytes - done, step_max);
    for (std::size_t c = 0; c < in.size(); ++c)
      from[c] = const_cast<unsigned char*>(in[c]) + done;
    for (std::size_t r = 0; r < out.size(); ++r) to[r] = out[r] + done;
    ec_encode_data(static_cast<int>(step), static_cast<int>(in.size()),
                   static_cast<int>(out.size()), const_cast<unsigned char*>(nibbles.data()),
                   from.data(), to.data());
    done += step;
  }
}

}  // namespace

Product::Product(Kernel kernel, unsigned rows, unsigned columns, std::vector<std::uint8_t> matrix)
    : kernel_(kernel), rows_(rows), columns_(columns), matrix_(std::move(matrix)) {
  SPATTER_ASSERT(rows >= 1 && columns >= 1 && matrix_.size() == std::size_t{rows} * columns);
  SPATTER_ASSERT(supported(kernel));
  if (kernel == Kernel::isal) {
    nibbles_.resize(matrix_.size() * 32);
    ec_init_tables(static_cast<int>(columns), static_cast<int>(rows), matrix_.data(),
                   nibbles_.data());
  }
}

void Product::run(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
                  std::size_t bytes) const {
  SPATTER_ASSERT(in.size() == columns_ && out.size() == rows_);
  if (bytes == 0) return;
  switch (kernel_) {
    case Kernel::isal:
      return run_isal(nibbles_, in, out, bytes);
    default:
      return run_table(matrix_, in, out, bytes);
  }
}

}  // namespace spatter::code
