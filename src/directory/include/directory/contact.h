// What one server knows of another when it routes by it: facts out of the other's signed record,
// which travels with them, so that whoever is told of a contact can check every one of them. A
// hostile server can leave contacts out, but it cannot make any up.
//
// Immutable and shared: tables, look-ups and answers point at one Contact.
#pragma once

#include <compare>
#include <memory>
#include <string>
#include <vector>

#include "base/transport.h"
#include "directory/position.h"

namespace spatter {

/// The /24 (IPv4) or /48 (IPv6) network of an address: servers in one fail and cheat together.
/// Loopback addresses and names belong to none.
struct NetworkPrefix {
  std::uint64_t value = 0;  ///< 0: none

  static NetworkPrefix of(const Address& address);
  bool is_none() const { return value == 0; }
  auto operator<=>(const NetworkPrefix&) const = default;
};

struct Contact {
  ServerId id;
  PersonId person;
  Position position;
  unsigned place_number = 0;       ///< which of the person's places it has (directory/place_rule.h)
  NetworkPrefix prefix;
  std::uint64_t version = 0;       ///< of the record; the higher replaces the lower
  std::vector<Address> addresses;  ///< where to dial, best first
  std::string record;              ///< the signed server record, as it travels

  /// Bytes of memory that this contact takes, its heap included.
  std::size_t memory_bytes() const;
};

using ContactPtr = std::shared_ptr<const Contact>;

/// The first eight bytes of an id, by which a request names contacts that need not be told again.
/// (To be left out in an honest server's place, a liar would have to find a key with the same eight.)
inline std::uint64_t contact_tag(const ServerId& id) {
  std::uint64_t tag;
  std::memcpy(&tag, id.bytes.data(), sizeof tag);
  if constexpr (std::endian::native == std::endian::little) tag = __builtin_bswap64(tag);
  return tag;
}

}  // namespace spatter
