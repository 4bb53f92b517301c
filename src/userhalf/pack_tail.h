// The newest bytes of the open pack, kept in memory for who cuts a slice of what was appended a
// moment ago: going to a thread that may read the file would take longer than all the rest.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/ids.h"

namespace spatter {

class PackTail {
 public:
  /// What was just written at `at`. Entries that belong to large files are not worth keeping.
  void append(const PackId& pack, std::uint64_t at, ByteView entry) {
    if (pack != pack_ || at != begin_ + bytes_.size() || entry.size() > kept_bytes) clear();
    if (entry.size() > kept_bytes) return;
    if (bytes_.empty()) {
      pack_ = pack;
      begin_ = at;
    }
    bytes_.insert(bytes_.end(), entry.begin(), entry.end());
    if (bytes_.size() <= 2 * kept_bytes) return;
    const std::size_t over = bytes_.size() - kept_bytes;
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(over));
    begin_ += over;
  }

  std::optional<Buffer> read(const PackId& pack, std::uint64_t offset, std::uint64_t length) const {
    if (pack != pack_ || offset < begin_ || offset - begin_ > bytes_.size() ||
        length > bytes_.size() - (offset - begin_))
      return std::nullopt;
    return Buffer::copy_of(ByteView(bytes_).subspan(offset - begin_, length));
  }

  void clear() { bytes_.clear(); pack_ = {}; }  ///< the file is about to differ

 private:
  static constexpr std::size_t kept_bytes = 64 << 10;
  PackId pack_;
  std::uint64_t begin_ = 0;
  Bytes bytes_;
};

}  // namespace spatter
