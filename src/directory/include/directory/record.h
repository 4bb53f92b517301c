// What the directory keeps: signed records, named by their type and by what they are about.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/time.h"
#include "directory/position.h"

namespace spatter {

/// Travels on the wire and goes into positions: append, never renumber.
enum class RecordType : std::uint8_t {
  server = 1,  ///< a server's addresses and room; subject: the ServerId; signed by the server
  person = 2,  ///< which servers are a person's; subject: the PersonId
  stripe = 3,  ///< where a stripe's shards are; subject: the StripeId and its owner, hashed
  health = 4,  ///< a report on the network; subject: epoch and reporter, hashed
};
inline constexpr std::uint8_t record_types = 4;

struct RecordKey {
  RecordType type = RecordType::server;
  Digest subject;
  auto operator<=>(const RecordKey&) const = default;
};

/// SHA-256("spatter/1 record" || 0x00 || type (1 byte) || subject).
Position record_position(const RecordKey& key);

/// A longer value is refused unread.
inline constexpr std::size_t record_value_bytes_max = 16 * 1024;

/// What a validator reads out of a value that it found good.
struct RecordFacts {
  std::uint64_t version = 0;  ///< the higher one replaces the lower
  WallMs expires_ms = 0;
  PersonId person;            ///< who answers for it: records are counted per person
};

/// Judges a value for its key: signatures, bounds, who may say this. One for each type; pure.
using RecordValidator = std::function<Result<RecordFacts>(const RecordKey&, ByteView value)>;

struct Record {
  RecordKey key;
  Position position;
  RecordFacts facts;
  std::string value;
};
using RecordPtr = std::shared_ptr<const Record>;

/// One validator a type; a type without one is refused.
class RecordValidators {
 public:
  void set(RecordType type, RecordValidator validator);
  /// The record, or why it is none: too long, of a type nobody validates, or refused.
  Result<RecordPtr> check(const RecordKey& key, std::string value) const;

 private:
  std::array<RecordValidator, record_types + 1> validators_;
};

}  // namespace spatter

template <>
struct std::hash<spatter::RecordKey> {
  std::size_t operator()(const spatter::RecordKey& key) const noexcept {
    return std::hash<spatter::Digest>()(key.subject) ^ static_cast<std::size_t>(key.type) << 56;
  }
};
