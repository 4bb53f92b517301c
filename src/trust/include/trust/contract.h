// Stripe descriptors and contracts: what an owner and a holder sign about a shard.
//
// A descriptor is signed by the owner's server once and never changes; it names the root hash of
// every shard. A contract covers one shard at one holder: the owner signs the body first (an
// offer), the holder signs the same body when the shard is durable (the receipt).
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/time.h"
#include "trust/signed.h"

namespace spatter {

inline constexpr std::uint64_t shard_bytes_max = 4ULL << 20;
inline constexpr std::uint32_t shard_index_max = 254;  ///< n is at most 255
inline constexpr std::size_t stripe_label_bytes_max = 4096;
/// 90 days, renewed by the owner.
inline constexpr std::int64_t contract_term_ms = 90LL * 24 * 3600 * 1000;
/// How long after the end of its contract a holder still keeps a shard, and lets it be renewed.
inline constexpr std::int64_t contract_grace_ms = contract_term_ms;

/// Whether the owner should renew a contract by now: two thirds of its term are over.
bool renewal_due(WallMs signed_ms, WallMs until_ms, WallMs now);
/// Whether a holder may let the shard go, as far as the contract goes.
bool contract_lapsed(WallMs until_ms, WallMs now);

/// A descriptor whose every field has been checked, with ids in their own types.
struct Descriptor {
  StripeId stripe;
  PersonId person;      ///< owner
  ServerId server;      ///< the owner's server that signed
  Bytes server_key;
  VolumeId volume;
  std::uint64_t writer_number = 0;
  unsigned k = 0;
  unsigned n = 0;                 ///< always 3k
  std::uint64_t length = 0;       ///< bytes encoded, before padding
  std::uint64_t shard_size = 0;   ///< of every shard
  std::vector<Digest> shard_roots;  ///< n of them
  std::uint64_t created_ms = 0;
  std::string label;              ///< sealed by the owner
};

wire::Signed sign_descriptor(const SigningKey& server, const wire::StripeDescriptor& descriptor);
/// Signature by the server key named inside, and every field in its bounds. Whether that server
/// belongs to that person is for the caller (Members::person_of).
Result<Descriptor> check_descriptor(const wire::Signed& record);

/// A contract's body with ids in their own types.
struct ContractTerms {
  StripeId stripe;
  unsigned index = 0;
  Digest shard_root;
  std::uint64_t size = 0;
  PersonId person;    ///< owner
  Bytes owner_key;    ///< the owner's server key
  ServerId holder;
  WallMs signed_ms = 0;
  WallMs until_ms = 0;
};

/// The owner's offer for shard `index`: body and owner signature, no receipt yet.
wire::Contract offer_contract(const SigningKey& owner_server, const Descriptor& descriptor,
                              unsigned index, const ServerId& holder, WallMs signed_ms,
                              WallMs until_ms);
/// Fields in bounds and the owner's signature. With check_matches, all a holder needs to know.
Result<ContractTerms> check_offer(const wire::Contract& contract);
/// The terms speak of just this descriptor's shard: same stripe, owner, root, size. The owner's key
/// may be another than the descriptor's: a person who lost a machine has his other servers place its
/// stripes anew. Whether the key is a server of that person is for the caller (Members::person_of).
Result<void> check_matches(const ContractTerms& terms, const Descriptor& descriptor);
/// Adds the holder's signature: the receipt. Only once the shard is durable.
void countersign(wire::Contract& contract, const SigningKey& holder);
/// check_offer, and the receipt is signed by the holder that the terms name.
Result<ContractTerms> check_contract(const wire::Contract& contract);
/// check_contract, for just this shard of the descriptor at just this holder, whatever the term.
bool is_receipt(const wire::Contract& contract, const Descriptor& descriptor, unsigned index,
                const ServerId& holder);

}  // namespace spatter
