// Fields of a request on the control socket, which anybody may send who may use the drive: nothing about
// them is believed.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "doors/control.h"

namespace spatter::doors {

/// Empty when it is not there, or no text.
inline std::string text_at(const Json& request, const char* key) {
  const auto at = request.find(key);
  return at != request.end() && at->is_string() ? at->get<std::string>() : std::string();
}

inline bool flag_at(const Json& message, const char* key) {
  auto at = message.find(key);
  return at != message.end() && at->is_boolean() && at->get<bool>();
}

inline Result<std::uint64_t> number_at(const Json& request, const char* key, std::uint64_t otherwise) {
  const auto at = request.find(key);
  if (at == request.end()) return otherwise;
  if (!at->is_number_integer() || (!at->is_number_unsigned() && at->get<std::int64_t>() < 0))
    return fail(Errc::invalid, "'{}' of the request is no count", key);
  return at->get<std::uint64_t>();
}

}  // namespace spatter::doors
