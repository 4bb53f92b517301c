// Bytes that came in several Buffers and need not lie together: how a long payload leaves the network
// without being copied. Cheap to copy; shares the memory of its Buffers.
#pragma once

#include <cstring>
#include <vector>

#include "base/bytes.h"

namespace spatter {

class Rope {
 public:
  Rope() = default;
  Rope(Buffer whole) { append(std::move(whole)); }  // NOLINT: a Buffer is a rope of one piece

  void append(Buffer piece) {
    if (piece.empty()) return;
    size_ += piece.size();
    pieces_.push_back(std::move(piece));
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const std::vector<Buffer>& pieces() const { return pieces_; }

  /// Copies [offset, offset + out.size()), which must be inside.
  void copy_to(std::size_t offset, MutableBytes out) const {
    SPATTER_ASSERT(offset <= size_ && out.size() <= size_ - offset);
    for (auto piece = pieces_.begin(); !out.empty(); ++piece) {
      if (offset >= piece->size()) {
        offset -= piece->size();
        continue;
      }
      const std::size_t length = std::min(out.size(), piece->size() - offset);
      std::memcpy(out.data(), piece->data() + offset, length);
      out = out.subspan(length);
      offset = 0;
    }
  }

  /// All of it in one Buffer; copied only when there are several.
  Buffer flat() const {
    if (pieces_.empty()) return {};
    if (pieces_.size() == 1) return pieces_.front();
    Buffer whole = Buffer::allocate(size_);
    copy_to(0, whole.mutable_view());
    return whole;
  }

 private:
  std::vector<Buffer> pieces_;
  std::size_t size_ = 0;
};

/// Goes through a Rope from its begin, piece by piece. The Rope must outlive it.
class RopeReader {
 public:
  explicit RopeReader(const Rope& rope) : pieces_(&rope.pieces()) {}

  /// What lies together from here on; empty at the end.
  ByteView piece() const { return at_ == pieces_->size() ? ByteView() : (*pieces_)[at_].view().subspan(offset_); }

  /// At most `bytes` = piece().size().
  void skip(std::size_t bytes) {
    SPATTER_ASSERT(bytes <= piece().size());
    offset_ += bytes;
    if (at_ < pieces_->size() && offset_ == (*pieces_)[at_].size()) {
      ++at_;
      offset_ = 0;
    }
  }

 private:
  const std::vector<Buffer>* pieces_;
  std::size_t at_ = 0, offset_ = 0;
};

}  // namespace spatter
