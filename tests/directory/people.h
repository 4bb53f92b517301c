// Persons and servers of an invented network, for the tests of this room.
#pragma once

#include "directory/roster.h"

namespace spatter {

struct People {
  explicit People(std::uint64_t seed = 1) : random(seed) {
    founder.emplace(SigningKey::generate(random));
    genesis = make_genesis(*founder, random, 1000);
    facts = check_genesis(genesis).value();
  }
  Identity server_of(const SigningKey& person) {
    return make_identity(facts.network, person, SigningKey::generate(random), 1000);
  }
  SigningKey person() { return SigningKey::generate(random); }
  wire::Signed record(const Identity& identity, std::uint64_t version,
                      std::vector<Address> addresses = {{"192.0.2.1", 4840}}) {
    return make_server_record(identity, addresses, 1000, 500, version);
  }

  SeededRandom random;
  std::optional<SigningKey> founder;
  wire::Signed genesis;
  GenesisFacts facts;
};

/// Keys as somebody may have changed them: the first until moment 10, then the second.
inline KeyHistory changed(const SigningKey& first, const SigningKey& second) {
  const auto person = person_id(first.public_key());
  const auto now = person_id(second.public_key());
  return {[=](const PersonId& who) { return who == person ? now : who; },
          [=](const PersonId& key, const PersonId& who, std::optional<WallMs> at) {
            if (who != person) return key == who;
            if (at) return *at <= 10 ? key == person : key == now;
            return key == person || key == now;
          }};
}

}  // namespace spatter
