// Bytes as every room passes them: owned (Bytes), borrowed (ByteView) and shared (Buffer).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace spatter {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes to_bytes(ByteView view) { return {view.begin(), view.end()}; }
inline std::string to_string(ByteView view) { return std::string(as_text(view)); }

/// Lower-case hexadecimal, and back. `from_hex` refuses odd lengths and foreign characters.
std::string to_hex(ByteView bytes);
Result<Bytes> from_hex(std::string_view text);

/// A cheap-to-copy view of memory that it keeps alive: how payloads travel from a socket to a file
/// without being copied. The bytes must not change while a second holder may read them; whoever
/// allocated the Buffer may fill it through `mutable_data` before it hands copies out.
/// Copies may be dropped on any thread.
class Buffer {
 public:
  Buffer() = default;

  /// Fresh memory of `size` bytes, uninitialised. Sizes of 32 KiB and more come from a process-wide
  /// pool, because memory touched for the first time is slow.
  static Buffer allocate(std::size_t size);
  static Buffer copy_of(ByteView bytes);
  static Buffer take(Bytes bytes);

  /// Gives memory back that no Buffer has needed since the last call; worth calling every few
  /// seconds. Any thread.
  static void trim_pool();

  /// The part `[offset, offset + length)`; shares the memory.
  Buffer slice(std::size_t offset, std::size_t length) const;

  const std::uint8_t* data() const { return view_.data(); }
  std::uint8_t* mutable_data() { return const_cast<std::uint8_t*>(view_.data()); }
  MutableBytes mutable_view() { return {mutable_data(), size()}; }
  std::size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }
  ByteView view() const { return view_; }
  operator ByteView() const { return view_; }  // NOLINT: a Buffer is a view with an owner

 private:
  std::shared_ptr<const void> owner_;
  ByteView view_;
};

}  // namespace spatter
