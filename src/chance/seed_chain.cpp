#include "chance/seed_chain.h"

#include <algorithm>

#include "append.h"
#include "crypto/hash.h"

namespace spatter {
namespace {

Bytes root_bytes(const SeedRoot& root) {
  Bytes bytes;
  append_tag(bytes, "spatter/1 seed root");
  append(bytes, root.network.view());
  append(bytes, root.person.view());
  append(bytes, root.video.view());
  append_number<8>(bytes, root.epoch);
  return bytes;
}

/// What a link's signature and its head have in common; `own` is the proof or the output.
Bytes link_bytes(std::string_view tag, const Digest& root, const SeedLink& link, ByteView own) {
  Bytes bytes;
  append_tag(bytes, tag);
  append(bytes, root.view());
  append_number<8>(bytes, link.number);
  append_number<8>(bytes, link.epoch);
  append(bytes, link.previous.view());
  append(bytes, own);
  append_number<4>(bytes, link.contributions.size());
  for (const Contribution& one : link.contributions) {
    append_number<1>(bytes, static_cast<std::uint64_t>(one.kind));
    append(bytes, one.statement.view());
  }
  return bytes;
}

Bytes signed_link(const Digest& root, const SeedLink& link) {
  return link_bytes("spatter/1 seed link", root, link, link.proof);
}

Digest head_of(const Digest& root, const SeedLink& link, const VrfOutput& output) {
  return sha256(link_bytes("spatter/1 seed head", root, link, output));
}

Draw own_draw(const SeedHead& last, std::uint64_t epoch) {
  return {last.network, epoch, Purpose::chain, last.head};
}

Result<void> check_contributions(const SeedLink& link) {
  const auto& all = link.contributions;
  if (all.size() > seed_contributions_max)
    return fail(Errc::invalid, "link {} has {} contributions, at most {} are allowed", link.number, all.size(),
                seed_contributions_max);
  for (std::size_t i = 1; i < all.size(); ++i)
    if (!(all[i - 1] < all[i]))
      return fail(Errc::invalid, "link {}: its contributions {} and {} are out of order or the same", link.number,
                  i - 1, i);
  return {};
}

Result<void> check_signature(const PersonId& person, const Digest& root, const SeedLink& link) {
  if (!verify(person.view(), signed_link(root, link), link.signature))
    return fail(Errc::corrupt, "link {} is not signed by the chain's person {}", link.number, person);
  return {};
}

/// The same but for what a prover may choose freely: of the proof, only the point Gamma is determined.
bool same_content(const SeedLink& a, const SeedLink& b) {
  return a.number == b.number && a.epoch == b.epoch && a.previous == b.previous &&
         a.contributions == b.contributions &&
         std::equal(a.proof.begin(), a.proof.begin() + 32, b.proof.begin());
}

}  // namespace

std::string_view to_string(Contribution::Kind kind) {
  return kind == Contribution::Kind::audit ? "audit" : "vouch";
}

SeedRoot make_seed_root(const SigningKey& person, const NetworkId& network, const Digest& video,
                        std::uint64_t epoch) {
  SeedRoot root{network, person_id(person.public_key()), video, epoch, {}};
  root.signature = person.sign(root_bytes(root));
  return root;
}

Result<SeedLink> make_seed_link(const SigningKey& person, const SeedHead& last, std::uint64_t epoch,
                                std::vector<Contribution> contributions) {
  if (person_id(person.public_key()) != last.person)
    return fail(Errc::denied, "the seed chain of person {} can be continued by himself only", last.person);
  if (epoch <= last.epoch)
    return fail(Errc::exists, "the seed chain of person {} has a link for epoch {} already, none can be made for {}",
                last.person, last.epoch, epoch);
  std::sort(contributions.begin(), contributions.end());
  contributions.erase(std::unique(contributions.begin(), contributions.end()), contributions.end());
  SeedLink link{last.number + 1, epoch, last.head, {}, std::move(contributions), {}};
  TRY_VOID(check_contributions(link));
  link.proof = make_draw(person, own_draw(last, epoch)).proof.proof;
  link.signature = person.sign(signed_link(last.root, link));
  return link;
}

Result<SeedHead> check_seed_root(const SeedRoot& root, const NetworkId& network) {
  if (root.network != network)
    return fail(Errc::denied, "a seed chain of another network ({}, not {})", root.network, network);
  const Bytes bytes = root_bytes(root);
  if (!verify(root.person.view(), bytes, root.signature))
    return fail(Errc::corrupt, "the root of the seed chain is not signed by its person {}", root.person);
  const Digest digest = sha256(bytes);
  return SeedHead{root.network, root.person, digest, 0, root.epoch, digest, {}};
}

Result<SeedHead> check_seed_link(const SeedHead& last, const SeedLink& link, VrfSteps* steps) {
  if (last.number == std::numeric_limits<std::uint64_t>::max() || link.number != last.number + 1)
    return fail(Errc::invalid, "link {} where the one after {} is due", link.number, last.number);
  if (link.epoch <= last.epoch)
    return fail(Errc::invalid, "link {} is of epoch {}, which is not after the last one's, {}", link.number,
                link.epoch, last.epoch);
  if (link.previous != last.head)
    return fail(Errc::corrupt, "link {} follows {}, but the last head is {}", link.number, link.previous, last.head);
  TRY_VOID(check_contributions(link));
  TRY_VOID(check_signature(last.person, last.root, link));
  auto output = check_draw(own_draw(last, link.epoch), {last.person.bytes, link.proof}, steps);
  if (!output) return fail(output.error().during(fmt::format("link {}", link.number)));
  return SeedHead{last.network, last.person, last.root, link.number, link.epoch,
                  head_of(last.root, link, *output), *output};
}

Result<std::vector<SeedHead>> check_seed_chain(const SeedChain& chain, const NetworkId& network) {
  std::vector<SeedHead> heads;
  heads.reserve(chain.links.size() + 1);
  TRY(auto root, check_seed_root(chain.root, network));
  heads.push_back(root);
  for (const SeedLink& link : chain.links) {
    TRY(auto next, check_seed_link(heads.back(), link));
    heads.push_back(next);
  }
  return heads;
}

Result<void> check_seed_conflict(const SeedConflict& conflict, const NetworkId& network) {
  TRY(const auto root, check_seed_root(conflict.root, network));
  if (conflict.one.number != conflict.other.number)
    return fail(Errc::invalid, "links {} and {} do not contradict each other: their numbers differ",
                conflict.one.number, conflict.other.number);
  if (same_content(conflict.one, conflict.other))
    return fail(Errc::invalid, "both are the same link {}: nothing is proved", conflict.one.number);
  TRY_VOID(check_signature(root.person, root.root, conflict.one));
  return check_signature(root.person, root.root, conflict.other);
}

std::optional<SeedConflict> find_seed_conflict(const SeedChain& one, const SeedChain& other) {
  if (root_bytes(one.root) != root_bytes(other.root)) return std::nullopt;
  const std::size_t both = std::min(one.links.size(), other.links.size());
  for (std::size_t i = 0; i < both; ++i)
    if (!same_content(one.links[i], other.links[i])) return SeedConflict{one.root, one.links[i], other.links[i]};
  return std::nullopt;
}

}  // namespace spatter
