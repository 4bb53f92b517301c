// What servers ask one another, as the decisions see it: plain values. Only the edge
// (directory/rpc_link.h) knows how they are written on the wire.
#pragma once

#include <vector>

#include "directory/contact.h"
#include "directory/record.h"

namespace spatter {

struct DirectoryRequest {
  enum class Kind { ping, find, get, put };
  Kind kind = Kind::ping;
  /// The asking server's own record: makes it known to whoever is asked. Null: not told.
  ContactPtr from;
  Position target;                    ///< find, get: contacts near here are wanted
  std::size_t contacts = 0;           ///< find, get: at most so many,
  std::uint64_t within = ~std::uint64_t{0};  ///< at most this far from it (the distance's first word)
  std::vector<std::uint64_t> known;   ///< find, get: tags of contacts that need not be told
  RecordKey key;                      ///< get
  std::vector<RecordPtr> records;     ///< put
};

struct DirectoryReply {
  std::vector<ContactPtr> contacts;  ///< find, get
  RecordPtr record;                  ///< get: null when it is not here
  std::size_t stored = 0;            ///< put: how many are here now, in this version or a higher one
};

/// Bounds of what a request may ask, and of what an answer may hold.
inline constexpr std::size_t contacts_per_reply_max = 20;
inline constexpr std::size_t known_per_request_max = 64;
inline constexpr std::size_t records_per_put_max = 64;

}  // namespace spatter
