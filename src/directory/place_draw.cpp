#include "directory/place_draw.h"

#include <algorithm>

#include "wire/proto/records.pb.h"

namespace spatter {
namespace {

constexpr std::size_t epoch_bytes = 8;

Draw occasion(const NetworkId& network, std::uint64_t epoch, ByteView server_key) {
  return {network, epoch, Purpose::admit, Digest{server_id(server_key).bytes}};
}

}  // namespace

PlaceDraw make_place_draw(const SigningKey& drawer, const NetworkId& network, std::uint64_t epoch,
                          ByteView server_key) {
  const MadeDraw made = make_draw(drawer, occasion(network, epoch, server_key));
  PlaceDraw place;
  place.draw.assign(made.output.begin(), made.output.end());
  for (std::size_t i = 0; i < epoch_bytes; ++i)
    place.proof.push_back(static_cast<std::uint8_t>(epoch >> (8 * i)));
  place.proof.insert(place.proof.end(), made.proof.key.begin(), made.proof.key.end());
  place.proof.insert(place.proof.end(), made.proof.proof.begin(), made.proof.proof.end());
  return place;
}

std::optional<PlaceDraw> place_in(std::string_view server_record_body) {
  wire::ServerRecord record;
  if (!record.ParseFromArray(server_record_body.data(), static_cast<int>(server_record_body.size())) ||
      record.place_draw().empty())
    return std::nullopt;
  const auto draw = as_bytes(record.place_draw());
  const auto proof = as_bytes(record.place_proof());
  return PlaceDraw{{draw.begin(), draw.end()}, {proof.begin(), proof.end()}};
}

Result<PlaceFacts> check_place_draw(const NetworkId& network, ByteView server_key, ByteView draw,
                                    ByteView proof) {
  if (draw.size() != position_draw_bytes || proof.size() != place_proof_bytes)
    return fail(Errc::invalid, "a draw of {} bytes for a server's place, with a proof of {}",
                draw.size(), proof.size());
  PlaceFacts facts;
  for (std::size_t i = 0; i < epoch_bytes; ++i) facts.epoch |= std::uint64_t{proof[i]} << (8 * i);
  DrawProof shown;
  const auto key = proof.begin() + epoch_bytes;
  const auto vrf = key + static_cast<std::ptrdiff_t>(shown.key.size());
  std::copy(key, vrf, shown.key.begin());
  std::copy(vrf, proof.end(), shown.proof.begin());
  TRY(const VrfOutput output, check_draw(occasion(network, facts.epoch, server_key), shown));
  if (!std::ranges::equal(output, draw))
    return fail(Errc::corrupt, "a place other than the one that was drawn for server {}",
                server_id(server_key));
  facts.drawer = person_id(shown.key);
  return facts;
}

}  // namespace spatter
