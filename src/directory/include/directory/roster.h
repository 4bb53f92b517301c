// The validated records of a network's members, in memory: which persons are admitted, and the
// newest record of each server. Pure: no clock, no network, no disk.
//
// Bounded: whatever is offered, at most `servers_max` servers (`servers_per_person_max` of one
// person) and `persons_max` persons are held.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "directory/members.h"
#include "directory/place_draw.h"
#include "trust/certificate.h"

namespace spatter {

class Roster {
 public:
  static constexpr std::size_t servers_max = 4096;
  static constexpr std::size_t servers_per_person_max = 256;
  static constexpr std::size_t persons_max = 2048;
  static constexpr std::size_t addresses_max = 8;
  static constexpr std::size_t relays_max = 4;
  static constexpr std::size_t server_record_bytes_max = 8192;
  static constexpr std::size_t revocations_max = 4096;
  static constexpr std::size_t revocations_per_person_max = 512;
  static constexpr std::size_t revocation_bytes_max = server_record_bytes_max + 512;

  struct Entry {
    wire::Signed record;
    Member member;  ///< up and since are not kept here
    std::uint64_t version = 0;
  };

  explicit Roster(const GenesisFacts& genesis);

  const GenesisFacts& genesis() const { return genesis_; }
  bool is_admitted(const PersonId& person) const { return persons_.contains(person); }

  /// True: new. Its inviter must be admitted already.
  Result<bool> admit(const wire::Signed& admission);
  /// True: new, or newer than what was held. Its person must be admitted already, and must not have
  /// retired it (Errc::denied).
  Result<bool> accept(const wire::Signed& server_record);

  /// True: new; the server is gone from now on, and stays so. Its person must be admitted already.
  Result<bool> revoke(const wire::Signed& revocation);

  struct Revoked {
    wire::Signed record;
    PersonId person;
  };
  const std::map<ServerId, Revoked>& revoked() const { return revoked_; }

  /// In an order in which another roster can admit them one after the other.
  const std::vector<wire::Signed>& admissions() const { return admissions_; }
  const std::map<ServerId, Entry>& servers() const { return servers_; }
  const Entry* find(const ServerId& id) const;
  std::vector<PersonId> persons() const;  ///< sorted, the founder included
  /// The admissions that lead from the founder to a person, in that order; empty for the founder
  /// and for strangers.
  std::vector<wire::Signed> chain_of(const PersonId& person) const;

  /// Equal in two rosters exactly when they hold the same versions, persons and revocations.
  Digest digest() const;

 private:
  GenesisFacts genesis_;
  std::map<PersonId, std::optional<std::size_t>> persons_;  ///< index in admissions_
  std::vector<wire::Signed> admissions_;
  std::map<ServerId, Entry> servers_;
  std::map<PersonId, std::size_t> servers_of_;
  std::map<ServerId, Revoked> revoked_;
  std::map<PersonId, std::size_t> revoked_of_;
};

/// How a server can be reached when it cannot be dialled, and whether others are through it.
struct Reach {
  std::vector<ServerId> relays;
  bool carries = false;
  bool operator==(const Reach&) const = default;
};

/// What a server says of itself, signed. `version` must exceed that of its last record.
wire::Signed make_server_record(const Identity& identity, const std::vector<Address>& addresses,
                                std::uint64_t capacity_bytes, std::uint64_t free_bytes,
                                std::uint64_t version, const PlaceDraw* place = nullptr,
                                const Reach& reach = {});

/// Signature, key, certificate and bounds of a server record, for this network; whether its person
/// is admitted is not looked at.
Result<Roster::Entry> check_server_record(const wire::Signed& record, const NetworkId& network);

}  // namespace spatter
