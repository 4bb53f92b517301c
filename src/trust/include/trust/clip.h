// The clip of an announce record: sealed so that members of the network can watch it, and judged by
// what a prober (ffprobe, in a sandbox: the doors' business) says of it. Pure; any thread.
//
// Sealing. A clip is sealed with a random key of its own. That key is sealed with a key derived from
// the nonce of the genesis record, which only members are told: the invite link and the greeting
// between servers hold the record's hash, never the record. What it does not protect: every member,
// guests included, can watch every clip; whoever was a member once can watch all clips of which he
// has the records, later ones too; and a member can pass clips and keys on. It keeps clips from
// everyone who never was in the network, the holders of stray copies and of the lines between.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/random.h"
#include "crypto/key.h"
#include "wire/proto/records.pb.h"

namespace spatter {

struct Announce;

inline constexpr std::uint64_t clip_bytes_max = 20ULL << 20;
inline constexpr std::uint64_t sealed_clip_bytes_max = clip_bytes_max + 16;
inline constexpr std::size_t sealed_clip_key_bytes = 32 + 16;

/// From a genesis record that check_genesis has passed; Errc::invalid when its nonce is too short.
Result<Key> members_key(const wire::Signed& genesis);

struct SealedClip {
  Bytes sealed;
  Digest clip;     ///< SHA-256 of `sealed`
  Bytes clip_key;  ///< sealed to the members
};
/// Errc::invalid for an empty clip or one of more than clip_bytes_max.
Result<SealedClip> seal_clip(ByteView clip, const Key& members, const PersonId& person,
                             Random& entropy);
/// Errc::corrupt when these are not the bytes announced, or another network's.
Result<Bytes> open_clip(ByteView sealed, const Announce& announce, const Key& members);

/// What a clip must be.
struct ClipLimits {
  std::uint32_t ms_min = 5'000;
  std::uint32_t ms_max = 60'000;
  std::uint32_t side_min = 120;   ///< pixels, of either side
  std::uint32_t side_max = 4096;
};

struct ClipFacts {
  std::string container;  ///< "webm" (Matroska) or "mp4"
  std::string video;      ///< codec
  std::string audio;
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint32_t ms = 0;   ///< as its packets say, whatever its header claims
};

/// A longer report is refused unread.
inline constexpr std::size_t probe_report_bytes_max = 4 << 20;

/// `report` is what ffprobe prints as JSON for format, streams and packets. It was made from a
/// stranger's file, so it is read as a stranger's: bounded in size and depth, every field optional
/// until it is needed. Errc::invalid says what is wrong with the clip, for people.
Result<ClipFacts> judge_probe_report(std::string_view report, const ClipLimits& limits = {});

}  // namespace spatter
