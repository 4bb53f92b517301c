// The validated records of a network's members, in memory: which persons are admitted, and the
// newest records of its servers. Pure: no clock, no network, no disk.
//
// Persons change their keys (trust kind "rotation"): a certificate counts when it is by the key that its
// person has now, an admission when it is by one that the inviter had then. Who has which key is for
// others to know (KeyHistory).
//
// Bounded: whatever is offered, at most `persons_max` persons are held, and of the servers a *view* of
// at most `view_max` (`servers_per_person_max` of one person). While there is room it takes every server.
// Then the least useful goes when a more useful one comes: by what it is to this server (Use), then
// from the person who has most servers of that use here, then by a lot that only this server knows. So
// different servers keep different ones, and nobody gets many places by running many servers or by
// choosing keys.
//
// Beside the view are *visitors*: members that are connected and found no place in it, because it is they
// who have this server in theirs. They are known for as long as they are connected.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "crypto/hash.h"
#include "crypto/key.h"
#include "directory/members.h"
#include "directory/place_draw.h"
#include "trust/certificate.h"

namespace spatter {

/// What keys persons have. Unset functions say that everybody has his first key for ever.
struct KeyHistory {
  std::function<PersonId(const PersonId& person)> current;
  /// Whether it was his ever; or, when a moment is given, then.
  std::function<bool(const PersonId& key, const PersonId& person, std::optional<WallMs> at)> had;

  PersonId current_of(const PersonId& person) const { return current ? current(person) : person; }
  bool was_of(const PersonId& key, const PersonId& person, std::optional<WallMs> at = {}) const {
    return had ? had(key, person, at) : key == person;
  }
};

/// What a server is to this one: the least goes first when the view is full.
enum class Use : std::uint8_t {
  none,
  reachable,  ///< up, or not off for long
  watched,    ///< something here depends on it
  own,        ///< of the own person; known without being told
};

struct ViewOptions {
  std::size_t servers_max = 4096;
  std::size_t visitors_max = 2 * 4096;  ///< on average there are as many as servers in the view
  ServerId own;     ///< this server, which is always kept
  PersonId person;  ///< its person
  Key lots;         ///< secret and always the same: what is kept of servers of equal use follows from it
};

class Roster {
 public:
  static constexpr std::size_t view_max = 4096;  ///< unless ViewOptions says otherwise
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
    std::uint64_t lot = 0;  ///< the lower, the longer it is kept
    PersonId certified_by;  ///< the key that signed the certificate
  };

  explicit Roster(const GenesisFacts& genesis, ViewOptions view = {});

  const GenesisFacts& genesis() const { return genesis_; }
  bool is_admitted(const PersonId& person) const { return persons_.contains(person); }

  /// What admissions, certificates and revocations are judged by, from now on.
  void set_keys(KeyHistory keys) { keys_ = std::move(keys); }
  /// Judges the certificates of all servers anew; returns those that are no members any more.
  std::vector<ServerId> judge_keys();

  /// True: new. Its inviter must be admitted already, and have had the key that signed it.
  Result<bool> admit(const wire::Signed& admission);
  /// What a person committed to when he was admitted: SHA-256 of his recovery key.
  std::optional<Digest> commitment_of(const PersonId& person) const;
  /// True: new, or newer than what was held. False: known already, or less useful than all that a full
  /// view holds. Its person must be admitted already, must have the key of its certificate now, and must
  /// not have retired it (Errc::denied).
  Result<bool> accept(const wire::Signed& server_record);

  /// What a server of another person is to this one. Unset: none.
  std::function<Use(const Member&)> use_of;
  /// Servers that have lost their place, or found none, since this was last called.
  struct LetGo {
    Entry entry;
    bool was_held = false;
  };
  std::vector<LetGo> take_let_go();
  /// One of those is connected. Bounded: the person with most visitors loses one when they are too many.
  void add_visitor(Entry entry);
  void forget_visitor(const ServerId& id) { visitors_.erase(id); }
  /// Uses have changed: visitors that are now watched move into the view. Returns those.
  std::vector<ServerId> promote_visitors();
  const std::map<ServerId, Entry>& visitors() const { return visitors_; }
  /// Then there may be more servers than the view has.
  bool is_full() const { return servers_.size() >= view_.servers_max; }

  /// True: new; the server is gone from now on, and stays so. Its person must be admitted already, and
  /// sign with the key that he has now. One that he signs anew with another key takes the old one's place.
  Result<bool> revoke(const wire::Signed& revocation);

  struct Revoked {
    wire::Signed record;
    PersonId person;
    PersonId signed_by;
  };
  const std::map<ServerId, Revoked>& revoked() const { return revoked_; }

  /// In an order in which another roster can admit them one after the other.
  const std::vector<wire::Signed>& admissions() const { return admissions_; }
  const std::vector<PersonId>& inviters() const { return inviters_; }  ///< of each of them
  const std::map<ServerId, Entry>& servers() const { return servers_; }  ///< the view
  bool holds(const ServerId& id) const { return servers_.contains(id); }  ///< in the view
  /// Of the view or the visitors.
  const Entry* find(const ServerId& id) const;
  /// Servers whose certificates are by keys that their persons had before: no members, but known.
  const std::map<ServerId, Entry>& outdated() const { return outdated_; }
  std::vector<PersonId> persons() const;  ///< sorted, the founder included
  /// The admissions that lead from the founder to a person, in that order; empty for the founder
  /// and for strangers.
  std::vector<wire::Signed> chain_of(const PersonId& person) const;

  /// Equal in two rosters exactly when they hold the same versions, persons and revocations.
  Digest digest() const;
  /// The same without the servers: equal when all that everybody should know is.
  Digest common_digest() const;

 private:
  void set_aside(const ServerId& id, Entry entry);
  void forget_outdated(const ServerId& id);
  bool place(Entry entry);
  void remove(std::map<ServerId, Entry>::iterator at);
  std::uint64_t lot_of(const ServerId& id) const;
  void add_common(Sha256& hash) const;

  GenesisFacts genesis_;
  ViewOptions view_;
  KeyHistory keys_;
  std::map<PersonId, std::optional<std::size_t>> persons_;  ///< index in admissions_
  std::map<PersonId, Digest> commitment_of_;
  std::vector<wire::Signed> admissions_;
  std::vector<PersonId> inviters_;  ///< of each
  std::map<ServerId, Entry> servers_;
  std::map<PersonId, std::size_t> servers_of_;
  std::map<ServerId, Entry> visitors_;
  std::vector<LetGo> let_go_;
  std::map<ServerId, Entry> outdated_;
  std::map<PersonId, std::size_t> outdated_of_;
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
/// is admitted, and has the key of the certificate, is not looked at.
Result<Roster::Entry> check_server_record(const wire::Signed& record, const NetworkId& network);

}  // namespace spatter
