#include "code/stripe_code.h"

#include <bitset>
#include <numeric>
#include <string_view>

#include "product.h"

namespace spatter {

namespace {

Result<void> check_indices(std::string_view what, std::span<const unsigned> indices, unsigned n) {
  std::bitset<StripeCode::columns_max> seen;
  for (unsigned index : indices) {
    if (index >= n)
      return fail(Errc::invalid, "column {} to {}: there are only {}", index, what, n);
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
    return fail(Errc::invalid, "a stripe of {} columns, {} of them plain: must be 1 <= k < n <= {}",
                n, k, columns_max);
  if (!supported(kernel))
    return fail(Errc::invalid, "this CPU cannot run the kernel {}", to_string(kernel));
  StripeCode result;
  result.k_ = k;
  result.n_ = n;
  result.kernel_ = kernel;
  std::vector<unsigned> columns(n);
  std::iota(columns.begin(), columns.end(), 0);
  const std::span<const unsigned> plain = std::span(columns).first(k);
  result.encode_ = std::make_shared<const code::Product>(
      code::Product::interpolation(kernel, plain, std::span(columns).subspan(k)));
  result.coefficients_ =
      std::make_shared<const std::vector<std::uint8_t>>(code::interpolation_matrix(plain, columns));
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
  // Lagrange's formula directly: no matrix needs inverting.
  Rebuild result;
  result.product_ =
      std::make_shared<const code::Product>(code::Product::interpolation(kernel_, have, want));
  return result;
}

}  // namespace spatter
