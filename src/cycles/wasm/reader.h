// Reads the binary format's integers and names, never past the end, and says where it stands.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "types.h"

namespace spatter::wasm {

class Reader {
 public:
  /// `base` is where `bytes` begins in the file: errors speak of the file's bytes.
  Reader(ByteView bytes, std::size_t base) : bytes_(bytes), base_(base) {}

  bool at_end() const { return position_ == bytes_.size(); }
  std::size_t position() const { return position_; }
  std::size_t offset() const { return base_ + position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  Result<std::uint8_t> byte();
  Result<std::uint32_t> u32();
  Result<std::int64_t> signed_leb(unsigned bits);
  Result<ByteView> take(std::size_t count);
  Result<std::string_view> name();
  Result<ValType> value_type();

  /// The error `text` with this position in front.
  template <class... Args>
  std::unexpected<Error> wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return at(offset(), fmt::format(format, std::forward<Args>(args)...));
  }
  static std::unexpected<Error> at(std::size_t offset, std::string_view text) {
    return fail(Errc::invalid, "at byte {:#x}: {}", offset, text);
  }

 private:
  ByteView bytes_;
  std::size_t base_;
  std::size_t position_ = 0;
};

/// UTF-8 as the format demands of names: no overlong forms, no surrogates.
bool is_utf8(ByteView bytes);

}  // namespace spatter::wasm
