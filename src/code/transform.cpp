#include "transform.h"

#include <algorithm>
#include <bit>

#include "field.h"
#include "kernels.h"

namespace spatter::code {

namespace {

using Coset = TransformPlan::Coset;

std::uint8_t vanishing(unsigned level, std::uint8_t x) {
  std::uint8_t value = 1;
  for (unsigned v = 0; v < 1u << level; ++v)
    value = multiply(value, static_cast<std::uint8_t>(x ^ v));
  return value;
}

/// The product over all of `points` but `x` itself of (x ^ point).
std::uint8_t product_of_differences(std::uint8_t x, std::span<const unsigned> points) {
  std::uint8_t value = 1;
  for (unsigned point : points)
    if (point != x) value = multiply(value, static_cast<std::uint8_t>(x ^ point));
  return value;
}

std::vector<Coset> cosets_of(std::span<const unsigned> points, unsigned size) {
  std::vector<Coset> result;
  for (std::size_t place = 0; place < points.size(); ++place) {
    const auto base = static_cast<std::uint8_t>(points[place] / size * size);
    auto coset = std::ranges::find(result, base, &Coset::base);
    if (coset == result.end())
      coset = result.insert(coset, {base, std::vector<int>(size, TransformPlan::none), {}});
    coset->columns[points[place] % size] = static_cast<int>(place);
  }
  return result;
}

void set_scales(TransformPlan& plan, std::span<const unsigned> have) {
  const unsigned size = 1u << plan.log_size;
  Coset& target = plan.out[0];
  std::uint8_t nonzero = 1;
  for (unsigned v = 1; v < size; ++v) nonzero = multiply(nonzero, static_cast<std::uint8_t>(v));
  for (Coset& coset : plan.in) {
    const std::uint8_t factor = divide(
        nonzero, vanishing(plan.log_size, static_cast<std::uint8_t>(coset.base ^ target.base)));
    for (unsigned i = 0; i < size; ++i)
      coset.scales.push_back(
          divide(factor, product_of_differences(static_cast<std::uint8_t>(coset.base ^ i), have)));
  }
  for (unsigned i = 0; i < size; ++i)
    target.scales.push_back(
        product_of_differences(static_cast<std::uint8_t>(target.base ^ i), have));
}

}  // namespace

std::vector<std::uint8_t> twiddles(unsigned log_size, std::uint8_t base) {
  std::vector<std::uint8_t> result;
  for (unsigned level = 0; level < log_size; ++level) {
    const std::uint8_t scale = vanishing(level, static_cast<std::uint8_t>(1u << level));
    for (unsigned block = 0; block < 1u << log_size; block += 2u << level)
      result.push_back(divide(vanishing(level, static_cast<std::uint8_t>(base ^ block)), scale));
  }
  return result;
}

std::optional<TransformPlan> plan_transform(std::span<const unsigned> have,
                                            std::span<const unsigned> want) {
  const auto size = static_cast<unsigned>(have.size());
  const auto log_size = static_cast<unsigned>(std::countr_zero(size));
  if (!std::has_single_bit(size) || log_size < transform_log_size_min ||
      log_size > transform_log_size_max)
    return std::nullopt;
  TransformPlan plan{log_size, cosets_of(have, size), cosets_of(want, size)};
  for (const Coset& coset : plan.in)
    if (std::ranges::find(plan.out, coset.base, &Coset::base) != plan.out.end())
      return std::nullopt;
  const bool whole = plan.in.size() == 1;
  if (!whole && plan.out.size() > 1) return std::nullopt;
  // A product in a transform comes with more additions and stores than one in the matrix; measured,
  // they are even where the transform has about half as many.
  const std::size_t products =
      (plan.in.size() + plan.out.size()) * size / 2 * log_size + (whole ? 0 : 2 * size);
  if (products * 2 > want.size() * size) return std::nullopt;
  if (!whole) set_scales(plan, have);
  return plan;
}

}  // namespace spatter::code
