#include "directory/record.h"

#include "crypto/hash.h"

namespace spatter {

Position record_position(const RecordKey& key) {
  constexpr std::string_view label{"spatter/1 record\0", 17};
  const auto type = static_cast<std::uint8_t>(key.type);
  Position position;
  position.bytes =
      Sha256().update(as_bytes(label)).update({&type, 1}).update(key.subject.view()).finish().bytes;
  return position;
}

void RecordValidators::set(RecordType type, RecordValidator validator) {
  validators_[static_cast<std::size_t>(type)] = std::move(validator);
}

Result<RecordPtr> RecordValidators::check(const RecordKey& key, std::string value) const {
  if (value.size() > record_value_bytes_max)
    return fail(Errc::invalid, "a directory record of {} bytes: at most {} are allowed",
                value.size(), record_value_bytes_max);
  const auto type = static_cast<std::size_t>(key.type);
  if (type >= validators_.size() || !validators_[type])
    return fail(Errc::invalid, "a directory record of type {}, which nobody here can judge", type);
  TRY(auto facts, validators_[type](key, as_bytes(value)));
  return std::make_shared<const Record>(key, record_position(key), facts, std::move(value));
}

}  // namespace spatter
