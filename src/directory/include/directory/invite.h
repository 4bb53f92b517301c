// The invite link: what one server's owner gives a friend so that he can join.
//
// Text form: "spatter:" and base64url (no padding) of a version byte 1, a wire::Invite, and the
// first four bytes of SHA-256 of both, so that a link cut or altered on its way is told from one
// that is no longer good.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "base/transport.h"

namespace spatter {

inline constexpr std::size_t invite_secret_bytes = 16;

struct Invite {
  std::vector<Address> addresses;  ///< of the inviting server, at least one
  NetworkId network;
  ServerId inviter;
  Bytes secret;                    ///< 16 bytes or more; works once
  WallMs expires_ms = 0;
};

std::string to_link(const Invite& invite);

/// Errc::invalid when `link` is no link, or cut or altered; Errc::newer_format when a newer
/// Spatter made it. White space around it is ignored. Does not look at the clock.
Result<Invite> parse_link(std::string_view link);

}  // namespace spatter
