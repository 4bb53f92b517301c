// What a person says to mine somewhere: where the pool is and as whom. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/transport.h"

namespace spatter::mining {

/// The address in "stratum+tcp://HOST:PORT". Everything else is refused by name: other schemes, a
/// missing port, paths, names and passwords in it.
Result<Address> parse_pool_address(std::string_view text);

/// Whether `user` can be sent to a pool: visible characters, no spaces, at most 128 bytes. What looks
/// like a private key (WIF, an extended key, 64 hexadecimal digits) or like recovery words is refused;
/// the message does not repeat it.
Result<void> check_pool_user(std::string_view user);

}  // namespace spatter::mining
