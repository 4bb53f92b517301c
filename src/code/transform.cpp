#include "transform.h"

#include "field.h"

namespace spatter::code {

namespace {

std::uint8_t vanishing(unsigned level, std::uint8_t x) {
  std::uint8_t value = 1;
  for (unsigned v = 0; v < 1u << level; ++v)
    value = multiply(value, static_cast<std::uint8_t>(x ^ v));
  return value;
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

}  // namespace spatter::code
