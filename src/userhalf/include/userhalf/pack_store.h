// The packs of a volume: append-only files of sealed entries that are what the network stores, and
// the table that says which there are. One pack is open at a time; it is sealed when the next entry
// would take it past the target.
//
// Durability: what a commit of the Volume (or cut()) acknowledged is on stable storage and recorded
// in the database. Bytes appended since are not; after a crash they are cut off.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/database.h"
#include "base/ids.h"
#include "base/runtime.h"
#include "crypto/volume_keys.h"
#include "userhalf/pack_format.h"

namespace spatter {

/// A stretch of a pack that something lies in.
struct PackPiece {
  PackId pack;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// A place in the log that all packs together are. Everything before it is durable where the call
/// that returned it says so.
struct PackPosition {
  std::uint64_t sequence = 0;  ///< of the pack; positions compare by (sequence, offset)
  PackId pack;
  std::uint64_t offset = 0;
  bool operator==(const PackPosition&) const = default;
  std::strong_ordering operator<=>(const PackPosition& other) const {
    if (auto order = sequence <=> other.sequence; order != 0) return order;
    return offset <=> other.offset;
  }
};

/// Pack bytes from the network, for packs that are not on this machine.
class RemotePacks {
 public:
  virtual ~RemotePacks() = default;
  /// Exactly these bytes. Errc::unavailable when too few servers can be reached.
  virtual Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length) = 0;
};

struct PackInfo {
  PackId id;
  std::uint64_t sequence = 0;    ///< packs were opened in this order, from 1
  std::uint64_t length = 0;      ///< durable bytes; grows until sealed
  bool sealed = false;
  bool local = true;             ///< the file is on this machine
  std::uint64_t first_log = 0;   ///< numbers of the log records in it; 0: none
  std::uint64_t last_log = 0;
  std::uint64_t snapshot = 0;    ///< highest number of a snapshot with pieces in it; 0: none
  std::uint64_t live_bytes = 0;  ///< of chunks that some file uses
  std::int64_t last_used_ms = 0; ///< wall time of the last read or append; kept in memory only

  bool has_log() const { return last_log != 0; }
  bool has_snapshot() const { return snapshot != 0; }
};

enum class ReadFrom {
  anywhere,  ///< the local file if it is there, else the network
  local,     ///< only the local file
  network,   ///< never the local file: for tests and measurements
};

struct PackStoreOptions {
  std::string folder = "user/packs";
  std::uint64_t limit_bytes = ~0ull;  ///< the user half
  std::uint64_t target_bytes = 4 << 20;
};

/// All calls on the executor unless said otherwise.
class PackStore {
 public:
  virtual ~PackStore() = default;

  virtual void set_remote(RemotePacks* remote) = 0;  ///< outlives the store, or reset to nullptr
  /// For packs opened from now on; at least 4 MiB. The open pack is sealed when past it.
  virtual void set_target_bytes(std::uint64_t bytes) = 0;
  virtual std::uint64_t target_bytes() const = 0;
  virtual void set_limit_bytes(std::uint64_t bytes) = 0;

  /// Called (on the executor) when a pack is sealed, durable and recorded; when one no longer
  /// exists, so that its stripes can be released; and whenever durable bytes were added.
  std::function<void(PackId)> on_sealed;
  std::function<void(PackId)> on_removed;
  std::function<void()> on_progress;

  virtual std::vector<PackInfo> list() const = 0;  ///< by sequence; no empty ones
  virtual std::optional<PackInfo> find(const PackId& pack) const = 0;
  /// The end of what is durable.
  virtual PackPosition end() const = 0;
  virtual std::uint64_t used_bytes() const = 0;  ///< by local pack files, as appended
  virtual std::uint64_t limit_bytes() const = 0;

  /// Exactly [offset, offset + length), which must lie in the pack's durable bytes.
  virtual Task<Result<Buffer>> read(PackId pack, std::uint64_t offset, std::uint64_t length,
                                    ReadFrom from = ReadFrom::anywhere) = 0;

  /// Durable bytes of the open pack that are still in memory because they were written just now;
  /// nothing for others.
  virtual std::optional<Buffer> newest(const PackId& pack, std::uint64_t offset,
                                       std::uint64_t length) const = 0;

  /// Pads the open pack to a multiple of 4 KiB and makes all of it durable: where a slice ends, so
  /// that its size says little. Cheap when nothing was appended since the last cut.
  virtual Task<Result<PackPosition>> cut() = 0;
  /// Seals the open pack now, however short. Nothing happens to an empty one.
  virtual Task<Result<PackPosition>> seal() = 0;

  /// A sealed pack that will hardly be read here soon: memory that caches its file is better used
  /// for the next one.
  virtual Task<void> forget_cached(PackId pack) = 0;

  /// Deletes the local file of a sealed pack; call only when the pack is full in the network.
  /// Errc::busy while an uncommitted file uses it, Errc::invalid for the open pack.
  virtual Task<Result<void>> drop_local(PackId pack) = 0;
  /// Brings the local file back, from the network.
  virtual Task<Result<void>> fetch_local(PackId pack) = 0;
  /// Reads all of a pack that should be here and, where an entry of its file is damaged or missing,
  /// writes the file anew: from its own entries that prove themselves and from the network's bytes for
  /// those that don't. An open pack is sealed then. Nothing is done for a pack that was evicted. An
  /// error when some bytes can be had from neither.
  virtual Task<Result<void>> make_whole(PackId pack) = 0;
};

}  // namespace spatter
