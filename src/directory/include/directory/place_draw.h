// Where a server stands in the directory is decided by others: one of them draws for its key when he
// admits it, and everybody can check that he did. The occasion is the server's id in an epoch, so
// one drawer has one outcome an epoch for a key; whoever makes keys by the million needs a draw of
// somebody else's for every one of them.
//
// Pure functions; any thread. A check takes about 0.4 ms.
#pragma once

#include "chance/draw.h"
#include "directory/position.h"

namespace spatter {

/// Epoch (8, little-endian), the drawer's key (32), VRF proof (80).
inline constexpr std::size_t place_proof_bytes = 120;

/// As it stands in a server's record.
struct PlaceDraw {
  Bytes draw;   ///< position_draw_bytes: the VRF's output
  Bytes proof;  ///< place_proof_bytes
  bool operator==(const PlaceDraw&) const = default;
};

/// `drawer` is a person's key. Over Draw{network, epoch, admit, server id}.
PlaceDraw make_place_draw(const SigningKey& drawer, const NetworkId& network, std::uint64_t epoch,
                          ByteView server_key);

/// The draw that a serialized body of a server's record shows; none: it shows none. Not checked.
std::optional<PlaceDraw> place_in(std::string_view server_record_body);

/// Who drew, and when. Whether he was one to draw for that server is for the caller. Errc::invalid: not of
/// that length, or malformed; Errc::corrupt: not drawn for this key, or with another outcome.
struct PlaceFacts {
  PersonId drawer;
  std::uint64_t epoch = 0;
};
Result<PlaceFacts> check_place_draw(const NetworkId& network, ByteView server_key, ByteView draw,
                                    ByteView proof);

}  // namespace spatter
