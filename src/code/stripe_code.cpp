#include "code/stripe_code.h"

#include <array>
#include <bitset>
#include <string_view>

#include "field.h"
#include "product.h"

namespace spatter {

namespace {

/// The coefficients of columns 0..n-1, n rows of k (see stripe_code.h).
std::vector<std::uint8_t> lagrange_matrix(unsigned k, unsigned n) {
  std::vector<std::uint8_t> matrix;
  matrix.reserve(std::size_t{n} * k);
  for (unsigned c = 0; c < n; ++c) {
    for (unsigned j = 0; j < k; ++j) {
      std::uint8_t value = 1;
      for (unsigned l = 0; l < k; ++l)
        if (l != j)
          value = code::multiply(value, code::divide(static_cast<std::uint8_t>(c ^ l),
                                                     static_cast<std::uint8_t>(j ^ l)));
      matrix.push_back(value);
    }
  }
  return matrix;
}

Result<void> check_indices(std::string_view what, std::span<const unsigned> indices, unsigned n) {
  std::bitset<StripeCode::columns_max> seen;
  for (unsigned index : indices) {
    if (index >= n) return fail(Errc::invalid, "column {} to {}: there are only {}", index, what, n);
    if (seen[index]) return fail(Errc::invalid, "column {} to {}: named twice", index, what);
    seen[index] = true;
  }
  return {};
}

}  // namespace

void Rebuild::run(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
                  std::size_t bytes) const {
  product_->run(in, out, bytes);
}

Result<StripeCode> StripeCode::make(unsigned k, unsigned n, Kernel kernel) {
  if (k < 1 || k >= n || n > columns_max)
    return fail(Errc::invalid, "a stripe of {} columns, {} of them plain: must be 1 <= k < n <= {}", n,
                k, columns_max);
  if (!supported(kernel))
    return fail(Errc::invalid, "this CPU cannot run the kernel {}", to_string(kernel));
  StripeCode result;
  result.k_ = k;
  result.n_ = n;
  result.kernel_ = kernel;
  std::vector<std::uint8_t> matrix = lagrange_matrix(k, n);
  std::vector<std::uint8_t> coded(matrix.begin() + std::size_t{k} * k, matrix.end());
  result.encode_ = std::make_shared<code::Product>(
      code::Product::evaluation(kernel, k, n, std::move(coded)));
  result.coefficients_ = std::make_shared<const std::vector<std::uint8_t>>(std::move(matrix));
  return result;
}

void StripeCode::encode(std::span<const std::uint8_t* const> data,
                        std::span<std::uint8_t* const> parity, std::size_t bytes) const {
  encode_->run(data, parity, bytes);
}

Result<Rebuild> StripeCode::rebuild(std::span<const unsigned> have,
                                    std::span<const unsigned> want) const {
  if (have.size() != k_)
    return fail(Errc::invalid, "rebuilding takes {} columns, not {}", k_, have.size());
  if (want.empty()) return fail(Errc::invalid, "no column to rebuild is named");
  TRY_VOID(check_indices("rebuild from", have, n_));
  TRY_VOID(check_indices("rebuild", want, n_));
  // The columns are one polynomial's values, so what is wanted follows from what is there by
  // Lagrange's formula directly; no matrix needs inverting.
  std::vector<std::uint8_t> matrix;
  matrix.reserve(want.size() * k_);
  for (unsigned target : want) {
    for (unsigned j : have) {
      std::uint8_t value = 1;
      for (unsigned l : have)
        if (l != j)
          value = code::multiply(value, code::divide(static_cast<std::uint8_t>(target ^ l),
                                                     static_cast<std::uint8_t>(j ^ l)));
      matrix.push_back(value);
    }
  }
  Rebuild result;
  result.product_ = std::make_shared<code::Product>(kernel_, static_cast<unsigned>(want.size()), k_,
                                                    std::move(matrix));
  return result;
}

}  // namespace spatter
