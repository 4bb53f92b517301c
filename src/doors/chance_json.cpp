// Draws and seed chains in JSON and out of it.
#include <algorithm>

#include "doors/chance_report.h"

namespace spatter::doors {
namespace {

Json root_json(const SeedRoot& root) {
  return {{"network", root.network.hex()},
          {"person", root.person.hex()},
          {"video", root.video.hex()},
          {"epoch", root.epoch},
          {"signature", to_hex(root.signature)}};
}

Json link_json(const SeedLink& link) {
  Json contributions = Json::array();
  for (const Contribution& one : link.contributions)
    contributions.push_back({{"kind", to_string(one.kind)}, {"statement", one.statement.hex()}});
  return {{"number", link.number},
          {"epoch", link.epoch},
          {"previous", link.previous.hex()},
          {"proof", to_hex(link.proof)},
          {"contributions", std::move(contributions)},
          {"signature", to_hex(link.signature)}};
}

/// One object of the JSON, and what it is called in complaints.
struct Reader {
  const Json& object;
  std::string name;

  Result<const Json*> at(const char* key) const {
    if (!object.is_object()) return fail(Errc::invalid, "{} is no JSON object", name);
    const auto found = object.find(key);
    if (found == object.end()) return fail(Errc::invalid, "{} has no '{}'", name, key);
    return &*found;
  }
  Result<std::string> text(const char* key) const {
    TRY(const Json* value, at(key));
    if (!value->is_string()) return fail(Errc::invalid, "'{}' of {} is no text", key, name);
    return value->get<std::string>();
  }
  Result<std::uint64_t> number(const char* key) const {
    TRY(const Json* value, at(key));
    if (!value->is_number_unsigned()) return fail(Errc::invalid, "'{}' of {} is no count", key, name);
    return value->get<std::uint64_t>();
  }
  template <std::size_t size>
  Result<void> hex(const char* key, std::array<std::uint8_t, size>& out) const {
    TRY(const std::string digits, text(key));
    auto bytes = from_hex(digits);
    if (!bytes || bytes->size() != size)
      return fail(Errc::invalid, "'{}' of {} is not {} hexadecimal digits", key, name, 2 * size);
    std::copy(bytes->begin(), bytes->end(), out.begin());
    return {};
  }
};

Result<ParsedChance> draw_from(const Json& json) {
  const Reader reader{json, "the draw"};
  DrawRecord record;
  TRY_VOID(reader.hex("network", record.draw.network.bytes));
  TRY(record.draw.epoch, reader.number("epoch"));
  TRY(const std::string purpose, reader.text("purpose"));
  TRY(record.draw.purpose, purpose_from(purpose));
  TRY_VOID(reader.hex("subject", record.draw.subject.bytes));
  TRY_VOID(reader.hex("key", record.proof.key));
  TRY_VOID(reader.hex("proof", record.proof.proof));
  ParsedChance parsed{record, {}};
  if (json.contains("output")) TRY_VOID(reader.hex("output", parsed.claimed.emplace()));
  return parsed;
}

Result<SeedRoot> root_from(const Json& json) {
  const Reader reader{json, "the root"};
  SeedRoot root;
  TRY_VOID(reader.hex("network", root.network.bytes));
  TRY_VOID(reader.hex("person", root.person.bytes));
  TRY_VOID(reader.hex("video", root.video.bytes));
  TRY(root.epoch, reader.number("epoch"));
  TRY_VOID(reader.hex("signature", root.signature));
  return root;
}

Result<Contribution> contribution_from(const Json& json, std::string name) {
  const Reader reader{json, std::move(name)};
  Contribution contribution;
  TRY(const std::string kind, reader.text("kind"));
  for (const auto known : {Contribution::Kind::audit, Contribution::Kind::vouch}) {
    if (kind != to_string(known)) continue;
    contribution.kind = known;
    TRY_VOID(reader.hex("statement", contribution.statement.bytes));
    return contribution;
  }
  return fail(Errc::invalid, "'kind' of {} is neither audit nor vouch", reader.name);
}

Result<SeedLink> link_from(const Json& json, std::string name) {
  const Reader reader{json, std::move(name)};
  SeedLink link;
  TRY(link.number, reader.number("number"));
  TRY(link.epoch, reader.number("epoch"));
  TRY_VOID(reader.hex("previous", link.previous.bytes));
  TRY_VOID(reader.hex("proof", link.proof));
  TRY(const Json* contributions, reader.at("contributions"));
  if (!contributions->is_array()) return fail(Errc::invalid, "'contributions' of {} is no list", reader.name);
  for (const Json& one : *contributions) {
    TRY(auto contribution, contribution_from(one, "a contribution of " + reader.name));
    link.contributions.push_back(contribution);
  }
  TRY_VOID(reader.hex("signature", link.signature));
  return link;
}

Result<ParsedChance> chain_from(const Json& json) {
  const Reader reader{json, "the seed chain"};
  SeedChain chain;
  TRY(const Json* root, reader.at("root"));
  TRY(chain.root, root_from(*root));
  TRY(const Json* links, reader.at("links"));
  if (!links->is_array()) return fail(Errc::invalid, "'links' of the seed chain is no list");
  for (const Json& one : *links) {
    TRY(auto link, link_from(one, fmt::format("link {} of the list", chain.links.size() + 1)));
    chain.links.push_back(std::move(link));
  }
  return ParsedChance{std::move(chain), {}};
}

Result<ParsedChance> conflict_from(const Json& json) {
  const Reader reader{json, "the seed conflict"};
  SeedConflict conflict;
  TRY(const Json* root, reader.at("root"));
  TRY(conflict.root, root_from(*root));
  TRY(const Json* one, reader.at("one"));
  TRY(conflict.one, link_from(*one, "'one'"));
  TRY(const Json* other, reader.at("other"));
  TRY(conflict.other, link_from(*other, "'other'"));
  return ParsedChance{std::move(conflict), {}};
}

}  // namespace

Json chance_json(const ChanceRecord& record) {
  if (const auto* chain = std::get_if<SeedChain>(&record)) {
    Json links = Json::array();
    for (const SeedLink& link : chain->links) links.push_back(link_json(link));
    return {{"kind", "seed chain"}, {"root", root_json(chain->root)}, {"links", std::move(links)}};
  }
  if (const auto* conflict = std::get_if<SeedConflict>(&record))
    return {{"kind", "seed conflict"},
            {"root", root_json(conflict->root)},
            {"one", link_json(conflict->one)},
            {"other", link_json(conflict->other)}};
  const auto& [draw, proof] = std::get<DrawRecord>(record);
  return {{"kind", "draw"},
          {"network", draw.network.hex()},
          {"epoch", draw.epoch},
          {"purpose", to_string(draw.purpose)},
          {"subject", draw.subject.hex()},
          {"key", to_hex(proof.key)},
          {"proof", to_hex(proof.proof)}};
}

Result<ParsedChance> parse_chance(ByteView bytes) {
  if (is_chance_file(bytes)) {
    TRY(auto record, read_chance_file(bytes));
    return ParsedChance{std::move(record), {}};
  }
  if (bytes.size() > chance_file_bytes_max)
    return fail(Errc::invalid, "{} bytes of JSON: at most {} are read", bytes.size(), chance_file_bytes_max);
  const Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (json.is_discarded()) return fail(Errc::invalid, "this is neither JSON nor a file of a draw or a seed chain");
  TRY(const std::string kind, (Reader{json, "the JSON"}.text("kind")));
  if (kind == "draw") return draw_from(json);
  if (kind == "seed chain") return chain_from(json);
  if (kind == "seed conflict") return conflict_from(json);
  return fail(Errc::invalid, "'kind' is '{}', known are: draw, seed chain, seed conflict", kind);
}

}  // namespace spatter::doors
