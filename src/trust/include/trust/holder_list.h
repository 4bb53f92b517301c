// Who keeps which shard of a stripe, as a record that stands when the owner is away.
//
// The first list of a chain is signed by a server of the owner. Each further one follows another, by
// its hash, and is signed by more than half of the holders whom that one names; so whoever was a
// holder, and whoever becomes one, can check how the holders changed back to the owner's word. What a
// rebuilt shard has to be is no matter of these lists: the owner's descriptor says it for ever.
//
// When half of the holders or more are gone for good there is no such majority any more. Then a list
// may name holders as absent, who no longer count, if those who sign have enough shards between them
// to rebuild the stripe. It gives nobody leave to throw shards away (`by_few`).
//
// Pure functions; any thread.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "proto/mend.pb.h"
#include "trust/contract.h"

namespace spatter {

inline constexpr std::size_t holder_chain_lists_max = 64;
inline constexpr std::size_t holder_chain_bytes_max = 256 << 10;

struct HolderEntry {
  ServerId server;
  std::vector<std::uint8_t> indices;  ///< ascending
  bool operator==(const HolderEntry&) const = default;
};

struct HolderList {
  StripeId stripe;
  std::uint64_t version = 0;
  std::optional<Digest> previous;    ///< none: an owner's
  std::vector<HolderEntry> holders;  ///< by server id, ascending
  std::vector<ServerId> absent;      ///< ascending
  WallMs made_ms = 0;

  const HolderEntry* find(const ServerId& server) const;
  bool names(const ServerId& server, unsigned index) const;
};

/// For a list's body: what is signed, and what the next one's `previous` is the SHA-256 of.
std::string holder_list_body(HolderList list);
Digest holder_list_id(std::string_view body);
/// First 16 bytes of SHA-256 over each holder's id, number of indices (one byte) and indices, in order:
/// equal for lists that say the same.
Bytes holder_list_content(const HolderList& list);

/// Fields in bounds, everything in order. Signatures are not looked at.
Result<HolderList> read_holder_list(std::string_view body);

wire::HolderList::Signature sign_holder_list(const SigningKey& server, std::string_view body);
/// Whether a signature is of this body, by the server whose key is in it.
Result<ServerId> check_holder_signature(const wire::HolderList::Signature& signature, std::string_view body);

/// An owner's list, the only one of its chain.
wire::HolderChain make_owner_chain(const SigningKey& server, HolderList list);

/// How many signatures of the previous list's holders a body that follows it needs.
struct HolderQuorum {
  std::size_t needed = 0;       ///< of them
  std::size_t shards = 0;       ///< distinct ones that those who sign must have; 0: does not matter
  std::vector<ServerId> voters; ///< whose signatures count
};
HolderQuorum holder_quorum(const HolderList& previous, const HolderList& next, unsigned k);
bool is_met(const HolderQuorum& quorum, const HolderList& previous, std::span<const ServerId> signers);

struct HolderChainFacts {
  HolderList newest;
  std::string body;     ///< of the newest
  bool by_owner = false;  ///< the newest is an owner's own word
  bool by_few = false;  ///< somewhere on the way holders were declared absent
};

/// Whether a server signs for a person: it is one of his, and not retired.
using SignsForOwner = std::function<bool(const ServerId& server, const PersonId& owner)>;

/// Every signature, every step. `descriptor` names stripe, owner, k and n.
///   invalid   malformed, out of order, of another stripe, too long
///   denied    signed by somebody who may not, or by too few
///   corrupt   a signature does not hold
Result<HolderChainFacts> check_holder_chain(const wire::HolderChain& chain, const Descriptor& descriptor,
                                            const SignsForOwner& signs_for);

}  // namespace spatter
