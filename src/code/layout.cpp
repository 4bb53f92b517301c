#include "code/layout.h"

#include <algorithm>
#include <cstring>

namespace spatter {

namespace {

std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
  return (value + step - 1) / step * step;
}

/// The plain units of one row, in place where the pack has all of it, and padded in `padded` else.
void plain_units(const Layout& layout, ByteView pack, std::uint64_t row,
                 std::span<const std::uint8_t*> units, Bytes& padded) {
  const unsigned k = layout.k();
  const std::uint64_t unit = layout.unit_size(row);
  const std::uint64_t offset = row * k * Layout::unit_bytes;
  const std::uint8_t* source = pack.data() + offset;
  if (pack.size() - offset < k * unit) {  // the last row
    padded.assign(k * unit, 0);
    std::memcpy(padded.data(), source, pack.size() - offset);
    source = padded.data();
  }
  for (unsigned j = 0; j < k; ++j) units[j] = source + j * unit;
}

}  // namespace

Layout::Layout(unsigned k, std::uint64_t length) : k_(k), length_(length) {
  SPATTER_ASSERT(k >= 1 && k <= StripeCode::columns_max);
  SPATTER_ASSERT(length < (std::uint64_t{1} << 63) - (std::uint64_t{1} << 32));
  const std::uint64_t row_bytes = k * unit_bytes;
  full_rows_ = length / row_bytes;
  last_unit_ = round_up((length % row_bytes + k - 1) / k, unit_round);
}

std::vector<Layout::Piece> Layout::pieces(std::uint64_t offset, std::uint64_t length) const {
  SPATTER_ASSERT(offset <= length_ && length <= length_ - offset);
  std::vector<Piece> result;
  const std::uint64_t row_bytes = k_ * unit_bytes;
  while (length > 0) {
    const std::uint64_t row = offset / row_bytes;
    const std::uint64_t unit = unit_size(row);
    const std::uint64_t in_row = offset - row * row_bytes;
    const std::uint64_t in_unit = in_row % unit;
    const std::uint64_t size = std::min(length, unit - in_unit);
    result.push_back({.column = static_cast<unsigned>(in_row / unit),
                      .shard_offset = row * unit_bytes + in_unit,
                      .pack_offset = offset,
                      .length = size});
    offset += size;
    length -= size;
  }
  return result;
}

std::vector<Layout::Range> Layout::column_ranges(std::uint64_t offset, std::uint64_t length) const {
  std::vector<Range> result(k_);
  for (const Piece& piece : pieces(offset, length)) {
    Range& range = result[piece.column];
    if (range.length == 0) range.offset = piece.shard_offset;
    range.length = piece.shard_offset + piece.length - range.offset;
  }
  return result;
}

Layout::Range Layout::shard_range(std::uint64_t offset, std::uint64_t length) const {
  SPATTER_ASSERT(offset <= length_ && length <= length_ - offset);
  if (length == 0) return {};
  const std::uint64_t row_bytes = k_ * unit_bytes;
  const std::uint64_t last = offset + length - 1;
  const std::uint64_t first_row = offset / row_bytes;
  const std::uint64_t last_row = last / row_bytes;
  const std::uint64_t first_unit = offset % row_bytes / unit_size(first_row);
  const std::uint64_t last_unit = last % row_bytes / unit_size(last_row);
  // A row's share is all of its units unless the range touches only one of them.
  const bool one_unit = first_row == last_row && first_unit == last_unit;
  std::uint64_t start = first_row * unit_bytes;
  if (one_unit || (first_row < last_row && first_unit == k_ - 1))
    start += offset % row_bytes % unit_size(first_row);
  std::uint64_t end = last_row * unit_bytes + unit_size(last_row);
  if (one_unit || (first_row < last_row && last_unit == 0))
    end = last_row * unit_bytes + last % row_bytes % unit_size(last_row) + 1;
  return {start, end - start};
}

void Layout::gather(std::span<const std::uint8_t* const> columns,
                    std::span<const std::uint64_t> base, std::uint64_t offset,
                    MutableBytes out) const {
  SPATTER_ASSERT(columns.size() == k_ && base.size() == k_);
  for (const Piece& piece : pieces(offset, out.size())) {
    SPATTER_ASSERT(columns[piece.column] && base[piece.column] <= piece.shard_offset);
    std::memcpy(out.data() + (piece.pack_offset - offset),
                columns[piece.column] + (piece.shard_offset - base[piece.column]), piece.length);
  }
}

void encode_stripe(const StripeCode& stripe_code, const Layout& layout, ByteView pack,
                   std::span<std::uint8_t* const> shards, std::uint64_t first_row,
                   std::uint64_t row_count) {
  const unsigned k = stripe_code.k();
  SPATTER_ASSERT(layout.k() == k && shards.size() == stripe_code.n());
  SPATTER_ASSERT(pack.size() == layout.length());
  const std::uint64_t last_row =
      first_row + std::min(row_count, layout.rows() - std::min(first_row, layout.rows()));
  std::vector<const std::uint8_t*> plain(k);
  std::vector<std::uint8_t*> coded(stripe_code.n() - k);
  Bytes padded;
  for (std::uint64_t row = first_row; row < last_row; ++row) {
    const std::uint64_t unit = layout.unit_size(row);
    const std::uint64_t shard_offset = row * Layout::unit_bytes;
    plain_units(layout, pack, row, plain, padded);
    for (unsigned j = 0; j < k; ++j)
      if (shards[j]) std::memcpy(shards[j] + shard_offset, plain[j], unit);
    for (std::size_t i = 0; i < coded.size(); ++i) coded[i] = shards[k + i] + shard_offset;
    stripe_code.encode(plain, coded, unit);
  }
}

void encode_some(const std::optional<Rebuild>& rebuild, const Layout& layout, ByteView pack,
                 std::span<std::uint8_t* const> shards) {
  const unsigned k = layout.k();
  SPATTER_ASSERT(shards.size() >= k && pack.size() == layout.length());
  std::vector<const std::uint8_t*> plain(k);
  std::vector<std::uint8_t*> coded;
  Bytes padded;
  for (std::uint64_t row = 0; row < layout.rows(); ++row) {
    const std::uint64_t unit = layout.unit_size(row);
    const std::uint64_t shard_offset = row * Layout::unit_bytes;
    plain_units(layout, pack, row, plain, padded);
    for (unsigned j = 0; j < k; ++j)
      if (shards[j]) std::memcpy(shards[j] + shard_offset, plain[j], unit);
    coded.clear();
    for (std::size_t i = k; i < shards.size(); ++i)
      if (shards[i]) coded.push_back(shards[i] + shard_offset);
    if (!coded.empty()) rebuild->run(plain, coded, unit);
  }
}

}  // namespace spatter
