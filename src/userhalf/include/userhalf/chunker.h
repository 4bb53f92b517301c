// Cuts a stream into content-defined chunks, so that an insertion in a file changes few chunks and
// equal stretches of different files become equal chunks.
//
// FastCDC (W. Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
// Deduplication", USENIX ATC 2016): a gear hash that rolls over the last 64 bytes, no cut below the
// least size, a stricter mask before the average size and a looser one after it (normalised
// chunking). The gear table comes from a key of the volume, so that where a file is cut, and with
// that the sizes of its chunks, says nothing to those who don't have the key.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "crypto/key.h"

namespace spatter {

inline constexpr std::size_t chunk_bytes_min = 256 << 10;
inline constexpr std::size_t chunk_bytes_average = 1 << 20;
/// So that one sealed chunk always fits a pack of 4 MiB.
inline constexpr std::size_t chunk_bytes_max = (4 << 20) - (64 << 10);

/// The table that gives every byte value its random number. Immutable; shared by chunkers.
class GearTable {
 public:
  explicit GearTable(const Key& key);
  const std::uint64_t* data() const { return values_.data(); }

 private:
  alignas(64) std::array<std::uint64_t, 256> values_;
};

/// Finds the cuts of one stream. Give it the bytes from the last cut on, as many as there are; it
/// remembers how far it has looked, so that nothing is hashed twice. One thread at a time.
class Chunker {
 public:
  explicit Chunker(const GearTable& gear) : gear_(&gear) {}

  /// `data` begins at the last cut and holds at least what the last call had. Returns the length of the
  /// next chunk, or 0 when more bytes are needed; with `last` (nothing follows) the rest is a chunk,
  /// and 0 only means that `data` is empty.
  std::size_t next(ByteView data, bool last);

 private:
  const GearTable* gear_;
  std::size_t looked_ = 0;
  std::uint64_t hash_ = 0;
};

}  // namespace spatter
