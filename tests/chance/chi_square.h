// Does chance keep its promises? Pearson's test against expected counts.
#pragma once

#include <cmath>
#include <span>
#include <vector>

namespace spatter {

/// Sum of (observed - expected)^2 / expected.
inline double chi_square(std::span<const double> observed, std::span<const double> expected) {
  double sum = 0;
  for (std::size_t i = 0; i < observed.size(); ++i)
    sum += (observed[i] - expected[i]) * (observed[i] - expected[i]) / expected[i];
  return sum;
}

/// What that exceeds once in a thousand (Wilson and Hilferty's approximation).
inline double chi_square_limit(std::size_t degrees) {
  const double k = static_cast<double>(degrees), z = 3.09;
  return k * std::pow(1 - 2 / (9 * k) + z * std::sqrt(2 / (9 * k)), 3);
}

}  // namespace spatter
