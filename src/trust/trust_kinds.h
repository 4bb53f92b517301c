// What checking and making trust records share.
#pragma once

#include <string>
#include <string_view>

#include "trust/trust_record.h"

namespace spatter {

/// The kind as it goes into the signature.
std::string_view kind_name(TrustKind which);

/// What the new key of a rotation signs, so that nobody takes another's key for his own.
std::string rotation_claim(const NetworkId& network, const PersonId& person, std::uint32_t number);

}  // namespace spatter
