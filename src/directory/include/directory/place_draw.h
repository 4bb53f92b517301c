// The draws of a server's place in the directory, and what proves them: each drawer makes one with his
// person's key, over the server, its owner, the place's number and *all* who draw, so that draws made for one
// group of drawers say nothing in another. (Else whoever has the draws of six could choose among all threes
// of them, and with 32 numbers have a thousand places to choose from.) All of a place's draws together decide
// the position; everybody can check them, whomever he knows. Whether these were the persons to draw is
// directory/place_rule.h.
//
// Pure functions; any thread. A check takes about 0.4 ms for each draw.
#pragma once

#include <vector>

#include "chance/draw.h"
#include "directory/position.h"

namespace spatter {

/// Of one place; a contact takes at most 1 KiB of memory so.
inline constexpr std::size_t place_draws_max = 3;

/// What is drawn for. The epoch is chosen by who asks, and is the same in all draws.
struct PlaceOccasion {
  NetworkId network;
  std::uint64_t epoch = 0;
  ServerId server;
  PersonId owner;
  unsigned number = 0;
  std::vector<PublicKey> drawers;  ///< the keys of all who draw, ascending
};

/// As it stands in a server's record.
struct PlaceDraw {
  unsigned number = 0;
  std::uint64_t epoch = 0;
  std::vector<DrawProof> draws;  ///< by key, ascending
  bool operator==(const PlaceDraw&) const = default;

  std::vector<PublicKey> drawers() const;
};

/// Over Draw{network, epoch, admit, subject}, with subject = SHA-256("spatter/1 place" || 0x00 || server || owner ||
/// le64(number) || drawers).
DrawProof make_place_draw(const SigningKey& drawer, const PlaceOccasion& occasion);
/// Errors as of check_draw.
Result<void> check_one_draw(const PlaceOccasion& occasion, const DrawProof& proof);

/// What enters the position: SHA-256("spatter/1 place draws" || 0x00 || the outputs, 64 bytes each, in the order
/// of the drawers). Of draws that were checked, or just for knowing where a record says that its server
/// stands. Errc::invalid: a proof is malformed.
Result<Digest> draw_of(const PlaceDraw& place);

/// The place that a serialized body of a server's record shows; none: it shows none that can be read. Not
/// checked.
std::optional<PlaceDraw> place_in(std::string_view server_record_body);
/// The bytes that stand for draws in a record, and back: 112 for each, key and proof.
std::string to_bytes(const std::vector<DrawProof>& draws);
/// Errc::invalid: no draws, more than place_draws_max, or not ascending.
Result<std::vector<DrawProof>> draws_from(std::string_view bytes);

/// Who drew what, and when. Errc::invalid: malformed; Errc::corrupt: not drawn for this server, owner, number,
/// epoch or group of drawers.
struct PlaceFacts {
  unsigned number = 0;
  std::uint64_t epoch = 0;
  std::vector<PublicKey> drawers;  ///< their keys, ascending
  Digest draw;                     ///< draw_of
};
Result<PlaceFacts> check_place_draw(const NetworkId& network, const ServerId& server, const PersonId& owner,
                                    const PlaceDraw& place);

}  // namespace spatter
