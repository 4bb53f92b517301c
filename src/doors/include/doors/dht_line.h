// What spatter-rendezvous says on its standard output: a word for the kind, and what belongs to it.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace spatter::doors {

/// One line of what the program says.
struct DhtLine {
  enum class Kind { ready, value, done, failed };
  Kind kind = Kind::ready;
  std::string id;
  Bytes value;       ///< of `value`
  std::string text;  ///< the port, or the reason
};
inline constexpr std::size_t dht_line_bytes_max = 8192;
inline constexpr std::size_t dht_value_bytes_max = 1200;
Result<DhtLine> parse_dht_line(std::string_view line);

}  // namespace spatter::doors
