#include "trust/chance_records.h"

#include <algorithm>

namespace spatter {
namespace {

constexpr std::string_view file_kind = "spatter chance ";
constexpr std::string_view file_front = "spatter chance 1\n";

std::string text_of(ByteView bytes) { return to_string(bytes); }

/// A field of just so many bytes.
template <std::size_t size>
Result<void> read_field(const std::string& raw, std::array<std::uint8_t, size>& out, std::string_view field) {
  if (raw.size() != size) return fail(Errc::invalid, "the {} has {} bytes instead of {}", field, raw.size(), size);
  std::copy(raw.begin(), raw.end(), out.begin());
  return {};
}

}  // namespace

wire::DrawRecord to_wire(const DrawRecord& record) {
  wire::DrawRecord message;
  message.set_network(record.draw.network.raw());
  message.set_epoch(record.draw.epoch);
  message.set_purpose(static_cast<std::uint32_t>(record.draw.purpose));
  message.set_subject(record.draw.subject.raw());
  message.set_key(text_of(record.proof.key));
  message.set_proof(text_of(record.proof.proof));
  return message;
}

Result<DrawRecord> from_wire(const wire::DrawRecord& message) {
  DrawRecord record;
  TRY_VOID(read_field(message.network(), record.draw.network.bytes, "draw's network"));
  record.draw.epoch = message.epoch();
  TRY(record.draw.purpose, purpose_from(std::uint64_t{message.purpose()}));
  TRY_VOID(read_field(message.subject(), record.draw.subject.bytes, "draw's subject"));
  TRY_VOID(read_field(message.key(), record.proof.key, "draw's key"));
  TRY_VOID(read_field(message.proof(), record.proof.proof, "draw's proof"));
  return record;
}

wire::SeedRoot to_wire(const SeedRoot& root) {
  wire::SeedRoot message;
  message.set_network(root.network.raw());
  message.set_person(root.person.raw());
  message.set_video(root.video.raw());
  message.set_epoch(root.epoch);
  message.set_signature(text_of(root.signature));
  return message;
}

Result<SeedRoot> from_wire(const wire::SeedRoot& message) {
  SeedRoot root;
  TRY_VOID(read_field(message.network(), root.network.bytes, "seed chain's network"));
  TRY_VOID(read_field(message.person(), root.person.bytes, "seed chain's person"));
  TRY_VOID(read_field(message.video(), root.video.bytes, "seed chain's video hash"));
  root.epoch = message.epoch();
  TRY_VOID(read_field(message.signature(), root.signature, "signature of the seed chain's root"));
  return root;
}

wire::SeedLink to_wire(const SeedLink& link) {
  wire::SeedLink message;
  message.set_number(link.number);
  message.set_epoch(link.epoch);
  message.set_previous(link.previous.raw());
  message.set_proof(text_of(link.proof));
  for (const Contribution& one : link.contributions) {
    wire::SeedContribution& contribution = *message.add_contributions();
    contribution.set_kind(static_cast<std::uint32_t>(one.kind));
    contribution.set_statement(one.statement.raw());
  }
  message.set_signature(text_of(link.signature));
  return message;
}

Result<SeedLink> from_wire(const wire::SeedLink& message) {
  SeedLink link;
  link.number = message.number();
  link.epoch = message.epoch();
  const auto named = [&](std::string_view field) { return fmt::format("{} of link {}", field, link.number); };
  TRY_VOID(read_field(message.previous(), link.previous.bytes, named("previous head")));
  TRY_VOID(read_field(message.proof(), link.proof, named("proof")));
  TRY_VOID(read_field(message.signature(), link.signature, named("signature")));
  if (static_cast<std::size_t>(message.contributions_size()) > seed_contributions_max)
    return fail(Errc::invalid, "link {} has {} contributions, at most {} are allowed", link.number,
                message.contributions_size(), seed_contributions_max);
  for (const wire::SeedContribution& one : message.contributions()) {
    Contribution& contribution = link.contributions.emplace_back();
    if (one.kind() < 1 || one.kind() > 2)
      return fail(Errc::invalid, "link {} has a contribution of the unknown kind {}", link.number, one.kind());
    contribution.kind = static_cast<Contribution::Kind>(one.kind());
    TRY_VOID(read_field(one.statement(), contribution.statement.bytes, named("contribution")));
  }
  return link;
}

wire::SeedChain to_wire(const SeedChain& chain) {
  wire::SeedChain message;
  *message.mutable_root() = to_wire(chain.root);
  for (const SeedLink& link : chain.links) *message.add_links() = to_wire(link);
  return message;
}

Result<SeedChain> from_wire(const wire::SeedChain& message) {
  SeedChain chain;
  TRY(chain.root, from_wire(message.root()));
  chain.links.reserve(static_cast<std::size_t>(message.links_size()));
  for (const wire::SeedLink& one : message.links()) {
    TRY(auto link, from_wire(one));
    chain.links.push_back(std::move(link));
  }
  return chain;
}

wire::SeedConflict to_wire(const SeedConflict& conflict) {
  wire::SeedConflict message;
  *message.mutable_root() = to_wire(conflict.root);
  *message.mutable_one() = to_wire(conflict.one);
  *message.mutable_other() = to_wire(conflict.other);
  return message;
}

Result<SeedConflict> from_wire(const wire::SeedConflict& message) {
  SeedConflict conflict;
  TRY(conflict.root, from_wire(message.root()));
  TRY(conflict.one, from_wire(message.one()));
  TRY(conflict.other, from_wire(message.other()));
  return conflict;
}

bool is_chance_file(ByteView bytes) { return as_text(bytes).starts_with(file_kind); }

Bytes write_chance_file(const ChanceRecord& record) {
  wire::ChanceFile file;
  if (const auto* draw = std::get_if<DrawRecord>(&record)) *file.mutable_draw() = to_wire(*draw);
  if (const auto* chain = std::get_if<SeedChain>(&record)) *file.mutable_chain() = to_wire(*chain);
  if (const auto* conflict = std::get_if<SeedConflict>(&record)) *file.mutable_conflict() = to_wire(*conflict);
  return to_bytes(as_bytes(std::string(file_front) + file.SerializeAsString()));
}

Result<ChanceRecord> read_chance_file(ByteView bytes) {
  if (!is_chance_file(bytes)) return fail(Errc::invalid, "this is no file of a draw or a seed chain");
  if (bytes.size() > chance_file_bytes_max)
    return fail(Errc::invalid, "a file of {} bytes: at most {} are read", bytes.size(), chance_file_bytes_max);
  if (!as_text(bytes).starts_with(file_front))
    return fail(Errc::newer_format, "this file of a draw or a seed chain has another version than 1: use a newer Spatter");
  const ByteView body = bytes.subspan(file_front.size());
  wire::ChanceFile file;
  if (!file.ParseFromArray(body.data(), static_cast<int>(body.size())))
    return fail(Errc::invalid, "a file of a draw or a seed chain that is cut off or damaged");
  switch (file.what_case()) {
    case wire::ChanceFile::kDraw: return from_wire(file.draw());
    case wire::ChanceFile::kChain: return from_wire(file.chain());
    case wire::ChanceFile::kConflict: return from_wire(file.conflict());
    case wire::ChanceFile::WHAT_NOT_SET: break;
  }
  return fail(Errc::invalid, "the file holds neither a draw nor a seed chain nor a proof of cheating");
}

}  // namespace spatter
