// The records of the directory: how each type's value is made, read and judged. A value proves itself:
// whoever has it and knows the persons can say whether it counts.
//
//   server   the server's own record (directory/roster.h), with the draw of its place
//   person   which servers are his, signed with the person's key
//   stripe   who keeps which shard, signed by the server that owns the stripe; named by stripe and owner
//            together, so that nobody can publish for another's stripe
//   health   how a server's data is in one epoch, named by epoch and reporter
//
// Pure functions but for what the rules do; any thread.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "directory/judge.h"
#include "directory/record.h"
#include "trust/certificate.h"

namespace spatter {

/// How long a record stands without being made anew; whoever makes one does so every quarter of it.
inline constexpr Duration record_lasts = std::chrono::hours(4 * 24);

RecordKey server_key_of(const ServerId& server);
RecordKey person_key_of(const PersonId& person);
/// Subject: SHA-256("spatter/1 stripe record" || 0x00 || stripe || owner's server id).
RecordKey stripe_key_of(const StripeId& stripe, const ServerId& owner);
/// Subject: SHA-256("spatter/1 health record" || 0x00 || le64(epoch) || reporter's server id).
RecordKey health_key_of(std::uint64_t epoch, const ServerId& reporter);

struct PersonServersFacts {
  PersonId person;
  std::vector<ServerId> servers;  ///< ascending
  std::uint64_t version = 0;
  WallMs expires_ms = 0;
  PersonId signed_by;             ///< the key's id: the person's, or of the key that replaced it
};
std::string make_person_servers(const Identity& identity, std::vector<ServerId> servers, WallMs now);
Result<PersonServersFacts> read_person_servers(ByteView value, const NetworkId& network);

struct HeldShards {
  ServerId holder;
  std::vector<std::uint8_t> indices;  ///< ascending
  bool operator==(const HeldShards&) const = default;
};
struct StripeHoldersFacts {
  StripeId stripe;
  PersonId person;
  ServerId owner;
  unsigned k = 1, n = 3;
  std::vector<HeldShards> holders;  ///< by holder
  std::uint64_t version = 0;
  WallMs expires_ms = 0;
  PersonId certified_by;  ///< the key that signed the owner's certificate
};
/// `holders` in any order, each once.
std::string make_stripe_holders(const Identity& identity, const StripeId& stripe, unsigned k, unsigned n,
                                std::vector<HeldShards> holders, WallMs now);
Result<StripeHoldersFacts> read_stripe_holders(ByteView value, const NetworkId& network);

struct HealthFacts {
  PersonId person;
  ServerId reporter;
  std::uint64_t epoch = 0;
  std::uint64_t stripes = 0, full = 0, safe = 0, at_risk = 0, lost = 0;
  WallMs made_ms = 0;
  PersonId certified_by;  ///< the key that signed the reporter's certificate
};
/// person and reporter are the identity's, whatever `facts` says.
std::string make_health(const Identity& identity, const HealthFacts& facts);
Result<HealthFacts> read_health(ByteView value, const NetworkId& network);

struct RecordRules {
  NetworkId network;
  /// Whether a server of this person may publish (not retired, person trusted).
  std::function<bool(const ServerId&, const PersonId&)> may_publish;
  /// Whether a key, by its id, signs for a person now: his first one, or what replaced it.
  std::function<bool(const PersonId& key, const PersonId& person)> signs_for;
  /// Of a moment.
  std::function<std::uint64_t(WallMs)> epoch_of;
};
/// All four validators. `judge` and what the rules refer to outlive them.
RecordValidators record_validators(ContactJudge& judge, RecordRules rules);

}  // namespace spatter
