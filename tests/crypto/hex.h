// Hexadecimal literals for known answers.
#pragma once

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "crypto/key.h"

namespace spatter {

inline Bytes hex(std::string_view text) {
  return from_hex(text).value();
}
inline Key hex_key(std::string_view text) {
  return Key::from(hex(text)).value();
}

/// 0, 1, 2, ... as RFC 7693's and many other test vectors use them.
inline Bytes counting(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

/// Bytes without a short period, the same on every run.
inline Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  return bytes;
}

}  // namespace spatter
