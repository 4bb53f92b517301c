#include "directory/place_draw.h"

#include <algorithm>

#include "crypto/hash.h"
#include "wire/proto/records.pb.h"

namespace spatter {
namespace {

constexpr std::size_t key_bytes = std::tuple_size_v<PublicKey>;
constexpr std::size_t draw_bytes = key_bytes + std::tuple_size_v<VrfProof>;

Draw occasion_of(const PlaceOccasion& occasion) {
  constexpr std::string_view label{"spatter/1 place\0", 16};
  std::array<std::uint8_t, 8> number{};
  for (std::size_t i = 0; i < number.size(); ++i)
    number[i] = static_cast<std::uint8_t>(std::uint64_t{occasion.number} >> (8 * i));
  Sha256 subject;
  subject.update(as_bytes(label)).update(occasion.server.view()).update(occasion.owner.view()).update(number);
  for (const PublicKey& key : occasion.drawers) subject.update(key);
  return {occasion.network, occasion.epoch, Purpose::admit, subject.finish()};
}

Digest together(std::span<const VrfOutput> outputs) {
  constexpr std::string_view label{"spatter/1 place draws\0", 22};
  Sha256 hash;
  hash.update(as_bytes(label));
  for (const VrfOutput& output : outputs) hash.update(output);
  return hash.finish();
}

}  // namespace

std::vector<PublicKey> PlaceDraw::drawers() const {
  std::vector<PublicKey> keys;
  for (const DrawProof& one : draws) keys.push_back(one.key);
  return keys;
}

DrawProof make_place_draw(const SigningKey& drawer, const PlaceOccasion& occasion) {
  return make_draw(drawer, occasion_of(occasion)).proof;
}

Result<void> check_one_draw(const PlaceOccasion& occasion, const DrawProof& proof) {
  TRY_VOID(check_draw(occasion_of(occasion), proof));
  return {};
}

Result<Digest> draw_of(const PlaceDraw& place) {
  std::vector<VrfOutput> outputs;
  for (const DrawProof& one : place.draws) {
    TRY(const VrfOutput output, vrf_output(one.proof));
    outputs.push_back(output);
  }
  return together(outputs);
}

std::optional<PlaceDraw> place_in(std::string_view server_record_body) {
  wire::ServerRecord record;
  if (!record.ParseFromArray(server_record_body.data(), static_cast<int>(server_record_body.size())))
    return std::nullopt;
  auto draws = draws_from(record.place_draws());
  if (!draws) return std::nullopt;
  return PlaceDraw{record.place_number(), record.place_epoch(), std::move(*draws)};
}

std::string to_bytes(const std::vector<DrawProof>& draws) {
  std::string bytes;
  bytes.reserve(draws.size() * draw_bytes);
  for (const DrawProof& one : draws) bytes.append(as_text(one.key)).append(as_text(one.proof));
  return bytes;
}

Result<std::vector<DrawProof>> draws_from(std::string_view bytes) {
  if (bytes.empty() || bytes.size() % draw_bytes != 0 || bytes.size() > place_draws_max * draw_bytes)
    return fail(Errc::invalid, "draws of a place in {} bytes: 1 to {} of {} bytes are allowed", bytes.size(),
                place_draws_max, draw_bytes);
  std::vector<DrawProof> draws(bytes.size() / draw_bytes);
  for (std::size_t i = 0; i < draws.size(); ++i) {
    std::memcpy(draws[i].key.data(), bytes.data() + i * draw_bytes, key_bytes);
    std::memcpy(draws[i].proof.data(), bytes.data() + i * draw_bytes + key_bytes, draws[i].proof.size());
    if (i > 0 && draws[i].key <= draws[i - 1].key)
      return fail(Errc::invalid, "the draws of a place are not in the order of their drawers");
  }
  return draws;
}

Result<PlaceFacts> check_place_draw(const NetworkId& network, const ServerId& server, const PersonId& owner,
                                    const PlaceDraw& place) {
  PlaceFacts facts{place.number, place.epoch, place.drawers(), {}};
  const Draw occasion = occasion_of({network, place.epoch, server, owner, place.number, facts.drawers});
  std::vector<VrfOutput> outputs;
  for (const DrawProof& one : place.draws) {
    auto output = check_draw(occasion, one);
    if (!output)
      return fail(std::move(output).error().during(
          fmt::format("place {} of person {}, of his server {}", place.number, owner, server)));
    outputs.push_back(*output);
  }
  facts.draw = together(outputs);
  return facts;
}

}  // namespace spatter
