// Searching the nonces of a block header for hashes that a pool pays for: double SHA-256 over 80 bytes,
// a few hundred instructions a hash, by kernels chosen at run time.
//
// All functions are pure and may be called on any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "cycles/target.h"

namespace spatter::mining {

/// Version, previous block's hash, merkle root, time, bits, nonce: as they lie in a block.
using BlockHeader = std::array<std::uint8_t, 80>;

/// SHA-256 of SHA-256, of any bytes.
Digest double_sha256(ByteView message);

/// The header with another nonce (its last four bytes) or version (its first four).
BlockHeader with_nonce(BlockHeader header, std::uint32_t nonce);
BlockHeader with_version(BlockHeader header, std::uint32_t version);

/// How many nonces are hashed side by side, and with which instructions.
enum class ScanKernel { scalar, two_sha, eight_avx2, sixteen_avx512 };
std::string_view to_string(ScanKernel kernel);
std::span<const ScanKernel> scan_kernels_available();  ///< on this processor
/// The fastest of these, found by a race of some milliseconds at the first call.
ScanKernel scan_kernel_chosen();

struct Hit {
  std::uint32_t nonce;
  std::uint32_t version;
  Digest hash;
  bool operator==(const Hit&) const = default;
};

/// A header ready to be scanned, with up to four versions: these share most of the work of the first
/// hash, so that four cost an eighth less per hash than one (BIP 310 says which version bits may roll).
class HeaderScan {
 public:
  static constexpr std::size_t versions_max = 4;

  /// `header`'s own version and nonce do not matter. 1 to versions_max versions, no two equal; the
  /// kernel must be available.
  HeaderScan(const BlockHeader& header, std::span<const std::uint32_t> versions,
             const Uint256& target, ScanKernel kernel = scan_kernel_chosen());

  /// Hashes nonces `first` to `first + count - 1` with every version, and appends each hash that is not
  /// above the target, in the order of nonces, then of versions. Finds all of them, whatever the
  /// target: there may be `count` times as many as versions. `first + count` is at most 2^32.
  void scan(std::uint32_t first, std::uint64_t count, std::vector<Hit>& hits) const;

  std::size_t versions() const { return versions_.size(); }

 private:
  BlockHeader header_;
  std::vector<std::uint32_t> versions_;
  Uint256 target_;
  ScanKernel kernel_;
  std::vector<std::uint8_t> plan_;  ///< the kernels' ScanPlan
};

/// The same for one header with the version that it has.
std::vector<Hit> scan(const BlockHeader& header, std::uint32_t first, std::uint64_t count,
                      const Uint256& target, ScanKernel kernel = scan_kernel_chosen());

}  // namespace spatter::mining
