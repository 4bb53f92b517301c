// Servers of an invented network with places in the directory, drawn by its founder unless said otherwise.
#pragma once

#include <algorithm>

#include "directory/judge.h"
#include "directory/record.h"
#include "people.h"

namespace spatter {

struct DirectoryPeople : People {
  using People::People;

  PlaceDraw place_of(const Identity& identity) const { return place_of(identity, {&*founder}); }
  PlaceDraw place_of(const Identity& identity, std::vector<const SigningKey*> drawers, unsigned number = 0,
                     std::uint64_t epoch = 1) const {
    std::ranges::sort(drawers, {}, [](const SigningKey* key) { return key->public_key(); });
    PlaceOccasion occasion{identity.network, epoch, identity.server, identity.person, number, {}};
    for (const SigningKey* key : drawers) occasion.drawers.push_back(key->public_key());
    PlaceDraw place{number, epoch, {}};
    for (const SigningKey* key : drawers) place.draws.push_back(make_place_draw(*key, occasion));
    return place;
  }
  std::string placed(const Identity& identity, const PlaceDraw& place, std::uint64_t version,
                     std::vector<Address> addresses) {
    return make_server_record(identity, addresses, 1000, 500, version, &place).SerializeAsString();
  }
  ContactJudge::Rules rules() const {
    return {facts.network, [](const ServerId&, const PersonId&) { return true; },
            [founder = facts.founder](const PlaceFacts& place, const PersonId& owner) -> Result<void> {
              for (const PublicKey& key : place.drawers)
                if (person_id(key) != founder)
                  return fail(Errc::denied, "person {} draws for {}", person_id(key), owner);
              return {};
            }};
  }
};

/// Records whose value is their version in eight bytes, signed by nobody.
inline RecordValidators plain_validators() {
  RecordValidators validators;
  validators.set(RecordType::stripe, [](const RecordKey&, ByteView value) -> Result<RecordFacts> {
    if (value.size() < 8) return fail(Errc::invalid, "a record of {} bytes", value.size());
    std::uint64_t version = 0;
    for (std::size_t i = 0; i < 8; ++i) version = version << 8 | value[i];
    return RecordFacts{version, std::numeric_limits<WallMs>::max() / 2, {}};
  });
  return validators;
}

inline std::string plain_value(std::uint64_t version, std::size_t bytes = 256) {
  std::string value(bytes, 'v');
  for (std::size_t i = 0; i < 8; ++i) value[i] = static_cast<char>(version >> (56 - 8 * i));
  return value;
}

}  // namespace spatter
