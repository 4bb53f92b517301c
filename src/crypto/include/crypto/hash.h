// SHA-256 (one message, a stream, or many messages at once) and keyed BLAKE2b-256.
// All functions are pure and may be called on any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/ids.h"

namespace spatter {

Digest sha256(ByteView message);

/// SHA-256 of a message that comes in pieces. Holds no memory of its own; may be copied to hash
/// several messages with a common beginning.
class Sha256 {
 public:
  Sha256();
  Sha256& update(ByteView piece);
  /// The digest of everything so far; the object then starts a new message.
  Digest finish();

 private:
  alignas(8) std::array<std::uint8_t, 112> context_;  // OpenSSL's SHA256_CTX
};

/// How sha256_many works: the number of messages hashed side by side, and with which instructions.
enum class ShaLanes { one, two_sha, eight_avx2, sixteen_avx512 };
std::string_view to_string(ShaLanes lanes);

/// `out[i]` = SHA-256 of (`prefix`, when given, followed by) `messages[i]`. The way to hash many
/// leaves: equal lengths go fastest, unequal ones are right all the same. The spans must be of
/// equal length. The kernel is chosen once, at the first call, as what is fastest on this
/// processor.
void sha256_many(std::span<const ByteView> messages, std::span<Digest> out,
                 std::optional<std::uint8_t> prefix = {});

/// The same with a kernel named by the caller, for tests and benchmarks: the named one must be
/// among sha256_lanes_available().
void sha256_many_with(ShaLanes lanes, std::span<const ByteView> messages, std::span<Digest> out,
                      std::optional<std::uint8_t> prefix = {});
std::span<const ShaLanes> sha256_lanes_available();
ShaLanes sha256_lanes_chosen();

/// BLAKE2b (RFC 7693) with a 32-byte digest. `key` has at most 64 bytes; empty means unkeyed.
Digest blake2b(ByteView key, ByteView data);

/// The same over pieces laid end to end.
Digest blake2b(ByteView key, std::initializer_list<ByteView> pieces);

}  // namespace spatter
