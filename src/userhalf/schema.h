// The tables of the index, as the rest of the room reads and writes them.
#pragma once

#include "base/database.h"
#include "base/ids.h"
#include "userhalf/volume.h"
#include "wire/proto/volume.pb.h"

namespace spatter {

/// The one row of counters.
struct StateRow {
  VolumeId volume;
  std::uint64_t next_inode = root_inode + 1;
  std::uint64_t next_content = 1;
  std::uint64_t last_log = 0;
  std::uint64_t next_snapshot = 1;
  std::uint64_t snapshot = 0;         // the newest complete one
  std::uint64_t snapshot_covers = 0;
  std::uint64_t snapshot_bytes = 0;
  std::uint64_t log_bytes = 0;        // appended since that snapshot
  std::uint64_t next_sequence = 1;
};

Result<StateRow> read_state(Connected& db);
Result<void> write_state(Connected& db, const StateRow& state);

/// A chunk and where it is.
struct ChunkPlace {
  ChunkId id;
  std::uint64_t sequence = 0;
  std::uint64_t offset = 0;       // of the entry
  std::uint32_t body_bytes = 0;
  std::uint32_t plain_bytes = 0;
  Codec codec = Codec::plain;

  std::uint64_t entry_bytes() const { return pack_header_bytes + body_bytes; }
};
Result<std::optional<ChunkPlace>> find_chunk(Connected& db, const ChunkId& id);
void to_row(const ChunkPlace& place, wire::ChunkRow& row);
Result<ChunkPlace> from_row(const wire::ChunkRow& row);

/// Every volume has its root directory, so none is logged.
Result<void> make_root(Connected& db, std::int64_t now_ns);
/// chunks.refs and packs.live anew, from the extents.
Result<void> recount_uses(Connected& db);

/// A path or name as people can read it: foreign bytes escaped, in quotes.
std::string shown(std::string_view raw);

}  // namespace spatter
