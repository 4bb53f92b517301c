// The additive FFT by which a polynomial known at the points of one coset is evaluated at others.
//
// Let V(i) = {0, ..., 2^i - 1}, a subspace, and s(i)(x) the product over v in V(i) of (x ^ v): it
// is linear over GF(2) and 0 exactly on V(i). With S(i)(x) = s(i)(x) / s(i)(2^i), a polynomial of
// degree below 2^(i+1) is f0(x) + S(i)(x) * f1(x), both of degree below 2^i. On the coset b ^ V(i)
// the factor S(i) is the constant S(i)(b), on (b ^ 2^i) ^ V(i) it is that plus 1: one
// multiplication and two additions per pair of points and level take f0, f1 to the values and back
// (S. J. Lin, W. H. Chung, Y. S. Han, "Novel polynomial basis and its application to Reed-Solomon
// erasure codes", 2014). k points and m more cosets of them cost (m+1) * k/2 * log2(k) products at
// most, where the matrix takes m * k * k.
//
// When the known values lie at k points S spread over several cosets, Lagrange's formula splits by
// coset. With u(s) = value(s) / A'(s), A(x) = product over S of (x ^ s) and A'(s) the same without
// the factor 0, the value at a point y of a coset D that has no point of S is
//
//     A(y) * sum over cosets C of (sum over s in S and C of u(s) / (y ^ s))
//
// and the inner sum is, but for a factor c(C, D), the value at y of the polynomial that has the
// values u(s) on C and 0 at its other points: the product over v in V, v not 0, of v, divided by
// the product over v in V of (y ^ s ^ v). So scale the values, take each coset's to coefficients,
// add these up, evaluate on D, and scale again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace spatter::code {

/// S(level)(base ^ block) for each level from 0 and each block of 2^(level+1) points in it:
/// 2^log_size - 1 factors. `base` is the least point of the coset.
std::vector<std::uint8_t> twiddles(unsigned log_size, std::uint8_t base);

/// What a kernel's TransformJob needs to know besides the columns.
struct TransformPlan {
  static constexpr int none = -1;

  struct Coset {
    std::uint8_t base = 0;
    std::vector<int> columns;          // for each point the place in `have` or `want`, or `none`
    std::vector<std::uint8_t> scales;  // for each point; empty: all 1
  };

  unsigned log_size = 0;
  std::vector<Coset> in;
  std::vector<Coset> out;
};

/// How to get from the values at the points `have` of a polynomial of degree below have.size() to
/// those at the points `want` by transforms; nothing if the shape is not one for them, or so few
/// points are wanted that the matrix is quicker. Points are below 256 and distinct in each list.
std::optional<TransformPlan> plan_transform(std::span<const unsigned> have,
                                            std::span<const unsigned> want);

}  // namespace spatter::code
