// The additive FFT by which a polynomial known at the points of one coset is evaluated at others.
//
// Let V(i) = {0, ..., 2^i - 1}, a subspace, and s(i)(x) the product over v in V(i) of (x ^ v): it is
// linear over GF(2) and 0 exactly on V(i). With S(i)(x) = s(i)(x) / s(i)(2^i), a polynomial of degree
// below 2^(i+1) is f0(x) + S(i)(x) * f1(x), both of degree below 2^i. On the coset b ^ V(i) the
// factor S(i) is the constant S(i)(b), on (b ^ 2^i) ^ V(i) it is that plus 1: one multiplication and
// two additions per pair of points and level take f0, f1 to the values and back (S. J. Lin,
// W. H. Chung, Y. S. Han, "Novel polynomial basis and its application to Reed-Solomon erasure
// codes", 2014). k points and m more cosets of them cost (m+1) * k/2 * log2(k) products at most,
// where the matrix takes m * k * k.
#pragma once

#include <cstdint>
#include <vector>

namespace spatter::code {

/// S(level)(base ^ block) for each level from 0 and each block of 2^(level+1) points in it:
/// 2^log_size - 1 factors. `base` is the least point of the coset.
std::vector<std::uint8_t> twiddles(unsigned log_size, std::uint8_t base);

}  // namespace spatter::code
