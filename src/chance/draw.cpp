#include "chance/draw.h"

#include <algorithm>

#include "append.h"
#include "crypto/hash.h"

namespace spatter {
namespace {

struct NamedPurpose {
  Purpose purpose;
  std::string_view name;
};
constexpr NamedPurpose purposes[] = {
    {Purpose::audit, "audit"},         {Purpose::report, "report"},
    {Purpose::review, "review"},       {Purpose::procedure, "procedure"},
    {Purpose::admit, "admit"},         {Purpose::chain, "chain"},
    {Purpose::coordinate, "coordinate"}, {Purpose::work, "work"},
    {Purpose::phrase, "phrase"}};

}  // namespace

std::string_view to_string(Purpose purpose) {
  for (const NamedPurpose& one : purposes)
    if (one.purpose == purpose) return one.name;
  return "unknown";
}

Result<Purpose> purpose_from(std::string_view name) {
  std::string known;
  for (const NamedPurpose& one : purposes) {
    if (one.name == name) return one.purpose;
    known += (known.empty() ? "" : ", ") + std::string(one.name);
  }
  return fail(Errc::invalid, "there are no draws for '{}', but for: {}", name, known);
}

Result<Purpose> purpose_from(std::uint64_t number) {
  for (const NamedPurpose& one : purposes)
    if (static_cast<std::uint64_t>(one.purpose) == number) return one.purpose;
  return fail(Errc::invalid, "a draw for the unknown purpose number {}", number);
}

std::array<std::uint8_t, draw_input_bytes> draw_input(const Draw& draw) {
  Bytes bytes;
  bytes.reserve(draw_input_bytes);
  append_tag(bytes, "spatter/1 vrf draw");
  append(bytes, draw.network.view());
  append_number<8>(bytes, draw.epoch);
  append_number<1>(bytes, static_cast<std::uint64_t>(draw.purpose));
  append(bytes, draw.subject.view());
  std::array<std::uint8_t, draw_input_bytes> input;
  SPATTER_ASSERT(bytes.size() == input.size());
  std::copy(bytes.begin(), bytes.end(), input.begin());
  return input;
}

Digest seeded_subject(const Digest& seed, const Digest& subject) {
  Bytes bytes;
  append_tag(bytes, "spatter/1 seeded");
  append(bytes, seed.view());
  append(bytes, subject.view());
  return sha256(bytes);
}

MadeDraw make_draw(const SigningKey& key, const Draw& draw) {
  const VrfResult made = vrf_prove(key, draw_input(draw));
  return {{key.public_key(), made.proof}, made.output};
}

Result<VrfOutput> check_draw(const Draw& draw, const DrawProof& proof, VrfSteps* steps) {
  auto output = vrf_verify(proof.key, draw_input(draw), proof.proof, steps);
  if (!output)
    return fail(output.error().during(fmt::format("the {} draw of key {} for epoch {}", to_string(draw.purpose),
                                                  to_hex(ByteView(proof.key).first(6)), draw.epoch)));
  return output;
}

std::uint64_t epoch_at(std::uint64_t created_ms, std::uint32_t epoch_seconds, std::int64_t wall_ms) {
  SPATTER_ASSERT(epoch_seconds > 0);
  if (wall_ms < 0 || static_cast<std::uint64_t>(wall_ms) < created_ms) return 0;
  return (static_cast<std::uint64_t>(wall_ms) - created_ms) / (std::uint64_t{epoch_seconds} * 1000);
}

}  // namespace spatter
