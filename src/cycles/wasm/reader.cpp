#include "reader.h"

namespace spatter::wasm {

std::string_view to_string(ValType type) {
  switch (type) {
    case ValType::i32: return "i32";
    case ValType::i64: return "i64";
    case ValType::f32: return "f32";
    case ValType::f64: return "f64";
    case ValType::any: break;
  }
  return "any";
}

Result<std::uint8_t> Reader::byte() {
  if (at_end()) return wrong("the module ends in the middle of something");
  return bytes_[position_++];
}

Result<std::uint32_t> Reader::u32() {
  const auto begin = offset();
  std::uint32_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    TRY(const auto next, byte());
    if (shift == 28 && (next & 0xf0) != 0) return at(begin, "a number of more than 32 bits");
    value |= static_cast<std::uint32_t>(next & 0x7f) << shift;
    if ((next & 0x80) == 0) return value;
  }
}

Result<std::int64_t> Reader::signed_leb(unsigned bits) {
  const auto begin = offset();
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    TRY(const auto next, byte());
    value |= static_cast<std::uint64_t>(next & 0x7f) << shift;
    if (shift + 7 >= bits) {
      // The last byte: what is past the sign must repeat it.
      const auto used = bits - shift;
      const auto sign_and_rest = static_cast<std::uint8_t>((next & 0x7f) >> (used - 1));
      const auto all_ones = static_cast<std::uint8_t>(0x7f >> (used - 1));
      if ((next & 0x80) != 0 || (sign_and_rest != 0 && sign_and_rest != all_ones)) {
        return at(begin, fmt::format("a number of more than {} bits", bits));
      }
    }
    if ((next & 0x80) == 0) {
      if (shift + 7 < 64 && (next & 0x40) != 0) value |= ~std::uint64_t{0} << (shift + 7);
      return static_cast<std::int64_t>(value);
    }
  }
}

Result<ByteView> Reader::take(std::size_t count) {
  if (count > left()) return wrong("{} bytes are announced where {} are left", count, left());
  const auto part = bytes_.subspan(position_, count);
  position_ += count;
  return part;
}

Result<std::string_view> Reader::name() {
  TRY(const auto length, u32());
  TRY(const auto part, take(length));
  if (!is_utf8(part)) return wrong("a name that is not UTF-8");
  return as_text(part);
}

Result<ValType> Reader::value_type() {
  const auto begin = offset();
  TRY(const auto code, byte());
  switch (code) {
    case 0x7f: case 0x7e: case 0x7d: case 0x7c: return static_cast<ValType>(code);
    case 0x7b: return at(begin, "type v128: SIMD is not admitted");
    case 0x70: case 0x6f: return at(begin, "reference types are not admitted");
    default: return at(begin, fmt::format("{:#x} is no value type", code));
  }
}

bool is_utf8(ByteView bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const auto lead = bytes[i++];
    if (lead < 0x80) continue;
    const unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || bytes.size() - i < more) return false;
    std::uint32_t point = lead & (0x3f >> more);
    for (unsigned k = 0; k < more; ++k) {
      if ((bytes[i] & 0xc0) != 0x80) return false;
      point = point << 6 | (bytes[i++] & 0x3f);
    }
    if ((more == 2 && point < 0x800) || (more == 3 && (point < 0x10000 || point > 0x10ffff)) ||
        (point >= 0xd800 && point < 0xe000)) {
      return false;
    }
  }
  return true;
}

}  // namespace spatter::wasm
