// The stripe code: k plain columns are extended to n columns so that any k of the n, whichever,
// give all the others back. With n = 3k that is "three full copies, whichever third you take".
//
// It is a systematic Reed-Solomon code over GF(2^8) with the polynomial x^8+x^4+x^3+x^2+1 (0x11d).
// Take the k plain bytes at one offset as the values of a polynomial of degree below k at the
// points 0, 1, ..., k-1 (field elements, named by their bit patterns); column c, for every c from
// 0 to n-1, holds that polynomial's value at the point c. So column c is the sum over the plain
// columns j of coefficient(c, j) times plain column j, where (^ is the field's addition, all
// products and quotients are the field's)
//
//     coefficient(c, j) = product over all l in 0..k-1 except j of (c ^ l) / (j ^ l)
//
// For c < k that is 1 if c = j, else 0; for c >= k it is a Cauchy matrix 1 / (c ^ j) whose rows and
// columns are scaled by factors other than 0. For k = 1 every coefficient is 1: all shards are
// identical. When k is a power of two the rows are evaluations over whole cosets of a subspace,
// which lets an additive FFT replace the matrix product; the bytes are the same.
// docs/PROTOCOL.md has the same with vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "code/kernel.h"

namespace spatter {

namespace code {
class Product;
}

/// A prepared way from k columns to some wanted ones. Immutable, cheap to copy, usable from any
/// number of threads; making one costs some microseconds, so keep it while the same columns serve.
class Rebuild {
 public:
  /// `in`: the columns named by `have`, in that order; `out`: memory for those named by `want`, in
  /// that order; `bytes` of each. Any alignment. Nothing of `out` may overlap `in` or another of
  /// `out`.
  void run(std::span<const std::uint8_t* const> in, std::span<std::uint8_t* const> out,
           std::size_t bytes) const;

 private:
  friend class StripeCode;
  std::shared_ptr<const code::Product> product_;
};

/// Immutable, cheap to copy, usable from any number of threads.
class StripeCode {
 public:
  static constexpr unsigned columns_max = 255;

  /// Refuses (Errc::invalid) anything but 1 <= k < n <= 255.
  static Result<StripeCode> make(unsigned k, unsigned n, Kernel kernel = fastest_kernel());

  unsigned k() const { return k_; }
  unsigned n() const { return n_; }

  /// The factor of plain column `column` in column `index` (see above).
  std::uint8_t coefficient(unsigned index, unsigned column) const {
    return coefficients_->at(std::size_t{index} * k_ + column);
  }

  /// Computes the n-k coded columns k..n-1 into `parity` from the k plain columns in `data`,
  /// `bytes` of each; alignment and overlap as for Rebuild::run. When all columns together would
  /// not stay in the cache anyway the results are written past it.
  void encode(std::span<const std::uint8_t* const> data, std::span<std::uint8_t* const> parity,
              std::size_t bytes) const;

  /// From the k columns `have` to the columns `want` (plain or coded, at least one). Costs and
  /// works per wanted column only, so ask for those that are missing; plain columns at hand are
  /// just inputs. Refuses (Errc::invalid) other than k columns, one named twice in either list, or
  /// an index outside of 0..n-1.
  Result<Rebuild> rebuild(std::span<const unsigned> have, std::span<const unsigned> want) const;

 private:
  StripeCode() = default;

  unsigned k_ = 0;
  unsigned n_ = 0;
  Kernel kernel_ = Kernel::table;
  std::shared_ptr<const std::vector<std::uint8_t>> coefficients_;  // n rows of k
  std::shared_ptr<const code::Product> encode_;
};

}  // namespace spatter
