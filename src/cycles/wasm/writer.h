// Writes the binary format.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "types.h"

namespace spatter::wasm {

class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}

  void byte(unsigned value) { out_.push_back(static_cast<std::uint8_t>(value)); }
  void bytes(ByteView view) { out_.insert(out_.end(), view.begin(), view.end()); }
  void u32(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(0x80 | (value & 0x7f));
    byte(static_cast<unsigned>(value));
  }
  void signed_leb(std::int64_t value) {
    for (;;) {
      const auto low = static_cast<unsigned>(value & 0x7f);
      value >>= 7;
      if ((value == 0 && (low & 0x40) == 0) || (value == -1 && (low & 0x40) != 0)) {
        byte(low);
        return;
      }
      byte(0x80 | low);
    }
  }
  void name(std::string_view text) {
    u32(text.size());
    bytes(as_bytes(text));
  }
  void type(ValType type) { byte(static_cast<unsigned>(type)); }

 private:
  Bytes& out_;
};

}  // namespace spatter::wasm
