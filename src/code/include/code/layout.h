// Where the bytes of a stripe's range of its pack lie in the k plain columns.
//
// The range ("the pack" below, offsets from the start of the range) is cut into units of 64 KiB
// that are dealt row by row: unit 0 to column 0, unit 1 to column 1, ..., unit k to column 0 again.
// So a read of a few MiB draws on all holders at once, and any byte range can be rebuilt from the
// same few rows of any k columns. What is left for the last row is cut evenly: its unit is
// ceil(rest / k) bytes rounded up to a multiple of 64, so that small stripes stay small. The
// columns' missing bytes at the very end are zeros, which the pack does not have.
//
// Every column has the same size and the same units at the same offsets, coded columns too.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "code/stripe_code.h"

namespace spatter {

class Layout {
 public:
  static constexpr std::uint64_t unit_bytes = 64 * 1024;
  static constexpr std::uint64_t unit_round = 64;

  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint64_t end() const { return offset + length; }
    friend bool operator==(const Range&, const Range&) = default;
  };
  /// A run of pack bytes that lies whole in one unit.
  struct Piece {
    unsigned column = 0;
    std::uint64_t shard_offset = 0;
    std::uint64_t pack_offset = 0;
    std::uint64_t length = 0;
    friend bool operator==(const Piece&, const Piece&) = default;
  };

  /// `k` >= 1; `length` is the pack's, in bytes, below 2^63 - 2^32.
  Layout(unsigned k, std::uint64_t length);

  unsigned k() const { return k_; }
  std::uint64_t length() const { return length_; }
  std::uint64_t shard_size() const { return full_rows_ * unit_bytes + last_unit_; }
  std::uint64_t rows() const { return full_rows_ + (last_unit_ ? 1 : 0); }
  /// The size of the units of one row: 64 KiB, or less in the last.
  std::uint64_t unit_size(std::uint64_t row) const {
    return row < full_rows_ ? unit_bytes : last_unit_;
  }

  /// The pack bytes [offset, offset + length), in order, piece by piece. All functions that take a
  /// pack range expect it to lie within the pack: cut it to `length()` first.
  std::vector<Piece> pieces(std::uint64_t offset, std::uint64_t length) const;

  /// For each of the k columns the one shard range that holds its share of the pack range; length 0
  /// for columns that hold none of it. Between first and last byte a column's share has no gaps.
  std::vector<Range> column_ranges(std::uint64_t offset, std::uint64_t length) const;

  /// The shard range which, read from any k columns, suffices to rebuild the pack range. Within one
  /// unit it is exactly as long as the pack range.
  Range shard_range(std::uint64_t offset, std::uint64_t length) const;

  /// Puts the pack bytes [offset, offset + out.size()) together. `columns[j]` points to what column
  /// j has at shard offset `base[j]` and following; columns without a share may be null.
  void gather(std::span<const std::uint8_t* const> columns, std::span<const std::uint64_t> base,
              std::uint64_t offset, MutableBytes out) const;

 private:
  unsigned k_ = 1;
  std::uint64_t length_ = 0;
  std::uint64_t full_rows_ = 0;
  std::uint64_t last_unit_ = 0;
};

/// All n shards of `pack` (layout.length() bytes): `shards[c]` has room for shard_size() bytes;
/// those of plain columns that are not wanted may be null. Reads the pack in place and goes row by
/// row, so that a caller who wants several threads gives each its own stretch of rows; a stretch
/// past the end is cut.
void encode_stripe(const StripeCode& stripe_code, const Layout& layout, ByteView pack,
                   std::span<std::uint8_t* const> shards, std::uint64_t first_row = 0,
                   std::uint64_t row_count = UINT64_MAX);

/// Only those shards of `pack` that are wanted: the others are null in `shards`. `rebuild` makes the
/// wanted coded ones, in rising order, from the k plain columns; it is not used when there are none.
void encode_some(const std::optional<Rebuild>& rebuild, const Layout& layout, ByteView pack,
                 std::span<std::uint8_t* const> shards);

}  // namespace spatter
