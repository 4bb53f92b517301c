// Every 32-byte identity has its own type, so that a server is never taken for a stripe.
#pragma once

#include <array>
#include <compare>
#include <cstring>
#include <functional>
#include <string>

#include "base/bytes.h"

namespace spatter {

template <class Tag>
struct Id {
  static constexpr std::size_t size_bytes = 32;
  std::array<std::uint8_t, size_bytes> bytes{};

  /// Refuses anything but exactly 32 bytes.
  static Result<Id> from(ByteView view) {
    if (view.size() != size_bytes)
      return fail(Errc::invalid, "an id has 32 bytes, not {}", view.size());
    Id id;
    std::memcpy(id.bytes.data(), view.data(), size_bytes);
    return id;
  }
  static Result<Id> from(std::string_view raw) { return from(as_bytes(raw)); }
  static Result<Id> from_hex(std::string_view text) {
    TRY(auto raw, spatter::from_hex(text));
    return from(ByteView(raw));
  }

  ByteView view() const { return bytes; }
  std::string raw() const { return std::string(as_text(bytes)); }  ///< for Protobuf `bytes` fields
  std::string hex() const { return to_hex(bytes); }
  std::string brief() const { return hex().substr(0, 12); }  ///< for people and logs
  bool is_zero() const { return *this == Id{}; }
  auto operator<=>(const Id&) const = default;
};

using NetworkId = Id<struct NetworkTag>;  ///< SHA-256 of the genesis record
using ServerId = Id<struct ServerTag>;    ///< SHA-256 of the server's Ed25519 public key
using PersonId = Id<struct PersonTag>;    ///< the person's Ed25519 public key itself
using VolumeId = Id<struct VolumeTag>;    ///< random, made with the volume
using PackId = Id<struct PackTag>;        ///< random; never leaves the owner in the clear
using StripeId = Id<struct StripeTag>;    ///< random, made anew for every encoding of a pack range
using Digest = Id<struct DigestTag>;      ///< a SHA-256 or BLAKE2b-256 hash
using ChunkId = Id<struct ChunkTag>;      ///< keyed hash of the chunk's plaintext (crypto/volume_keys.h)

}  // namespace spatter

template <class Tag>
struct std::hash<spatter::Id<Tag>> {
  std::size_t operator()(const spatter::Id<Tag>& id) const noexcept {
    std::size_t value;
    std::memcpy(&value, id.bytes.data(), sizeof value);
    return value;
  }
};

template <class Tag>
struct fmt::formatter<spatter::Id<Tag>> : fmt::formatter<std::string> {
  auto format(const spatter::Id<Tag>& id, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(id.brief(), context);
  }
};
