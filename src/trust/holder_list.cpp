#include "trust/holder_list.h"

#include <algorithm>
#include <bitset>
#include <set>

#include "crypto/hash.h"
#include "trust/signed.h"

namespace spatter {
namespace {

constexpr std::uint64_t time_max_ms = std::uint64_t{1} << 53;
constexpr std::uint64_t version_max = 2 * time_max_ms;
/// How far a list's version may be beyond that of the list it follows: a holder shall not use up the numbers.
constexpr std::uint64_t version_step_max = 1024;

Result<HolderEntry> read_entry(const StripeId& stripe, const wire::HolderListBody::Holder& holder) {
  HolderEntry entry;
  TRY(entry.server, ServerId::from(holder.server()));
  for (const char index : holder.indices()) entry.indices.push_back(static_cast<std::uint8_t>(index));
  if (entry.indices.empty() || entry.indices.back() > shard_index_max ||
      std::ranges::adjacent_find(entry.indices, std::greater_equal{}) != entry.indices.end())
    return fail(Errc::invalid, "stripe {}: the shards of holder {} are not in order", stripe, entry.server);
  return entry;
}

/// What the signers of one step are, each once. Only those among `voters` are looked at, if there are any.
Result<std::vector<ServerId>> signers_of(const wire::HolderList& list, const StripeId& stripe,
                                         std::span<const ServerId> voters) {
  std::vector<ServerId> signers;
  if (list.signatures_size() > static_cast<int>(std::max<std::size_t>(voters.size(), 1)))
    return fail(Errc::invalid, "stripe {}: a holder list with {} signatures", stripe, list.signatures_size());
  const std::string* last = nullptr;
  for (const auto& signature : list.signatures()) {
    if (last && signature.key() <= *last)
      return fail(Errc::invalid, "stripe {}: the signatures of a holder list are not in order", stripe);
    last = &signature.key();
    if (!voters.empty() && std::ranges::find(voters, server_id(as_bytes(signature.key()))) == voters.end())
      return fail(Errc::denied, "stripe {}: a holder list that server {} has no voice in", stripe,
                  server_id(as_bytes(signature.key())));
    TRY(const ServerId signer, check_holder_signature(signature, list.body()));
    signers.push_back(signer);
  }
  return signers;
}

Result<void> check_fits(const HolderList& list, const Descriptor& descriptor) {
  if (list.stripe != descriptor.stripe)
    return fail(Errc::invalid, "a holder list of stripe {}, not of {}", list.stripe, descriptor.stripe);
  for (const HolderEntry& entry : list.holders)
    if (entry.indices.back() >= descriptor.n)
      return fail(Errc::invalid, "stripe {}: holder {} is listed with shard {} of {}", list.stripe, entry.server,
                  entry.indices.back(), descriptor.n);
  return {};
}

}  // namespace

const HolderEntry* HolderList::find(const ServerId& server) const {
  const auto at = std::ranges::lower_bound(holders, server, {}, &HolderEntry::server);
  return at != holders.end() && at->server == server ? &*at : nullptr;
}

bool HolderList::names(const ServerId& server, unsigned index) const {
  const HolderEntry* entry = find(server);
  return entry && std::ranges::find(entry->indices, index) != entry->indices.end();
}

std::string holder_list_body(HolderList list) {
  std::ranges::sort(list.holders, {}, &HolderEntry::server);
  std::ranges::sort(list.absent);
  wire::HolderListBody body;
  body.set_stripe(list.stripe.raw());
  body.set_version(list.version);
  if (list.previous) body.set_previous(list.previous->raw());
  for (HolderEntry& entry : list.holders) {
    std::ranges::sort(entry.indices);
    auto* holder = body.add_holders();
    holder->set_server(entry.server.raw());
    holder->set_indices(entry.indices.data(), entry.indices.size());
  }
  for (const ServerId& server : list.absent) body.add_absent(server.raw());
  body.set_made_ms(static_cast<std::uint64_t>(list.made_ms));
  return body.SerializeAsString();
}

Digest holder_list_id(std::string_view body) { return sha256(as_bytes(body)); }

Bytes holder_list_content(const HolderList& list) {
  Sha256 hash;
  for (const HolderEntry& entry : list.holders) {
    const auto count = static_cast<std::uint8_t>(entry.indices.size());
    hash.update(entry.server.view()).update({&count, 1}).update(entry.indices);
  }
  const Digest digest = hash.finish();
  return {digest.bytes.begin(), digest.bytes.begin() + 16};
}

Result<HolderList> read_holder_list(std::string_view bytes) {
  wire::HolderListBody body;
  if (bytes.size() > holder_chain_bytes_max ||
      !body.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(Errc::invalid, "a holder list that cannot be read");
  HolderList list;
  TRY(list.stripe, StripeId::from(body.stripe()));
  if (body.version() == 0 || body.version() > version_max || body.made_ms() > time_max_ms)
    return fail(Errc::invalid, "stripe {}: a holder list of version {}", list.stripe, body.version());
  list.version = body.version();
  list.made_ms = static_cast<WallMs>(body.made_ms());
  if (!body.previous().empty()) {
    TRY(list.previous, Digest::from(body.previous()));
  }
  if (body.holders_size() == 0 || body.holders_size() > 2 * (int{shard_index_max} + 1))
    return fail(Errc::invalid, "stripe {}: a list of {} holders", list.stripe, body.holders_size());
  for (const auto& holder : body.holders()) {
    TRY(auto entry, read_entry(list.stripe, holder));
    if (!list.holders.empty() && entry.server <= list.holders.back().server)
      return fail(Errc::invalid, "stripe {}: its holders are not in order", list.stripe);
    list.holders.push_back(std::move(entry));
  }
  if (body.absent_size() > 2 * (int{shard_index_max} + 1))
    return fail(Errc::invalid, "stripe {}: {} absent holders", list.stripe, body.absent_size());
  for (const auto& raw : body.absent()) {
    TRY(const auto server, ServerId::from(raw));
    if (!list.absent.empty() && server <= list.absent.back())
      return fail(Errc::invalid, "stripe {}: its absent holders are not in order", list.stripe);
    list.absent.push_back(server);
  }
  return list;
}

wire::HolderList::Signature sign_holder_list(const SigningKey& server, std::string_view body) {
  const auto key = server.public_key();
  const auto made = server.sign(signed_bytes(kind::holders, body));
  wire::HolderList::Signature signature;
  signature.set_key(key.data(), key.size());
  signature.set_signature(made.data(), made.size());
  return signature;
}

Result<ServerId> check_holder_signature(const wire::HolderList::Signature& signature, std::string_view body) {
  if (signature.key().size() != 32 || signature.signature().size() != 64)
    return fail(Errc::invalid, "a holder list with a signature of a wrong length");
  if (!verify(as_bytes(signature.key()), signed_bytes(kind::holders, body), as_bytes(signature.signature())))
    return fail(Errc::corrupt, "server {}'s signature of a holder list does not match",
                server_id(as_bytes(signature.key())));
  return server_id(as_bytes(signature.key()));
}

wire::HolderChain make_owner_chain(const SigningKey& server, HolderList list) {
  list.previous.reset();
  list.absent.clear();
  wire::HolderChain chain;
  auto* only = chain.add_lists();
  only->set_body(holder_list_body(std::move(list)));
  *only->add_signatures() = sign_holder_list(server, only->body());
  return chain;
}

HolderQuorum holder_quorum(const HolderList& previous, const HolderList& next, unsigned k) {
  HolderQuorum quorum;
  for (const HolderEntry& entry : previous.holders)
    if (!std::ranges::binary_search(next.absent, entry.server)) quorum.voters.push_back(entry.server);
  quorum.needed = quorum.voters.size() / 2 + 1;
  if (!next.absent.empty()) quorum.shards = k;
  return quorum;
}

bool is_met(const HolderQuorum& quorum, const HolderList& previous, std::span<const ServerId> signers) {
  std::set<ServerId> counted;
  std::bitset<256> shards;
  for (const ServerId& signer : signers) {
    if (std::ranges::find(quorum.voters, signer) == quorum.voters.end()) continue;
    counted.insert(signer);
    for (const auto index : previous.find(signer)->indices) shards.set(index);
  }
  return counted.size() >= quorum.needed && shards.count() >= quorum.shards;
}

Result<HolderChainFacts> check_holder_chain(const wire::HolderChain& chain, const Descriptor& descriptor,
                                            const SignsForOwner& signs_for) {
  if (chain.lists_size() == 0 || chain.lists_size() > static_cast<int>(holder_chain_lists_max) ||
      chain.ByteSizeLong() > holder_chain_bytes_max)
    return fail(Errc::invalid, "stripe {}: a chain of {} holder lists", descriptor.stripe, chain.lists_size());
  HolderChainFacts facts;
  for (const auto& step : chain.lists()) {
    TRY(auto list, read_holder_list(step.body()));
    TRY_VOID(check_fits(list, descriptor));
    if (facts.body.empty()) {
      TRY(const auto signers, signers_of(step, descriptor.stripe, {}));
      if (list.previous || !list.absent.empty())
        return fail(Errc::invalid, "stripe {}: a chain of holder lists that does not begin with the owner's",
                    descriptor.stripe);
      if (signers.size() != 1 || !signs_for(signers.front(), descriptor.person))
        return fail(Errc::denied, "stripe {}: a holder list that no server of its owner has signed",
                    descriptor.stripe);
    } else {
      if (list.previous != holder_list_id(facts.body) || list.version <= facts.newest.version ||
          list.version - facts.newest.version > version_step_max)
        return fail(Errc::invalid, "stripe {}: holder list {} does not follow the one before it",
                    descriptor.stripe, list.version);
      const auto quorum = holder_quorum(facts.newest, list, descriptor.k);
      TRY(const auto signers, signers_of(step, descriptor.stripe, quorum.voters));
      if (!is_met(quorum, facts.newest, signers))
        return fail(Errc::denied, "stripe {}: holder list {} is signed by too few: {} of {} holders",
                    descriptor.stripe, list.version, signers.size(), quorum.voters.size());
      facts.by_few |= !list.absent.empty();
    }
    facts.by_owner = !list.previous;
    facts.newest = std::move(list);
    facts.body = step.body();
  }
  return facts;
}

}  // namespace spatter
