// From a pool's job to headers that can be scanned: the coinbase with its extra nonces, the merkle
// root, and how the space of headers is dealt to those who search it. Pure functions, any thread.
#pragma once

#include <atomic>
#include <memory>

#include "cycles/double_sha256.h"
#include "cycles/pool_message.h"

namespace spatter::mining {

/// A job as it is mined: with the extra nonce, version mask and difficulty that hold for it. Unchangeable
/// but for the counter by which searchers take units.
struct MiningWork {
  PoolJob job;
  std::uint64_t serial = 0;       ///< which notification of which connection it came by
  Extranonce extranonce;
  std::uint64_t extranonce2_first = 0;  ///< a connection counts from a place of its own
  std::uint32_t version_mask = 0;
  double difficulty = 1;
  Uint256 target;
  TimePoint received{};
  /// The same for a job whose difficulty has changed, so that no header is searched twice.
  std::shared_ptr<std::atomic<std::uint64_t>> units = std::make_shared<std::atomic<std::uint64_t>>(0);
};

/// The coinbase transaction (without witness) that an extranonce2 makes.
Bytes coinbase_of(const MiningWork& work, ByteView extranonce2);

/// The root over the coinbase and the branches: hashed with one after the other.
Digest merkle_root(ByteView coinbase, std::span<const Digest> branches);

/// The header that a pool will make of a share.
BlockHeader header_of(const MiningWork& work, ByteView extranonce2, std::uint32_t time,
                      std::uint32_t nonce, std::uint32_t version);

/// What a searcher takes at a time: all nonces of up to four versions of one header.
struct SearchUnit {
  BlockHeader header;
  Bytes extranonce2;
  std::uint32_t time;
  std::vector<std::uint32_t> versions;
};

/// Unit number `index`. Versions count first, within the mask, then extranonce2, then the time, which
/// may run ahead of the job's by `seconds_since_received` and two minutes, but never by more than
/// `time_ahead_s_max`; past that there is nothing until time has passed or another job comes.
std::optional<SearchUnit> unit_of(const MiningWork& work, std::uint64_t index,
                                  std::uint64_t seconds_since_received);
/// Blocks from more than two hours ahead are refused by everybody.
inline constexpr std::uint64_t time_ahead_s_max = 5400;

}  // namespace spatter::mining
