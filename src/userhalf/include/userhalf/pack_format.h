// The bytes of a pack: entries laid end to end, each a sealed header of fixed size and a sealed
// body, so that a pack can be read back without any index. docs/PROTOCOL.md has the exact bytes.
//
// Nothing in a pack is in the clear, the lengths of entries included. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"
#include "crypto/volume_keys.h"

namespace spatter {

inline constexpr std::size_t pack_header_bytes = 96;
inline constexpr std::size_t pack_align_bytes = 4096;  ///< where slices are cut
inline constexpr std::size_t pack_body_bytes_max = (4 << 20) - 4096;
inline constexpr std::uint16_t pack_format_version = 1;

enum class EntryType : std::uint8_t {
  start = 1,     ///< first in every pack: number = the pack's sequence, id = the volume
  chunk = 2,     ///< id = the chunk's
  log = 3,       ///< number = the first log record's, count = how many
  snapshot = 4,  ///< number = the snapshot's, count = index of the piece
  padding = 5,   ///< body: anything
};

/// How a body's plaintext is stored.
enum class Codec : std::uint8_t { plain = 0, zstd = 1 };

struct EntryHeader {
  EntryType type = EntryType::padding;
  Codec codec = Codec::plain;
  std::uint32_t body_bytes = 0;   ///< as stored, sealed
  std::uint32_t plain_bytes = 0;  ///< unsealed and decompressed
  std::uint32_t count = 0;
  std::uint64_t number = 0;
  Digest id;
};

/// Seals `header` for this place. `out` has pack_header_bytes bytes.
void seal_entry_header(const RecordKeys& keys, const PackId& pack, std::uint64_t offset,
                       const EntryHeader& header, MutableBytes out);
/// Errc::corrupt when the bytes are not a header sealed for this place, Errc::newer_format when its
/// type is not known.
Result<EntryHeader> open_entry_header(const RecordKeys& keys, const PackId& pack,
                                      std::uint64_t offset, ByteView bytes);

/// Bodies of all entries but chunks. Stored size: plain.size() + RecordKeys::overhead.
Bytes seal_entry_body(const RecordKeys& keys, const PackId& pack, std::uint64_t offset,
                      ByteView stored_plain);
/// Unseals and decompresses.
Result<Bytes> open_entry_body(const RecordKeys& keys, const PackId& pack, std::uint64_t offset,
                              const EntryHeader& header, ByteView body);

/// Compresses when that saves at least an eighth; nullopt otherwise. Looks at a sample first, so
/// that incompressible bytes cost little.
std::optional<Bytes> compress(ByteView plain, int level);
/// Errc::corrupt unless `packed` gives exactly out.size() bytes.
Result<void> decompress(ByteView packed, MutableBytes out);

/// A chunk's stored body (as in the entry) to its plaintext.
Result<Buffer> open_chunk(const ChunkKeys& keys, const ChunkId& id, Codec codec,
                          std::uint32_t plain_bytes, ByteView body);

/// Walks the entries of `pack`, a whole pack or its beginning, until its end or the first entry
/// that is torn or altered. `visit` gets the offset, the header and the sealed body.
struct ScanEnd {
  std::uint64_t offset = 0;  ///< of the first byte after the last whole entry
  Result<void> why;          ///< success: the pack ended there
};
ScanEnd scan_pack(const RecordKeys& keys, const PackId& pack, ByteView bytes,
                  const std::function<Result<void>(std::uint64_t offset, const EntryHeader& header,
                                                   ByteView body)>& visit);

}  // namespace spatter
